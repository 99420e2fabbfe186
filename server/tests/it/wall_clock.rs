//! The wall clock is stepped by an hour, either way, while the server runs. Retries and holds keep their time, new
//! messages go out at once, and signatures carry the new time. A restart after that neither loses nor repeats.
//!
//! Due times are on the disk as times of the wall. So they come early after a restart on a clock that was set ahead,
//! and late on one that was set back, by as much. Nothing here asks for more.
//!
//! Not the monotonic clock, which never jumps, and not a clock that is slightly wrong.

use crate::harness::{Behaviour, Client, Received, Receiver, Server, poll_until, seconds};
use crate::wall::Wall;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

const HOUR_MS: i64 = 3_600_000;

/// The wait of a retry of `/retried`.
const RETRY_DELAY: Duration = Duration::from_secs(3);

/// The shortest first hold of a breaker, and the number of failures that opens one.
const HOLD_MIN: Duration = Duration::from_millis(2_500);
const TRIP: usize = 5;

/// Delay that anything may have on a loaded machine.
const LATE: Duration = Duration::from_secs(5);

/// Between two messages of the load.
const LOAD_GAP: Duration = Duration::from_millis(10);

/// Messages for `/dead`, `/patient` and `/retried`.
const DEAD: usize = 20;
const PATIENT: usize = 4;
const RETRIED: usize = 2;

fn set_up(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "shop", "uid": "shop"}));
    let retry_ms = RETRY_DELAY.as_millis() as u64;
    for (uid, delay_ms) in [("good", 1_000), ("retried", retry_ms), ("dead", 100), ("patient", 600_000)] {
        let policy = json!({"type": "fixed", "delayMs": delay_ms, "maxAttempts": 50, "jitter": "none"});
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "filterTypes": [uid],
            "maxInFlight": if uid == "dead" { 1 } else { 8 }, "retryPolicy": policy});
        server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
    }
}

fn push(client: &Client, event_type: &str, count: usize) -> BTreeSet<String> {
    let message = json!({"eventType": event_type, "payload": {}});
    let (status, answer) = client.json("POST", "/api/v1/app/shop/msg/batch", Value::Array(vec![message; count]));
    assert_eq!(status, 202, "{answer}");
    answer["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn to<'a>(requests: &'a [Received], path: &str) -> Vec<&'a Received> {
    requests.iter().filter(|request| request.path == path).collect()
}

/// Waits until `path` has had `count` requests.
fn wait_for(receiver: &Receiver, path: &str, count: usize, deadline: Duration) -> Vec<Received> {
    receiver.wait_until(deadline, |requests| to(requests, path).len() >= count);
    receiver.requests_to(path)
}

/// Waits until the attempts to an endpoint are on the disk.
fn wait_for_attempts(server: &Server, uid: &str, count: usize) {
    let path = format!("/api/v1/app/shop/attempt/endpoint/{uid}?limit=250");
    poll_until("attempts", seconds(20), || {
        let attempts = server.api_expect(200, "GET", &path, Value::Null);
        (attempts["data"].as_array().unwrap().len() == count).then_some(())
    });
}

/// Ends the load, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends messages one by one while the clock jumps; returns the instant when each was taken in.
fn load(client: &Client, ends: &AtomicBool) -> HashMap<String, Instant> {
    let (started, mut pushed) = (Instant::now(), HashMap::new());
    while !ends.load(Ordering::Relaxed) {
        std::thread::sleep((LOAD_GAP * pushed.len() as u32).saturating_sub(started.elapsed()));
        let ids = push(client, "good", 1);
        pushed.extend(ids.into_iter().map(|id| (id, Instant::now())));
    }
    pushed
}

/// Every message arrived once, none late.
fn all_arrived_in_time(receiver: &Receiver, pushed: &HashMap<String, Instant>) {
    let arrived = wait_for(receiver, "/good", pushed.len(), LATE);
    assert_eq!(arrived.len(), pushed.len(), "delivered twice");
    for request in arrived {
        // It may arrive before its acknowledgement.
        let late = request.at.saturating_duration_since(pushed[request.id()]);
        assert!(late < LATE, "{} came {late:?} after it was taken in", request.id());
    }
}

/// Requests that were signed some time after the jump carry the wall time of then.
fn signatures_follow(requests: &[Received], jumped: Instant, by_ms: i64) {
    let later: Vec<_> = requests.iter().filter(|request| request.at > jumped + seconds(1)).collect();
    assert!(later.len() > 10, "{} requests", later.len());
    for request in later {
        let wall_s = request.at_wall.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + by_ms / 1_000;
        let signed_s: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
        assert!((wall_s - 5..=wall_s + 1).contains(&signed_s), "signed at {signed_s}, it was {wall_s}");
    }
}

/// The jump under load, with retries to come and a breaker open.
fn jump_while_it_runs(server: &Server, receiver: &Receiver, wall: &Wall, by_ms: i64) {
    let client = server.client();
    for (path, status) in [("/retried", 500), ("/dead", 503), ("/patient", 500)] {
        receiver.script(path, [Behaviour::status(status)]);
    }
    let ends = AtomicBool::new(false);
    let (pushed, jumped) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&client, &ends));
        let running = Ends(&ends);
        push(&client, "patient", PATIENT);
        wait_for_attempts(server, "patient", PATIENT);
        push(&client, "dead", DEAD);
        let tripped = wait_for(receiver, "/dead", TRIP, seconds(20)).remove(TRIP - 1);
        push(&client, "retried", RETRIED);
        let first = wait_for(receiver, "/retried", RETRIED, seconds(20)).remove(0);
        wall.set_offset_ms(by_ms);
        let jumped = Instant::now();
        for path in ["/retried", "/dead"] {
            receiver.script(path, [Behaviour::status(200)]);
        }
        let retried = wait_for(receiver, "/retried", 2 * RETRIED, RETRY_DELAY + LATE);
        let dead = wait_for(receiver, "/dead", TRIP + DEAD, seconds(20));
        drop(running);
        assert!(retried[RETRIED..].iter().all(|again| again.at >= first.at + RETRY_DELAY), "a retry came early");
        assert!(retried[RETRIED].at <= first.at + RETRY_DELAY + LATE, "a retry came late");
        assert!(dead[TRIP].at >= tripped.at + HOLD_MIN, "the breaker's hold was cut short");
        assert_eq!((retried.len(), dead.len()), (2 * RETRIED, TRIP + DEAD));
        (load.join().unwrap(), jumped)
    });
    assert_eq!(receiver.requests_to("/patient").len(), PATIENT, "retries came before their time");
    all_arrived_in_time(receiver, &pushed);
    signatures_follow(&receiver.requests(), jumped, by_ms);
}

/// New messages arrive, and nothing else does but, if `due`, the retries: each once.
fn restart_and_go_on(server: &mut Server, receiver: &Receiver, due: Option<usize>) {
    receiver.clear();
    // By a stop and not a kill: a kill may repeat attempts in flight.
    assert!(server.terminate(seconds(20)).success());
    server.start_again();
    let client = server.client();
    let pushed: HashMap<_, _> = (0..20).flat_map(|_| push(&client, "good", 1)).map(|id| (id, Instant::now())).collect();
    all_arrived_in_time(receiver, &pushed);
    if let Some(due) = due {
        receiver.wait_for(pushed.len() + due, seconds(20));
    }
    assert_eq!(receiver.count(), pushed.len() + due.unwrap_or(0));
}

fn the_clock_jumps(by_ms: i64) -> (Server, Receiver, Wall) {
    let (wall, receiver) = (Wall::new(), Receiver::start());
    let root = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_start_in(root, &["--shards=1"], &wall.environment()).unwrap();
    set_up(&server, &receiver);
    jump_while_it_runs(&server, &receiver, &wall, by_ms);
    receiver.script("/patient", [Behaviour::status(200)]);
    (server, receiver, wall)
}

#[test]
fn a_clock_that_is_set_ahead_makes_no_storm_and_a_restart_sends_what_is_due_by_it_once() {
    let (mut server, receiver, _wall) = the_clock_jumps(HOUR_MS);
    restart_and_go_on(&mut server, &receiver, Some(PATIENT));
    // And not again.
    restart_and_go_on(&mut server, &receiver, None);
}

#[test]
fn a_clock_that_is_set_back_stalls_nothing_and_a_restart_loses_nothing() {
    let (mut server, receiver, wall) = the_clock_jumps(-HOUR_MS);
    // By this clock they are due in an hour.
    restart_and_go_on(&mut server, &receiver, None);
    wall.set_offset_ms(HOUR_MS);
    restart_and_go_on(&mut server, &receiver, Some(PATIENT));
}
