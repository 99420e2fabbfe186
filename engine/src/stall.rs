//! The longest stall of each shard and of the writer: the time that a thread everybody depends on did nothing else.
//!
//! A shard's stall is the delay with which its thread came to a task that only sleeps. The writer's is the time that
//! one step took. The gauge shows the longest of the last minute, so that a scrape every 15 s misses none.
//!
//! There is no remedy here: work that may run on these threads is bounded where it is made.

use crate::clock::Clock;
use metrics::Gauge;
use model::{UnixMs, metric};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Interval at which a shard's thread is looked at. Stalls shorter than this may be missed; they are no stalls.
const PERIOD: Duration = Duration::from_millis(50);

/// Time in ms for which a stall is shown.
const SHOWN_MS: u64 = 60_000;

/// Signs of life of a thread, for a supervisor.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    epoch: Instant,
    last_ms: AtomicU64,
}

impl Heartbeat {
    /// Its first one is now.
    pub(crate) fn new() -> Heartbeat {
        Heartbeat { epoch: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn beat(&self) {
        self.last_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// The time since the last one.
    pub(crate) fn silent(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Watches the thread that this runs on. Never ends.
pub(crate) async fn watch_this_thread(name: String, clock: Clock, heartbeat: Arc<Heartbeat>) {
    let mut shown = Shown::new(name);
    loop {
        heartbeat.beat();
        let asked = Instant::now() + PERIOD;
        tokio::time::sleep_until(asked).await;
        shown.note(asked.elapsed(), clock.now());
    }
}

/// A gauge of the longest stall of a thread.
pub(crate) struct Shown {
    gauge: Gauge,
    longest: Longest,
}

impl Shown {
    pub(crate) fn new(thread: String) -> Shown {
        Shown { gauge: metrics::gauge!(metric::LONGEST_STALL_SECONDS, "thread" => thread), longest: Longest::default() }
    }

    /// A stall of so long was seen at `now`.
    pub(crate) fn note(&mut self, stall: Duration, now: UnixMs) {
        self.gauge.set(self.longest.note(stall, now).as_secs_f64());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.gauge.set(0.0);
    }
}

/// The longest stall noted within [`SHOWN_MS`]: a queue in which each entry is shorter than those before it. An entry
/// that is both older and shorter will never be the longest again.
#[derive(Debug, Default)]
struct Longest(VecDeque<(UnixMs, Duration)>);

impl Longest {
    fn note(&mut self, stall: Duration, now: UnixMs) -> Duration {
        while self.0.back().is_some_and(|(_, shorter)| *shorter <= stall) {
            self.0.pop_back();
        }
        self.0.push_back((now, stall));
        while self.0.front().is_some_and(|(at, _)| now.since_ms(*at) > SHOWN_MS) {
            self.0.pop_front();
        }
        self.0.front().map_or(Duration::ZERO, |(_, longest)| *longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_maximum_over_the_last_minute(steps in proptest::collection::vec((0u64..20_000, 0u64..1_000), 1..200)) {
            let (mut longest, mut all, mut now) = (Longest::default(), Vec::new(), 0);
            for (passed_ms, stall_ms) in steps {
                now += passed_ms;
                all.push((now, stall_ms));
                let expected = all.iter().filter(|(at, _)| now - at <= SHOWN_MS).map(|(_, stall)| *stall).max();
                let found = longest.note(Duration::from_millis(stall_ms), UnixMs(now));
                prop_assert_eq!(Some(found.as_millis() as u64), expected);
            }
        }
    }
}
