//! Messages that expire: not attempted later than that, and ended as dead letters with the reason `past_expiry`.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};

/// A server with an application `acme` whose endpoint `hook` is tried again after `delay_ms`.
fn acme(receiver: &Receiver, delay_ms: u64) -> Server {
    let server = Server::start(&[]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let policy = json!({"type": "fixed", "delayMs": delay_ms, "maxAttempts": 10, "jitter": "none"});
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook", "retryPolicy": policy});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    server
}

fn push(server: &Server, name: &str, fields: Value) -> Value {
    let mut message = json!({"eventType": "a", "eventId": name, "payload": {"n": name}});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", message)
}

fn letters(server: &Server) -> Vec<(String, String, u64)> {
    let listed = server.api_expect(200, "GET", "/api/v1/app/acme/endpoint/hook/dead-letter", Value::Null);
    let letter = |item: &Value| {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        (text("msgId"), text("reason"), item["attempts"].as_u64().unwrap())
    };
    listed["data"].as_array().unwrap().iter().map(letter).collect()
}

#[test]
fn a_retry_that_would_come_too_late_is_not_made_and_the_message_cannot_be_sent_any_more() {
    let receiver = Receiver::start();
    receiver.script("/hook", vec![Behaviour::status(500); 20]);
    let server = acme(&receiver, 3_600_000);
    let short = push(&server, "short", json!({"ttlSeconds": 2}));
    let long = push(&server, "long", json!({"expiresAt": text(now_ms() + 24 * 3_600_000)}));
    let short_id = short["id"].as_str().unwrap();
    assert!(short["expiresAt"].is_string() && long["expiresAt"].is_string() && short["deliverAt"].is_null());
    receiver.wait_for(2, seconds(20));
    let found = poll_until("the dead letter", seconds(20), || Some(letters(&server)).filter(|found| !found.is_empty()));
    assert_eq!(found, [(short_id.to_owned(), "past_expiry".to_owned(), 1)], "the other one waits for its retry");
    let late = now_ms() + 2_000;
    poll_until("its expiry", seconds(20), || (now_ms() > late).then_some(()));
    let (status, refused) = server.api("POST", "/api/v1/app/acme/msg/short/endpoint/hook/resend", Value::Null);
    assert_eq!((status, &refused["code"]), (409, &"conflict".into()), "{refused}");
    let before = receiver.count();
    let task = server.api_expect(202, "POST", "/api/v1/app/acme/endpoint/hook/dead-letter/redrive", Value::Null);
    let task = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    let done = poll_until("the task", seconds(20), || {
        let shown = server.api_expect(200, "GET", &task, Value::Null);
        (shown["status"] == "finished").then_some(shown)
    });
    assert_eq!((&done["data"]["affected"], &done["data"]["skipped"]["pastExpiry"]), (&0.into(), &1.into()));
    assert_eq!(receiver.count(), before);
}

#[test]
fn what_waits_behind_a_silent_receiver_or_through_a_kill_is_not_sent_once_it_has_expired() {
    let receiver = Receiver::start();
    receiver.script("/hook", [Behaviour::Stall]);
    let mut server = acme(&receiver, 1_000);
    let patch = json!({"maxInFlight": 1});
    server.api_expect(200, "PATCH", "/api/v1/app/acme/endpoint/hook", patch);
    push(&server, "first", json!({}));
    receiver.wait_for(1, seconds(20));
    // They have no turn while the first one is in flight.
    let expires_at = now_ms() + 3_000;
    for number in 0..5 {
        push(&server, &format!("late-{number}"), json!({"expiresAt": text(expires_at)}));
    }
    push(&server, "scheduled", json!({"deliverAt": text(expires_at - 1_000), "expiresAt": text(expires_at)}));
    server.kill();
    poll_until("their expiry", seconds(20), || (now_ms() > expires_at).then_some(()));
    receiver.script("/hook", []);
    server.start_again();
    push(&server, "last", json!({}));
    let requests = receiver.wait_until(seconds(30), |requests| requests.iter().any(|one| one.json()["n"] == "last"));
    poll_until("all dead letters", seconds(20), || (letters(&server).len() == 6).then_some(()));
    assert!(letters(&server).iter().all(|(_, reason, attempts)| reason == "past_expiry" && *attempts == 0));
    let late = |name: &str| name.starts_with("late") || name == "scheduled";
    assert!(requests.iter().all(|request| !late(request.json()["n"].as_str().unwrap())));
}
