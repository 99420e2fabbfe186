//! Strangers without a key: connections that say nothing, and as many as there are descriptors.

use super::neighbour::Neighbour;
use crate::harness::{Receiver, Server, poll_until, raw, seconds};
use serde_json::{Value, json};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A new client has its answer within this.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Time for the machine's other work.
const SLACK: Duration = Duration::from_millis(250);

/// The first bytes of strangers: none, half a head, and HTTP/2 without a request.
const SAY: [&[u8]; 3] =
    [b"", b"GET /api/v1/health HTTP/1.1\r\nx-slow: ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"];

/// Ends the attack when dropped.
pub(super) struct Ends<'a>(pub(super) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Opens so many connections, and sends on each one of the texts of `say` in turn. The server may refuse or close any.
pub(super) fn strangers(address: SocketAddr, say: &[&[u8]], count: usize) -> Vec<TcpStream> {
    let connect = |nth: usize| {
        let mut stream = TcpStream::connect_timeout(&address, seconds(5)).ok()?;
        let _ = stream.write_all(say[nth % say.len()]);
        Some(stream)
    };
    (0..count).filter_map(connect).collect()
}

/// Asks as a new client, a few times, and returns the time of the slowest answer.
fn slowest_of_new_clients(server: &Server, count: usize) -> Duration {
    let ask = |_| {
        let asked = Instant::now();
        let answer = server.anonymous().send("GET", "/api/v1/health", &[], None).expect("an answer");
        assert_eq!(answer.status, 204);
        asked.elapsed()
    };
    (0..count).map(ask).max().unwrap_or_default()
}

#[test]
fn silent_connections_and_slow_heads_make_room_for_new_clients() {
    const PLACES: usize = 400;
    let server = Server::start(&["--max-connections", "400"]);
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The attack ends, whichever check fails.
        let ends = Ends(&ended);
        let attack = scope.spawn(|| {
            // As many connect again and again: a connection that was pushed out comes back.
            let mut held = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                held.extend(strangers(server.api_address(), &SAY, PLACES));
                held.drain(..held.len().saturating_sub(3 * PLACES));
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        poll_until("more than it has places for", seconds(10), || {
            (server.metric("pinion_http_connections_accepted_total", &["api"]) > 2.0 * PLACES as f64).then_some(())
        });
        let slowest = slowest_of_new_clients(&server, 20);
        let beside = neighbour.watch(seconds(2), Duration::from_millis(10));
        let monitored = Instant::now();
        assert!(server.metric("pinion_http_connections_closed_total", &["api", "made_room"]) > 0.0);
        let monitored = monitored.elapsed();
        drop(ends);
        assert!(attack.join().is_ok());
        eprintln!("  new clients {slowest:?} at most, metrics {monitored:?}");
        beside.assert_beside(&alone, 0.95, SLACK);
        assert!(slowest < ANSWERED_WITHIN && monitored < ANSWERED_WITHIN, "{slowest:?}, {monitored:?}");
    });
}

#[test]
fn the_metrics_listener_makes_room_too() {
    let server = Server::start(&[]);
    let _held = strangers(server.metrics_address(), &SAY, 200);
    let asked = Instant::now();
    assert_eq!(server.monitor("/readyz").status, 200);
    assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
}

#[test]
fn strangers_and_silent_receivers_leave_the_store_its_descriptors() {
    // Small files of the log: checkpoints come one after the other, and each opens files.
    let arguments = ["--store-log-bytes", "64KiB"];
    let server = Server::try_start_within_open_files(4_096, &arguments).expect("it starts");
    let mut neighbour = Neighbour::new(&server);
    let alone = neighbour.watch(seconds(1), Duration::from_millis(10));
    let receiver = Receiver::start();
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "silent", "uid": "silent"}));
    for _ in 0..40 {
        let endpoint = json!({"url": receiver.url("/stall"), "timeoutMs": 20_000});
        server.api_expect(201, "POST", "/api/v1/app/silent/endpoint", endpoint);
    }
    let messages: Vec<Value> = (0..30).map(|n| json!({"eventType": "a.b", "payload": {"n": n}})).collect();
    server.api_expect(202, "POST", "/api/v1/app/silent/msg/batch", Value::Array(messages));
    let held = strangers(server.api_address(), &SAY, 4_296);
    assert!(held.len() > 4_000, "{} connections", held.len());
    let open = server.metric("process_open_fds", &[]);
    let checkpoints = server.metric("pinion_checkpoint_duration_seconds_count", &[]);
    let beside = neighbour.watch(seconds(2), Duration::from_millis(10));
    let slowest = slowest_of_new_clients(&server, 5);
    poll_until("checkpoints beside the attack", seconds(10), || {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": "x".repeat(500)}));
        (server.metric("pinion_checkpoint_duration_seconds_count", &[]) > checkpoints).then_some(())
    });
    eprintln!("  {open} of 4096 descriptors, new clients {slowest:?} at most");
    assert!(open > 1_500.0 && slowest < ANSWERED_WITHIN, "{open} open, {slowest:?}");
    beside.assert_beside(&alone, 0.95, SLACK);
    assert!(!server.logs().iter().any(|line| line.contains("Too many open files")), "no part of it ran short");
}

#[test]
fn bounds_that_do_not_fit_the_descriptors_are_refused_with_the_numbers() {
    let exited = Server::try_start_within_open_files(1_024, &["--max-connections", "1000"]).err().expect("refused");
    assert_eq!(exited.status.code(), Some(2));
    let expected = ["limit of open files is 1024", "1000 for connections of the API (max_connections)"];
    assert!(expected.iter().all(|text| exited.stderr.contains(text)), "{}", exited.stderr);
}

#[test]
fn a_body_with_an_unclear_end_is_refused_and_its_connection_closed() {
    let server = Server::start(&[]);
    let codings = ["chunked\r\ntransfer-encoding: chunked", "gzip, chunked", "chunked, chunked"];
    for coding in codings {
        let rest = "0\r\n\r\nGET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n";
        let request = format!("POST /api/v1/app HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {coding}\r\n\r\n{rest}");
        let answer = raw(server.api_address(), request.as_bytes()).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.matches("HTTP/1.1").count() == 1, "{coding}: {answer}");
    }
}

/// A proxy in front may have gone by the length. The part that it took for a body would be a request here.
#[test]
fn a_request_with_a_coding_and_a_length_ends_its_connection() {
    let server = Server::start(&[]);
    let (length, coding) = ("content-length: 60\r\n", "transfer-encoding: chunked\r\n");
    let smuggled = "0\r\n\r\nGET /api/v1/health HTTP/1.1\r\nhost: smuggled\r\n\r\n";
    for both in [format!("{length}{coding}"), format!("{coding}{length}"), format!("{coding}content-length: x\r\n")] {
        let request = format!("POST /api/v1/app HTTP/1.1\r\nhost: x\r\n{both}\r\n{smuggled}");
        let answer = raw(server.api_address(), request.as_bytes()).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{both}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{both}: {answer}");
    }
    // The coding decides: with a key, the request is as good as one without a length.
    let head = format!("POST /api/v1/app HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n", server.root_key());
    let request =
        format!("{head}content-type: application/json\r\n{length}{coding}\r\nd\r\n{{\"name\": \"a\"}}\r\n{smuggled}");
    let answer = String::from_utf8_lossy(&raw(server.api_address(), request.as_bytes()).unwrap()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 201") && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
}

#[test]
fn wrong_keys_are_counted_and_logged_with_the_address_and_without_the_key() {
    let server = Server::start(&[]);
    for nth in 0..100 {
        let guess = server.anonymous().with_bearer(&format!("pk_guess_{nth}"));
        assert_eq!(guess.json("GET", "/api/v1/app", Value::Null).0, 401);
    }
    assert_eq!(server.metric("pinion_api_unauthorized_total", &[]), 100.0);
    server.wait_for_log(seconds(5), |line| line.contains("without a known key") && line.contains("127.0.0.1:"));
    let lines = server.logs();
    assert!(!lines.iter().any(|line| line.contains("pk_guess")), "{lines:#?}");
    assert!(lines.iter().filter(|line| line.contains("without a known key")).count() < 20, "{lines:#?}");
}
