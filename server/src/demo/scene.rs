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

/// The sum of the n-th event's payload: spread evenly over 0 to 999.
pub(super) fn amount(number: u32) -> u32 {
    number.wrapping_mul(37) % 1_000
}

/// The currency of the n-th event's payload.
pub(super) fn currency(number: u32) -> &'static str {
    if number.is_multiple_of(3) { "USD" } else { "EUR" }
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
    /// Answers 500 to two requests in a row, again and again. Not 503: that asks for a pause of the whole endpoint.
    Stumbling,
    /// Hangs up without an answer for a while, as a process does that died.
    Dying,
    /// Answers 404 to everything: a route that its owner removed. Not 500 or nothing at all: that opens the endpoint's
    /// breaker, which spends no attempts, and its deliveries would outlive the demonstration.
    Dead,
}

/// A content filter, twice: as the API takes it, and as the ledger judges by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter {
    /// An expression in CEL over the payload.
    text: &'static str,
    /// The same, of the n-th event.
    fits: fn(u32) -> bool,
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
    /// Payloads it wants; none for all.
    pub(super) filter: Option<Filter>,
    /// True when it gets one event after the other, in the order they were accepted.
    pub(super) is_ordered: bool,
    /// The endpoint that takes its deliveries while it fails. It wants nothing by itself and has no page in the ledger.
    pub(super) backup: Option<&'static str>,
    /// Its behaviour.
    pub(super) manner: Manner,
}

/// An endpoint without anything special.
const PLAIN: Role = Role {
    name: "",
    note: "healthy",
    wants: &[],
    filter: None,
    is_ordered: false,
    backup: None,
    manner: Manner::Healthy,
};

/// Everyone.
pub(super) const ROLES: [Role; 9] = [
    Role { name: "warehouse", ..PLAIN },
    Role { name: "analytics", ..PLAIN },
    Role { name: "billing", note: "healthy, invoices only", wants: &["invoice.*"], ..PLAIN },
    Role {
        name: "partner-a",
        note: "slow: 200 ms for each",
        manner: Manner::Slow(Duration::from_millis(200)),
        ..PLAIN
    },
    Role { name: "partner-b", note: "flaps: 503 for a while, twice", manner: Manner::Flapping, ..PLAIN },
    Role { name: "partner-c", note: "dead: 404 for ever", wants: &[RARE_EVENT_TYPE], manner: Manner::Dead, ..PLAIN },
    Role {
        name: "statements",
        note: "in order, stumbles",
        wants: &["invoice.*"],
        is_ordered: true,
        manner: Manner::Stumbling,
        ..PLAIN
    },
    Role {
        name: "payments",
        note: "dies for 3 s, has a backup",
        wants: &["order.paid"],
        backup: Some("payments-2"),
        manner: Manner::Dying,
        ..PLAIN
    },
    Role {
        name: "fraud-check",
        note: "large sums in EUR only",
        filter: Some(Filter {
            text: "payload.amount >= 900 && payload.currency == 'EUR'",
            fits: |number| amount(number) >= 900 && currency(number) == "EUR",
        }),
        ..PLAIN
    },
];

/// When the flapping endpoint fails, in ms since the first push.
const FAILING_MS: [(u128, u128); 2] = [(1_500, 3_500), (8_000, 9_000)];

/// When the dying endpoint is dead, in ms since the first push.
const DEAD_MS: (u128, u128) = (3_000, 6_000);

/// The stumbling endpoint fails the last two of every so many requests.
const STUMBLE_EVERY: u64 = 25;

/// Failures in a row that switch an endpoint to its backup. Fewer than open its breaker.
const SWITCH_AFTER: u32 = 3;

/// The owner of a path: the index of a role, and true when the path is that of the role's backup.
pub(super) fn owner(path: &str) -> Option<(usize, bool)> {
    let of = |index: usize| {
        let role = &ROLES[index];
        (role.name == path).then_some((index, false)).or((role.backup == Some(path)).then_some((index, true)))
    };
    (0..ROLES.len()).find_map(of)
}

// === impl Role ===

impl Role {
    /// True when it wants the n-th event.
    pub(super) fn wants(&self, number: u32) -> bool {
        self.wants_type(event_type(number)) && self.filter.is_none_or(|filter| (filter.fits)(number))
    }

    fn wants_type(&self, event_type: &str) -> bool {
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

    /// True when it has died and is alive again, so long after the first push.
    pub(super) fn has_recovered(&self, elapsed: Duration) -> bool {
        self.manner == Manner::Dying && elapsed.as_millis() >= DEAD_MS.1
    }

    /// The status of its answer so long after the first push and after so many requests; `None` hangs up.
    pub(super) fn status(&self, elapsed: Duration, requests: u64) -> Option<u16> {
        let at = elapsed.as_millis();
        match self.manner {
            Manner::Flapping if FAILING_MS.iter().any(|&(from, to)| (from..to).contains(&at)) => Some(503),
            Manner::Stumbling if requests % STUMBLE_EVERY >= STUMBLE_EVERY - 2 => Some(500),
            Manner::Dying if (DEAD_MS.0..DEAD_MS.1).contains(&at) => None,
            Manner::Dead => Some(404),
            Manner::Healthy | Manner::Slow(_) | Manner::Flapping | Manner::Stumbling | Manner::Dying => Some(200),
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
        if let Some(filter) = self.filter {
            body["filter"] = json!(filter.text);
        }
        if self.is_ordered {
            body["order"] = json!("endpoint");
        }
        if let Some(backup) = self.backup {
            body["failover"] = json!({"backupEndpointId": backup, "threshold": SWITCH_AFTER});
        }
        body
    }

    /// The body that creates its backup. Nothing is pushed to the backup's channel, so it gets nothing by itself.
    pub(super) fn backup_to_json(self, receiver: std::net::SocketAddr) -> Option<Value> {
        self.backup.map(|backup| {
            json!({
                "url": format!("http://{receiver}/{backup}"),
                "uid": backup,
                "description": format!("backup of {}", self.name),
                "channels": ["nothing"],
            })
        })
    }

    /// Policies of hours, cut to seconds: a dead endpoint is given up soon, a flapping one is waited for, and one that
    /// stumbles does not hold up those behind for long.
    fn retry_policy(self) -> Value {
        match self.manner {
            Manner::Dead => json!({"type": "schedule", "delaysMs": [200, 400], "jitter": "proportional"}),
            Manner::Stumbling => json!({"type": "fixed", "delayMs": 50, "maxAttempts": 20, "jitter": "none"}),
            Manner::Healthy | Manner::Slow(_) | Manner::Flapping | Manner::Dying => json!({
                "type": "exponential", "initialMs": 200, "maxDelayMs": 2_000, "maxAttempts": 20, "jitter": "full"
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_exact_names_or_families() {
        let with = |wants| Role { wants, ..ROLES[0] };
        assert!(with(&[]).wants_type("order.paid"));
        assert!(with(&["order.*"]).wants_type("order.paid") && !with(&["order.*"]).wants_type("orders"));
        assert!(with(&["order.paid"]).wants_type("order.paid") && !with(&["order.paid"]).wants_type("order.paid.late"));
    }

    #[test]
    fn every_endpoint_gets_something_and_a_filter_not_everything() {
        for role in ROLES {
            assert!((0..100).any(|number| role.wants(number)), "{} gets nothing", role.name);
            assert!(role.filter.is_none() || (0..100).any(|number| !role.wants(number)), "{}", role.name);
        }
    }

    #[test]
    fn an_endpoint_that_flaps_stumbles_or_dies_recovers() {
        let [flapping, stumbling, dying] = [ROLES[4], ROLES[6], ROLES[7]];
        let ms = Duration::from_millis;
        assert_eq!([0, 2_000, 20_000].map(|at| flapping.status(ms(at), 0)), [Some(200), Some(503), Some(200)]);
        assert_eq!([0, 22, 23, 24, 25].map(|n| stumbling.status(ms(0), n).unwrap()), [200, 200, 500, 500, 200]);
        assert_eq!([0, 4_000, 6_000].map(|at| dying.status(ms(at), 0)), [Some(200), None, Some(200)]);
        assert!(!dying.has_recovered(ms(5_999)) && dying.has_recovered(ms(6_000)));
        assert_eq!(ROLES.iter().filter(|role| role.is_dead()).count(), 1);
    }

    #[test]
    fn a_path_belongs_to_a_role_or_to_its_backup() {
        assert_eq!(owner("warehouse"), Some((0, false)));
        assert_eq!(owner("payments-2"), Some((7, true)));
        assert_eq!(owner("nobody"), None);
    }
}
