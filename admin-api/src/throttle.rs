//! How many messages an application may push per second, for those that have a rate.
//!
//! A token bucket of one second's worth, kept as one number (the generic cell rate algorithm): the time at which it will
//! be full again. A bucket that is full says nothing, so it need not be kept: only applications that pushed within the
//! last second have an entry, and a restart forgets nothing that matters.
//!
//! Deliberately no queue: what comes too fast is refused, and whoever pushed it decides. Deliberately no clock either:
//! time is an argument.

use model::{AppId, UnixMs};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How much a bucket holds, as the time that it takes to fill.
const BURST_NS: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
const NS_PER_MS: u64 = 1_000_000;
/// Entries at most; about 1 MiB. Applications beyond as many that push in the same second are not throttled.
const ENTRIES_MAX: usize = 65_536;

/// What an application may push now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Messages that may pass, at most as many as asked for.
    pub(crate) count: usize,
    /// Seconds until one more may pass, at least 1: for those that may not.
    pub(crate) retry_after_s: u64,
}

/// The buckets of all applications that have a rate and are not full.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Buckets>);

/// When each bucket will be full again, in Unix time.
#[derive(Debug, Default)]
struct Buckets {
    full_at_ns: HashMap<AppId, u64>,
    swept_at_ns: u64,
}

impl Throttle {
    /// Takes up to `wanted` messages out of an application's bucket; `rate` is messages per second.
    pub(crate) fn take(&self, app: AppId, rate: u32, wanted: usize, now: UnixMs) -> Grant {
        // What the lock guards is whole between any two statements.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(app, rate, wanted, now.0.saturating_mul(NS_PER_MS))
    }
}

impl Buckets {
    fn take(&mut self, app: AppId, rate: u32, wanted: usize, now_ns: u64) -> Grant {
        self.sweep(now_ns);
        let interval_ns = BURST_NS / u64::from(rate.clamp(1, 1_000_000_000));
        let burst_ends_ns = now_ns.saturating_add(BURST_NS);
        // A clock that was set back must not lock anybody out: no bucket is emptier than empty.
        let full_at_ns = self.full_at_ns.get(&app).copied().unwrap_or(0).clamp(now_ns, burst_ends_ns);
        let free = (burst_ends_ns - full_at_ns) / interval_ns;
        let count = free.min(wanted as u64);
        let full_at_ns = full_at_ns + count * interval_ns;
        if self.full_at_ns.len() < ENTRIES_MAX || self.full_at_ns.contains_key(&app) {
            self.full_at_ns.insert(app, full_at_ns);
        }
        let wait_ns = (full_at_ns + interval_ns).saturating_sub(burst_ends_ns);
        Grant { count: usize::try_from(count).unwrap_or(wanted), retry_after_s: wait_ns.div_ceil(BURST_NS).max(1) }
    }

    /// Drops full buckets, at most once in the time that any of them takes to fill.
    fn sweep(&mut self, now_ns: u64) {
        if now_ns.abs_diff(self.swept_at_ns) >= BURST_NS {
            self.full_at_ns.retain(|_, full_at_ns| *full_at_ns > now_ns);
            self.swept_at_ns = now_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const APP: AppId = AppId(1);

    fn take(throttle: &Throttle, rate: u32, wanted: usize, at_ms: u64) -> usize {
        throttle.take(APP, rate, wanted, UnixMs(at_ms)).count
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_and_then_one_by_one() {
        let throttle = Throttle::default();
        assert_eq!(take(&throttle, 4, 10, 5_000), 4);
        assert_eq!(take(&throttle, 4, 1, 5_249), 0);
        assert_eq!(take(&throttle, 4, 2, 5_250), 1);
        assert_eq!(take(&throttle, 4, 10, 60_000), 4);
    }

    #[test]
    fn whoever_is_refused_learns_when_to_come_back() {
        let throttle = Throttle::default();
        assert_eq!(take(&throttle, 1, 1, 5_000), 1);
        let refused = throttle.take(APP, 1, 1, UnixMs(5_001));
        assert_eq!(refused, Grant { count: 0, retry_after_s: 1 });
        assert_eq!(take(&throttle, 1, 1, 5_000 + refused.retry_after_s * 1_000), 1);
    }

    #[test]
    fn applications_do_not_share_and_idle_ones_are_forgotten() {
        let throttle = Throttle::default();
        for app in 0..100 {
            assert_eq!(throttle.take(AppId(app), 1, 1, UnixMs(5_000)).count, 1);
        }
        assert_eq!(throttle.0.lock().unwrap().full_at_ns.len(), 100);
        throttle.take(APP, 1, 1, UnixMs(6_001));
        assert_eq!(throttle.0.lock().unwrap().full_at_ns.len(), 1);
    }

    #[test]
    fn there_are_never_more_entries_than_their_bound() {
        let throttle = Throttle::default();
        for app in 0..ENTRIES_MAX as u32 + 10 {
            assert_eq!(throttle.take(AppId(app), 1, 1, UnixMs(5_000)).count, 1);
        }
        assert_eq!(throttle.0.lock().unwrap().full_at_ns.len(), ENTRIES_MAX);
        assert_eq!(take(&throttle, 1, 1, 5_000), 0, "those that are there stay throttled");
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out_for_long() {
        let throttle = Throttle::default();
        assert_eq!(take(&throttle, 2, 2, 3_600_000), 2);
        assert_eq!(take(&throttle, 2, 2, 1_000), 0);
        assert_eq!(take(&throttle, 2, 2, 2_000), 2);
    }

    proptest! {
        #[test]
        fn no_span_lets_more_through_than_its_rate_and_one_burst(
            rate in 1u32..5_000,
            asks in proptest::collection::vec((0u64..400, 1usize..3_000), 1..60),
        ) {
            let throttle = Throttle::default();
            let (mut now_ms, mut passed) = (1_000, 0u64);
            let started_ms = now_ms;
            for (gap_ms, wanted) in asks {
                now_ms += gap_ms;
                passed += take(&throttle, rate, wanted, now_ms) as u64;
                // The interval is rounded down to whole nanoseconds: well below one in a thousand.
                let bound = u64::from(rate) * (now_ms - started_ms + 1_000) / 1_000;
                prop_assert!(passed <= bound + bound / 1_000 + 1, "{passed} > {bound}");
            }
        }
    }
}
