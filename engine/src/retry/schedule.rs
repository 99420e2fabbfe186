//! The gap before the next attempt of a delivery, and which retry policies are acceptable.
//!
//! `outcome::decide` decides if there is a retry at all, and `retry::budget` if there is room for it now. This is only
//! arithmetic over [`RetryPolicy`], total for every value, valid or not.

use model::{Jitter, Multiplier, RetryPolicy, Spacing};
use rand::{Rng, RngExt};
use std::ops::RangeInclusive;

/// The most attempts that a policy may ask for.
pub const MAX_ATTEMPTS: u16 = 1_000;

/// The longest gap that a policy may ask for: 7 days.
pub const MAX_DELAY_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The most gaps that a schedule may list.
pub const MAX_SCHEDULE_ENTRIES: usize = 50;

/// The factors that an exponential policy may ask for, in hundredths: 1 to 10.
pub const MULTIPLIER_HUNDREDTHS: RangeInclusive<u16> = 100..=1_000;

/// Why a policy cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Too few or too many attempts.
    #[error("max_attempts must be from 1 to {MAX_ATTEMPTS}, not {0}")]
    MaxAttempts(u16),
    /// A schedule with no gap for more than one attempt, or with more than any delivery could use.
    #[error("delays_ms must have from 1 to {MAX_SCHEDULE_ENTRIES} entries, not {0}")]
    ScheduleLength(usize),
    /// One gap of the schedule is out of bounds.
    #[error("delays_ms[{index}] must be from 1 to {MAX_DELAY_MS}, not {delay_ms}")]
    ScheduleEntry {
        /// Which entry, from 0.
        index: usize,
        /// The given value.
        delay_ms: u64,
    },
    /// Another delay is out of bounds.
    #[error("{field} must be from 1 to {MAX_DELAY_MS}, not {delay_ms}")]
    Delay {
        /// The field as [`RetryPolicy`] and [`Spacing`] name it.
        field: &'static str,
        /// The given value.
        delay_ms: u64,
    },
    /// A gap that is never waited for, as no gap is longer than the cap.
    #[error("{field} must not be above max_delay_ms")]
    AboveCap {
        /// The field as [`RetryPolicy`] and [`Spacing`] name it.
        field: &'static str,
    },
    /// A multiplier out of bounds.
    #[error("multiplier must be from 1 to 10")]
    Multiplier,
}

// === impl InvalidPolicy ===

impl InvalidPolicy {
    /// The offending field, as [`RetryPolicy`] and [`Spacing`] name it.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            InvalidPolicy::MaxAttempts(_) => "max_attempts",
            InvalidPolicy::ScheduleLength(_) | InvalidPolicy::ScheduleEntry { .. } => "delays_ms",
            InvalidPolicy::Delay { field, .. } | InvalidPolicy::AboveCap { field } => field,
            InvalidPolicy::Multiplier => "multiplier",
        }
    }
}

/// Checks that a policy can be worked with: every bound is on this page.
///
/// A gap of 0 is refused everywhere: with the last entry repeating, it would spend all attempts within one outage of
/// a second.
///
/// # Errors
/// The first field that is out of bounds.
pub fn validate(policy: &RetryPolicy) -> Result<(), InvalidPolicy> {
    if !(1..=MAX_ATTEMPTS).contains(&policy.max_attempts) {
        return Err(InvalidPolicy::MaxAttempts(policy.max_attempts));
    }
    check_delay("max_delay_ms", policy.max_delay_ms)?;
    match &policy.spacing {
        Spacing::Schedule { delays_ms } => {
            // Without a gap there is one attempt.
            let least = usize::from(policy.max_attempts > 1);
            if !(least..=MAX_SCHEDULE_ENTRIES).contains(&delays_ms.len()) {
                return Err(InvalidPolicy::ScheduleLength(delays_ms.len()));
            }
            if let Some(index) = delays_ms.iter().position(|&delay_ms| !is_delay(delay_ms)) {
                return Err(InvalidPolicy::ScheduleEntry { index, delay_ms: delays_ms[index] });
            }
            let is_above = delays_ms.iter().any(|delay_ms| *delay_ms > policy.max_delay_ms);
            if is_above { Err(InvalidPolicy::AboveCap { field: "delays_ms" }) } else { Ok(()) }
        }
        Spacing::Exponential { initial_ms, multiplier } => {
            if !MULTIPLIER_HUNDREDTHS.contains(&multiplier.hundredths) {
                return Err(InvalidPolicy::Multiplier);
            }
            check_base("initial_ms", *initial_ms, policy.max_delay_ms)
        }
        Spacing::Linear { step_ms } => check_base("step_ms", *step_ms, policy.max_delay_ms),
        Spacing::Fixed { delay_ms } => check_base("delay_ms", *delay_ms, policy.max_delay_ms),
    }
}

fn check_base(field: &'static str, delay_ms: u64, cap_ms: u64) -> Result<(), InvalidPolicy> {
    check_delay(field, delay_ms)?;
    if delay_ms > cap_ms { Err(InvalidPolicy::AboveCap { field }) } else { Ok(()) }
}

fn is_delay(delay_ms: u64) -> bool {
    (1..=MAX_DELAY_MS).contains(&delay_ms)
}

fn check_delay(field: &'static str, delay_ms: u64) -> Result<(), InvalidPolicy> {
    if is_delay(delay_ms) { Ok(()) } else { Err(InvalidPolicy::Delay { field, delay_ms }) }
}

/// The gap in ms between the attempt just made and the next one; none when the policy has no further attempt.
///
/// `attempts_made` counts the attempt just made; with 0 the first attempt is still to come, and it comes at once.
/// The gap never exceeds `max_delay_ms`, jitter included. A policy that [`validate`] refuses is still safe here: an
/// empty schedule has no further attempt, and every product saturates.
#[must_use]
pub fn next_delay_ms(policy: &RetryPolicy, attempts_made: u16, rng: &mut (impl Rng + ?Sized)) -> Option<u64> {
    gap_after(policy, attempts_made).map(|gap| gap.drawn(rng))
}

/// The bounds of that gap: [`next_delay_ms`] draws from them, and a preview shows them.
#[must_use]
pub fn gap_after(policy: &RetryPolicy, attempts_made: u16) -> Option<Gap> {
    if attempts_made >= policy.max_attempts {
        return None;
    }
    if attempts_made == 0 {
        return Some(Gap::default());
    }
    let gap_ms = spaced_ms(&policy.spacing, attempts_made)?.min(policy.max_delay_ms);
    Some(Gap::spread(gap_ms, policy.jitter, policy.max_delay_ms))
}

/// A gap with its bounds, in milliseconds: each whole number from the earliest to the latest is as likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The shortest that jitter makes of it.
    pub earliest_ms: u64,
    /// Without jitter.
    pub nominal_ms: u64,
    /// The longest that jitter makes of it.
    pub latest_ms: u64,
}

impl Gap {
    /// A gap spread as `jitter` says, never above `cap_ms`.
    ///
    /// The range is cut at the cap *before* drawing. Drawing first and cutting then would put half of all gaps exactly on
    /// the cap, and bring back together what jitter is there to spread.
    fn spread(gap_ms: u64, jitter: Jitter, cap_ms: u64) -> Gap {
        let (low, high) = match jitter {
            Jitter::None => (gap_ms, gap_ms),
            Jitter::Proportional => (gap_ms - gap_ms / 5, gap_ms.saturating_add(gap_ms / 5)),
            Jitter::Equal => (gap_ms / 2, gap_ms),
            Jitter::Full => (0, gap_ms),
            // Half-open: the longest gap is the last whole number below one and a half.
            Jitter::Additive => (gap_ms, gap_ms.saturating_add(gap_ms.saturating_sub(1) / 2)),
        };
        Gap { earliest_ms: low.min(cap_ms), nominal_ms: gap_ms.min(cap_ms), latest_ms: high.min(cap_ms) }
    }

    fn drawn(self, rng: &mut (impl Rng + ?Sized)) -> u64 {
        if self.earliest_ms == self.latest_ms {
            return self.earliest_ms;
        }
        rng.random_range(self.earliest_ms..=self.latest_ms)
    }
}

/// The gap before the `nth` retry (from 1), before cap and jitter.
fn spaced_ms(spacing: &Spacing, nth: u16) -> Option<u64> {
    match spacing {
        Spacing::Schedule { delays_ms } => delays_ms.get(usize::from(nth) - 1).or_else(|| delays_ms.last()).copied(),
        Spacing::Exponential { initial_ms, multiplier } => Some(grown_ms(*initial_ms, *multiplier, nth - 1)),
        Spacing::Linear { step_ms } => Some(step_ms.saturating_mul(u64::from(nth))),
        Spacing::Fixed { delay_ms } => Some(*delay_ms),
    }
}

/// `base_ms * multiplier^times` in whole milliseconds, held at the largest value. A multiplier below 1 counts as 1.
fn grown_ms(base_ms: u64, multiplier: Multiplier, times: u16) -> u64 {
    /// Bits behind the point: a gap of 1 ms grows by 1.01 too.
    const FRACTION_BITS: u32 = 32;
    match multiplier.hundredths {
        ..=100 => return base_ms,
        200 => return doubled_ms(base_ms, times.into()),
        _ => {}
    }
    let most = u128::from(u64::MAX) << FRACTION_BITS;
    let mut gap = u128::from(base_ms) << FRACTION_BITS;
    for _ in 0..times {
        // Below 2^96 times less than 2^16: no overflow.
        gap = gap * u128::from(multiplier.hundredths) / 100;
        if gap >= most {
            return u64::MAX;
        }
    }
    (gap >> FRACTION_BITS) as u64
}

/// `base_ms * 2^times`, held at the largest value.
pub(crate) fn doubled_ms(base_ms: u64, times: u32) -> u64 {
    base_ms.saturating_mul(1_u64.checked_shl(times).unwrap_or(u64::MAX))
}

/// A gap spread as `jitter` says, never above `cap_ms`.
pub(crate) fn jittered_ms(gap_ms: u64, jitter: Jitter, cap_ms: u64, rng: &mut (impl Rng + ?Sized)) -> u64 {
    Gap::spread(gap_ms, jitter, cap_ms).drawn(rng)
}

#[cfg(test)]
mod tests;
