//! From a push to a signed request at a customer, across crashes and stops. This is the shortest way through all of it;
//! other parts of delivering have tests of their own.

use crate::harness::{Behaviour, Receiver, Server, seconds};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

/// An application `shop` with one endpoint at `url`; returns its signing secret.
fn shop(server: &Server, url: &str) -> String {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    let endpoint = json!({
        "url": url,
        "uid": "hook",
        "retryPolicy": {"type": "fixed", "delayMs": 100, "maxAttempts": 5, "jitter": "none"},
    });
    server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
    let secret = server.api_expect(200, "GET", "/api/v1/app/shop/endpoint/hook/secret", Value::Null);
    secret["key"].as_str().unwrap().to_owned()
}

fn push(server: &Server, number: u32) -> String {
    let message = json!({"eventType": "order.paid", "payload": {"number": number}});
    let answer = server.api_expect(202, "POST", "/api/v1/app/shop/msg", message);
    answer["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_pushed_event_arrives_signed_and_is_retried_after_a_failure() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
    let secret = shop(&server, &receiver.url("/hook"));
    let id = push(&server, 7);
    let requests = receiver.wait_for(2, seconds(20));
    for request in &requests {
        assert_eq!(
            (request.method.as_str(), request.id(), request.json()),
            ("POST", id.as_str(), json!({"number": 7}))
        );
        assert!(request.is_signed_with(&secret), "{request:?}");
    }
}

#[test]
fn what_was_accepted_before_a_crash_is_delivered_after_it() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    // Nothing is settled before the crash.
    receiver.script("/hook", [Behaviour::Stall]);
    shop(&server, &receiver.url("/hook"));
    let accepted: HashSet<String> = (0..50).map(|number| push(&server, number)).collect();
    server.kill();
    receiver.clear();
    receiver.script("/hook", [Behaviour::status(200)]);
    server.start_again();
    let arrived = |requests: &[crate::harness::Received]| -> HashSet<String> {
        requests.iter().map(|request| request.id().to_owned()).collect()
    };
    let requests = receiver.wait_until(seconds(20), |requests| arrived(requests).len() >= accepted.len());
    assert_eq!(arrived(&requests), accepted);
}

#[test]
fn a_stop_finishes_the_attempts_in_flight_and_they_are_not_made_again() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [Behaviour::delayed(200, Duration::from_millis(700))]);
    shop(&server, &receiver.url("/hook"));
    (0..3).for_each(|number| drop(push(&server, number)));
    receiver.wait_for(3, seconds(20));
    assert_eq!(server.terminate(seconds(20)).code(), Some(0));
    server.start_again();
    // The next one comes after anything that would be made again: the endpoint reads its backlog in order.
    let last = push(&server, 4);
    let requests = receiver.wait_until(seconds(20), |requests| requests.iter().any(|request| request.id() == last));
    assert_eq!(requests.len(), 4);
}

#[test]
fn a_store_that_fails_stops_the_server_and_what_was_acknowledged_is_there_again() {
    let receiver = Receiver::start();
    let mut server = Server::start_on_small_disk(4 * 1024);
    shop(&server, &receiver.url("/hook"));
    let client = server.client();
    let message = json!({"eventType": "order.paid", "payload": {"filler": "x".repeat(8_000)}}).to_string();
    let mut accepted = HashSet::new();
    for _ in 0..2_000 {
        let Ok(answer) = client.send("POST", "/api/v1/app/shop/msg", &[], Some(message.as_bytes())) else { break };
        match answer.status {
            202 => accepted.insert(answer.json()["id"].as_str().unwrap().to_owned()),
            _ => break,
        };
    }
    assert_eq!(server.wait_exit(seconds(30)).code(), Some(1), "{:#?}", server.logs());
    assert!(!accepted.is_empty() && accepted.len() < 2_000);
    let again = Server::try_start_in(server.data(), &[], &[]).expect("it starts with room on the disk");
    let last = accepted.iter().max().unwrap();
    assert_eq!(again.api("GET", &format!("/api/v1/app/shop/msg/{last}"), Value::Null).0, 200);
    let arrived = |requests: &[crate::harness::Received]| -> HashSet<String> {
        requests.iter().map(|request| request.id().to_owned()).collect()
    };
    receiver.wait_until(seconds(30), |requests| arrived(requests).is_superset(&accepted));
}
