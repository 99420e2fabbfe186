//! Order of delivery: a receiver that fails now and then gets messages in the order in which they were accepted, all of them
//! or those of each key, also over kills of the process. A repeat may be seen, never an inversion.

use crate::harness::{Behaviour, Received, Receiver, Server, poll_until, seconds};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// Messages of one test.
const MESSAGES: usize = 90;

fn start(order: &Value, max_attempts: u32, receiver: &Receiver) -> Server {
    let server = Server::start(&[]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "shop", "uid": "shop"}));
    let policy = json!({"type": "fixed", "delayMs": 20, "maxAttempts": max_attempts, "jitter": "none"});
    let endpoint = json!({"url": receiver.url("/in"), "uid": "e", "retryPolicy": policy, "onClientError": "retry",
        "order": order});
    server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
    server
}

/// Pushes messages whose keys are those of `key`; answers their ids in the order of acceptance.
fn push(server: &Server, count: usize, key: impl Fn(usize) -> Option<&'static str>) -> Vec<String> {
    let message = |n: usize| json!({"eventType": "a", "payload": {"n": n}, "orderingKey": key(n)});
    let messages: Vec<Value> = (0..count).map(message).collect();
    let answer = server.api_expect(202, "POST", "/api/v1/app/shop/msg/batch", Value::Array(messages));
    let items = answer["data"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// Two of three attempts succeed.
fn fails_now_and_then(receiver: &Receiver) {
    let behaviours = (0..MESSAGES * 20).map(|n| Behaviour::status(if n % 3 == 1 { 404 } else { 200 }));
    receiver.script("/in", behaviours);
}

/// How many messages were received and answered 200.
fn delivered(requests: &[Received]) -> usize {
    let mut ids: Vec<&str> = requests.iter().filter(|one| one.answered == 200).map(Received::id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

/// Checks that each message first came after every earlier one of its key was answered 200.
fn check_order(requests: &[Received], ids: &[String], key: impl Fn(usize) -> Option<&'static str>) {
    let number: HashMap<&str, usize> = ids.iter().enumerate().map(|(n, id)| (id.as_str(), n)).collect();
    let mut done = vec![false; ids.len()];
    let mut came = vec![false; ids.len()];
    for request in requests {
        let n = number[request.id()];
        if !std::mem::replace(&mut came[n], true) {
            let early = (0..n).find(|other| !done[*other] && key(*other).is_some() && key(*other) == key(n));
            assert_eq!(early, None, "{n} came before it was delivered");
        }
        done[n] |= request.answered == 200;
    }
}

/// Delivers everything over two kills.
fn deliver(order: &str, key: fn(usize) -> Option<&'static str>) {
    let receiver = Receiver::start();
    let mut server = start(&json!(order), 1_000, &receiver);
    fails_now_and_then(&receiver);
    let ids = push(&server, MESSAGES, key);
    for share in [MESSAGES / 4, MESSAGES / 2] {
        receiver.wait_until(seconds(60), |requests| delivered(requests) >= share);
        server.kill();
        server.start_again();
    }
    let requests = receiver.wait_until(seconds(60), |requests| delivered(requests) == MESSAGES);
    check_order(&requests, &ids, key);
}

#[test]
fn an_ordered_endpoint_sees_no_inversion_over_kills() {
    deliver("endpoint", |_| Some("all"));
}

#[test]
fn messages_of_one_key_see_no_inversion_over_kills() {
    deliver("key", |n| [Some("a"), None, Some("b"), Some("a")][n % 4]);
}

#[test]
fn one_key_that_fails_holds_up_itself_alone_and_goes_on_after_a_kill() {
    let receiver = Receiver::start();
    let mut server = start(&json!("key"), 1_000, &receiver);
    receiver.script("/in", [Behaviour::status(404)]);
    let failing = push(&server, 1, |_| Some("a"));
    receiver.wait_for(1, seconds(20));
    server.kill();
    server.start_again();
    let rest = push(&server, 2, |n| [Some("a"), None][n]);
    let requests = receiver.wait_until(seconds(60), |requests| requests.iter().any(|one| one.id() == rest[1]));
    assert!(requests.iter().all(|one| one.id() != rest[0]), "it waits for the first of its key");
    receiver.script("/in", [Behaviour::status(200)]);
    let requests = receiver.wait_until(seconds(60), |requests| delivered(requests) == 3);
    let ids = [failing, rest].concat();
    check_order(&requests, &ids, |n| [Some("a"), Some("a"), None][n]);
}

#[test]
fn one_that_is_given_up_is_skipped_and_a_resend_goes_at_once() {
    let receiver = Receiver::start();
    let server = start(&json!("endpoint"), 2, &receiver);
    receiver.script("/in", [404, 404, 200, 404, 200].map(Behaviour::status));
    let ids = push(&server, 3, |_| None);
    let requests = receiver.wait_for(5, seconds(30));
    let came: Vec<&str> = requests.iter().map(Received::id).collect();
    assert_eq!(came, [&ids[0], &ids[0], &ids[1], &ids[2], &ids[2]]);
    server.api_expect(202, "POST", &format!("/api/v1/app/shop/msg/{}/endpoint/e/resend", ids[0]), Value::Null);
    let requests = receiver.wait_for(6, seconds(30));
    assert_eq!(requests[5].id(), ids[0]);
}

/// Pushes one message of the key that all share; answers its id.
fn push_one(server: &Server, deliver_at: Option<u64>) -> String {
    let mut message = json!({"eventType": "a", "payload": {}, "orderingKey": "k"});
    if let Some(at) = deliver_at {
        message["deliverAt"] = json!(text(at));
    }
    let taken = server.api_expect(202, "POST", "/api/v1/app/shop/msg", message);
    taken["id"].as_str().expect("an id").to_owned()
}

/// The messages in the order in which each first came.
fn first_came(requests: &[Received]) -> Vec<&str> {
    let mut seen = HashSet::new();
    requests.iter().map(Received::id).filter(|id| seen.insert(*id)).collect()
}

#[test]
fn a_scheduled_message_holds_up_nobody_before_its_time() {
    for order in ["endpoint", "key"] {
        let receiver = Receiver::start();
        let server = start(&json!(order), 1, &receiver);
        let in_time = (0..20).any(|_| {
            receiver.clear();
            // It is put in line at once, a second before its time.
            let at = now_ms() + 950;
            let (later, now) = (push_one(&server, Some(at)), push_one(&server, None));
            // On a slow machine its time has come by now: once more.
            let in_time = now_ms() + 300 < at;
            let requests = receiver.wait_until(seconds(30), |requests| first_came(requests).len() == 2);
            assert!(!in_time || first_came(&requests) == [now, later], "{order}: one waits for what is not due");
            in_time
        });
        assert!(in_time, "two messages are never pushed within 650 ms");
    }
}

#[test]
fn a_scheduled_message_waits_for_what_was_started_and_goes_before_what_is_accepted_later() {
    for order in ["endpoint", "key"] {
        let receiver = Receiver::start();
        let mut server = start(&json!(order), 1_000, &receiver);
        receiver.script("/in", [Behaviour::status(404)]);
        let failing = push_one(&server, None);
        receiver.wait_for(1, seconds(30));
        let at = now_ms() + 900;
        let scheduled = push_one(&server, Some(at));
        poll_until("its time", seconds(30), || (now_ms() > at).then_some(()));
        let later = push_one(&server, None);
        server.kill();
        server.start_again();
        let before = receiver.count();
        receiver.wait_for(before + 2, seconds(30));
        receiver.script("/in", [Behaviour::status(200)]);
        let requests = receiver.wait_until(seconds(30), |requests| delivered(requests) == 3);
        assert_eq!(first_came(&requests), [failing, scheduled, later], "{order}");
    }
}

#[test]
fn the_order_is_read_back_changed_and_refused_when_it_is_none() {
    let receiver = Receiver::start();
    let server = start(&Value::Null, 1, &receiver);
    let path = "/api/v1/app/shop/endpoint/e";
    let order = |server: &Server| server.api_expect(200, "GET", path, Value::Null)["order"].clone();
    assert_eq!(order(&server), "none");
    server.api_expect(200, "PATCH", path, json!({"order": "key"}));
    server.api_expect(200, "PATCH", path, json!({"description": "d"}));
    assert_eq!(order(&server), "key");
    server.api_expect(200, "PATCH", path, json!({"order": null}));
    assert_eq!(order(&server), "none");
    let refused = server.api_expect(422, "PATCH", path, json!({"order": "sideways"}));
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "order"]));
    for key in ["", &"x".repeat(257), "a\u{0}"] {
        let message = json!({"eventType": "a", "payload": {}, "orderingKey": key});
        let refused = server.api_expect(422, "POST", "/api/v1/app/shop/msg", message);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "orderingKey"]));
    }
    let message = json!({"eventType": "a", "payload": {}, "orderingKey": "order 7"});
    let id = server.api_expect(202, "POST", "/api/v1/app/shop/msg", message)["id"].clone();
    let read = || server.api("GET", &format!("/api/v1/app/shop/msg/{}", id.as_str().expect("an id")), Value::Null);
    let (_, message) = poll_until("the message", seconds(5), || Some(read()).filter(|(status, _)| *status == 200));
    assert_eq!(message["orderingKey"], "order 7");
}

#[test]
fn a_delivery_that_is_given_up_pauses_the_endpoint_until_it_is_resumed() {
    let receiver = Receiver::start();
    let mut server = start(&json!("endpoint"), 2, &receiver);
    let path = "/api/v1/app/shop/endpoint/e";
    let refused = server.api_expect(422, "PATCH", path, json!({"onGiveUp": "stop"}));
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "onGiveUp"]));
    let row = server.api_expect(200, "PATCH", path, json!({"onGiveUp": "pause"}));
    assert_eq!(row["onGiveUp"], "pause");
    receiver.script("/in", [200, 404, 404, 200].map(Behaviour::status));
    let ids = push(&server, 3, |_| None);
    receiver.wait_for(3, seconds(30));
    let row = |server: &Server| server.api_expect(200, "GET", path, Value::Null);
    let paused = |server: &Server| Some(row(server)).filter(|row| row["paused"] == true);
    let shown = poll_until("the pause", seconds(20), || paused(&server));
    assert_eq!(shown["pausedReason"], "gave_up");
    server.kill();
    server.start_again();
    assert_eq!(row(&server)["paused"], true);
    let letters = server.api_expect(200, "GET", &format!("{path}/dead-letter"), Value::Null);
    assert_eq!(letters["data"].as_array().expect("a list").len(), 1, "in the commit of the pause");
    assert_eq!(receiver.count(), 3, "the third waits");
    let (status, _) = server.api("POST", &format!("{path}/resume"), Value::Null);
    assert!((200..300).contains(&status), "{status}");
    let requests = receiver.wait_for(4, seconds(30));
    assert_eq!(requests[3].id(), ids[2]);
}
