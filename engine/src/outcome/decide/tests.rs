//! The rules as one table, and what holds for every input.

use super::*;
use crate::outcome::classify::outcome_of_status;
use model::{Jitter, Spacing};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

const NOW: UnixMs = UnixMs(1_000_000);
/// The gap of [`policy`] after any attempt.
const GAP_MS: u64 = 60_000;
const LONGER_MS: u64 = 90_000;
const SHORTER_MS: u64 = 4_000;

/// Six attempts, a minute apart.
fn policy() -> RetryPolicy {
    let spacing = Spacing::Fixed { delay_ms: GAP_MS };
    RetryPolicy { spacing, max_attempts: 6, max_delay_ms: GAP_MS, jitter: Jitter::None }
}

/// The inputs that the table varies; the rest of [`Input`] is fixed.
#[derive(Clone, Copy)]
struct Case {
    outcome: OutcomeClass,
    status: u16,
    made: u16,
    retry_after_ms: Option<u64>,
    on_client_error: ClientErrorPolicy,
    disabled: bool,
}

fn status(status: u16) -> Case {
    Case { status, ..error(outcome_of_status(status)) }
}

fn error(outcome: OutcomeClass) -> Case {
    Case {
        outcome,
        status: 0,
        made: 1,
        retry_after_ms: None,
        on_client_error: ClientErrorPolicy::Retry,
        disabled: false,
    }
}

impl Case {
    fn made(self, made: u16) -> Case {
        Case { made, ..self }
    }
    fn after(self, ms: u64) -> Case {
        Case { retry_after_ms: Some(ms), ..self }
    }
    fn strict(self) -> Case {
        Case { on_client_error: ClientErrorPolicy::DeadLetter, ..self }
    }
    fn disabled(self) -> Case {
        Case { disabled: true, ..self }
    }
    fn ruling(self) -> Ruling {
        let policy = policy();
        let input = Input {
            outcome: self.outcome,
            status: self.status,
            retry_after_ms: self.retry_after_ms,
            attempts_made: self.made,
            policy: &policy,
            on_client_error: self.on_client_error,
            endpoint_disabled: self.disabled,
            now: NOW,
            expires_at: None,
        };
        decide(&input, &mut StdRng::seed_from_u64(0))
    }
}

fn retry(wait_ms: u64) -> Decision {
    Decision::RetryAt { due: NOW.plus_ms(wait_ms) }
}

#[test]
fn http_manners() {
    use DeadLetterReason::{AttemptsExhausted, EndpointDisabled, Gone, Rejected};
    use Decision::{DeadLetter, Done};
    use OutcomeClass as Class;
    // case, decision, disables, pause of the endpoint in ms
    let table = [
        // 2xx: delivered, whatever else is true.
        (status(200), Done, false, None),
        (status(204).made(6).disabled(), Done, false, None),
        (status(202).after(LONGER_MS), Done, false, None),
        // 3xx: a failure, never followed; Retry-After means something else there.
        (status(301), retry(GAP_MS), false, None),
        (status(307).after(LONGER_MS).strict(), retry(GAP_MS), false, None),
        // 410: the end of the endpoint, on any attempt.
        (status(410), DeadLetter(Gone), true, None),
        (status(410).made(6).after(LONGER_MS), DeadLetter(Gone), true, None),
        (status(410).disabled(), DeadLetter(Gone), false, None),
        // Other 4xx: as configured, and Retry-After is not theirs.
        (status(404), retry(GAP_MS), false, None),
        (status(404).after(LONGER_MS), retry(GAP_MS), false, None),
        (status(404).strict(), DeadLetter(Rejected), false, None),
        (status(404).made(6), DeadLetter(AttemptsExhausted), false, None),
        // 408 and 425 are never rejections.
        (status(408).strict(), retry(GAP_MS), false, None),
        (status(425).strict().after(LONGER_MS), retry(LONGER_MS), false, None),
        // 429, 502, 503, 504 slow the endpoint down, other 5xx do not.
        (status(429).strict(), retry(GAP_MS), false, Some(DEFAULT_SLOW_DOWN_MS)),
        (status(500), retry(GAP_MS), false, None),
        (status(501).after(LONGER_MS), retry(LONGER_MS), false, None),
        (status(502), retry(GAP_MS), false, Some(DEFAULT_SLOW_DOWN_MS)),
        (status(503).after(LONGER_MS), retry(LONGER_MS), false, Some(LONGER_MS)),
        (status(504).after(SHORTER_MS), retry(GAP_MS), false, Some(SHORTER_MS)),
        // Retry-After never shortens: neither the gap, on any attempt, nor the pause.
        (status(503).after(0), retry(GAP_MS), false, Some(DEFAULT_SLOW_DOWN_MS)),
        (status(429).after(1), retry(GAP_MS), false, Some(DEFAULT_SLOW_DOWN_MS)),
        (status(408).after(0), retry(GAP_MS), false, None),
        (status(500).after(SHORTER_MS), retry(GAP_MS), false, None),
        (status(503).made(4).after(SHORTER_MS), retry(GAP_MS), false, Some(SHORTER_MS)),
        (status(503).made(5).after(LONGER_MS), retry(LONGER_MS), false, Some(LONGER_MS)),
        (status(503).after(u64::MAX), retry(MAX_RETRY_AFTER_MS), false, Some(MAX_RETRY_AFTER_MS)),
        // The last attempt is the last, but the endpoint is still left alone.
        (status(503).made(6).after(LONGER_MS), DeadLetter(AttemptsExhausted), false, Some(LONGER_MS)),
        // No answer.
        (error(Class::Timeout), retry(GAP_MS), false, None),
        (error(Class::ConnectError), retry(GAP_MS), false, None),
        (error(Class::DnsError), retry(GAP_MS), false, None),
        (error(Class::Refused), retry(GAP_MS), false, None),
        (error(Class::TlsError), retry(GAP_MS), false, None),
        (error(Class::TransportError), retry(GAP_MS), false, None),
        (error(Class::InternalError), retry(GAP_MS), false, None),
        (error(Class::Timeout).made(6), DeadLetter(AttemptsExhausted), false, None),
        // Without an answer there is nothing to honour.
        (Case { status: 503, ..error(Class::Timeout) }.after(LONGER_MS), retry(GAP_MS), false, None),
        // A disabled endpoint gets no retry.
        (status(500).disabled(), DeadLetter(EndpointDisabled), false, None),
        (status(404).strict().disabled(), DeadLetter(EndpointDisabled), false, None),
        (error(Class::Timeout).disabled(), DeadLetter(EndpointDisabled), false, None),
    ];
    for (row, (case, decision, disables, pause_ms)) in table.into_iter().enumerate() {
        let expected = Ruling {
            decision,
            disable: disables.then_some(DisabledReason::Gone),
            slow_down_until: pause_ms.map(|ms| NOW.plus_ms(ms)),
        };
        assert_eq!(case.ruling(), expected, "row {row}: {:?} {}", case.outcome, case.status);
    }
}

#[test]
fn a_short_retry_after_does_not_shorten_a_delivery_s_life() {
    [0, 1, 1_000].into_iter().for_each(lives_as_long_as_its_policy_says);
}

fn lives_as_long_as_its_policy_says(retry_after_ms: u64) {
    let policy = RetryPolicy { jitter: Jitter::None, ..RetryPolicy::standard() };
    let mut rng = StdRng::seed_from_u64(5);
    let mut now = NOW;
    for attempts_made in 1.. {
        let input = Input {
            outcome: OutcomeClass::ServerError,
            status: 503,
            retry_after_ms: Some(retry_after_ms),
            attempts_made,
            policy: &policy,
            on_client_error: ClientErrorPolicy::Retry,
            endpoint_disabled: false,
            now,
            expires_at: None,
        };
        match decide(&input, &mut rng).decision {
            Decision::RetryAt { due } => now = due,
            other => {
                assert_eq!(other, Decision::DeadLetter(DeadLetterReason::AttemptsExhausted));
                break;
            }
        }
    }
    let Spacing::Schedule { delays_ms } = policy.spacing else { panic!("the standard policy is a schedule") };
    assert_eq!(now.since_ms(NOW), delays_ms.iter().sum::<u64>());
}

proptest! {
    #[test]
    fn every_input_has_a_sane_ruling(
        outcome in prop::sample::select(&OutcomeClass::ALL[..]),
        status: u16,
        retry_after_ms in prop::option::of(any::<u64>()),
        made in 1_u16..10,
        strict: bool,
        disabled: bool,
        now: u64,
        seed: u64,
        lives_ms in proptest::option::of(0..2 * MAX_RETRY_AFTER_MS),
    ) {
        let policy = policy();
        let on_client_error = if strict { ClientErrorPolicy::DeadLetter } else { ClientErrorPolicy::Retry };
        let now = UnixMs(now);
        let input = Input {
            outcome, status, retry_after_ms, attempts_made: made, policy: &policy, on_client_error,
            endpoint_disabled: disabled, now,
            expires_at: lives_ms.map(|lives_ms| now.plus_ms(lives_ms)),
        };
        let ruling = decide(&input, &mut StdRng::seed_from_u64(seed));
        prop_assert_eq!(ruling.decision == Decision::Done, outcome == OutcomeClass::Success);
        prop_assert_eq!(ruling.disable.is_some(), outcome == OutcomeClass::Gone && !disabled);
        if let Decision::RetryAt { due } = ruling.decision {
            prop_assert!(lives_ms.is_none_or(|lives_ms| due < now.plus_ms(lives_ms)));
            prop_assert!(made < 6 && !disabled && outcome != OutcomeClass::Gone);
            prop_assert!((GAP_MS..=MAX_RETRY_AFTER_MS).contains(&due.since_ms(now)) || due.0 == u64::MAX);
        }
        prop_assert!(ruling.slow_down_until.is_none_or(|until| until.since_ms(now) <= MAX_RETRY_AFTER_MS));
    }
}
