//! The share of healthy results over the last seconds.
//!
//! Deliberately not an average that decays: a span that is over is forgotten, so a quiet endpoint starts afresh. One
//! failure after a pause is one of one, far below any minimum sample.

use crate::retry::recent::Recent;
use model::UnixMs;

/// Counts by slot.
#[derive(Clone, Debug)]
pub(super) struct SuccessRate {
    recent: Recent<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    healthy: u32,
    all: u32,
}

impl SuccessRate {
    /// No results yet.
    pub(super) fn new(window_ms: u64) -> SuccessRate {
        SuccessRate { recent: Recent::new(window_ms) }
    }

    /// Adds one result.
    pub(super) fn add(&mut self, now: UnixMs, healthy: bool) {
        let counts = self.recent.at(now.0);
        counts.all = counts.all.saturating_add(1);
        counts.healthy = counts.healthy.saturating_add(u32::from(healthy));
    }

    /// True if, as of the last result, there are at least `min_samples` and fewer than `percent` % of them are healthy.
    pub(super) fn is_below(&self, percent: u32, min_samples: u32) -> bool {
        let (healthy, all) = self
            .recent
            .iter()
            .fold((0_u64, 0_u64), |sum, slot| (sum.0 + u64::from(slot.healthy), sum.1 + u64::from(slot.all)));
        all >= u64::from(min_samples) && healthy * 100 < all * u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(results: &[(u64, bool, usize)]) -> SuccessRate {
        let mut rate = SuccessRate::new(10_000);
        for &(now, healthy, times) in results {
            (0..times).for_each(|_| rate.add(UnixMs(now), healthy));
        }
        rate
    }

    #[test]
    fn exactly_the_threshold_is_not_below_it() {
        assert!(!rate(&[(0, true, 10), (0, false, 10)]).is_below(50, 20));
        assert!(rate(&[(0, true, 10), (0, false, 11)]).is_below(50, 20));
        assert!(!rate(&[(0, false, 100)]).is_below(0, 1), "nothing is below 0 %");
    }

    #[test]
    fn a_small_sample_does_not_count() {
        assert!(!rate(&[(0, false, 19)]).is_below(50, 20));
        assert!(rate(&[(0, false, 20)]).is_below(50, 20));
        assert!(!SuccessRate::new(10_000).is_below(100, 0), "nothing is not below anything");
    }

    #[test]
    fn what_is_past_the_window_is_forgotten() {
        assert!(rate(&[(0, false, 15), (9_999, false, 5)]).is_below(50, 20));
        assert!(!rate(&[(0, false, 15), (10_000, false, 5)]).is_below(50, 20));
        assert!(!rate(&[(0, false, 50), (3_600_000, false, 1)]).is_below(50, 20));
    }
}
