//! A tenant whose receivers take requests and never answer: it may hold places of attempts, but never those that
//! another tenant needs.

use super::neighbour::Neighbour;
use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// Places of each of two shards: an eighth of a default's, so that few endpoints can take them all.
const PLACES: usize = 1_024;

/// Time for the machine's other work.
const SLACK: Duration = Duration::from_millis(60);

/// Endpoints of the application `mean`, each at a path of its own.
fn endpoints(server: &Server, receiver: &Receiver, count: usize, settings: &Value) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "mean", "uid": "mean"}));
    for number in 0..count {
        let mut endpoint = settings.clone();
        endpoint["url"] = receiver.url(&format!("/{number}")).into();
        endpoint["uid"] = format!("e{number}").into();
        server.api_expect(201, "POST", "/api/v1/app/mean/endpoint", endpoint);
    }
}

fn push(server: &Server, count: usize) {
    let messages: Vec<Value> = (0..count).map(|number| json!({"eventType": "a", "payload": {"n": number}})).collect();
    let answer = server.api_expect(202, "POST", "/api/v1/app/mean/msg/batch", Value::Array(messages));
    assert_eq!(answer["rejected"], 0, "{answer}");
}

fn in_flight(server: &Server) -> usize {
    server.metric("pinion_attempts_in_flight", &[]) as usize
}

fn server() -> Server {
    let places = PLACES.to_string();
    Server::start(&["--shards", "2", "--max-in-flight-per-shard", &places, "--attempt-timeout-ms", "60000"])
}

#[test]
fn endpoints_that_answer_well_and_then_go_silent_leave_places_for_a_neighbour() {
    const ENDPOINTS: usize = 12;
    let (server, receiver) = (server(), Receiver::start());
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(3), Duration::from_millis(5));
    endpoints(&server, &receiver, ENDPOINTS, &json!({"maxInFlight": 512, "timeoutMs": 120_000}));
    // Windows grow while it answers.
    push(&server, 250);
    receiver.wait_for(250 * ENDPOINTS, seconds(60));
    (0..ENDPOINTS).for_each(|number| receiver.script(&format!("/{number}"), [Behaviour::Stall]));
    for _ in 0..2 {
        push(&server, 1_000);
    }
    let held = poll_until("silent attempts", seconds(20), || Some(in_flight(&server)).filter(|held| *held >= 256));
    let beside = neighbour.watch(seconds(5), Duration::from_millis(5));
    let most = in_flight(&server);
    eprintln!("{held} attempts were silent at first, then {most} of {} places", 2 * PLACES);
    beside.assert_beside(&alone, 0.95, SLACK);
    assert!(most <= PLACES + 64, "one tenant holds {most} of {} places", 2 * PLACES);
}

#[test]
fn a_batch_of_two_to_very_many_silent_endpoints_leaves_places_for_a_neighbour() {
    const ENDPOINTS: usize = 900;
    let (server, receiver) = (
        Server::start(&["--shards", "1", "--max-in-flight-per-shard", "512", "--attempt-timeout-ms", "60000"]),
        Receiver::start(),
    );
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(3), Duration::from_millis(5));
    endpoints(&server, &receiver, ENDPOINTS, &json!({}));
    (0..ENDPOINTS).for_each(|number| receiver.script(&format!("/{number}"), [Behaviour::Stall]));
    push(&server, 2);
    poll_until("silent attempts", seconds(20), || (in_flight(&server) >= 250).then_some(()));
    let beside = neighbour.watch(seconds(5), Duration::from_millis(5));
    let most = in_flight(&server);
    eprintln!("{most} of 512 places are silent");
    beside.assert_beside(&alone, 0.95, SLACK);
    assert!(most <= 256 + 8, "one tenant holds {most} places");
}
