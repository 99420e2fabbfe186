//! The endpoints, with what each of them wants and how its receiver fails.

use super::ledger::Event;
use crate::harness::{Behaviour, Receiver, Server};
use serde_json::{Value, json};
use std::time::Duration;

/// Applications that events go to.
pub(super) const APPS: [&str; 3] = ["north", "south", "east"];

/// Each way of failing heals or ends as a dead letter, so that nothing stays behind.
pub(super) const ROUTES: [Route; 8] = [
    Route::new("north", "healthy", "/north/healthy"),
    Route::new("north", "flaky", "/north/flaky"),
    Route::new("north", "late", "/north/late"),
    Route::new("south", "healthy", "/south/healthy"),
    Route::new("south", "slow", "/south/slow"),
    Route { order: "endpoint", ..Route::new("east", "strict", "/east/strict") },
    Route { order: "key", attempts: 2, ..Route::new("east", "keyed", "/east/keyed") },
    Route { backup: Some("/east/backup"), ..Route::new("east", PRIMARY, "/east/primary") },
];

/// The endpoint with a backup.
pub(super) const PRIMARY: &str = "primary";

/// Attempts at once to one endpoint.
pub(super) const MAX_IN_FLIGHT: usize = 32;

/// Attempts of a delivery that is not to be given up.
const ATTEMPTS_MANY: u32 = 100;

/// The type of an event, and that of a scheduled one.
pub(super) const TYPES: [&str; 2] = ["crash.test", "crash.later"];

/// An endpoint, and the application that it gets events of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) app: &'static str,
    pub(super) uid: &'static str,
    pub(super) path: &'static str,
    pub(super) order: &'static str,
    /// A delivery is given up after so many.
    pub(super) attempts: u32,
    /// The path of its backup.
    pub(super) backup: Option<&'static str>,
}

// === impl Route ===

impl Route {
    const fn new(app: &'static str, uid: &'static str, path: &'static str) -> Route {
        Route { app, uid, path, order: "none", attempts: ATTEMPTS_MANY, backup: None }
    }

    /// The endpoint that requests to this path are for.
    pub(super) fn of_path(path: &str) -> Option<&'static Route> {
        ROUTES.iter().find(|route| route.path == path || route.backup == Some(path))
    }

    /// True if it is to get an event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.app == event.app
    }

    /// True if a delivery may end as a dead letter.
    pub(super) fn gives_up(&self) -> bool {
        self.attempts < ATTEMPTS_MANY
    }

    /// The line of the event `number`, if there are some that it must not overtake.
    pub(super) fn line(&self, number: u64) -> Option<String> {
        match self.order {
            "endpoint" => Some("all".to_owned()),
            "key" => key(number),
            _ => None,
        }
    }

    fn settings(&self, receiver: &Receiver) -> Value {
        let delay_ms = if self.order == "none" { 100 } else { 20 };
        let mut endpoint = json!({
            "url": receiver.url(self.path),
            "uid": self.uid,
            "secret": secret(self.path),
            "order": self.order,
            "maxInFlight": MAX_IN_FLIGHT,
            "retryPolicy": {"type": "fixed", "delayMs": delay_ms, "maxAttempts": self.attempts, "jitter": "none"},
        });
        if self.backup.is_some() {
            endpoint["failover"] = json!({"backupEndpointId": "backup", "threshold": 3});
        }
        endpoint
    }
}

/// The ordering key of an event; one in five has none.
pub(super) fn key(number: u64) -> Option<String> {
    Some(number % 5).filter(|key| *key != 0).map(|key| format!("key-{key}"))
}

/// The secret of the endpoint at this path, in base 64.
pub(super) fn secret(path: &str) -> String {
    format!("whsec_{:A<32}", path.replace('/', ""))
}

pub(super) fn create(server: &Server, receiver: &Receiver) {
    fail(receiver);
    for app in APPS {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    for backup in ROUTES.iter().filter_map(|route| route.backup) {
        // It has no messages of its own.
        let endpoint = json!({"url": receiver.url(backup), "uid": "backup", "secret": secret(backup),
            "channels": ["nobody"]});
        server.api_expect(201, "POST", "/api/v1/app/east/endpoint", endpoint);
    }
    for route in ROUTES {
        let path = format!("/api/v1/app/{}/endpoint", route.app);
        let created = server.api_expect(201, "POST", &path, route.settings(receiver));
        assert_eq!(created["disabled"], Value::Bool(false), "{created}");
    }
}

fn fail(receiver: &Receiver) {
    let every = |failing: u64, of: u64| {
        (0..100_000).map(move |at| Behaviour::status(if at % of < failing { 500 } else { 200 }))
    };
    receiver.script("/north/flaky", every(1, 10));
    // Enough to open the breaker twice, which then stays open over a few kills.
    let late = (0..6).map(|_| Behaviour::status(500)).chain([Behaviour::status(200)]);
    receiver.script("/north/late", late);
    receiver.script("/south/slow", [Behaviour::delayed(200, Duration::from_millis(40))]);
    receiver.script("/east/strict", every(1, 25));
    receiver.script("/east/keyed", every(1, 10));
    // Failures in a row, at which it switches to its backup, perhaps twice.
    receiver.script("/east/primary", every(8, 60));
    receiver.script("/east/backup", every(1, 20));
}
