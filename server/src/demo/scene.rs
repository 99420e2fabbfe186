//! The endpoints of the demonstration: their event types and their behaviour.
//!
//! Plain data and pure functions: the receiver behaves accordingly, and the ledger judges by the same data.

use serde_json::{Value, json};
use std::time::Duration;

/// Event types in the order they are pushed, over and over.
const EVENT_TYPES: [&str; 10] = [
    "order.created",
    "order.created",
    "order.paid",
    "invoice.paid",
    "order.created",
    "order.shipped",
    "user.updated",
    "order.paid",
    "invoice.paid",
    "order.created",
];

/// The type that the dead endpoint wants, of every so many events one. Rare, because the retry budget allows an endpoint
/// that never succeeds ten retries a second: thousands of dead letters would take minutes.
const RARE_EVENT_TYPE: &str = "account.closed";
const RARE_EVERY: u32 = 50;

/// The type of the n-th event.
pub(super) fn event_type(number: u32) -> &'static str {
    if number % RARE_EVERY == RARE_EVERY - 1 {
        return RARE_EVENT_TYPE;
    }
    EVENT_TYPES[number as usize % EVENT_TYPES.len()]
}

/// The behaviour of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers 200 at once.
    Healthy,
    /// Answers 200 after a while.
    Slow(Duration),
    /// Answers 503 in some phases.
    Flapping,
    /// Answers 404 to everything: a route that its owner removed. Not 500 or nothing at all: that opens the endpoint's
    /// breaker, which spends no attempts, and its deliveries would outlive the demonstration.
    Dead,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    /// Its name, which is also its path.
    pub(super) name: &'static str,
    /// Text beside the name.
    pub(super) note: &'static str,
    /// Event types it wants: a name, or `prefix.*`; empty for all.
    pub(super) wants: &'static [&'static str],
    /// Its behaviour.
    pub(super) manner: Manner,
}

/// Everyone.
pub(super) const ROLES: [Role; 6] = [
    Role { name: "warehouse", note: "healthy", wants: &[], manner: Manner::Healthy },
    Role { name: "analytics", note: "healthy", wants: &[], manner: Manner::Healthy },
    Role { name: "billing", note: "healthy, invoices only", wants: &["invoice.*"], manner: Manner::Healthy },
    Role {
        name: "partner-a",
        note: "slow: 200 ms for each",
        wants: &[],
        manner: Manner::Slow(Duration::from_millis(200)),
    },
    Role { name: "partner-b", note: "flaps: 503 for a while, twice", wants: &[], manner: Manner::Flapping },
    Role { name: "partner-c", note: "dead: 404 for ever", wants: &[RARE_EVENT_TYPE], manner: Manner::Dead },
];

/// When the flapping endpoint fails, in ms since the first push.
const FAILING_MS: [(u128, u128); 2] = [(1_500, 3_500), (8_000, 9_000)];

// === impl Role ===

impl Role {
    /// True when it wants events of this type.
    pub(super) fn wants(&self, event_type: &str) -> bool {
        let fits = |wanted: &&str| match wanted.strip_suffix('*') {
            Some(prefix) => event_type.starts_with(prefix),
            None => *wanted == event_type,
        };
        self.wants.is_empty() || self.wants.iter().any(fits)
    }

    /// True when its deliveries are meant to end as dead letters.
    pub(super) fn is_dead(&self) -> bool {
        self.manner == Manner::Dead
    }

    /// The status of its answer so long after the first push.
    pub(super) fn status(&self, elapsed: Duration) -> u16 {
        let at = elapsed.as_millis();
        match self.manner {
            Manner::Healthy | Manner::Slow(_) => 200,
            Manner::Flapping if FAILING_MS.iter().any(|&(from, to)| (from..to).contains(&at)) => 503,
            Manner::Flapping => 200,
            Manner::Dead => 404,
        }
    }

    /// The body that creates it through the API.
    pub(super) fn to_json(self, receiver: std::net::SocketAddr) -> Value {
        let mut body = json!({
            "url": format!("http://{receiver}/{}", self.name),
            "uid": self.name,
            "description": self.note,
            "retryPolicy": self.retry_policy(),
        });
        if !self.wants.is_empty() {
            body["eventTypes"] = json!(self.wants);
        }
        body
    }

    /// Policies of hours, cut to seconds: a dead endpoint is given up soon, a flapping one is waited for.
    fn retry_policy(self) -> Value {
        if self.is_dead() {
            json!({"type": "schedule", "delaysMs": [200, 400], "jitter": "proportional"})
        } else {
            json!({"type": "exponential", "initialMs": 200, "maxDelayMs": 2_000, "maxAttempts": 20, "jitter": "full"})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_exact_names_or_families() {
        let with = |wants| Role { wants, ..ROLES[0] };
        assert!(with(&[]).wants("order.paid"));
        assert!(with(&["order.*"]).wants("order.paid") && !with(&["order.*"]).wants("orders"));
        assert!(with(&["order.paid"]).wants("order.paid") && !with(&["order.paid"]).wants("order.paid.late"));
    }

    #[test]
    fn every_endpoint_gets_something() {
        for role in ROLES {
            assert!((0..100).any(|number| role.wants(event_type(number))), "{} gets nothing", role.name);
        }
    }

    #[test]
    fn who_flaps_recovers() {
        let flapping = ROLES[4];
        assert_eq!(flapping.status(Duration::from_millis(0)), 200);
        assert_eq!(flapping.status(Duration::from_millis(2_000)), 503);
        assert_eq!(flapping.status(Duration::from_secs(20)), 200);
        assert_eq!(ROLES.iter().filter(|role| role.is_dead()).count(), 1);
    }
}
