//! Work that one tenant makes for the thread that all share: endpoints that match nothing, and events that everybody
//! wants.

use super::neighbour::Neighbour;
use crate::harness::{Server, seconds};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Endpoints of the tenant that means harm: as many as it may have.
const ENDPOINTS: usize = 1_000;

/// Threads that make them: each waits for its commit.
const MAKERS: usize = 8;

/// Messages of one batch, about 33 KB.
const BATCH: usize = 1_000;

/// A million waiting deliveries are marks of a thousand endpoints, and the rows of each within its shard's budget.
const GROWTH_MAX_KIB: u64 = 192 * 1024;

/// Between two pushes of the neighbour.
const GAP: Duration = Duration::from_millis(20);

/// Time that the neighbour is watched for.
const WATCHED: Duration = Duration::from_secs(3);

/// An application with as many endpoints of this kind as it may have.
fn crowd(server: &Server, endpoint: &Value) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "crowd", "uid": "crowd"}));
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..MAKERS {
            let client = server.client();
            scope.spawn(move || {
                for _ in 0..ENDPOINTS / MAKERS {
                    let (status, answer) = client.json("POST", "/api/v1/app/crowd/endpoint", endpoint.clone());
                    assert_eq!(status, 201, "{answer}");
                }
            });
        }
    });
    eprintln!("{ENDPOINTS} endpoints in {:?}", started.elapsed());
}

fn batch(event_type: &str) -> Vec<u8> {
    Value::Array(vec![json!({"eventType": event_type, "payload": {}}); BATCH]).to_string().into_bytes()
}

/// Pushes one batch; returns the time until it was on the disk.
fn push(server: &Server, body: &[u8]) -> Duration {
    let started = Instant::now();
    let answer = server.client().send("POST", "/api/v1/app/crowd/msg/batch", &[], Some(body)).expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.text());
    started.elapsed()
}

#[test]
fn endpoints_that_match_nothing_cost_an_event_nothing() {
    let server = Server::start(&[]);
    let mut neighbour = Neighbour::new(&server);
    // Each of them wants the type, and a channel that no message has.
    let url = "http://127.0.0.1:9/";
    crowd(&server, &json!({"url": url, "eventTypes": ["a.*", "a.b.*", "a.b.c"], "channels": ["none", "nobody"]}));
    let alone = neighbour.watch(WATCHED, GAP);
    let (body, over, mut batches) = (batch("a.b.c"), AtomicBool::new(false), Vec::new());
    let beside = thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                took.push(push(&server, &body));
            }
            took
        });
        let beside = neighbour.watch(WATCHED, GAP);
        over.store(true, Ordering::Relaxed);
        batches = pushing.join().expect("it pushed");
        beside
    });
    batches.sort_unstable();
    let longest = *batches.last().expect("one batch");
    eprintln!(
        "{} batches of {BATCH} beside {ENDPOINTS} endpoints that match nothing, the longest {longest:?}",
        batches.len()
    );
    assert!(longest < seconds(1), "{longest:?}");
    beside.assert_beside(&alone, 0.95, seconds(1));
}

#[test]
fn one_batch_that_a_thousand_endpoints_want_takes_no_memory_to_speak_of_and_no_time_of_the_neighbour() {
    let server = Server::start(&[]);
    let mut neighbour = Neighbour::new(&server);
    // Nobody listens there: each fails at once and waits for its retry.
    crowd(&server, &json!({"url": "http://127.0.0.1:9/"}));
    let alone = neighbour.watch(WATCHED, GAP);
    let before = server.resident_kib();
    let took = push(&server, &batch("a.b"));
    let over = AtomicBool::new(false);
    let (beside, most) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(server.resident_kib());
                thread::sleep(GAP);
            }
            most
        });
        let beside = neighbour.watch(WATCHED, GAP);
        over.store(true, Ordering::Relaxed);
        (beside, looking.join().expect("it looked"))
    });
    let grown = most.saturating_sub(before);
    eprintln!("a batch of {BATCH} to {ENDPOINTS} endpoints: {took:?} to the disk, {grown} KiB more memory");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB");
    beside.assert_beside(&alone, 0.95, seconds(2));
}
