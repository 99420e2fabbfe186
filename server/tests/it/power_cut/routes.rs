//! The endpoints, with what each of them wants and how its receiver fails.

use super::ledger::Event;
use super::load::ordering_key;
use crate::harness::{Behaviour, Receiver};
use serde_json::{Value, json};

pub(super) const ROUTES: [Route; 8] = [
    Route::new("north", "/north-healthy"),
    Route::new("north", "/north-flaky"),
    Route { gives_up: true, ..Route::new("north", "/north-dead") },
    Route::new("south", "/south-healthy"),
    Route::new("south", "/south-late"),
    Route { order: "endpoint", ..Route::new("east", "/east-strict") },
    Route { order: "key", ..Route::new("east", "/east-keyed") },
    Route { backup: Some("/east-backup"), ..Route::new("east", "/east-primary") },
];

/// The endpoint with a backup.
pub(super) const PRIMARY: &str = "/api/v1/app/east/endpoint/east-primary";

/// An endpoint, and the application that it gets events of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) app: &'static str,
    pub(super) path: &'static str,
    /// True if a failed delivery becomes a dead letter at once.
    pub(super) gives_up: bool,
    pub(super) order: &'static str,
    /// The path of its backup.
    pub(super) backup: Option<&'static str>,
}

// === impl Route ===

impl Route {
    const fn new(app: &'static str, path: &'static str) -> Route {
        Route { app, path, gives_up: false, order: "none", backup: None }
    }

    /// The endpoint that requests to this path are for.
    pub(super) fn of_path(path: &str) -> Option<&'static Route> {
        ROUTES.iter().find(|route| route.paths().any(|one| one == path))
    }

    /// Of itself and of its backup.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.backup.into_iter().chain([self.path])
    }

    pub(super) fn uid(&self) -> &'static str {
        &self.path[1..]
    }

    /// True if it is to get an event.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.app == event.app
    }

    /// The line of the event `number`, if there are some that it must not overtake.
    pub(super) fn line(&self, number: u64) -> Option<String> {
        match self.order {
            "endpoint" => Some("all".to_owned()),
            "key" => Some(ordering_key(number)),
            _ => None,
        }
    }

    /// The requests that create it, with their application: its backup comes first.
    pub(super) fn endpoints(&self, receiver: &Receiver) -> Vec<(&'static str, Value)> {
        let delay_ms = if self.order == "none" { 200 } else { 20 };
        let endpoint = |path: &'static str| {
            json!({"url": receiver.url(path), "uid": &path[1..], "description": path, "secret": secret(path),
                "order": self.order,
                "retryPolicy": {"type": "fixed", "delayMs": delay_ms, "maxAttempts": if self.gives_up { 1 } else { 100 },
                    "jitter": "none"}})
        };
        let mut endpoints: Vec<Value> = self.paths().map(endpoint).collect();
        if let [backup, primary] = &mut endpoints[..] {
            // It has no messages of its own.
            backup["channels"] = json!(["nobody"]);
            primary["failover"] = json!({"backupEndpointId": backup["uid"], "threshold": 3});
        }
        endpoints.into_iter().map(|endpoint| (self.app, endpoint)).collect()
    }
}

/// The secret of the endpoint at this path, in base 64.
pub(super) fn secret(path: &str) -> String {
    format!("whsec_{:A<32}", path.replace(['/', '-'], ""))
}

/// Some fail now and then, none so often that its breaker opens.
pub(super) fn misbehave(receiver: &Receiver) {
    let every = |failing: u64, of: u64| {
        (0..100_000).map(move |nth| Behaviour::status(if nth % of < failing { 500 } else { 200 }))
    };
    receiver.script("/north-flaky", every(1, 5));
    receiver.script("/north-dead", every(1, 2));
    receiver.script("/south-late", every(2, 3));
    receiver.script("/east-strict", every(1, 10));
    receiver.script("/east-keyed", every(1, 10));
    // Long enough to switch to its backup.
    receiver.script("/east-primary", every(5, 20));
}
