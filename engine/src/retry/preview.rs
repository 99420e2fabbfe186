//! A retry policy laid out in time: for each attempt the earliest, the nominal and the latest moment, and the moment at
//! which the delivery becomes a dead letter.
//!
//! The gaps are those that [`super::schedule`] draws from. Attempts are taken to last no time, as nobody knows how long a
//! receiver takes: what really happens is later by the attempts' own durations, by a `Retry-After`, and by what holds the
//! endpoint back meanwhile.

use super::schedule::{Gap, gap_after};
use model::RetryPolicy;

/// One attempt of a delivery whose attempts all fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub attempt: u16,
    /// The gap before it.
    pub gap: Gap,
    /// The time from the first attempt to it: the sum of the gaps.
    pub offset: Gap,
}

/// The attempts that a policy makes, in order: at least one. After the last one the delivery is a dead letter.
#[must_use]
pub fn preview(policy: &RetryPolicy) -> Vec<Step> {
    let mut offset = Gap::default();
    let gaps = (0..=u16::MAX).map_while(|made| gap_after(policy, made).map(|gap| (made + 1, gap)));
    let steps = gaps.map(|(attempt, gap)| {
        offset = Gap {
            earliest_ms: offset.earliest_ms.saturating_add(gap.earliest_ms),
            nominal_ms: offset.nominal_ms.saturating_add(gap.nominal_ms),
            latest_ms: offset.latest_ms.saturating_add(gap.latest_ms),
        };
        Step { attempt, gap, offset }
    });
    steps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::schedule::next_delay_ms;
    use model::{Jitter, Multiplier, Spacing};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Any policy that the API takes, with gaps long enough that their ends are seen.
    fn policy(rng: &mut StdRng) -> RetryPolicy {
        let base = rng.random_range(20..=2_000);
        let spacing = match rng.random_range(0..4) {
            0 => Spacing::Schedule { delays_ms: (0..rng.random_range(1..6)).map(|nth| base * (nth + 1)).collect() },
            1 => Spacing::Exponential {
                initial_ms: base,
                multiplier: Multiplier { hundredths: rng.random_range(100..=1_000) },
            },
            2 => Spacing::Linear { step_ms: base },
            _ => Spacing::Fixed { delay_ms: base },
        };
        let jitters = [Jitter::None, Jitter::Proportional, Jitter::Equal, Jitter::Full, Jitter::Additive];
        RetryPolicy {
            spacing,
            max_attempts: rng.random_range(1..=8),
            max_delay_ms: rng.random_range(base * 6..=base * 40),
            jitter: jitters[rng.random_range(0..5)],
        }
    }

    #[test]
    fn every_drawn_schedule_lies_within_the_preview_and_comes_near_both_ends_of_each_gap() {
        let mut rng = StdRng::seed_from_u64(13);
        for _ in 0..200 {
            let policy = policy(&mut rng);
            let steps = preview(&policy);
            let mut nearest = vec![(u64::MAX, 0); steps.len()];
            for _ in 0..500 {
                let (mut made, mut sum_ms) = (0, 0);
                while let Some(gap_ms) = next_delay_ms(&policy, made, &mut rng) {
                    sum_ms += gap_ms;
                    let (step, ends) = (&steps[usize::from(made)], &mut nearest[usize::from(made)]);
                    let within = |gap: &Gap, ms| (gap.earliest_ms..=gap.latest_ms).contains(&ms);
                    assert!(within(&step.gap, gap_ms) && within(&step.offset, sum_ms), "{policy:?}: {step:?}");
                    *ends = (ends.0.min(gap_ms), ends.1.max(gap_ms));
                    made += 1;
                }
                assert_eq!(usize::from(made), steps.len(), "as many attempts as it shows");
            }
            for (step, (least, most)) in steps.iter().zip(nearest) {
                // 500 draws miss a twentieth at one end once in 10^11.
                let near = (step.gap.latest_ms - step.gap.earliest_ms) / 20 + 1;
                assert!(least - step.gap.earliest_ms <= near && step.gap.latest_ms - most <= near, "{step:?}");
            }
        }
    }

    #[test]
    fn the_tables_of_each_spacing_come_out() {
        let nominal = |spacing, max_attempts| {
            let policy = RetryPolicy { spacing, max_attempts, max_delay_ms: 300_000, jitter: Jitter::None };
            preview(&policy).iter().skip(1).map(|step| step.gap.nominal_ms / 1_000).collect::<Vec<_>>()
        };
        let exponential = Spacing::Exponential { initial_ms: 5_000, multiplier: Multiplier::default() };
        assert_eq!(nominal(exponential, 11), [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]);
        assert_eq!(nominal(Spacing::Linear { step_ms: 5_000 }, 4), [5, 10, 15]);
        assert_eq!(nominal(Spacing::Fixed { delay_ms: 5_000 }, 4), [5, 5, 5]);
        assert_eq!(nominal(Spacing::Fixed { delay_ms: 5_000 }, 1), [0; 0], "the only attempt comes at once");
    }

    #[test]
    fn a_policy_that_nobody_checked_ends_all_the_same() {
        let endless = RetryPolicy {
            spacing: Spacing::Fixed { delay_ms: u64::MAX },
            max_attempts: u16::MAX,
            max_delay_ms: u64::MAX,
            jitter: Jitter::Additive,
        };
        let steps = preview(&endless);
        assert_eq!((steps.len(), steps[2].offset.latest_ms), (usize::from(u16::MAX), u64::MAX));
        let empty = RetryPolicy { spacing: Spacing::Schedule { delays_ms: Vec::new() }, ..endless };
        assert_eq!(preview(&empty).len(), 1);
    }
}
