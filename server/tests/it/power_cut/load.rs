//! The load of a recording: events of every size, in batches and alone, and configuration that changes meanwhile.
//!
//! Deliberately without repeats: what has no answer when the process dies is simply not owed.

use super::Random;
use super::ledger::{Acked, Ledger};
use crate::harness::Client;
use serde_json::{Value, json};

/// Applications that events go to.
pub(super) const APPS: [&str; 2] = ["north", "south"];

/// Events of a batch at most.
const BATCH_MAX: u64 = 8;

/// The payload of event `number`, told by the number alone: one in 29 has 100 KiB, one in 97 a MiB.
pub(crate) fn payload(number: u64) -> String {
    let bytes = match number {
        _ if number % 97 == 7 => 1 << 20,
        _ if number % 29 == 3 => 100 << 10,
        _ => 30 + number as usize * 37 % 400,
    };
    let mut random = Random::new(number);
    let mut text = format!("{{\"number\":{number},\"fill\":\"");
    while text.len() < bytes {
        text.push_str(&format!("{:016x}", random.below(u64::MAX)));
    }
    text.push_str("\"}");
    text
}

/// What the threads of one recording share.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) client: &'a Client,
    pub(super) ledger: &'a Ledger,
    /// The length of the record.
    pub(super) position: &'a (dyn Fn() -> u64 + Sync),
}

impl Load<'_> {
    /// Sends `requests` requests with events numbered from `first`, until one has no answer; the next free number.
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

/// Pushes events; status and answer.
pub(crate) fn push_events(
    client: &Client,
    app: &str,
    numbers: &[u64],
    key: Option<&str>,
    batch: bool,
) -> std::io::Result<(u16, Value)> {
    // By hand: the payload is text that must arrive as it is.
    let message = |number: &u64| format!("{{\"eventType\":\"cut.test\",\"payload\":{}}}", payload(*number));
    let messages: Vec<String> = numbers.iter().map(message).collect();
    let body = if batch { format!("[{}]", messages.join(",")) } else { messages.join(",") };
    let path = format!("/api/v1/app/{app}/msg{}?with_content=false", if batch { "/batch" } else { "" });
    let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
    let response = client.send("POST", &path, &headers, Some(body.as_bytes()))?;
    Ok((response.status, response.json()))
}
