//! Deliveries that wait when a process ends go on with the next one: retries, dead letters, disabled endpoints,
//! backlogs. A stop in the middle of the load is orderly.
//!
//! Not kills at random instants: those are in `crash`.

use crate::harness::{Behaviour, Received, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The wait of each endpoint's retries.
const RETRY_DELAY: Duration = Duration::from_secs(3);

/// Messages for the endpoint that falls behind.
const BACKLOG: usize = 3_000;

fn endpoint(server: &Server, receiver: &Receiver, uid: &str, max_attempts: u32) {
    let policy = json!({"type": "fixed", "delayMs": RETRY_DELAY.as_millis() as u64, "maxAttempts": max_attempts,
        "jitter": "none"});
    let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "filterTypes": [uid],
        "retryPolicy": policy});
    server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
}

fn push(server: &Server, event_type: &str, count: usize) -> HashSet<String> {
    let mut ids = HashSet::new();
    while ids.len() < count {
        let batch = (count - ids.len()).min(500);
        let messages = vec![json!({"eventType": event_type, "payload": {}}); batch];
        let answer = server.api_expect(202, "POST", "/api/v1/app/shop/msg/batch", Value::Array(messages));
        let items = answer["data"].as_array().expect("a list");
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
    }
    ids
}

fn get(server: &Server, path: &str) -> Value {
    server.api_expect(200, "GET", &format!("/api/v1/app/shop/{path}"), Value::Null)
}

fn items(server: &Server, path: &str) -> Vec<Value> {
    get(server, path)["data"].as_array().expect("a list").clone()
}

fn ids(requests: &[Received]) -> HashSet<String> {
    requests.iter().map(|request| request.id().to_owned()).collect()
}

/// The known state of the four endpoints before the end.
struct Before {
    retried: HashSet<String>,
    dead: HashSet<String>,
    gone: HashSet<String>,
    behind: HashSet<String>,
    first_failed: Instant,
}

/// Brings each endpoint into its state, durably.
fn set_up(server: &Server, receiver: &Receiver) -> Before {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "shop", "uid": "shop"}));
    for (uid, max_attempts) in [("retried", 10), ("dead", 1), ("gone", 10), ("behind", 100)] {
        endpoint(server, receiver, uid, max_attempts);
    }
    receiver.script("/retried", [Behaviour::status(500)]);
    receiver.script("/dead", [Behaviour::status(500)]);
    receiver.script("/gone", [Behaviour::status(410)]);
    receiver.script("/behind", [Behaviour::Stall]);
    let behind = push(server, "behind", BACKLOG);
    let dead = push(server, "dead", 3);
    let gone = push(server, "gone", 1);
    let attempts = |uid: &str| items(server, &format!("attempt/endpoint/{uid}")).len();
    poll_until("dead letters", seconds(20), || (items(server, "endpoint/dead/dead-letter").len() == 3).then_some(()));
    poll_until("disabled", seconds(20), || (get(server, "endpoint/gone")["disabled"] == true).then_some(()));
    poll_until("an open breaker", seconds(20), || {
        (get(server, "endpoint/behind/state")["breaker"] == "open").then_some(())
    });
    // Last, so that their retries are still to come when the process ends.
    let retried = push(server, "retried", 4);
    let first_failed = receiver.wait_until(seconds(20), |requests| requests.iter().any(|one| one.path == "/retried"));
    poll_until("failed attempts", seconds(20), || (attempts("retried") == 4).then_some(()));
    let first_failed = first_failed.iter().find(|one| one.path == "/retried").expect("it was found").at;
    Before { retried, dead, gone, behind, first_failed }
}

fn everything_goes_on(end: impl FnOnce(&mut Server)) {
    let (mut server, receiver) = (Server::start(&["--attempt-timeout-ms", "1000"]), Receiver::start());
    let before = set_up(&server, &receiver);
    end(&mut server);
    receiver.clear();
    for path in ["/retried", "/behind"] {
        receiver.script(path, [Behaviour::status(200)]);
    }
    server.start_again();

    // Retries, once each and not before their time.
    let arrived = |path: &'static str, wanted: usize| {
        let path_is = move |request: &&Received| request.path == path;
        receiver.wait_until(seconds(60), |requests| requests.iter().filter(path_is).count() >= wanted);
        receiver.requests_to(path)
    };
    let retried = arrived("/retried", 4);
    assert_eq!(ids(&retried), before.retried);
    assert!(retried.iter().all(|request| request.at >= before.first_failed + RETRY_DELAY));
    poll_until("second attempts", seconds(20), || {
        let attempts = items(&server, "attempt/endpoint/retried?status=0");
        (attempts.len() == 4 && attempts.iter().all(|one| one["attempt"] == 2)).then_some(())
    });

    // The backlog, everything of it.
    let mut seen = HashSet::new();
    let mut looked_at = 0;
    receiver.wait_until(seconds(90), |requests| {
        let new = requests[looked_at..].iter().filter(|request| request.path == "/behind");
        seen.extend(new.map(|request| request.id().to_owned()));
        looked_at = requests.len();
        seen.len() == BACKLOG
    });
    assert_eq!(seen, before.behind);
    let successes = receiver.requests_to("/behind").iter().filter(|request| request.answered == 200).count();
    assert_eq!(successes, BACKLOG, "delivered twice without a reason");

    // Dead letters stay dead until they are redriven; the disabled endpoint stays disabled until it is enabled.
    let letters = items(&server, "endpoint/dead/dead-letter");
    let letter_ids: HashSet<String> = letters.iter().map(|letter| letter["msgId"].as_str().unwrap().into()).collect();
    assert_eq!(letter_ids, before.dead);
    assert!(letters.iter().all(|letter| letter["reason"] == "attempts_exhausted" && letter["attempts"] == 1));
    assert_eq!(get(&server, "endpoint/gone")["disabledReason"], "gone");
    let letters = items(&server, "endpoint/gone/dead-letter");
    assert_eq!(letters.iter().filter(|letter| before.gone.contains(letter["msgId"].as_str().unwrap())).count(), 1);
    push(&server, "gone", 2);
    for path in ["/dead", "/gone"] {
        assert!(receiver.requests_to(path).is_empty(), "{path} was tried");
        receiver.script(path, [Behaviour::status(200)]);
    }
    server.api_expect(202, "POST", "/api/v1/app/shop/endpoint/dead/dead-letter/redrive", json!({}));
    assert_eq!(ids(&arrived("/dead", 3)), before.dead);
    server.api_expect(200, "PATCH", "/api/v1/app/shop/endpoint/gone", json!({"disabled": false}));
    let after = push(&server, "gone", 1);
    assert_eq!(ids(&arrived("/gone", 1)), after);
    assert_eq!(receiver.requests_to("/retried").len(), 4);
}

#[test]
fn after_a_kill_everything_that_waited_goes_on() {
    everything_goes_on(Server::kill);
}

#[test]
fn after_a_stop_everything_that_waited_goes_on() {
    everything_goes_on(|server| assert_eq!(server.terminate(seconds(10)).code(), Some(0)));
}

/// Pushes until refused; returns the ids of the acknowledged messages.
fn push_until_refused(server: &Server, acknowledged: &AtomicUsize) -> Vec<String> {
    let client = server.client();
    let message = json!({"eventType": "a.b", "payload": {}}).to_string();
    let mut ids = Vec::new();
    while let Ok(response) = client.send("POST", "/api/v1/app/shop/msg", &[], Some(message.as_bytes())) {
        match response.status {
            202 => ids.push(response.json()["id"].as_str().expect("an id").to_owned()),
            503 => break,
            other => panic!("{other}: {}", response.text()),
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

#[test]
fn a_stop_under_load_takes_less_than_ten_seconds_loses_nothing_and_repeats_nothing() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "shop", "uid": "shop"}));
    for uid in ["fast", "slow", "hole"] {
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid});
        server.api_expect(201, "POST", "/api/v1/app/shop/endpoint", endpoint);
    }
    receiver.script("/slow", [Behaviour::delayed(200, Duration::from_millis(300))]);
    receiver.script("/hole", [Behaviour::Stall]);
    // A client that never finishes its request does not make the stop longer.
    let mut dawdler = TcpStream::connect(server.api_address()).unwrap();
    write!(dawdler, "POST /api/v1/app/shop/msg HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n", server.root_key())
        .unwrap();
    write!(dawdler, "content-type: application/json\r\ncontent-length: 100\r\n\r\n{{").unwrap();
    let acknowledged = AtomicUsize::new(0);
    let (accepted, took) = std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..6).map(|_| scope.spawn(|| push_until_refused(&server, &acknowledged))).collect();
        poll_until("load", seconds(30), || (acknowledged.load(Ordering::Relaxed) >= 1_000).then_some(()));
        let signalled = Instant::now();
        server.signal(rustix::process::Signal::TERM);
        let ids: HashSet<String> = pushers.into_iter().flat_map(|pusher| pusher.join().unwrap()).collect();
        (ids, signalled)
    });
    assert_eq!(server.wait_exit(seconds(20)).code(), Some(0));
    let took = took.elapsed();
    eprintln!("{} acknowledged, stopped within {took:?}", accepted.len());
    assert!(took <= seconds(10), "the stop took {took:?}");

    receiver.script("/hole", [Behaviour::status(200)]);
    server.start_again();
    let paths = ["/fast", "/slow", "/hole"];
    let mut left: HashSet<(String, String)> =
        accepted.iter().flat_map(|id| paths.map(|path| (path.to_owned(), id.clone()))).collect();
    let mut looked_at = 0;
    let requests = receiver.wait_until(seconds(90), |requests| {
        for request in requests[looked_at..].iter().filter(|request| request.answered == 200) {
            left.remove(&(request.path.clone(), request.id().to_owned()));
        }
        looked_at = requests.len();
        left.is_empty()
    });
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for request in requests.iter().filter(|request| request.answered == 200) {
        *counts.entry((request.path.as_str(), request.id())).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(10).collect();
    assert!(twice.is_empty(), "delivered twice: {twice:?}");
}
