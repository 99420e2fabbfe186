//! The load of a recording: events of every size, in batches and alone, and configuration that changes meanwhile.
//!
//! Deliberately without repeats: a request without an answer when the process dies is simply not owed.

use super::ledger::{Acked, Event, Ledger, Look};
use crate::events::{TYPE, message, push_messages};
use crate::harness::{Client, Random};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};
use std::io;

/// Applications that events go to.
pub(super) const APPS: [&str; 3] = ["north", "south", "east"];

/// The type of a scheduled event.
pub(super) const TYPE_LATER: &str = "disk.later";

/// One event of this many is scheduled.
const LATER: u64 = 6;

/// How far ahead it may be: due in the recording, while its cuts are checked, or after all of that.
const AHEAD_MS: [std::ops::Range<u64>; 3] = [100..2_000, 4_000..60_000, 3_600_000..7_200_000];

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
            let app = APPS[random.below(APPS.len() as u64) as usize];
            let count = if batch { 1 + random.below(BATCH_MAX) } else { 1 };
            let events: Vec<Event> = (next..next + count).map(|number| event(app, number, random)).collect();
            let key = (random.below(2) == 0).then(|| format!("key-{next}"));
            next += count;
            if !self.push_one(app, &events, key, batch) {
                break;
            }
        }
        next
    }

    fn push_one(&self, app: &str, events: &[Event], key: Option<String>, batch: bool) -> bool {
        self.ledger.sending(events);
        let Ok((202, answer)) = push(self.client, app, events, key.as_deref(), batch) else { return false };
        let mark = (self.position)();
        let items = if batch { answer["data"].as_array().expect("a list").clone() } else { vec![answer] };
        assert_eq!(items.len(), events.len());
        for (event, item) in events.iter().zip(items) {
            let id = item["id"].as_str().expect("an id").to_owned();
            let key = key.clone().filter(|_| !batch);
            self.ledger.acked(Acked { event: *event, id, mark, key });
        }
        true
    }

    /// Looks at the switch of a failover and sets it by hand, until there is no answer.
    pub(super) fn switch(&self, path: &str, rounds: u64, random: &mut Random) {
        for _ in 0..rounds {
            let to = ["primary", "backup"][random.below(2) as usize];
            let sets = random.below(4) == 0;
            let body = sets.then(|| json!({"to": to}).to_string());
            let method = if sets { "POST" } else { "GET" };
            let Ok(response) = self.client.send(method, path, &[], body.as_deref().map(str::as_bytes)) else { return };
            if response.status >= 500 {
                return;
            }
            assert_eq!(response.status, 200, "{}", response.text());
            self.ledger.looked(Look { mark: (self.position)(), shown: response.json() });
        }
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

fn event(app: &'static str, number: u64, random: &mut Random) -> Event {
    let ahead = &AHEAD_MS[random.below(AHEAD_MS.len() as u64) as usize];
    let at = now_ms() + ahead.start + random.below(ahead.end - ahead.start);
    Event { app, number, deliver_at: Some(at).filter(|_| random.below(LATER) == 0) }
}

/// The ordering key of an event.
pub(super) fn ordering_key(number: u64) -> String {
    format!("key-{}", number % 4)
}

/// Pushes events; status and answer.
///
/// # Errors
/// When there is no complete answer.
pub(super) fn push(
    client: &Client,
    app: &str,
    events: &[Event],
    key: Option<&str>,
    batch: bool,
) -> io::Result<(u16, Value)> {
    let messages = events.iter().map(|event| {
        let key = format!("\"orderingKey\":\"{}\"", ordering_key(event.number));
        match event.deliver_at {
            None => message(event.number, TYPE, &[key]),
            Some(at) => message(event.number, TYPE_LATER, &[key, format!("\"deliverAt\":\"{}\"", text(at))]),
        }
    });
    push_messages(client, app, &messages.collect::<Vec<_>>(), key, batch)
}
