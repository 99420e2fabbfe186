//! Data directories as released versions wrote them, kept in `tests/fixtures`. The program of today starts on each, has
//! everything that was in it, and makes the deliveries that were left.
//!
//! Beside each lies `expected.json`: the time when it was made, and its content as the API showed it then. Fields that
//! the API has won since are no difference. The server runs at the time of the fixture, so that nothing in it is ever
//! too old. Its endpoints are where nothing may be reached until the test has given them another address.
//!
//! Deliberately not made anew by a run of the tests: see `make`.

mod make;

use crate::harness::{Receiver, Server, poll_until, repair, seconds};
use crate::wall::Wall;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use storage::disk::OpenOptions;
use storage::{Direction, Store as _};
use tempfile::TempDir;

const APP: &str = "/api/v1/app/acme";

/// Endpoints that were owed something, with the messages that they are sent.
const OWED: [&str; 2] = ["retried", "behind"];

/// More than a fixture has of one kind.
const ROWS_MAX: usize = 10_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// `tar`, with a folder to work in: it keeps modes and empty folders, which git does not, and files full of zeros small.
fn tar(folder: &Path, arguments: &[&OsStr]) {
    let status = Command::new("tar").arg("-C").arg(folder).args(arguments).status().expect("tar");
    assert!(status.success(), "tar {arguments:?}: {status}");
}

/// Every row of a store: the count of each kind, and a digest of them all.
fn rows(data_dir: &Path) -> Value {
    let store = OpenOptions::default().open(data_dir).unwrap();
    let (mut counts, mut digest) = (BTreeMap::<String, usize>::new(), Sha256::new());
    for kind in 1..u8::MAX {
        let rows = store.scan(&[kind], &[kind + 1], ROWS_MAX, Direction::Forward).unwrap();
        assert!(rows.len() < ROWS_MAX, "more rows than are looked at");
        for (key, value) in &rows {
            digest.update((key.len() as u64).to_be_bytes());
            digest.update(key);
            digest.update((value.len() as u64).to_be_bytes());
            digest.update(value);
            *counts.entry(kind.to_string()).or_default() += 1;
        }
    }
    json!({"ofKind": counts, "sha256": STANDARD.encode(digest.finalize())})
}

/// The first place at which `there` lacks something of `expected`, or has it otherwise. Fields that only `there` has do
/// not matter.
fn difference(at: &str, expected: &Value, there: &Value) -> Option<String> {
    match (expected, there) {
        (Value::Object(expected), Value::Object(there)) => expected.iter().find_map(|(name, value)| {
            difference(&format!("{at}.{name}"), value, there.get(name).unwrap_or(&Value::Null))
        }),
        (Value::Array(expected), Value::Array(there)) if expected.len() == there.len() => {
            let mut pairs = expected.iter().zip(there).enumerate();
            pairs.find_map(|(index, (expected, there))| difference(&format!("{at}[{index}]"), expected, there))
        }
        _ => (expected != there).then(|| format!("{at}: {there} instead of {expected}")),
    }
}

/// Today's request for the answer that `path` gave when the fixture was written: defaults have changed since.
fn asked_today(path: &str) -> String {
    match path {
        "/api/v1/event-type" => format!("{path}?with_content=true"),
        "/api/v1/app/acme/endpoint" => format!("{path}?order=ascending"),
        _ => path.to_owned(),
    }
}

/// Everything that the API showed of it then, it shows now. The token for the next page is the server's own to write.
fn everything_is_there(server: &Server, expected: &Value) {
    for (path, body) in expected["get"].as_object().unwrap() {
        let (status, there) = server.api("GET", &asked_today(path), Value::Null);
        assert_eq!(status, 200, "{path}: {there}");
        let mut body = body.clone();
        body.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "iterator" | "prevIterator"));
        assert_eq!(difference("", &body, &there), None, "{path}");
    }
    let state = server.api_expect(200, "GET", &format!("{APP}/endpoint/behind/state"), Value::Null);
    assert!(state["breakerOpenings"].as_u64() >= Some(1), "{state}");
    // A key of its own, by its digest.
    let key = server.anonymous().with_bearer(expected["apiKey"].as_str().unwrap());
    assert_eq!(key.json("GET", APP, Value::Null).0, 200);
    // The same request under the same key is the same message.
    let idempotent = &expected["idempotent"];
    let (body, headers) = (idempotent["body"].to_string(), [("idempotency-key", make::IDEMPOTENCY_KEY)]);
    let again = server.client().send("POST", &format!("{APP}/msg"), &headers, Some(body.as_bytes())).unwrap();
    assert_eq!((again.status, &again.json()["id"]), (202, &idempotent["id"]));
    let other = json!({"eventType": "paid", "payload": {"another": true}}).to_string();
    let other = server.client().send("POST", &format!("{APP}/msg"), &headers, Some(other.as_bytes())).unwrap();
    assert_ne!(other.status, 202, "another message under the same key");
}

/// Every delivery that was left arrives: retries, untried ones, and dead letters when they are asked for. Each comes
/// once, under its id, signed with the secret of then.
fn everything_is_delivered(server: &Server, receiver: &Receiver, expected: &Value) {
    let mut owed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for uid in OWED.into_iter().chain(["dead"]) {
        let ids = expected["undelivered"][uid].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
        owed.insert(uid, ids.collect());
        let url = json!({"url": receiver.url(&format!("/{uid}"))});
        server.api_expect(200, "PATCH", &format!("{APP}/endpoint/{uid}"), url);
    }
    server.api_expect(202, "POST", &format!("{APP}/endpoint/dead/dead-letter/redrive"), json!({}));
    let count: usize = owed.values().map(BTreeSet::len).sum();
    let requests = receiver.wait_for(count, seconds(30));
    for (uid, ids) in &owed {
        let to_it: Vec<_> = requests.iter().filter(|request| request.path == format!("/{uid}")).collect();
        let arrived: BTreeSet<&str> = to_it.iter().map(|request| request.id()).collect();
        assert_eq!((&arrived, to_it.len()), (ids, ids.len()), "{uid}");
        let secret = expected["get"][format!("{APP}/endpoint/{uid}/secret")]["key"].as_str().unwrap();
        assert!(to_it.iter().all(|request| request.is_signed_with(secret)), "{uid}");
    }
    // A new message goes the same way, with the headers of then.
    let endpoint = json!({"url": receiver.url("/delivered")});
    server.api_expect(200, "PATCH", &format!("{APP}/endpoint/delivered"), endpoint);
    let message = json!({"eventType": "paid", "payload": {"number": 1_000}});
    let id = server.api_expect(202, "POST", &format!("{APP}/msg"), message)["id"].as_str().unwrap().to_owned();
    let requests = receiver.wait_for(count + 1, seconds(20));
    let last = requests.last().unwrap();
    assert_eq!((last.id(), last.header("x-fixture"), requests.len()), (id.as_str(), Some("kept"), count + 1));
    poll_until("nothing owed", seconds(20), || {
        OWED.iter().all(|uid| attempted_last(server, uid) == "success").then_some(())
    });
    attempts_are_counted_on(server, expected);
}

/// A retried message's last attempt has a higher number than its attempts of then.
fn attempts_are_counted_on(server: &Server, expected: &Value) {
    for id in expected["undelivered"]["retried"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()) {
        let of_it = format!("{APP}/msg/{id}/attempt/");
        let before = expected["get"].as_object().unwrap().keys().filter(|path| path.starts_with(&of_it)).count();
        let attempts = server.api_expect(200, "GET", &format!("{APP}/attempt/msg/{id}"), Value::Null);
        let last = attempts["data"][0]["attempt"].as_u64().unwrap() as usize;
        assert!(before > 0 && last > before, "attempt {last} after {before}");
    }
}

/// Outcome of the endpoint's newest attempt.
fn attempted_last(server: &Server, uid: &str) -> String {
    let attempts = server.api_expect(200, "GET", &format!("{APP}/attempt/endpoint/{uid}?limit=1"), Value::Null);
    attempts["data"][0]["outcome"].as_str().unwrap_or_default().to_owned()
}

/// A copy of the fixture's data directory, below the folder; and its expected content.
fn unpacked(name: &str) -> (Arc<TempDir>, Value) {
    let (kept, root) = (folder(name), Arc::new(tempfile::tempdir().unwrap()));
    tar(root.path(), &["-xzf".as_ref(), kept.join("data.tar.gz").as_os_str()]);
    (root, serde_json::from_slice(&std::fs::read(kept.join("expected.json")).unwrap()).unwrap())
}

fn gives_back_every_row(name: &str) {
    let (root, expected) = unpacked(name);
    assert_eq!(rows(&root.path().join("data")), expected["rows"]);
    // A repair finds nothing to mend and leaves all as it is, in today's format.
    let report = repair(root.path()).unwrap();
    assert!(report.contains("Nothing is lost."), "{report}");
    assert_eq!(rows(&root.path().join("data")), expected["rows"], "after a repair");
    // There are rows of every kind but those that retention leaves behind.
    let kinds = expected["rows"]["ofKind"].as_object().unwrap();
    let missing: Vec<u8> = (1..=7).chain(16..=30).filter(|kind| !kinds.contains_key(&kind.to_string())).collect();
    assert!(missing.is_empty(), "no rows of the kinds {missing:?}");
}

fn is_read_and_goes_on(name: &str) {
    let (root, expected) = unpacked(name);
    let wall = Wall::new();
    wall.set_offset_ms(expected["madeAtMs"].as_i64().unwrap() - unix_ms());
    let mut environment = wall.environment();
    // The fixture's endpoints are elsewhere in the loopback network: no socket is opened for them.
    environment.push(("PINION_ALLOW_TARGETS", "127.0.0.1/32"));
    let (mut server, receiver) = (Server::try_start_in(root, &[], &environment).unwrap(), Receiver::start());
    everything_is_there(&server, &expected);
    everything_is_delivered(&server, &receiver, &expected);
    let arrived = receiver.count();
    let errors: Vec<_> = server.logs().into_iter().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // The server finds the store as it left it.
    assert!(server.terminate(seconds(20)).success());
    server.start_again();
    for uid in OWED {
        assert_eq!(attempted_last(&server, uid), "success");
    }
    assert_eq!(receiver.count(), arrived, "delivered again");
}

#[test]
fn a_store_of_format_4_gives_back_every_row() {
    gives_back_every_row("format-4");
}

#[test]
fn a_data_directory_of_format_4_is_read_and_goes_on() {
    is_read_and_goes_on("format-4");
}
