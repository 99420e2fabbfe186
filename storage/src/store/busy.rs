//! The duration of a thread's steps, in which it takes nothing that waits: the writer's and the checkpoint's. A watcher looks
//! for starvation, and a supervisor for a thread that is stuck.
//!
//! Two numbers that the thread sets and a watcher reads, also while a step lasts. No history: the watcher
//! keeps that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The clock of one thread.
#[derive(Debug)]
pub(crate) struct Busy {
    epoch: Instant,
    /// The time at which the running step began, in microseconds since `epoch` and one more; 0 between two steps.
    since_us: AtomicU64,
    /// The longest step since the watcher last asked.
    longest_us: AtomicU64,
}

impl Busy {
    pub(crate) fn new() -> Busy {
        Busy { epoch: Instant::now(), since_us: AtomicU64::new(0), longest_us: AtomicU64::new(0) }
    }

    /// Times one step.
    pub(crate) fn during<T>(&self, step: impl FnOnce() -> T) -> T {
        let began = self.now_us();
        self.since_us.store(began + 1, Ordering::Relaxed);
        let result = step();
        self.since_us.store(0, Ordering::Relaxed);
        self.longest_us.fetch_max(self.now_us() - began, Ordering::Relaxed);
        result
    }

    /// The longest step since the last call, the one that lasts now included.
    pub(crate) fn take_longest(&self) -> Duration {
        let ended = self.longest_us.swap(0, Ordering::Relaxed);
        Duration::from_micros(ended).max(self.lasts())
    }

    /// How long the running step lasts; zero between two steps.
    pub(crate) fn lasts(&self) -> Duration {
        match self.since_us.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros((self.now_us() + 1).saturating_sub(since)),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_seen_while_it_lasts_and_once_after() {
        let busy = Busy::new();
        let step = Duration::from_millis(3);
        busy.during(|| {
            let began = Instant::now();
            while began.elapsed() < step {
                std::hint::spin_loop();
            }
            assert!(busy.lasts() >= step && busy.take_longest() >= step);
        });
        assert_eq!(busy.lasts(), Duration::ZERO);
        assert!(busy.take_longest() >= step);
        assert_eq!(busy.take_longest(), Duration::ZERO);
    }
}
