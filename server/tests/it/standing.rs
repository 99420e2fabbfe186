//! One story of a filter that is widened, with a restart in it. Events that were passed over are never shown as on
//! their way, and a resend by hand arrives.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/acme";
const HOOK: &str = "/api/v1/app/acme/endpoint/hook";

/// An application with an endpoint for `a` only.
fn set_up(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let policy = json!({"type": "fixed", "delayMs": 3_600_000, "maxAttempts": 3, "jitter": "none"});
    let endpoint = json!({"url": receiver.url("/old"), "uid": "hook", "filterTypes": ["a"], "retryPolicy": policy});
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
}

fn push(server: &Server, event_type: &str) -> String {
    let message = json!({"eventType": event_type, "payload": {"n": 1}});
    server.api_expect(202, "POST", &format!("{APP}/msg"), message)["id"].as_str().unwrap().to_owned()
}

fn list(server: &Server, path: &str) -> Vec<Value> {
    server.api_expect(200, "GET", path, Value::Null)["data"].as_array().unwrap().clone()
}

/// The data of a task once it is finished.
fn finished(server: &Server, task: &Value) -> Value {
    let path = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    poll_until("a finished task", seconds(20), || {
        let shown = server.api_expect(200, "GET", &path, Value::Null);
        (shown["status"] == "finished").then(|| shown["data"].clone())
    })
}

#[test]
fn a_filter_that_is_widened_neither_sends_nor_promises_what_was_passed_and_a_resend_arrives() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    let passed: Vec<String> = (0..3).map(|_| push(&server, "b")).collect();
    server.api_expect(200, "PATCH", HOOK, json!({"filterTypes": ["a", "b"]}));
    for (index, id) in passed[..2].iter().enumerate() {
        assert_eq!(list(&server, &format!("{HOOK}/msg?expanded_statuses=true")).len(), index, "those that were resent");
        assert_eq!(list(&server, &format!("{APP}/msg/{id}/endpoint")), Vec::<Value>::new());
        let stats = server.api_expect(200, "GET", &format!("{HOOK}/stats"), Value::Null);
        assert_eq!((&stats["sending"], &stats["pending"]), (&0.into(), &0.into()), "{stats}");
        // A resend is an order: the message arrives.
        server.api_expect(202, "POST", &format!("{APP}/msg/{id}/endpoint/hook/resend"), json!({}));
        receiver.wait_until(seconds(20), |requests| requests.iter().any(|request| request.id() == id));
        poll_until("delivered", seconds(20), || {
            let shown = list(&server, &format!("{APP}/msg/{id}/endpoint"));
            shown.first().filter(|shown| shown["status"] == 0).map(drop)
        });
        // A narrower filter takes nothing back, and a restart changes nothing.
        server.api_expect(200, "PATCH", HOOK, json!({"filterTypes": ["a"]}));
        assert_eq!(list(&server, &format!("{HOOK}/msg")).len(), index + 1);
        server.api_expect(200, "PATCH", HOOK, json!({"filterTypes": ["a", "b"]}));
        server.restart();
        assert_eq!(receiver.count(), index + 1, "nothing else was sent");
    }
    // Never tried and matching now: the third one. Delivered: the other two.
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = server.api_expect(202, "POST", &format!("{HOOK}/replay-missing"), since);
    let data = finished(&server, &task);
    assert_eq!((&data["lookedAt"], &data["queued"], &data["skipped"]["delivered"]), (&3.into(), &1.into(), &2.into()));
    receiver.wait_until(seconds(20), |requests| requests.iter().any(|request| request.id() == passed[2]));
    assert_eq!(receiver.count(), 3, "each once");
}

#[test]
fn between_two_attempts_a_delivery_is_sending_from_one_side_and_failed_from_the_other() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    receiver.script("/old", [Behaviour::status(500)]);
    let id = push(&server, "a");
    let waiting = poll_until("a failed attempt", seconds(20), || {
        list(&server, &format!("{HOOK}/msg")).into_iter().find(|shown| shown["nextAttempt"].is_string())
    });
    assert_eq!(
        (&waiting["id"], &waiting["status"], &waiting["statusText"]),
        (&id.as_str().into(), &3.into(), &"sending".into())
    );
    assert_eq!(list(&server, &format!("{HOOK}/msg?status=3")).len(), 1);
    assert_eq!(list(&server, &format!("{HOOK}/msg?status=1")).len(), 0);
    let destination = &list(&server, &format!("{APP}/msg/{id}/endpoint"))[0];
    assert_eq!((&destination["status"], &destination["nextAttempt"]), (&2.into(), &waiting["nextAttempt"]));
    let stats = server.api_expect(200, "GET", &format!("{HOOK}/stats"), Value::Null);
    assert_eq!((&stats["sending"], &stats["pending"], &stats["fail"]), (&1.into(), &0.into(), &0.into()));
}

#[test]
fn the_history_keeps_the_url_that_was_called_and_an_endpoint_that_was_deleted() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    receiver.script("/old", [Behaviour::status(500)]);
    let id = push(&server, "a");
    let attempts = || list(&server, &format!("{APP}/attempt/msg/{id}"));
    poll_until("a failed attempt", seconds(20), || (attempts().len() == 1).then_some(()));
    server.api_expect(200, "PATCH", HOOK, json!({"url": receiver.url("/new")}));
    server.api_expect(202, "POST", &format!("{APP}/msg/{id}/endpoint/hook/resend"), json!({}));
    poll_until("a second attempt", seconds(20), || (attempts().len() == 2).then_some(()));
    let urls = |attempts: &[Value]| attempts.iter().map(|one| one["url"].clone()).collect::<Vec<_>>();
    assert_eq!(urls(&attempts()), [receiver.url("/new"), receiver.url("/old")]);
    let before = attempts();
    server.api_expect(204, "DELETE", HOOK, Value::Null);
    server.restart();
    let after = list(&server, &format!("{APP}/attempt/msg/{id}"));
    assert_eq!(after, before);
    let destinations = list(&server, &format!("{APP}/msg/{id}/endpoint"));
    assert_eq!((&destinations[0]["uid"], &destinations[0]["status"]), (&"hook".into(), &0.into()));
    // With the application everything goes.
    server.api_expect(204, "DELETE", APP, Value::Null);
    server.api_expect(404, "GET", &format!("{APP}/msg/{id}/endpoint"), Value::Null);
}
