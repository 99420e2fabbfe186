//! Dead letters of a whole application, and jobs with filters: dry runs, rates, cancelling, a kill in the middle, and
//! keys of another application.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/acme";
const LETTERS: &str = "/api/v1/app/acme/dead-letter";

/// Two endpoints that give up at once: `one` gets types `a` and `b`, `two` gets `b`.
fn set_up(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    for (uid, types) in [("one", json!(["a", "b"])), ("two", json!(["b"]))] {
        let policy = json!({"type": "fixed", "delayMs": 1, "maxAttempts": 1, "jitter": "none"});
        let url = receiver.url(&format!("/{uid}"));
        let endpoint = json!({"url": url, "uid": uid, "filterTypes": types, "retryPolicy": policy});
        server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
    }
}

fn push(server: &Server, event_type: &str) {
    let message = json!({"eventType": event_type, "payload": {"n": 1}});
    server.api_expect(202, "POST", &format!("{APP}/msg"), message);
}

fn letters(server: &Server, query: &str) -> Vec<Value> {
    server.api_expect(200, "GET", &format!("{LETTERS}{query}"), Value::Null)["data"].as_array().unwrap().clone()
}

fn task(server: &Server, task: &Value) -> Value {
    let path = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    server.api_expect(200, "GET", &path, Value::Null)
}

fn ended(server: &Server, started: &Value, status: &str) -> Value {
    poll_until("an ended task", seconds(30), || {
        let shown = task(server, started);
        (shown["status"] == status).then(|| shown["data"].clone())
    })
}

/// Three letters of `one` (two `a`, one `b`) and one of `two`.
fn with_letters() -> (Server, Receiver) {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    // The last answer of a script stays.
    receiver.script("/one", [500, 500, 500, 200].map(Behaviour::status));
    receiver.script("/two", [404, 200].map(Behaviour::status));
    for event_type in ["a", "a", "b"] {
        push(&server, event_type);
    }
    poll_until("four dead letters", seconds(20), || (letters(&server, "").len() == 4).then_some(()));
    receiver.clear();
    (server, receiver)
}

#[test]
fn dead_letters_of_all_endpoints_are_listed_counted_and_redriven_by_filter() {
    let (server, receiver) = with_letters();
    let newest_first = letters(&server, "");
    let times: Vec<&str> = newest_first.iter().map(|letter| letter["failedAt"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    let of_two = letters(&server, "?endpoint_id=two");
    assert_eq!(of_two.len(), 1);
    let shown = &of_two[0];
    assert_eq!((&shown["endpointUid"], &shown["eventType"]), (&json!("two"), &json!("b")));
    assert_eq!((&shown["lastStatusCode"], &shown["url"]), (&json!(404), &json!(receiver.url("/two"))));
    assert_eq!(letters(&server, "?event_type=a").len(), 2);
    assert_eq!(letters(&server, "?reason=gone").len(), 0);
    assert_eq!(letters(&server, "?since=2100-01-01T00:00:00Z").len(), 0);
    let page = server.api_expect(200, "GET", &format!("{LETTERS}?limit=3"), Value::Null);
    assert_eq!(page["done"], false);
    let next = format!("?limit=3&iterator={}", page["iterator"].as_str().unwrap());
    assert_eq!(letters(&server, &next), newest_first[3..]);
    let count = server.api_expect(200, "GET", &format!("{LETTERS}/count"), Value::Null);
    assert_eq!((&count["total"], &count["byReason"]["attempts_exhausted"]), (&json!(4), &json!(4)));

    // A dry run decides the same and changes nothing.
    let redrive = format!("{LETTERS}/redrive");
    let dry = server.api_expect(202, "POST", &redrive, json!({"eventTypes": ["a"], "dryRun": true}));
    let data = ended(&server, &dry, "finished");
    assert_eq!((&data["affected"], &data["queued"], &data["skipped"]["notNamed"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!((letters(&server, "").len(), receiver.count()), (4, 0));
    let real = server.api_expect(202, "POST", &redrive, json!({"eventTypes": ["a"], "statusCodeClass": 500}));
    assert_eq!(ended(&server, &real, "finished")["queued"], 2);
    receiver.wait_for(2, seconds(20));
    poll_until("two letters left", seconds(20), || (letters(&server, "").len() == 2).then_some(()));
    let purge = server.api_expect(202, "POST", &format!("{LETTERS}/purge"), json!({"endpointId": "two"}));
    assert_eq!(ended(&server, &purge, "finished")["affected"], 1);
    let left = letters(&server, "");
    assert_eq!((left.len(), &left[0]["endpointUid"]), (1, &json!("one")));
    assert_eq!(receiver.count(), 2, "nothing else was sent");
}

#[test]
fn a_job_keeps_to_its_rate_over_a_kill_and_ends_when_it_is_cancelled() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    (0..60).for_each(|_| push(&server, "a"));
    receiver.wait_for(60, seconds(20));
    receiver.clear();
    let replay = json!({"since": "2020-01-01T00:00:00Z", "ratePerSecond": 4, "eventTypes": ["a"]});
    let started = server.api_expect(202, "POST", &format!("{APP}/endpoint/one/bulk-replay"), replay);
    receiver.wait_for(3, seconds(20));
    server.kill();
    server.start_again();
    let cancel = format!("/api/v1/background-task/{}/cancel", started["id"].as_str().unwrap());
    receiver.wait_for(6, seconds(20));
    let shown = server.api_expect(200, "POST", &cancel, json!({}));
    assert_eq!(shown["status"], "cancelled");
    assert_eq!(server.api_expect(200, "POST", &cancel, json!({}))["status"], "cancelled");
    let queued = shown["data"]["queued"].as_u64().unwrap();
    assert!((5..60).contains(&queued), "{queued}");
    // A kill may repeat what was in flight; beyond that, only what was put in line is sent.
    let ids = |receiver: &Receiver| {
        let mut ids: Vec<String> = receiver.requests().iter().map(|one| one.id().to_owned()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.len() as u64
    };
    poll_until("all that was put in line", seconds(20), || (ids(&receiver) == queued).then_some(()));
    assert_eq!(task(&server, &started)["data"]["queued"], queued, "nothing is added after the end");
}

#[test]
fn wrong_fields_are_named_and_a_foreign_key_finds_nothing() {
    let (server, _receiver) = with_letters();
    let redrive = format!("{LETTERS}/redrive");
    for (body, at) in [
        (json!({"ratePerSecond": 0}), "ratePerSecond"),
        (json!({"ratePerSecond": 10_001}), "ratePerSecond"),
        (json!({"eventTypes": ["in*voice"]}), "eventTypes"),
        (json!({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), "until"),
        (json!({"reasons": ["nonsense"]}), "reasons"),
        (json!({"statusCodeClass": 404}), "statusCodeClass"),
        (json!({"unknown": 1}), "unknown"),
    ] {
        let (status, answer) = server.api("POST", &redrive, body.clone());
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer["detail"][0]["loc"].to_string().contains(at), "{body}: {answer}");
    }
    server.api_expect(404, "POST", &redrive, json!({"endpointId": "none"}));
    server.api_expect(422, "GET", &format!("{LETTERS}?reason=nonsense"), Value::Null);
    server.api_expect(404, "POST", "/api/v1/background-task/qtask_none/cancel", json!({}));
    let own = server.api_expect(202, "POST", &redrive, json!({"dryRun": true, "ratePerSecond": 1}));

    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    for (method, path) in [
        ("GET", LETTERS.to_owned()),
        ("GET", format!("{LETTERS}/count")),
        ("POST", redrive),
        ("POST", format!("{LETTERS}/purge")),
    ] {
        let (status, _) = other.json(method, &path, json!({}));
        assert!(matches!(status, 403 | 404), "{method} {path}: {status}");
    }
    let cancel = format!("/api/v1/background-task/{}/cancel", own["id"].as_str().unwrap());
    assert_eq!(other.json("POST", &cancel, json!({})).0, 404);
    assert_eq!(ended(&server, &own, "finished")["affected"], 4);
}
