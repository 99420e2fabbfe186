//! A paused endpoint, or application, is sent nothing and loses nothing, also when the process is killed meanwhile.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Messages that are pushed during the pause.
const WAITING: usize = 300;

fn set_up() -> (Server, Receiver) {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    for uid in ["one", "two"] {
        let policy = json!({"type": "fixed", "delayMs": 200, "maxAttempts": 100, "jitter": "none"});
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "retryPolicy": policy});
        server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    }
    (server, receiver)
}

fn push(server: &Server, count: usize) -> BTreeSet<String> {
    let messages = vec![json!({"eventType": "a", "payload": {}}); count];
    let answer = server.api_expect(202, "POST", "/api/v1/app/acme/msg/batch", Value::Array(messages));
    answer["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn post(server: &Server, path: &str) -> Value {
    server.api_expect(200, "POST", &format!("/api/v1/app/acme{path}"), Value::Null)
}

fn state(server: &Server, uid: &str) -> Value {
    server.api_expect(200, "GET", &format!("/api/v1/app/acme/endpoint/{uid}/state"), Value::Null)
}

/// Messages that the receiver got at a path.
fn got(receiver: &Receiver, path: &str) -> BTreeSet<String> {
    receiver.requests_to(path).iter().map(|request| request.id().to_owned()).collect()
}

fn wait_for(receiver: &Receiver, path: &str, wanted: &BTreeSet<String>) {
    poll_until(&format!("all at {path}"), seconds(60), || wanted.is_subset(&got(receiver, path)).then_some(()));
}

#[test]
fn a_paused_endpoint_gets_nothing_over_a_kill_and_everything_once_it_is_resumed() {
    let (mut server, receiver) = set_up();
    receiver.script("/one", [Behaviour::status(500)]);
    let failed = push(&server, 1);
    wait_for(&receiver, "/one", &failed);
    let paused = post(&server, "/endpoint/one/pause");
    assert_eq!((&paused["paused"], &paused["pausedReason"]), (&true.into(), &"operator".into()));
    assert_eq!(post(&server, "/endpoint/one/pause")["pausedAt"], paused["pausedAt"], "the second changes nothing");
    let state_of_one = state(&server, "one");
    assert_eq!((&state_of_one["waitingFor"], &state_of_one["waitingSince"]), (&"pause".into(), &paused["pausedAt"]));
    let waiting = push(&server, WAITING);
    // All are through at the other endpoint, so the router is past them.
    wait_for(&receiver, "/two", &waiting);
    assert!(got(&receiver, "/one").is_disjoint(&waiting));
    assert_eq!(state(&server, "one")["backlog"]["messages"], WAITING);
    assert_eq!(state(&server, "one")["deadLetters"], 0);

    server.kill();
    server.start_again();
    receiver.script("/one", [Behaviour::status(200)]);
    let sent_before = receiver.requests_to("/one").len();
    let later = push(&server, 1);
    wait_for(&receiver, "/two", &later);
    assert_eq!(receiver.requests_to("/one").len(), sent_before, "the restart keeps the pause, of its retry too");

    assert_eq!(post(&server, "/endpoint/one/resume")["paused"], false);
    wait_for(&receiver, "/one", &waiting);
    wait_for(&receiver, "/one", &later);
    poll_until("the retry", seconds(20), || {
        let delivered = server.api_expect(200, "GET", "/api/v1/app/acme/endpoint/one/stats", Value::Null);
        (delivered["success"] == WAITING + 2).then_some(())
    });
    let state_of_one = state(&server, "one");
    assert_eq!((&state_of_one["waitingFor"], &state_of_one["deadLetters"]), (&Value::Null, &0.into()));
}

#[test]
fn a_paused_application_holds_all_its_endpoints_over_a_kill() {
    let (mut server, receiver) = set_up();
    assert_eq!(post(&server, "/pause")["paused"], true);
    let waiting = push(&server, 20);
    server.kill();
    server.start_again();
    assert_eq!(state(&server, "two")["waitingFor"], "pause");
    assert_eq!(state(&server, "two")["backlog"]["messages"], 20);
    // One endpoint stays behind when its application goes on.
    server.api_expect(200, "PATCH", "/api/v1/app/acme/endpoint/one", json!({"paused": true}));
    assert_eq!(receiver.count(), 0);
    let application = server.api_expect(200, "PATCH", "/api/v1/app/acme", json!({"paused": false}));
    assert_eq!((&application["paused"], &application["pausedAt"]), (&false.into(), &Value::Null));
    wait_for(&receiver, "/two", &waiting);
    assert!(receiver.requests_to("/one").is_empty());
    post(&server, "/endpoint/one/resume");
    wait_for(&receiver, "/one", &waiting);
}
