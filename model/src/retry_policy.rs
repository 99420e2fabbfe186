//! Retries of an endpoint's failures: plain settings.
//!
//! No arithmetic: delays are computed in `engine::retry::schedule`.

/// When, how often and how evenly to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The gap before each further attempt.
    pub spacing: Spacing,
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: u16,
    /// No computed gap is longer.
    pub max_delay_ms: u64,
    /// The spread of gaps.
    pub jitter: Jitter,
}

/// The gap before the n-th retry (n from 1), before jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Listed; the last one repeats if there are more attempts than entries.
    Schedule {
        /// One gap for each retry, in order; not empty.
        delays_ms: Vec<u64>,
    },
    /// `initial_ms * multiplier^(n-1)`.
    Exponential {
        /// The first gap.
        initial_ms: u64,
        /// By how much each gap is longer than the one before.
        multiplier: Multiplier,
    },
    /// `step_ms * n`.
    Linear {
        /// The growth of each gap.
        step_ms: u64,
    },
    /// Always the same.
    Fixed {
        /// Every gap.
        delay_ms: u64,
    },
}

/// The spread of a gap `d`, so that failures of one moment do not come back in one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Exactly `d`.
    None,
    /// Uniform in `d ± 20 %`.
    Proportional,
    /// Uniform in `[d/2, d]`.
    Equal,
    /// Uniform in `[0, d]`.
    Full,
    /// Uniform in `[d, 1.5 d)`: never earlier than planned.
    Additive,
}

/// A factor in hundredths, so that gaps are whole numbers and the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiplier {
    /// 100 for 1, 1,000 for 10.
    pub hundredths: u16,
}

impl Default for Multiplier {
    /// Each gap is twice the one before.
    fn default() -> Multiplier {
        Multiplier { hundredths: 200 }
    }
}

/// The consequence of a 4xx that has no meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientErrorPolicy {
    /// Retried like any failure.
    Retry,
    /// A dead letter at once.
    DeadLetter,
}

impl RetryPolicy {
    /// The default of the field: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h, then a dead letter.
    #[must_use]
    pub fn standard() -> RetryPolicy {
        const SECOND_MS: u64 = 1_000;
        const MINUTE_MS: u64 = 60 * SECOND_MS;
        const HOUR_MS: u64 = 60 * MINUTE_MS;
        let delays_ms =
            vec![5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS, 10 * HOUR_MS];
        RetryPolicy {
            max_attempts: delays_ms.len() as u16 + 1,
            spacing: Spacing::Schedule { delays_ms },
            max_delay_ms: 24 * HOUR_MS,
            jitter: Jitter::Proportional,
        }
    }
}
