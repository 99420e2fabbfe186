//! When an endpoint that only fails is disabled, and how «only fails» is remembered.
//!
//! Deliberately about deliveries, not about health: a server that answers 404 for five days is alive, and still nobody
//! wants what it is sent. The disabling itself is the caller's.

use model::{OutcomeClass, UnixMs};

/// How long an endpoint may fail without one success: 5 days.
pub const DEFAULT_PERIOD_MS: u64 = 5 * 24 * 60 * 60 * 1_000;

/// The first failure since the last success, after one more outcome at `now`.
///
/// A failure on this side ([`OutcomeClass::InternalError`]) says nothing about the endpoint and changes nothing.
#[must_use]
pub fn failing_since_after(failing_since: Option<UnixMs>, outcome: OutcomeClass, now: UnixMs) -> Option<UnixMs> {
    match outcome {
        OutcomeClass::Success => None,
        OutcomeClass::InternalError => failing_since,
        _ => failing_since.or(Some(now)),
    }
}

/// Whether an endpoint has failed without a success for the whole period. Ask after a failure only: silence is not
/// failing. A period of 0 means never.
#[must_use]
pub fn should_disable(failing_since: Option<UnixMs>, now: UnixMs, period_ms: u64) -> bool {
    period_ms > 0 && failing_since.is_some_and(|since| now.since_ms(since) >= period_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_since_the_last_success_is_kept() {
        let mut since = None;
        let mut see = |outcome, at| {
            since = failing_since_after(since, outcome, UnixMs(at));
            since
        };
        assert_eq!(see(OutcomeClass::Success, 1), None);
        assert_eq!(see(OutcomeClass::InternalError, 2), None);
        assert_eq!(see(OutcomeClass::Timeout, 3), Some(UnixMs(3)));
        assert_eq!(see(OutcomeClass::ClientError, 4), Some(UnixMs(3)));
        assert_eq!(see(OutcomeClass::InternalError, 5), Some(UnixMs(3)));
        assert_eq!(see(OutcomeClass::Success, 6), None);
        assert_eq!(see(OutcomeClass::Throttled, 7), Some(UnixMs(7)));
    }

    #[test]
    fn every_failure_of_the_endpoint_counts() {
        for outcome in OutcomeClass::ALL {
            let counts = !matches!(outcome, OutcomeClass::Success | OutcomeClass::InternalError);
            assert_eq!(failing_since_after(None, outcome, UnixMs(9)).is_some(), counts, "{outcome:?}");
        }
    }

    #[test]
    fn the_whole_period_must_have_passed() {
        let since = Some(UnixMs(1_000));
        assert!(!should_disable(since, UnixMs(1_000 + DEFAULT_PERIOD_MS - 1), DEFAULT_PERIOD_MS));
        assert!(should_disable(since, UnixMs(1_000 + DEFAULT_PERIOD_MS), DEFAULT_PERIOD_MS));
        assert!(!should_disable(None, UnixMs(u64::MAX), DEFAULT_PERIOD_MS));
        assert!(!should_disable(since, UnixMs(u64::MAX), 0), "0 means never");
        assert!(!should_disable(since, UnixMs(0), 1), "the clock went backwards");
    }
}
