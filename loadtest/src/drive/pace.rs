//! When the next event may be sent.
//!
//! Closed loop: as soon as a connection is free, unless too much is accepted and not delivered yet. Open loop: at its
//! intended time, whatever the answers do; a late request counts as late from then (no coordinated omission).

use crate::ledger::Ledger;
use crate::measure::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The pause of a closed loop that is ahead, before it looks again.
const AHEAD_PAUSE: Duration = Duration::from_millis(1);
/// An open loop wakes at most so often: sleeping is good to about 50 µs, and waking the pusher costs CPU.
const RELEASE_EVERY_US: u64 = 250;

/// When to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As fast as answers come, with at most so many events accepted and not delivered.
    Closed {
        /// That many.
        window: u64,
    },
    /// So many requests per second.
    Open {
        /// That many.
        per_s: f64,
    },
    /// As fast as answers come, up to so many events in all.
    Count {
        /// That many.
        events: u64,
    },
}

/// Lets requests go.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    clock: Clock,
    start_us: u64,
    /// Open loop: requests whose time has come; the thread that releases them adds.
    due: Semaphore,
    /// Open loop: requests taken.
    taken: AtomicU64,
    stopped: AtomicBool,
}

/// The intended time of the `index`-th request of an open loop, in µs after its start.
fn intended_us(index: u64, per_s: f64) -> u64 {
    (index as f64 * 1e6 / per_s) as u64
}

/// The number of requests of an open loop that are due `after_us` µs after its start.
fn due_by(after_us: u64, per_s: f64) -> u64 {
    let mut due = (after_us as f64 * per_s / 1e6) as u64;
    // Rounding goes either way; the definition is `intended_us`.
    while intended_us(due, per_s) <= after_us {
        due += 1;
    }
    while due > 0 && intended_us(due - 1, per_s) > after_us {
        due -= 1;
    }
    due
}

impl Pacer {
    pub(super) fn new(pace: Pace, clock: Clock) -> Arc<Pacer> {
        let start_us = clock.now_us();
        let taken = AtomicU64::new(0);
        Arc::new(Pacer { pace, clock, start_us, due: Semaphore::new(0), taken, stopped: AtomicBool::new(false) })
    }

    /// No request goes any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.due.close();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Waits until a request of `events` events may go; its intended time in µs, `None` when it is over.
    pub(super) async fn next(&self, ledger: &Ledger, events: u32) -> Option<u64> {
        match self.pace {
            Pace::Closed { window } => {
                while !self.is_stopped() {
                    let totals = ledger.totals();
                    let waiting = totals.healthy_owed.saturating_sub(totals.healthy);
                    if waiting < window.saturating_mul(ledger.healthy_fan_out()) {
                        return Some(self.clock.now_us());
                    }
                    tokio::time::sleep(AHEAD_PAUSE).await;
                }
                None
            }
            Pace::Count { events: count } => {
                let taken = self.taken.fetch_add(events.into(), Relaxed);
                (taken < count && !self.is_stopped()).then(|| self.clock.now_us())
            }
            Pace::Open { per_s } => {
                self.due.acquire().await.ok()?.forget();
                let index = self.taken.fetch_add(1, Relaxed);
                Some(self.start_us + intended_us(index, per_s))
            }
        }
    }

    /// Releases the requests of an open loop at their times, until it is stopped. Blocks its thread.
    pub(super) fn release(&self) {
        let Pace::Open { per_s } = self.pace else { return };
        let mut released = 0;
        while !self.is_stopped() {
            let after_us = self.clock.now_us() - self.start_us;
            let due = due_by(after_us, per_s);
            if due > released {
                self.due.add_permits(usize::try_from(due - released).unwrap_or_default());
                released = due;
            }
            let wake_us = intended_us(released, per_s).max(after_us + RELEASE_EVERY_US);
            let left_us = wake_us.saturating_sub(self.clock.now_us() - self.start_us).min(100_000);
            std::thread::sleep(Duration::from_micros(left_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intended_times_keep_the_rate_without_drift() {
        assert_eq!(intended_us(0, 3.0), 0);
        assert_eq!(intended_us(3_000_000, 3.0), 1_000_000_000_000);
        assert_eq!(intended_us(1, 20_000.0), 50);
    }

    #[test]
    fn what_is_due_agrees_with_the_intended_times() {
        for per_s in [0.5, 3.0, 999.9, 20_000.0, 1_000_000.0] {
            for after_us in [0, 1, 49, 50, 51, 333_333, 333_334, 1_000_000, 7_654_321] {
                let due = due_by(after_us, per_s);
                assert!(due > 0, "the first is due at once");
                assert!(intended_us(due - 1, per_s) <= after_us, "{per_s} {after_us}");
                assert!(intended_us(due, per_s) > after_us, "{per_s} {after_us}");
            }
        }
    }
}
