//! Order of delivery: a receiver that fails now and then gets messages in the order in which they were accepted, all of them
//! or those of each key, also over kills of the process. A repeat may be seen, never an inversion.

use crate::harness::{Behaviour, Received, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::HashMap;

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
