//! Receivers that flood HTTP/2 over TLS, and the neighbour beside them.
//!
//! Each flood must end at once, attempts by their deadline and a second, and its receiver is spoken to in HTTP/1.1 then.

use super::authority::Authority;
use super::h2_receiver::{Attack, H2Receivers};
use super::neighbour::{Neighbour, Seen};
use crate::harness::{Server, is_release, poll_until, seconds};
use serde_json::json;
use std::time::Duration;

const RECEIVERS: usize = 10;
const MANY: usize = 200;
const TIMEOUT_MS: u64 = 1_500;
/// Of 75 pushes the slowest hundredth is the slowest one, and one slow fdatasync makes it; floods cost seconds.
const SLACK: Duration = Duration::from_millis(250);
/// The same beside [`MANY`]: a debug build takes a second of a core for their handshakes, and so do the receivers.
const SLACK_OF_MANY: Duration = Duration::from_secs(1);
/// Allocators round up; the promise is for each connection.
const MEMORY_SLACK_KIB: u64 = 24 * 1024;
const WATCHED: Duration = Duration::from_millis(1_500);
const GAP: Duration = Duration::from_millis(20);

struct Attacked {
    server: Server,
    neighbour: Neighbour,
    alone: Seen,
    /// Beside as many receivers that answer well. Their handshakes take the same cores, and no flood adds to them.
    honest: Option<Seen>,
    authority: Authority,
}

fn start() -> Attacked {
    let authority = Authority::new();
    let ca_file = authority.file();
    let server = Server::start(&["--ca-file", ca_file.to_str().unwrap(), "--retry-schedule", "300ms,300ms,1s,1s"]);
    let mut neighbour = Neighbour::new(&server);
    // The first one opens connections and files.
    neighbour.watch(Duration::from_millis(300), GAP);
    let alone = neighbour.watch(WATCHED, GAP);
    Attacked { server, neighbour, alone, honest: None, authority }
}

/// An application with an endpoint at each receiver, and a message for all of them.
fn attack(attacked: &mut Attacked, attack: Attack, count: usize) -> H2Receivers {
    let receivers = H2Receivers::start(&attacked.authority, attack, count);
    let (server, app) = (&attacked.server, format!("{attack:?}").to_lowercase());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    for (number, port) in receivers.ports.iter().enumerate() {
        let url = format!("https://127.0.0.1:{port}/");
        let endpoint = json!({"url": url, "uid": format!("e{number}"), "timeoutMs": TIMEOUT_MS});
        server.api_expect(201, "POST", &format!("/api/v1/app/{app}/endpoint"), endpoint);
    }
    let before_kib = server.resident_kib();
    let message = json!({"eventType": "a.b", "payload": {"of": "an attack"}});
    server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg"), message);
    let beside = attacked.neighbour.watch(WATCHED, GAP);

    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    let longest = longest_attempt(server, &app, count);
    let record = receivers.record.lock().clone();
    let slowest = record.cut_off.iter().max().copied().unwrap_or_default();
    eprintln!(
        "{attack:?} by {count}: longest attempt {longest:?}, +{grown_kib} KiB, {} floods cut off within {slowest:?}, \
         {} not, {} requests over HTTP/1.1",
        record.cut_off.len(),
        record.not_cut_off,
        record.http1_requests
    );
    let slack = if count < MANY || is_release() { SLACK } else { SLACK_OF_MANY };
    if attack == Attack::Honest {
        eprintln!(" beside: {beside}");
        attacked.honest = Some(beside);
    } else {
        beside.assert_beside(attacked.honest.as_ref().unwrap_or(&attacked.alone), 0.95, slack);
    }
    let late_max = seconds(if slack == SLACK { 1 } else { 2 });
    assert!(longest <= Duration::from_millis(TIMEOUT_MS) + late_max, "an attempt took {longest:?}");
    assert!(grown_kib <= 64 * count as u64 + MEMORY_SLACK_KIB, "{grown_kib} KiB more");
    receivers
}

fn longest_attempt(server: &Server, app: &str, count: usize) -> Duration {
    let of = |number: usize| {
        let path = format!("/api/v1/app/{app}/attempt/endpoint/e{number}");
        let attempts = poll_until("an attempt of each", seconds(8), || {
            let (_, page) = server.api("GET", &path, json!(null));
            page["data"].as_array().filter(|data| !data.is_empty()).cloned()
        });
        attempts.iter().filter_map(|attempt| attempt["responseDurationMs"].as_u64()).max().unwrap_or(u64::MAX)
    };
    Duration::from_millis((0..count).map(of).max().unwrap_or_default())
}

/// The flood ends within a second and is counted, and the next message comes over HTTP/1.1. That is the retry. A flood
/// behind an answer leaves no retry, as the answer counts: then it is another message.
fn must_be_cut_off(kinds: &[(Attack, &str)]) {
    let mut attacked = start();
    for (kind, frame) in kinds {
        let counted = |server: &Server| server.metric("pinion_http2_abuse_total", &[&format!("frame=\"{frame}\"")]);
        let before = counted(&attacked.server);
        let receivers = attack(&mut attacked, *kind, RECEIVERS);
        poll_until("all are cut off", seconds(8), || {
            (receivers.record.lock().cut_off.len() >= RECEIVERS).then_some(())
        });
        let app = format!("{kind:?}").to_lowercase();
        let message = json!({"eventType": "a.b", "payload": {"after": "the attack"}});
        attacked.server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg"), message);
        poll_until("requests over HTTP/1.1", seconds(8), || {
            (receivers.record.lock().http1_requests >= RECEIVERS).then_some(())
        });
        let record = receivers.record.lock().clone();
        assert_eq!((record.not_cut_off, record.http2_requests), (0, RECEIVERS), "{kind:?}: {record:?}");
        assert!(record.cut_off.iter().all(|lasted| *lasted < seconds(1)), "{kind:?}: {record:?}");
        assert_eq!(counted(&attacked.server) - before, RECEIVERS as f64, "{kind:?} of {frame}");
    }
}

#[test]
fn floods_of_heads_and_of_data_are_cut_off_at_once() {
    must_be_cut_off(&[(Attack::Informational, "headers"), (Attack::EmptyData, "data"), (Attack::TinyData, "data")]);
}

#[test]
fn floods_that_demand_answers_are_cut_off_at_once() {
    must_be_cut_off(&[(Attack::Settings, "settings"), (Attack::Ping, "ping"), (Attack::RstStream, "rst_stream")]);
}

#[test]
fn floods_that_mean_nothing_are_cut_off_at_once() {
    must_be_cut_off(&[
        (Attack::WindowUpdate, "window_update"),
        (Attack::Priority, "priority"),
        (Attack::GoAway, "goaway"),
        (Attack::Continuation, "continuation"),
    ]);
}

#[test]
fn a_connection_without_a_request_that_talks_is_closed() {
    let mut attacked = start();
    let receivers = attack(&mut attacked, Attack::TalkAfterwards, RECEIVERS);
    let record = poll_until("all are closed", seconds(8), || {
        let record = receivers.record.lock().clone();
        (record.cut_off.len() + record.not_cut_off >= RECEIVERS).then_some(record)
    });
    assert_eq!(record.not_cut_off, 0, "{record:?}");
    assert!(record.cut_off.iter().all(|lasted| *lasted < seconds(1)), "{record:?}");
    let (_, page) = attacked.server.api("GET", "/api/v1/app/talkafterwards/attempt/endpoint/e0", json!(null));
    assert_eq!(page["data"][0]["responseStatusCode"], 200, "its answer counts: {page}");
}

/// All floods of `kind` end within a second, whatever the attempts came to. Many share the one thread of their test.
fn all_are_closed(attacked: &mut Attacked, kind: Attack, count: usize) {
    let receivers = attack(attacked, kind, count);
    let record = poll_until("all are closed", seconds(8), || {
        let record = receivers.record.lock().clone();
        (record.cut_off.len() + record.not_cut_off >= count).then_some(record)
    });
    let within = seconds(if count < MANY { 1 } else { 5 });
    assert_eq!(record.not_cut_off, 0, "{kind:?}: {record:?}");
    assert!(record.cut_off.iter().all(|lasted| *lasted < within), "{kind:?}: {record:?}");
}

#[test]
fn receivers_that_talk_before_a_request_are_closed() {
    all_are_closed(&mut start(), Attack::TalkBefore, RECEIVERS);
}

#[test]
fn floods_below_http_are_cut_off_at_once() {
    let mut attacked = start();
    all_are_closed(&mut attacked, Attack::TinyRecords, RECEIVERS);
    let counted = attacked.server.metric("pinion_tls_abuse_total", &[]);
    assert!(counted >= RECEIVERS as f64, "{counted}");
    // The TLS library has bounds of its own: 64 KiB of tickets that come at once, 32 key updates between two messages.
    all_are_closed(&mut attacked, Attack::Tickets, RECEIVERS);
    all_are_closed(&mut attacked, Attack::KeyUpdates, RECEIVERS);
}

#[test]
fn two_hundred_floods_at_once_are_cut_off() {
    let mut attacked = start();
    let honest = attack(&mut attacked, Attack::Honest, MANY);
    assert_eq!(honest.record.lock().http2_requests, MANY);
    for kind in [Attack::Ping, Attack::Informational] {
        all_are_closed(&mut attacked, kind, MANY);
    }
}

#[test]
fn a_receiver_of_the_operators_own_authority_is_trusted_and_others_are_named() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let ca_file = ours.file();
    let ca_file = ca_file.to_str().unwrap();
    let trusting = Server::start(&["--ca-file", ca_file]);
    let doubting = Server::start(&[]);
    let known = H2Receivers::start(&ours, Attack::TalkAfterwards, 1);
    let stranger = H2Receivers::start(&theirs, Attack::TalkAfterwards, 1);
    let response = |server: &Server, port: u16, uid: &str| {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": uid, "uid": uid}));
        let endpoint = json!({"url": format!("https://127.0.0.1:{port}/"), "uid": "e"});
        server.api_expect(201, "POST", &format!("/api/v1/app/{uid}/endpoint"), endpoint);
        let message = json!({"eventType": "a.b", "payload": {"a": 1}});
        server.api_expect(202, "POST", &format!("/api/v1/app/{uid}/msg"), message);
        poll_until("an attempt", seconds(8), || {
            let (_, page) = server.api("GET", &format!("/api/v1/app/{uid}/attempt/endpoint/e"), json!(null));
            let attempt = page["data"].get(0).cloned()?;
            Some((attempt["responseStatusCode"].as_u64(), attempt["response"].as_str().unwrap_or_default().to_owned()))
        })
    };
    assert_eq!(response(&trusting, known.ports[0], "known").0, Some(200));
    for (server, port, uid) in [(&trusting, stranger.ports[0], "stranger"), (&doubting, known.ports[0], "known")] {
        let (_, words) = response(server, port, uid);
        assert!(words.contains("self-signed or from an unknown authority"), "{words}");
    }
}

#[test]
fn a_file_that_gives_no_roots_is_refused_at_the_start_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    let missing = folder.path().join("missing.pem");
    for (path, expected) in [(&empty, "holds no certificate"), (&missing, "could not read the root certificates")] {
        let path = path.to_str().unwrap();
        let by_flag = Server::try_start(&["--ca-file", path]).err().expect("refused");
        let data = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let by_variable = Server::try_start_in(data, &[], &[("SSL_CERT_FILE", path)]).err().expect("refused");
        for exited in [by_flag, by_variable] {
            assert!(exited.stderr.contains(expected) && exited.stderr.contains(path), "{}", exited.stderr);
        }
    }
}
