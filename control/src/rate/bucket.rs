//! One token bucket: so many requests in a time, as many at once, and evenly again afterwards (GCRA, by the crate
//! `governor`). It reads no clock: each call is given the time.

use governor::clock::{Clock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A limit: requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests.
    pub requests: NonZeroU32,
    /// The time in which they may be made.
    pub per: Duration,
}

impl Rate {
    /// The time after which one more request may be made.
    fn interval(self) -> Duration {
        (self.per / self.requests.get()).max(Duration::from_nanos(1))
    }
}

/// A bucket after it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Requests that a full one has.
    pub limit: u32,
    /// Requests that can be made at once now.
    pub remaining: u32,
    /// The time until it is full again.
    pub full_in: Duration,
}

/// Why requests may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Not yet: after this time.
    For(Duration),
    /// Never: a full bucket has fewer.
    MoreThanFull,
}

/// The time that the last caller gave. Callers on several threads may be a little apart; it never goes back.
#[derive(Clone, Debug, Default)]
struct Given(Arc<AtomicU64>);

impl Clock for Given {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// A bucket, which begins full.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) rate: Rate,
    given: Given,
    limiter: RateLimiter<NotKeyed, InMemoryState, Given, StateInformationMiddleware>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Bucket {
        let given = Given::default();
        // The interval is never zero; a quota of one a second would stand in.
        let quota = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(rate.requests), given.clone());
        Bucket { rate, given, limiter: limiter.with_middleware::<StateInformationMiddleware>() }
    }

    /// Takes `requests` out at `now`, a time since a fixed instant; all or none.
    pub(super) fn take(&self, requests: NonZeroU32, now: Duration) -> (Result<(), Empty>, Standing) {
        self.given.0.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        match self.limiter.check_n(requests) {
            Ok(Ok(state)) => (Ok(()), self.standing(state.remaining_burst_capacity())),
            Ok(Err(not_until)) => {
                let wait = not_until.earliest_possible().duration_since(self.given.now());
                // One request is there again after an interval, so some of the wait are what is there already.
                let missing = Duration::from(wait).as_nanos().div_ceil(self.rate.interval().as_nanos());
                let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                (Err(Empty::For(wait.into())), self.standing(requests.get().saturating_sub(missing)))
            }
            Err(_) => (Err(Empty::MoreThanFull), self.standing(0)),
        }
    }

    fn standing(&self, remaining: u32) -> Standing {
        let limit = self.rate.requests.get();
        Standing { limit, remaining, full_in: self.rate.interval() * limit.saturating_sub(remaining) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn bucket(requests: u32, per_s: u64) -> Bucket {
        Bucket::new(Rate { requests: number(requests), per: Duration::from_secs(per_s) })
    }

    #[test]
    fn a_full_bucket_gives_all_at_once_and_then_one_by_one() {
        let (bucket, at) = (bucket(6, 60), Duration::from_secs);
        let take = |requests, now| bucket.take(number(requests), at(now));
        assert_eq!(take(4, 5), (Ok(()), Standing { limit: 6, remaining: 2, full_in: at(40) }));
        assert_eq!(take(3, 5), (Err(Empty::For(at(10))), Standing { limit: 6, remaining: 2, full_in: at(40) }));
        assert_eq!(take(2, 5).1.remaining, 0);
        assert_eq!(take(1, 6), (Err(Empty::For(at(9))), Standing { limit: 6, remaining: 0, full_in: at(60) }));
        assert_eq!(take(1, 15).0, Ok(()));
        assert_eq!(take(6, 1_000), (Ok(()), Standing { limit: 6, remaining: 0, full_in: at(60) }));
        assert_eq!(take(7, 2_000).0, Err(Empty::MoreThanFull));
    }

    #[test]
    fn a_clock_that_is_behind_takes_nothing_back() {
        let bucket = bucket(1, 1);
        assert_eq!(bucket.take(number(1), Duration::from_secs(9)).0, Ok(()));
        let (answer, _) = bucket.take(number(1), Duration::from_secs(3));
        assert_eq!(answer, Err(Empty::For(Duration::from_secs(1))));
    }

    proptest! {
        #[test]
        fn never_more_than_a_full_bucket_and_what_came_since(
            (requests, per_s) in (1u32..50, 1u64..100),
            asked in proptest::collection::vec((1u32..60, 0u64..20_000), 1..60),
        ) {
            let bucket = bucket(requests, per_s);
            let (mut now_ms, mut passed) = (0, 0);
            for (count, later_ms) in asked {
                now_ms += later_ms;
                let now = Duration::from_millis(now_ms);
                let (answer, standing) = bucket.take(number(count), now);
                let most = u64::from(requests) + now_ms * u64::from(requests) / (per_s * 1_000);
                match answer {
                    Ok(()) => passed += u64::from(count),
                    Err(Empty::MoreThanFull) => prop_assert!(count > requests),
                    Err(Empty::For(wait)) => {
                        prop_assert!(wait > Duration::ZERO && standing.remaining < count, "{standing:?} {wait:?}");
                        let (then, _) = bucket.take(number(count), now + wait);
                        prop_assert_eq!(then, Ok(()), "after the wait");
                        passed += u64::from(count);
                        now_ms += u64::try_from(wait.as_millis()).unwrap() + 1;
                    }
                }
                let most = most.max(u64::from(requests) + now_ms * u64::from(requests) / (per_s * 1_000));
                // An interval is rounded down to whole nanoseconds.
                prop_assert!(passed <= most + 1, "{passed} of {most}");
            }
        }
    }
}
