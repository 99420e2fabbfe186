//! Endpoints that never answer: their neighbours and the memory notice nothing of them.
//!
//! Both applications and all endpoints share one process with two shards or one. A neighbour's time with the black hole
//! is compared with its time without, in the same process.

use crate::harness::{Behaviour, Received, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Events pushed at once.
const BATCH: u64 = 500;

/// Memory that an attempt in flight may hold: its task, the buffers of its connection.
const ATTEMPT_MAX_KIB: usize = 32;

/// Bound on the growth of memory while a backlog of 20,000 builds up: the backlog belongs on the disk.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

fn application(server: &Server, uid: &str) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
}

/// The endpoint `uid` of `app` at the path `/APP/UID`; returns that path.
fn endpoint(server: &Server, receiver: &Receiver, app: &str, uid: &str) -> String {
    let path = format!("/{app}/{uid}");
    let policy = json!({"type": "fixed", "delayMs": 500, "maxAttempts": 100, "jitter": "none"});
    let endpoint = json!({"url": receiver.url(&path), "uid": uid, "retryPolicy": policy});
    server.api_expect(201, "POST", &format!("/api/v1/app/{app}/endpoint"), endpoint);
    path
}

/// Pushes events numbered from `first` to each of these applications in turns; returns when each is on the disk.
fn push(server: &Server, apps: &[&str], first: u64, count: u64) {
    let client = server.client();
    for start in (first..first + count).step_by(BATCH as usize) {
        let numbers = start..(start + BATCH).min(first + count);
        let messages = numbers.map(|number| json!({"eventType": "a.b", "payload": {"number": number}}));
        let body = Value::Array(messages.collect()).to_string().into_bytes();
        for app in apps {
            let path = format!("/api/v1/app/{app}/msg/batch");
            let answer = client.send("POST", &path, &[], Some(&body)).expect("an answer");
            assert_eq!((answer.status, answer.json()["rejected"].as_u64()), (202, Some(0)), "{}", answer.text());
        }
    }
}

/// Waits until each path has been answered `count` times with 200 since the last [`Receiver::clear`].
fn wait_for_each(receiver: &Receiver, paths: &[&str], count: usize, deadline: Duration) -> Vec<Received> {
    let mut left: HashMap<&str, usize> = paths.iter().map(|path| (*path, count)).collect();
    let mut looked_at = 0;
    receiver.wait_until(deadline, |requests| {
        for request in requests[looked_at..].iter().filter(|request| request.answered == 200) {
            if let Some(left) = left.get_mut(request.path.as_str()) {
                *left = left.saturating_sub(1);
            }
        }
        looked_at = requests.len();
        left.values().all(|left| *left == 0)
    })
}

fn numbers(requests: &[Received], path: &str) -> Vec<u64> {
    let to_path = requests.iter().filter(|request| request.path == path);
    to_path.map(|request| request.json()["number"].as_u64().expect("a number")).collect()
}

/// Each of `first..first + count` once.
#[track_caller]
fn assert_each_once(requests: &[Received], path: &str, first: u64, count: u64) {
    let mut numbers = numbers(requests, path);
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(first..first + count), "{path}: {} arrived", numbers.len());
}

/// Longest time that neighbours may take, when they took `alone` without a black hole. It leaves room for the machine's
/// other load. Waiting for one timed-out attempt after the other would take far longer.
fn promptly(alone: Duration) -> Duration {
    alone * 2 + seconds(5)
}

#[test]
fn a_black_hole_with_a_backlog_costs_its_neighbours_and_the_memory_nothing() {
    const COUNT: u64 = 20_000;
    let (server, receiver) = (Server::start(&["--attempt-timeout-ms", "2000"]), Receiver::start());
    application(&server, "one");
    application(&server, "two");
    let near = endpoint(&server, &receiver, "one", "near");
    let far = endpoint(&server, &receiver, "two", "far");
    let neighbours = [near.as_str(), far.as_str()];
    let started = Instant::now();
    push(&server, &["one", "two"], 0, COUNT);
    wait_for_each(&receiver, &neighbours, COUNT as usize, seconds(90));
    let alone = started.elapsed();
    let before_kib = server.resident_kib();

    receiver.clear();
    let hole = endpoint(&server, &receiver, "one", "hole");
    receiver.script(&hole, [Behaviour::Stall]);
    let started = Instant::now();
    push(&server, &["one", "two"], COUNT, COUNT);
    let requests = wait_for_each(&receiver, &neighbours, COUNT as usize, promptly(alone));
    let beside = started.elapsed();
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    let tried = numbers(&requests, &hole).len();
    eprintln!(
        "neighbours: {alone:?} alone, {beside:?} beside it; {before_kib} KiB and {grown_kib} more; {tried} tried"
    );
    assert_each_once(&requests, &near, COUNT, COUNT);
    assert_each_once(&requests, &far, COUNT, COUNT);
    assert!(grown_kib <= GROWTH_MAX_KIB, "memory grew by {grown_kib} KiB");
    assert_eq!(server.metric("pinion_endpoints_behind", &[]), 1.0);

    // Its breaker opens, and then it holds no connection.
    let state = || server.api_expect(200, "GET", "/api/v1/app/one/endpoint/hole/state", Value::Null);
    poll_until("an open breaker", seconds(20), || (state()["breaker"] == "open").then_some(()));

    // One at a time, so that the order of arrival is the order of the attempts.
    receiver.clear();
    server.api_expect(200, "PATCH", "/api/v1/app/one/endpoint/hole", json!({"maxInFlight": 1}));
    receiver.script(&hole, [Behaviour::status(200)]);
    let requests = wait_for_each(&receiver, &[&hole], COUNT as usize, seconds(180));
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(grown_kib <= GROWTH_MAX_KIB, "memory grew by {grown_kib} KiB when it caught up");
    assert_each_once(&requests, &hole, COUNT, COUNT);
    let first_tries: Vec<u64> =
        numbers(&requests, &hole).into_iter().filter(|number| *number >= COUNT + tried as u64 + 64).collect();
    assert!(first_tries.is_sorted(), "first attempts out of the order of the log");
    assert!(first_tries.len() > COUNT as usize / 2);
}

#[test]
fn two_hundred_black_holes_at_once_cost_their_neighbours_nothing_and_hold_few_sockets() {
    const COUNT: u64 = 2_000;
    const HOLES: usize = 200;
    let (server, receiver) = (Server::start(&["--attempt-timeout-ms", "3000"]), Receiver::start());
    let black = Receiver::start();
    for app in ["one", "two", "holes"] {
        application(&server, app);
    }
    let near = endpoint(&server, &receiver, "one", "near");
    let far = endpoint(&server, &receiver, "two", "far");
    let neighbours = [near.as_str(), far.as_str()];
    let started = Instant::now();
    push(&server, &["one", "two"], 0, COUNT);
    wait_for_each(&receiver, &neighbours, COUNT as usize, seconds(60));
    let alone = started.elapsed();
    let before_kib = server.resident_kib();

    receiver.clear();
    for number in 0..HOLES {
        let app = if number % 2 == 0 { "holes" } else { "one" };
        let path = endpoint(&server, &black, app, &format!("hole-{number}"));
        black.script(&path, [Behaviour::Stall]);
    }
    push(&server, &["holes", "one"], COUNT, 100);
    // At least so many attempts of theirs are under way now.
    black.wait_for(HOLES, seconds(30));
    let started = Instant::now();
    push(&server, &["one", "two"], COUNT + 100, COUNT);
    let requests = wait_for_each(&receiver, &neighbours, COUNT as usize, promptly(alone));
    let (beside, sockets) = (started.elapsed(), black.open_connections());
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    eprintln!("neighbours: {alone:?} alone, {beside:?} beside them; {sockets} sockets, {grown_kib} KiB more");
    assert!(numbers(&requests, &far).len() >= COUNT as usize);
    // The window of an endpoint that never answered is at most 16.
    assert!(sockets <= HOLES * 16, "{sockets} sockets");
    assert!(grown_kib <= GROWTH_MAX_KIB + (HOLES * 16 * ATTEMPT_MAX_KIB) as u64, "memory grew by {grown_kib} KiB");

    // Once their breakers are open, only a probe holds a socket now and then.
    poll_until("closed sockets", seconds(30), || (black.open_connections() < HOLES / 4).then_some(()));
}

#[test]
fn a_shard_full_of_black_holes_goes_on_when_their_breakers_open() {
    const HOLES: usize = 40;
    let arguments =
        ["--shards", "1", "--max-in-flight-per-shard", "16", "--attempt-timeout-ms", "500", "--max-in-flight", "16"];
    let (server, receiver) = (Server::start(&arguments), Receiver::start());
    application(&server, "holes");
    application(&server, "good");
    for number in 0..HOLES {
        let path = endpoint(&server, &receiver, "holes", &format!("hole-{number}"));
        receiver.script(&path, [Behaviour::Stall]);
    }
    let good = endpoint(&server, &receiver, "good", "near");
    push(&server, &["holes"], 0, 100);
    receiver.wait_for(16, seconds(20));
    // They take every place on the shard, one after the other, until none of them may.
    push(&server, &["good"], 0, 200);
    let requests = wait_for_each(&receiver, &[&good], 200, seconds(60));
    assert_each_once(&requests, &good, 0, 200);
}

#[test]
fn black_holes_without_number_leave_places_for_their_neighbours() {
    const HOLES: usize = 60;
    const COUNT: u64 = 2_000;
    // Their windows of 16 would fill the shard four times; no attempt of theirs ends and no breaker opens before the end.
    let arguments = ["--shards", "1", "--max-in-flight-per-shard", "256", "--attempt-timeout-ms", "60000"];
    let (server, receiver, black) = (Server::start(&arguments), Receiver::start(), Receiver::start());
    application(&server, "holes");
    application(&server, "good");
    for number in 0..HOLES {
        let path = endpoint(&server, &black, "holes", &format!("hole-{number}"));
        black.script(&path, [Behaviour::Stall]);
    }
    let near = endpoint(&server, &receiver, "good", "near");
    push(&server, &["holes"], 0, 100);
    // Each has an attempt under way by then, and together they have nearly the half of the places that an application may
    // have.
    black.wait_for(100, seconds(30));
    push(&server, &["good"], 0, COUNT);
    let requests = wait_for_each(&receiver, &[&near], COUNT as usize, seconds(30));
    assert_each_once(&requests, &near, 0, COUNT);
    assert!(black.open_connections() <= 128);
}

#[test]
fn a_place_that_the_next_in_line_does_not_want_goes_to_the_one_after() {
    let arguments = ["--shards", "1", "--max-in-flight-per-shard", "1", "--attempt-timeout-ms", "2000"];
    let (server, receiver) = (Server::start(&arguments), Receiver::start());
    for app in ["hole", "disabled", "good"] {
        application(&server, app);
        endpoint(&server, &receiver, app, "here");
    }
    receiver.script("/hole/here", [Behaviour::Stall]);
    push(&server, &["hole"], 0, 1);
    receiver.wait_for(1, seconds(20));
    // Both wait for the only place; then the first has nothing to do any more.
    push(&server, &["disabled", "good"], 0, 1);
    server.api_expect(200, "PATCH", "/api/v1/app/disabled/endpoint/here", json!({"disabled": true}));
    server.api_expect(200, "PATCH", "/api/v1/app/hole/endpoint/here", json!({"disabled": true}));
    let requests = wait_for_each(&receiver, &["/good/here"], 1, seconds(20));
    assert_eq!(requests.len(), 2);
}

#[test]
fn backlogs_of_many_dead_endpoints_keep_to_the_memory_that_they_may_take() {
    const HOLES: usize = 60;
    const BOUND_BYTES: f64 = 1_048_576.0;
    let arguments = ["--shards", "1", "--queue-memory-bytes-per-shard", "1MiB", "--attempt-timeout-ms", "60000"];
    let (server, receiver, black) = (Server::start(&arguments), Receiver::start(), Receiver::start());
    application(&server, "one");
    for number in 0..HOLES {
        let path = endpoint(&server, &black, "one", &format!("hole-{number}"));
        black.script(&path, [Behaviour::Stall]);
    }
    let near = endpoint(&server, &receiver, "one", "near");
    push(&server, &["one"], 0, 5_000);
    let requests = wait_for_each(&receiver, &[&near], 5_000, seconds(60));
    assert_each_once(&requests, &near, 0, 5_000);
    let queued = server.metric("pinion_queued_payload_bytes", &[]);
    // Twice the bound, and one event of each endpoint.
    assert!(queued <= 2.0 * BOUND_BYTES + (HOLES * 1_024) as f64, "{queued} bytes queued");
    assert_eq!(server.metric("pinion_endpoints_behind", &[]), HOLES as f64);
}
