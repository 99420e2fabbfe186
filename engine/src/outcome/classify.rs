//! The meaning of an HTTP status: the only file where status codes of endpoints appear.
//!
//! | status | class |
//! |---|---|
//! | 2xx | success |
//! | 3xx | redirect: a failure, never followed |
//! | 408, 425 | retryable client error |
//! | 410 | gone |
//! | 429 | throttled |
//! | other 4xx | client error |
//! | 5xx | server error |
//! | 1xx as a final answer | transport error: the peer left HTTP (101) or never answered |
//! | anything else | server error, as RFC 9110 section 15 asks for invalid codes |
//!
//! `outcome::decide` says what follows from it.

use model::OutcomeClass;

/// The health of an endpoint as one attempt shows it. It is not the same as the result of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthSignal {
    /// It answered for itself, even if it refused this delivery.
    Healthy,
    /// It could not be reached, did not answer in time, or answered that it is broken.
    Failing,
    /// It is alive and asks for less: a failure by rate, not by itself a sign of death.
    Throttled,
    /// Nothing was learned: the attempt failed on this side.
    Unknown,
}

/// The class of a complete answer with this status.
#[must_use]
pub fn outcome_of_status(status: u16) -> OutcomeClass {
    match status {
        200..=299 => OutcomeClass::Success,
        300..=399 => OutcomeClass::Redirect,
        408 | 425 => OutcomeClass::RetryableClientError,
        410 => OutcomeClass::Gone,
        429 => OutcomeClass::Throttled,
        400..=499 => OutcomeClass::ClientError,
        100..=199 => OutcomeClass::TransportError,
        _ => OutcomeClass::ServerError,
    }
}

/// True when an answer with this status asks for fewer deliveries in general, not only for a later retry of this one.
#[must_use]
pub fn asks_to_slow_down(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// The health of the endpoint as an outcome shows it.
///
/// As Envoy and linkerd judge: 5xx, timeouts and failed connections are failures. A plain 4xx, 410 or a redirect is a
/// deliberate answer of a live server, so it fails the delivery but never the endpoint: one tenant's malformed events
/// must not hold back its good ones. A target refused by the address guard counts like one that cannot be reached,
/// because it cannot.
#[must_use]
pub fn health_of(outcome: OutcomeClass) -> HealthSignal {
    match outcome {
        OutcomeClass::Success
        | OutcomeClass::Redirect
        | OutcomeClass::ClientError
        | OutcomeClass::Gone
        | OutcomeClass::RetryableClientError => HealthSignal::Healthy,
        OutcomeClass::Throttled => HealthSignal::Throttled,
        OutcomeClass::ServerError
        | OutcomeClass::Timeout
        | OutcomeClass::ConnectError
        | OutcomeClass::DnsError
        | OutcomeClass::Refused
        | OutcomeClass::TlsError
        | OutcomeClass::TransportError => HealthSignal::Failing,
        OutcomeClass::InternalError => HealthSignal::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeClass as Class;

    /// Written as runs, so that every status has exactly one expected class and none is forgotten.
    #[test]
    fn every_status_has_its_class() {
        let runs = [
            (0, Class::ServerError),
            (100, Class::TransportError),
            (200, Class::Success),
            (300, Class::Redirect),
            (400, Class::ClientError),
            (408, Class::RetryableClientError),
            (409, Class::ClientError),
            (410, Class::Gone),
            (411, Class::ClientError),
            (425, Class::RetryableClientError),
            (426, Class::ClientError),
            (429, Class::Throttled),
            (430, Class::ClientError),
            (500, Class::ServerError),
        ];
        for status in 0..=u16::MAX {
            let (_, expected) = runs.iter().rev().find(|(from, _)| *from <= status).unwrap();
            assert_eq!(outcome_of_status(status), *expected, "status {status}");
        }
    }

    #[test]
    fn four_statuses_slow_the_endpoint_down() {
        let slowing: Vec<u16> = (0..=u16::MAX).filter(|&status| asks_to_slow_down(status)).collect();
        assert_eq!(slowing, [429, 502, 503, 504]);
    }

    #[test]
    fn a_delivery_can_fail_on_a_healthy_endpoint() {
        let with = |signal| Class::ALL.into_iter().filter(|&class| health_of(class) == signal).collect::<Vec<_>>();
        assert_eq!(
            with(HealthSignal::Healthy),
            [Class::Success, Class::Redirect, Class::ClientError, Class::Gone, Class::RetryableClientError]
        );
        assert_eq!(with(HealthSignal::Throttled), [Class::Throttled]);
        assert_eq!(with(HealthSignal::Unknown), [Class::InternalError]);
        assert_eq!(with(HealthSignal::Failing).len(), 7);
        assert_eq!(health_of(Class::ConnectError), HealthSignal::Failing, "a dead endpoint must open its breaker");
    }
}
