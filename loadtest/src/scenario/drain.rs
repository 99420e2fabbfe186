//! The speed at which a backlog drains: from the first delivery that arrives to the last.
//!
//! The caller has the clock and the ledger, and tells it the arrivals with their times.

use std::time::Duration;

/// The arrivals so far.
#[derive(Debug)]
pub(super) struct Drain {
    first: Option<(Duration, u64)>,
    last: (Duration, u64),
}

impl Drain {
    /// Begins after `begin` deliveries.
    pub(super) fn new(begin: u64) -> Drain {
        Drain { first: None, last: (Duration::ZERO, begin) }
    }

    /// So many had arrived in all, so long after it began.
    pub(super) fn see(&mut self, elapsed: Duration, count: u64) {
        if count > self.last.1 {
            self.first.get_or_insert((elapsed, count));
            self.last = (elapsed, count);
        }
    }

    /// From the beginning until something arrived; zero when nothing did.
    pub(super) fn wait(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |(at, _)| at)
    }

    /// When something arrived last.
    pub(super) fn last(&self) -> Duration {
        self.last.0
    }

    /// Deliveries per second between the first look that saw some and the last; 0 when nothing arrived, not a number
    /// when all had arrived at the first look.
    pub(super) fn per_s(&self) -> f64 {
        let Some((first, first_count)) = self.first else { return 0.0 };
        let seconds = (self.last.0 - first).as_secs_f64();
        if seconds > 0.0 { (self.last.1 - first_count) as f64 / seconds } else { f64::NAN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_from_the_first_delivery_to_the_last() {
        let mut drain = Drain::new(1_000);
        let ms = Duration::from_millis;
        for (at, count) in [(0, 1_000), (500, 1_000), (600, 1_100), (700, 6_100), (800, 11_100), (2_000, 11_100)] {
            drain.see(ms(at), count);
        }
        assert_eq!((drain.wait(), drain.last()), (ms(600), ms(800)));
        assert!((drain.per_s() - 50_000.0).abs() < 1e-6, "{}", drain.per_s());
    }

    #[test]
    fn nothing_has_no_rate_and_one_look_is_not_enough_for_one() {
        let mut drain = Drain::new(7);
        assert_eq!((drain.wait(), drain.per_s()), (Duration::ZERO, 0.0));
        drain.see(Duration::from_secs(1), 8);
        assert!(drain.per_s().is_nan());
    }
}
