//! The decision after an attempt: the rules of HTTP manners, in one function over plain values.
//!
//! | outcome | decision | besides |
//! |---|---|---|
//! | success | done | |
//! | gone (410) | dead letter `gone` | disables the endpoint |
//! | any other failure of a disabled endpoint | dead letter `endpoint_disabled` | |
//! | client error, if the policy says so | dead letter `rejected` | |
//! | a failure whose retry would come at the message's expiry or later | dead letter `past_expiry` | |
//! | any other failure | retried by the policy, then dead letter `attempts_exhausted` | |
//!
//! 429, 502, 503 and 504 also ask to slow the endpoint down: until `Retry-After`, and for one second at least.
//!
//! **`Retry-After`** is honoured on 408, 425, 429 and 5xx: the retry comes at the later of the policy's gap and the
//! time that the endpoint named. It never shortens a gap. Many load balancers put `Retry-After: 0` or `1` on every 503,
//! and every date is past to a receiver whose clock is slow: followed, that would spend all attempts within seconds and
//! turn an outage of a minute into dead letters.
//!
//! The caller makes the ruling durable. The retry budget and the breaker come later, when a retry is due: they delay
//! attempts, they never spend them.

use crate::outcome::classify::asks_to_slow_down;
use crate::outcome::retry_after::MAX_RETRY_AFTER_MS;
use crate::retry::schedule::next_delay_ms;
use model::{ClientErrorPolicy, DeadLetterReason, DisabledReason, OutcomeClass, RetryPolicy, UnixMs};
use rand::Rng;

/// Shortest time for which an endpoint that asked for less is left alone: 1 s. Lasting trouble is the breaker's.
pub const DEFAULT_SLOW_DOWN_MS: u64 = 1_000;

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The result of the attempt.
    pub outcome: OutcomeClass,
    /// The status of its answer; 0 when there was none.
    pub status: u16,
    /// The wait in ms that its `Retry-After` asked for, see [`crate::outcome::retry_after::parse`].
    pub retry_after_ms: Option<u64>,
    /// Attempts made in this round, this one included.
    pub attempts_made: u16,
    /// The policy by which failures are retried.
    pub policy: &'a RetryPolicy,
    /// The effect of a plain 4xx.
    pub on_client_error: ClientErrorPolicy,
    /// True when the endpoint was disabled while the attempt ran.
    pub endpoint_disabled: bool,
    /// When the attempt ended.
    pub now: UnixMs,
    /// When the message expires, if it does.
    pub expires_at: Option<UnixMs>,
}

/// The next step of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Delivered.
    Done,
    /// Tried again.
    RetryAt {
        /// Not before this time.
        due: UnixMs,
    },
    /// Given up.
    DeadLetter(DeadLetterReason),
}

/// A decision with its effect on the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The next step of the delivery.
    pub decision: Decision,
    /// Set when the endpoint is to be disabled; never for one that already is.
    pub disable: Option<DisabledReason>,
    /// Until when the endpoint asks for no delivery at all. A later time of an earlier ruling still stands.
    pub slow_down_until: Option<UnixMs>,
}

/// Decides what follows from an attempt.
#[must_use]
pub fn decide(input: &Input<'_>, rng: &mut (impl Rng + ?Sized)) -> Ruling {
    let gone = input.outcome == OutcomeClass::Gone;
    Ruling {
        decision: decision(input, rng),
        disable: (gone && !input.endpoint_disabled).then_some(DisabledReason::Gone),
        slow_down_until: slow_down_until(input),
    }
}

fn decision(input: &Input<'_>, rng: &mut (impl Rng + ?Sized)) -> Decision {
    match input.outcome {
        OutcomeClass::Success => Decision::Done,
        OutcomeClass::Gone => Decision::DeadLetter(DeadLetterReason::Gone),
        _ if input.endpoint_disabled => Decision::DeadLetter(DeadLetterReason::EndpointDisabled),
        OutcomeClass::ClientError if input.on_client_error == ClientErrorPolicy::DeadLetter => {
            Decision::DeadLetter(DeadLetterReason::Rejected)
        }
        _ => match next_delay_ms(input.policy, input.attempts_made, rng) {
            Some(gap_ms) => retry_at(input, input.now.plus_ms(wait_ms(input, gap_ms))),
            None => Decision::DeadLetter(DeadLetterReason::AttemptsExhausted),
        },
    }
}

/// A retry at `due`, unless that is too late.
fn retry_at(input: &Input<'_>, due: UnixMs) -> Decision {
    match input.expires_at {
        Some(expires_at) if expires_at <= due => Decision::DeadLetter(DeadLetterReason::PastExpiry),
        _ => Decision::RetryAt { due },
    }
}

/// The later of the policy's gap and the endpoint's `Retry-After`.
fn wait_ms(input: &Input<'_>, gap_ms: u64) -> u64 {
    retry_after_ms(input).unwrap_or(0).max(gap_ms)
}

/// `Retry-After` where it is honoured. Held to its bound here too, so that no caller can exceed it.
fn retry_after_ms(input: &Input<'_>) -> Option<u64> {
    let honoured = matches!(
        input.outcome,
        OutcomeClass::RetryableClientError | OutcomeClass::Throttled | OutcomeClass::ServerError
    );
    input.retry_after_ms.filter(|_| honoured).map(|asked_ms| asked_ms.min(MAX_RETRY_AFTER_MS))
}

fn slow_down_until(input: &Input<'_>) -> Option<UnixMs> {
    let asked =
        matches!(input.outcome, OutcomeClass::Throttled | OutcomeClass::ServerError) && asks_to_slow_down(input.status);
    let pause_ms = retry_after_ms(input).unwrap_or(0).max(DEFAULT_SLOW_DOWN_MS);
    asked.then(|| input.now.plus_ms(pause_ms))
}

#[cfg(test)]
mod tests;
