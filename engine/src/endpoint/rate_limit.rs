//! An endpoint's rate limit: so many deliveries a second, paced rather than bundled.
//!
//! A token bucket that saves up one delivery and a tenth of a second. In any span of `t` ms there are at most
//! `1 + rate x (t + 100) / 1000` deliveries. After a pause there is a burst of `1 + rate / 10`, then an even pace. The
//! tenth of a second is there for timers. A timer that wakes a few ms late loses no delivery, so the rate is exact on
//! average.
//!
//! With a burst of its own it saves up so many deliveries instead. A small one costs some of the rate where timers are late.
//!
//! The caller asks again at the time that it is told.

use crate::retry::token_bucket::{NextAt, TOKEN, TokenBucket, paced_capacity};

/// The pace of one endpoint.
#[derive(Clone, Debug)]
pub struct RateLimit {
    bucket: TokenBucket,
}

impl RateLimit {
    /// A limit that has been idle. `rate_per_s` 0 counts as 1: an endpoint that is to get nothing is disabled instead.
    #[must_use]
    pub fn new(rate_per_s: u32, burst: Option<u32>, now_ms: u64) -> RateLimit {
        RateLimit { bucket: TokenBucket::new(rate_per_s, capacity(rate_per_s, burst), now_ms) }
    }

    /// Another rate from now on. The saved-up level stays, within the new bounds, so that changing the rate often does
    /// not lift it.
    pub fn set_rate(&mut self, rate_per_s: u32, burst: Option<u32>, now_ms: u64) {
        self.bucket.reconfigure(rate_per_s, capacity(rate_per_s, burst), now_ms);
    }

    /// Asks if one delivery may be made now, without taking the right to it.
    ///
    /// # Errors
    /// When to ask again.
    pub fn check(&mut self, now_ms: u64) -> Result<(), NextAt> {
        if self.bucket.level(now_ms) < TOKEN {
            return Err(self.bucket.next_token_at(now_ms));
        }
        Ok(())
    }

    /// Takes the right to one delivery now.
    ///
    /// # Errors
    /// When to ask again; nothing is taken then.
    pub fn try_take(&mut self, now_ms: u64) -> Result<(), NextAt> {
        self.check(now_ms)?;
        self.bucket.take_up_to(TOKEN);
        Ok(())
    }
}

/// The tokens that may be saved up, in thousandths: those of `burst`, at least one.
fn capacity(rate_per_s: u32, burst: Option<u32>) -> u64 {
    burst.map_or_else(|| paced_capacity(rate_per_s), |burst| u64::from(burst.max(1)) * TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::token_bucket::LATENESS_MS;
    use proptest::prelude::*;

    /// Deliveries in `span_ms` when every timer comes `late_ms` late.
    fn deliveries(rate_per_s: u32, span_ms: u64, late_ms: u64) -> u64 {
        let (mut limit, mut now_ms, mut count) = (RateLimit::new(rate_per_s, None, 0), 0, 0);
        while now_ms < span_ms {
            match limit.try_take(now_ms) {
                Ok(()) => count += 1,
                Err(NextAt(next_ms)) => now_ms = next_ms + late_ms,
            }
        }
        count
    }

    #[test]
    fn the_rate_is_exact_on_average_even_with_late_timers() {
        for (rate_per_s, late_ms) in [(1, 0), (1, 90), (3, 17), (10, 0), (10, 50), (333, 1), (1_000, 7), (50_000, 3)] {
            let count = deliveries(rate_per_s, 100_000, late_ms);
            let exact = 100 * u64::from(rate_per_s);
            let burst = 1 + u64::from(rate_per_s) / 10;
            assert!((exact..=exact + burst).contains(&count), "{rate_per_s}/s, {late_ms} ms late: {count}");
        }
    }

    #[test]
    fn a_slow_rate_is_evenly_paced() {
        let mut limit = RateLimit::new(2, None, 0);
        assert_eq!(limit.try_take(0), Ok(()));
        assert_eq!(limit.try_take(0), Err(NextAt(400)), "the tenth of a second was saved up");
        assert_eq!(limit.try_take(400), Ok(()));
        assert_eq!(limit.try_take(400), Err(NextAt(900)));
        assert_eq!(limit.try_take(899), Err(NextAt(900)));
        assert_eq!(limit.try_take(900), Ok(()));
    }

    #[test]
    fn a_burst_after_idleness_is_bounded() {
        let mut limit = RateLimit::new(100, None, 0);
        let burst = (0..1_000).take_while(|_| limit.try_take(3_600_000).is_ok()).count();
        assert_eq!(burst, 11);
    }

    #[test]
    fn a_burst_of_its_own_goes_at_once_and_then_the_rate_holds() {
        let mut limit = RateLimit::new(10, Some(50), 0);
        let at_once = |limit: &mut RateLimit, now_ms| (0..1_000).take_while(|_| limit.try_take(now_ms).is_ok()).count();
        assert_eq!(at_once(&mut limit, 0), 50);
        assert_eq!(at_once(&mut limit, 1_000), 10, "what a second brings");
        assert_eq!(at_once(&mut limit, 3_600_000), 50);
        limit.set_rate(10, Some(1), 7_200_000);
        assert_eq!(at_once(&mut limit, 7_200_000), 1);
        assert_eq!(limit.check(7_200_000), Err(NextAt(7_200_100)));
    }

    #[test]
    fn changing_the_rate_gives_no_extra() {
        let mut limit = RateLimit::new(1, None, 0);
        assert_eq!(limit.try_take(0), Ok(()));
        (0..100).for_each(|_| limit.set_rate(5, None, 0));
        assert_eq!(limit.try_take(0), Err(NextAt(180)), "100 of 1000 thousandths were left");
    }

    #[test]
    fn a_clock_that_steps_back_does_not_freeze_it() {
        let mut limit = RateLimit::new(1, None, 1_000_000);
        assert_eq!(limit.try_take(1_000_000), Ok(()));
        assert_eq!(limit.try_take(5), Err(NextAt(905)));
        assert_eq!(limit.try_take(905), Ok(()));
    }

    proptest! {
        #[test]
        fn no_span_has_more_than_its_share(
            rate_per_s in 1_u32..200, pauses in prop::collection::vec(0_u64..30, 1..200),
        ) {
            let (mut limit, mut now_ms, mut taken) = (RateLimit::new(rate_per_s, None, 0), 0, vec![]);
            for pause_ms in pauses {
                now_ms += pause_ms;
                if limit.try_take(now_ms).is_ok() {
                    taken.push(now_ms);
                }
            }
            for (index, &from_ms) in taken.iter().enumerate() {
                for (count, &until_ms) in taken[index..].iter().enumerate() {
                    let allowed = 1_000 + u64::from(rate_per_s) * (until_ms - from_ms + LATENESS_MS);
                    prop_assert!((count as u64 + 1) * 1_000 <= allowed);
                }
            }
        }
    }
}
