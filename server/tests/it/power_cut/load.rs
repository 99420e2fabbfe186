//! The load of a recording: events of every size, in batches and alone, and configuration that changes meanwhile.
//!
//! Deliberately without repeats: a request without an answer when the process dies is simply not owed.

use super::ledger::{Acked, Ledger};
use crate::events::push_events;
use crate::harness::{Client, Random};
use serde_json::{Value, json};

/// Applications that events go to.
pub(super) const APPS: [&str; 2] = ["north", "south"];

/// Events of a batch at most.
const BATCH_MAX: u64 = 8;

/// The state that the threads of one recording share.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) client: &'a Client,
    pub(super) ledger: &'a Ledger,
    /// The length of the record.
    pub(super) position: &'a (dyn Fn() -> u64 + Sync),
}

impl Load<'_> {
    /// Sends `requests` requests with events numbered from `first`, until one has no answer; returns the next free
    /// number.
    pub(super) fn push(&self, first: u64, requests: u64, random: &mut Random) -> u64 {
        let mut next = first;
        for _ in 0..requests {
            let batch = random.below(4) == 0;
            let numbers: Vec<u64> = (next..next + if batch { 1 + random.below(BATCH_MAX) } else { 1 }).collect();
            next += numbers.len() as u64;
            let app = APPS[random.below(2) as usize];
            let key = (random.below(2) == 0).then(|| format!("key-{}", numbers[0]));
            if !self.push_one(app, &numbers, key, batch) {
                break;
            }
        }
        next
    }

    fn push_one(&self, app: &'static str, numbers: &[u64], key: Option<String>, batch: bool) -> bool {
        self.ledger.sending(app, numbers);
        let Ok((202, answer)) = push_events(self.client, app, numbers, key.as_deref(), batch) else { return false };
        let mark = (self.position)();
        let items = if batch { answer["data"].as_array().expect("a list").clone() } else { vec![answer] };
        assert_eq!(items.len(), numbers.len());
        for (number, item) in numbers.iter().zip(items) {
            let id = item["id"].as_str().expect("an id").to_owned();
            let key = key.clone().filter(|_| !batch);
            self.ledger.acked(Acked { app, number: *number, id, mark, key });
        }
        true
    }

    /// Creates, changes and deletes endpoints and applications, round after round, until there is no answer.
    pub(super) fn configure(&self, round: u64, rounds: u64) {
        for round in round..round + rounds {
            let name = |step: &str| format!("{step} {round}");
            let (app, endpoint) = (format!("cfg-{round}"), format!("end-{round}"));
            let app_path = format!("/api/v1/app/{app}");
            let endpoint_path = format!("/api/v1/app/north/endpoint/{endpoint}");
            let new_endpoint = json!({"url": "http://127.0.0.1:9/", "uid": endpoint, "description": name("new"),
                "filterTypes": ["nothing.like.it"], "disabled": true});
            let steps = [
                ("POST", "/api/v1/app", &app_path, json!({"name": name("new"), "uid": app}), true),
                ("POST", "/api/v1/app/north/endpoint", &endpoint_path, new_endpoint, true),
                ("PATCH", &app_path, &app_path, json!({"name": name("changed")}), true),
                ("PATCH", &endpoint_path, &endpoint_path, json!({"description": name("changed")}), true),
                ("DELETE", &app_path, &app_path, Value::Null, round % 2 == 0),
                ("DELETE", &endpoint_path, &endpoint_path, Value::Null, round % 2 == 1),
            ];
            for (method, target, object, body, does) in steps {
                if does && !self.state(method, target, object, &body) {
                    return;
                }
            }
        }
    }

    /// Changes one object; `false` when there was no answer.
    fn state(&self, method: &str, target: &str, object: &str, body: &Value) -> bool {
        let shows = body.get("description").or(body.get("name")).cloned();
        self.ledger.stating(object, shows, (self.position)());
        let bytes = (!body.is_null()).then(|| body.to_string());
        match self.client.send(method, target, &[], bytes.as_deref().map(str::as_bytes)) {
            Ok(response) if response.status < 300 => {
                self.ledger.stated(object, (self.position)());
                true
            }
            Ok(response) if response.status < 500 => panic!("{method} {target}: {}", response.text()),
            _ => false,
        }
    }
}
