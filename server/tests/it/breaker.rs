//! The circuit breaker of a dead endpoint, seen from outside: at the receiver, in the API and in the metrics.
//!
//! Deliberately with the breaker's own times (a first hold of 2.5 to 5 s): they are no settings. Its rules have tests
//! beside them.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Failures in a row that open a breaker.
const TRIP: usize = 5;

/// Longer than any first hold.
const HOLD: Duration = Duration::from_secs(20);

const ENDPOINT: &str = "/api/v1/app/breaker/endpoint/hook";

fn set_up(server: &Server, url: &str, max_in_flight: u16) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Breaker", "uid": "breaker"}));
    let endpoint = json!({
        "url": url,
        "uid": "hook",
        "eventTypes": ["a"],
        "maxInFlight": max_in_flight,
        "retryPolicy": {"type": "fixed", "delayMs": 50, "maxAttempts": 50, "jitter": "none"},
    });
    server.api_expect(201, "POST", "/api/v1/app/breaker/endpoint", endpoint);
}

fn push(server: &Server, event_type: &str, count: usize) -> BTreeSet<String> {
    let item = json!({"eventType": event_type, "payload": {}});
    let answer = server.api_expect(202, "POST", "/api/v1/app/breaker/msg/batch", json!(vec![item; count]));
    answer["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Endpoints whose breaker is closed, open, half-open, as the metrics have it.
fn states(server: &Server) -> [f64; 3] {
    ["closed", "open", "half_open"]
        .map(|state| server.metric("pinion_breaker_endpoints", &[&format!("state=\"{state}\"")]))
}

fn transitions(server: &Server) -> [f64; 3] {
    ["closed", "open", "half_open"]
        .map(|to| server.metric("pinion_breaker_transitions_total", &[&format!("to=\"{to}\"")]))
}

fn wait_for_states(server: &Server, wanted: [f64; 3]) {
    poll_until(&format!("breakers {wanted:?}"), HOLD, || (states(server) == wanted).then_some(()));
}

/// The breaker as the API shows it: its state, the end of the hold, the number of openings.
fn shown(server: &Server) -> (String, Option<SystemTime>, u64) {
    let state = server.api_expect(200, "GET", &format!("{ENDPOINT}/state"), Value::Null);
    let until = state["breakerOpenUntil"].as_str().map(|text| {
        let at = OffsetDateTime::parse(text, &Rfc3339).unwrap();
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.unix_timestamp_nanos()).unwrap())
    });
    (state["breaker"].as_str().unwrap().to_owned(), until, state["breakerOpenings"].as_u64().unwrap())
}

/// Waits until the API, that is the disk, knows that the breaker opened so often; returns the end of the hold.
fn wait_for_opening(server: &Server, openings: u64) -> SystemTime {
    poll_until("open", HOLD, || {
        let (_, until, count) = shown(server);
        until.filter(|_| count == openings)
    })
}

fn attempts(server: &Server) -> f64 {
    server.metric("pinion_attempts_total", &[])
}

#[test]
fn a_dead_endpoint_costs_five_attempts_then_one_probe_and_comes_back() {
    let server = Server::start(&["--shards", "1"]);
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address: SocketAddr = dead.local_addr().unwrap();
    set_up(&server, &format!("http://{address}/hook"), 1);
    let neighbour = Receiver::start();
    let healthy = json!({"url": neighbour.url("/hook"), "uid": "neighbour", "eventTypes": ["b"]});
    server.api_expect(201, "POST", "/api/v1/app/breaker/endpoint", healthy);
    push(&server, "b", 1);
    neighbour.wait_for(1, seconds(20));

    let mut messages = push(&server, "a", 20);
    wait_for_states(&server, [1.0, 1.0, 0.0]);
    assert_eq!(transitions(&server), [0.0, 1.0, 0.0]);
    let until = wait_for_opening(&server, 1);
    assert_eq!(shown(&server).0, "open");
    // Nothing is attempted while it is open, however much comes in.
    messages.append(&mut push(&server, "a", 20));
    drop(dead);
    let receiver = Receiver::start_at(address);
    receiver.script("/hook", [Behaviour::delayed(200, Duration::from_millis(2_000)), Behaviour::status(200)]);
    let failed = server.metric("pinion_attempts_total", &["outcome=\"connect_error\""]);
    assert_eq!((failed, attempts(&server)), (TRIP as f64, TRIP as f64 + 1.0));

    // One probe: while it is out, nobody else may go.
    let probe = receiver.wait_for(1, HOLD).swap_remove(0);
    assert!(probe.at_wall >= until, "the probe came before the end of the hold");
    wait_for_states(&server, [1.0, 0.0, 1.0]);
    assert_eq!(shown(&server).0, "half_open");
    messages.append(&mut push(&server, "a", 10));
    assert_eq!(receiver.count(), 1);

    // It is found healthy: everything that waited is delivered, once.
    wait_for_states(&server, [2.0, 0.0, 0.0]);
    assert_eq!(transitions(&server), [1.0, 1.0, 1.0]);
    let requests = receiver.wait_for(messages.len(), seconds(30));
    assert!(requests[1..].iter().all(|next| next.at >= probe.at + Duration::from_millis(2_000)), "more than one probe");
    let arrived: BTreeSet<String> = requests.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!((arrived, requests.len()), (messages.clone(), messages.len()));
    poll_until("closed", seconds(20), || (shown(&server).0 == "closed").then_some(()));
    assert_eq!(attempts(&server), (1 + TRIP + messages.len()) as f64);
}

#[test]
fn an_open_breaker_survives_a_crash_and_a_failed_probe_opens_it_again() {
    let (mut server, receiver) = (Server::start(&["--shards", "1"]), Receiver::start());
    receiver.script("/hook", [Behaviour::status(500)]);
    set_up(&server, &receiver.url("/hook"), 8);
    push(&server, "a", 200);
    let until = wait_for_opening(&server, 1);
    poll_until("attempts in flight end", seconds(20), || {
        (server.metric("pinion_attempts_in_flight", &[]) == 0.0).then_some(())
    });
    let spent = receiver.count();
    assert!((TRIP..TRIP + 8).contains(&spent), "{spent} attempts before it opened");

    server.restart();
    push(&server, "a", 1);
    let requests = receiver.wait_for(spent + 1, HOLD);
    assert!(requests[spent].at_wall >= until, "a burst after the restart: {:?}", until.elapsed());
    let again = wait_for_opening(&server, 2);
    wait_for_states(&server, [0.0, 1.0, 0.0]);
    assert_eq!(receiver.count(), spent + 1, "one probe");
    let hold = again.duration_since(requests[spent].at_wall).unwrap();
    assert!((seconds(5)..seconds(12)).contains(&hold), "the second hold is twice as long: {hold:?}");
}

#[test]
fn a_mended_endpoint_does_not_wait_for_the_end_of_the_hold() {
    let (server, receiver) = (Server::start(&["--shards", "1"]), Receiver::start());
    receiver.script("/ill", [Behaviour::status(500)]);
    set_up(&server, &receiver.url("/ill"), 1);
    let messages = push(&server, "a", 10);
    let until = wait_for_opening(&server, 1);
    server.api_expect(200, "PATCH", ENDPOINT, json!({"url": receiver.url("/well")}));
    let requests = receiver.wait_for(TRIP + messages.len(), seconds(20));
    assert_eq!(receiver.requests_to("/ill").len(), TRIP);
    assert!(requests[TRIP].at_wall < until, "it waited");
    poll_until("closed", seconds(20), || (shown(&server) == ("closed".to_owned(), None, 0)).then_some(()));
    assert_eq!(transitions(&server), [1.0, 1.0, 0.0]);
}
