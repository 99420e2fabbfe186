//! The rule that disables an endpoint that only fails, and the memory of its failures.
//!
//! Silence is not failing: a spell of failures ends with a success, and also with a pause of more than half the period.
//! So an endpoint that failed once, had no traffic for a week and fails again is at the beginning of a spell. And an
//! endpoint that is disabled has failed at least once in between as well.
//!
//! Deliberately about deliveries, not about health: a server that answers 404 for five days is alive, and still nobody
//! wants its messages. The caller does the disabling.

use crate::outcome::decide::Decision;
use model::{DeadLetterReason, EndpointHealth, OutcomeClass, UnixMs};

/// The time for which an endpoint may fail without one success: 5 days.
pub const DEFAULT_PERIOD_MS: u64 = 5 * 24 * 60 * 60 * 1_000;

/// The last failure is noted to this part of the period: each note is a row to write.
const NOTES_PER_PERIOD: u64 = 16;

/// Failures without a success and without a long pause in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailingSpell {
    /// The first failure.
    pub since: UnixMs,
    /// The last failure, or one that was at most a sixteenth of the period before it.
    pub seen_at: UnixMs,
}

impl FailingSpell {
    /// The spell that an endpoint was in when its health was stored.
    #[must_use]
    pub fn restore(health: &EndpointHealth) -> Option<FailingSpell> {
        let since = health.failing_since?;
        Some(FailingSpell { since, seen_at: health.failing_seen_at.unwrap_or(since) })
    }

    /// The spell after one more outcome at `now`.
    ///
    /// A failure on this side ([`OutcomeClass::InternalError`]) says nothing about the endpoint and changes nothing.
    /// Without a period (0) no pause ends a spell.
    #[must_use]
    pub fn after(
        spell: Option<FailingSpell>,
        outcome: OutcomeClass,
        now: UnixMs,
        period_ms: u64,
    ) -> Option<FailingSpell> {
        let begun = FailingSpell { since: now, seen_at: now };
        match (outcome, spell) {
            (OutcomeClass::Success, _) => None,
            (OutcomeClass::InternalError, _) => spell,
            (_, None) => Some(begun),
            (_, Some(spell)) => {
                let pause_ms = now.since_ms(spell.seen_at);
                if period_ms > 0 && pause_ms > period_ms / 2 {
                    Some(begun)
                } else if pause_ms >= period_ms / NOTES_PER_PERIOD {
                    Some(FailingSpell { seen_at: spell.seen_at.max(now), ..spell })
                } else {
                    Some(spell)
                }
            }
        }
    }

    /// True if it has lasted for the whole period. Ask after a failure only. A period of 0 means never.
    #[must_use]
    pub fn should_disable(self, now: UnixMs, period_ms: u64) -> bool {
        period_ms > 0 && now.since_ms(self.since) >= period_ms
    }
}

/// Deliveries in a row that used up their attempts, for endpoints that ask to be disabled for it.
///
/// Deliveries are counted and not attempts: at 10,000 events a second a restart of the receiver makes thousands of failed
/// attempts, and each of their deliveries has most of its schedule before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExhaustedRun(pub u16);

/// The consequence of the length of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunRuling {
    /// Nothing.
    Nothing,
    /// Half of the limit is reached: somebody should be told.
    Warn,
    /// The limit is reached.
    Disable,
}

impl ExhaustedRun {
    /// The run after one more attempt, and what follows. A failure on this side changes nothing; without a limit none is
    /// counted.
    #[must_use]
    pub fn after(self, limit: Option<u16>, outcome: OutcomeClass, decision: Decision) -> (ExhaustedRun, RunRuling) {
        let Some(limit) = limit else { return (ExhaustedRun(0), RunRuling::Nothing) };
        let run = match decision {
            Decision::Done => return (ExhaustedRun(0), RunRuling::Nothing),
            Decision::DeadLetter(DeadLetterReason::AttemptsExhausted) if outcome != OutcomeClass::InternalError => {
                self.0.saturating_add(1)
            }
            Decision::DeadLetter(_) | Decision::RetryAt { .. } => return (self, RunRuling::Nothing),
        };
        let ruling = match run {
            run if run >= limit => RunRuling::Disable,
            run if run == limit.div_ceil(2) => RunRuling::Warn,
            _ => RunRuling::Nothing,
        };
        (ExhaustedRun(run), ruling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of the spell after each outcome.
    fn check(period_ms: u64, history: &[(u64, OutcomeClass, Option<u64>)]) {
        let mut spell = None;
        for (at, outcome, since) in history {
            spell = FailingSpell::after(spell, *outcome, UnixMs(*at), period_ms);
            assert_eq!(spell.map(|spell| spell.since), since.map(UnixMs), "at {at}");
        }
    }

    #[test]
    fn the_first_failure_since_the_last_success_is_kept() {
        check(
            1_000,
            &[
                (1, OutcomeClass::Success, None),
                (2, OutcomeClass::InternalError, None),
                (3, OutcomeClass::Timeout, Some(3)),
                (4, OutcomeClass::ClientError, Some(3)),
                (5, OutcomeClass::InternalError, Some(3)),
                (6, OutcomeClass::Success, None),
                (7, OutcomeClass::Throttled, Some(7)),
            ],
        );
    }

    #[test]
    fn a_pause_of_more_than_half_the_period_begins_a_new_spell() {
        let failed = OutcomeClass::ServerError;
        check(1_000, &[(0, failed, Some(0)), (500, failed, Some(0)), (1_000, failed, Some(0))]);
        check(1_000, &[(0, failed, Some(0)), (501, failed, Some(501)), (1_600, failed, Some(1_600))]);
        check(0, &[(0, failed, Some(0)), (1_000_000_000, failed, Some(0))]);
    }

    #[test]
    fn the_last_failure_is_noted_a_few_times_in_a_period_only() {
        let (mut spell, mut notes) = (None, 0);
        for at in 0..=1_600 {
            let after = FailingSpell::after(spell, OutcomeClass::Timeout, UnixMs(at), 1_600);
            notes += usize::from(after != spell);
            spell = after;
        }
        assert_eq!(notes, 17);
    }

    #[test]
    fn every_failure_of_the_endpoint_counts() {
        for outcome in OutcomeClass::ALL {
            let counts = !matches!(outcome, OutcomeClass::Success | OutcomeClass::InternalError);
            assert_eq!(FailingSpell::after(None, outcome, UnixMs(9), 5).is_some(), counts, "{outcome:?}");
        }
    }

    #[test]
    fn the_whole_period_must_have_passed() {
        let spell = FailingSpell { since: UnixMs(1_000), seen_at: UnixMs(1_000) };
        assert!(!spell.should_disable(UnixMs(1_000 + DEFAULT_PERIOD_MS - 1), DEFAULT_PERIOD_MS));
        assert!(spell.should_disable(UnixMs(1_000 + DEFAULT_PERIOD_MS), DEFAULT_PERIOD_MS));
        assert!(!spell.should_disable(UnixMs(u64::MAX), 0), "0 means never");
        assert!(!spell.should_disable(UnixMs(0), 1), "the clock went backwards");
    }

    #[test]
    fn a_run_of_used_up_deliveries_warns_at_half_once_and_disables_at_the_limit() {
        let used_up = Decision::DeadLetter(DeadLetterReason::AttemptsExhausted);
        let rulings = |limit: u16, count: usize| {
            let mut run = ExhaustedRun::default();
            let each = (0..count).map(|_| {
                let (after, ruling) = run.after(Some(limit), OutcomeClass::Timeout, used_up);
                run = after;
                ruling
            });
            each.collect::<Vec<_>>()
        };
        use RunRuling::{Disable, Nothing, Warn};
        assert_eq!(rulings(5, 6), [Nothing, Nothing, Warn, Nothing, Disable, Disable]);
        assert_eq!(rulings(2, 2), [Warn, Disable]);
        assert_eq!(rulings(1, 1), [Disable]);
    }

    #[test]
    fn only_a_success_ends_a_run_and_only_a_delivery_that_used_up_its_attempts_lengthens_it() {
        let run = ExhaustedRun(3);
        let after = |outcome, decision| run.after(Some(10), outcome, decision).0.0;
        assert_eq!(after(OutcomeClass::Success, Decision::Done), 0);
        assert_eq!(after(OutcomeClass::Timeout, Decision::RetryAt { due: UnixMs(1) }), 3, "an attempt is no delivery");
        for reason in DeadLetterReason::ALL {
            let lengthens = reason == DeadLetterReason::AttemptsExhausted;
            assert_eq!(
                after(OutcomeClass::Timeout, Decision::DeadLetter(reason)),
                3 + u16::from(lengthens),
                "{reason:?}"
            );
        }
        let used_up = Decision::DeadLetter(DeadLetterReason::AttemptsExhausted);
        assert_eq!(after(OutcomeClass::InternalError, used_up), 3, "a failure on this side");
        assert_eq!(run.after(None, OutcomeClass::Timeout, used_up).0.0, 0, "nobody asked");
    }
}
