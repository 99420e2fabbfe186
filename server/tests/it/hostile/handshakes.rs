//! Strangers at a listener with TLS: handshakes that are not begun, or not finished.

use super::edge::strangers;
use crate::harness::{poll_until, seconds};
use crate::tls::TlsServer;
use std::io::Read as _;
use std::time::{Duration, Instant};

/// A new client has its answer within this, its own handshake included.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Nothing, and the beginning of a record that would be a first message.
const SAY: [&[u8]; 2] = [b"", b"\x16\x03\x01\x02\x00\x01\x00"];

#[test]
fn silent_handshakes_make_room_for_new_clients() {
    let running = TlsServer::start(&["--max-connections", "100"]);
    let client = running.client(&["http/1.1"]);
    let mut slowest = Duration::ZERO;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.extend(strangers(running.server.api_address(), &SAY, 150));
        let asked = Instant::now();
        let answer = client.get("/api/v1/health").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        slowest = slowest.max(asked.elapsed());
    }
    // They lose the connection and not only the place.
    let mut rest = [0];
    held[0].set_read_timeout(Some(seconds(5))).unwrap();
    let ended = held[0].read(&mut rest);
    assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
    let made_room = running.server.metric("pinion_http_connections_closed_total", &["api", "made_room"]);
    eprintln!("  {} silent handshakes, {made_room} pushed out, new clients {slowest:?} at most", held.len());
    assert!(slowest < ANSWERED_WITHIN && made_room >= 1_000.0, "{slowest:?}, {made_room}");
}

#[test]
fn a_handshake_that_is_not_finished_is_closed() {
    let running = TlsServer::start(&["--header-read-timeout-ms", "300"]);
    let held = strangers(running.server.api_address(), &SAY, 2);
    for mut stream in held {
        stream.set_read_timeout(Some(seconds(5))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it is closed");
        assert!(rest.is_empty(), "{rest:?}");
    }
    poll_until("both are counted", seconds(5), || {
        let closed = running.server.metric("pinion_http_connections_closed_total", &["api", "idle"]);
        (closed == 2.0).then_some(())
    });
    // A handshake that was made gives no right to stay either.
    let mut silent = running.client(&["h2"]).connect().unwrap();
    let mut rest = Vec::new();
    silent.sock.set_read_timeout(Some(seconds(5))).unwrap();
    let ended = silent.read_to_end(&mut rest);
    assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{ended:?}");
}
