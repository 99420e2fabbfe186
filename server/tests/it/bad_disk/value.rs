//! One bit of a payload in a value file is another one: the server starts and goes on, and the loss is one block.
//!
//! Nothing of bits elsewhere: that is `flipped`.

use super::flipped::{EVENTS, copy, make};
use super::{APP, push};
use crate::events::{list_events, number_of, payload};
use crate::harness::{Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The damaged event: its payload is long enough to be apart, whatever shares its block, and in a row of its own.
const DAMAGED: u64 = 20;

/// Flips a bit in every entry that has this payload; says in which file the last one is, and where about.
fn flip(folder: &Path, payload: &str) -> (PathBuf, usize) {
    let mut found = None;
    for entry in fs::read_dir(folder.join("data/store/values")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let wanted = payload.as_bytes();
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(wanted)).collect();
        for at in places {
            bytes[at + wanted.len() / 2] ^= 4;
            found = Some((path.clone(), at));
        }
        fs::write(&path, bytes).unwrap();
    }
    found.expect("the payload is in a value file")
}

#[test]
fn a_flipped_bit_of_a_payload_costs_its_block_and_the_server_goes_on() {
    let original = make(false, "--store-log-bytes=64KiB");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    copy(original.folder.path(), folder.path());
    // The last opening brought everything that is left in the log to where it stays.
    drop(Server::try_start_in(Arc::clone(&folder), &["--store-log-bytes=64KiB"], &[]).unwrap());
    let (path, at) = flip(folder.path(), &payload(DAMAGED));
    let server = Server::try_start_in(folder, &["--store-log-bytes=64KiB"], &[]).unwrap();
    assert_eq!(server.monitor("/readyz").status, 200);

    let client = server.client();
    let unreadable = original.acked.iter().filter(|(id, number)| {
        let answer = client.send("GET", &format!("/api/v1/app/{APP}/msg/{id}"), &[], None).unwrap();
        match answer.status {
            200 => assert!(answer.text().contains(&format!("\"payload\":{}", payload(**number)))),
            status => assert_eq!((status, answer.json()["code"].as_str()), (500, Some("data_damaged"))),
        }
        answer.status == 500
    });
    // Each was pushed by itself, so each has a block to itself.
    let unreadable: Vec<_> = unreadable.map(|(_, number)| *number).collect();
    assert_eq!(unreadable, [DAMAGED]);
    let listed = list_events(&client, APP).unwrap().unwrap();
    let expected = original.acked.iter().filter(|(_, number)| **number != DAMAGED);
    assert!(listed.keys().eq(expected.clone().map(|(id, _)| id)));

    all_others_are_delivered(&server, &original.receiver, expected.map(|(id, _)| id.as_str()).collect());
    assert!(push(&client, EVENTS + 2).unwrap().is_ok());

    let name = path.file_name().unwrap().to_str().unwrap();
    let offset = |line: &str| -> Option<u64> { serde_json::from_str::<Value>(line).ok()?["offset"].as_u64() };
    let names_it = |line: &str| {
        // The entry begins in front of the payload: its key and the words of its block on it come first.
        line.contains(name) && offset(line).is_some_and(|offset| (1..8192).contains(&(at as u64 - offset)))
    };
    server.wait_for_log(seconds(5), names_it);
    assert!(server.metric("pinion_damaged_reads_total", &[]) > 0.0);
}

/// To an endpoint that has had none of them, by a replay of all that it misses.
fn all_others_are_delivered(server: &Server, receiver: &crate::harness::Receiver, ids: BTreeSet<&str>) {
    let path = format!("/api/v1/app/{APP}/endpoint");
    let late = json!({"url": receiver.url("/late"), "uid": "late"});
    server.api_expect(201, "POST", &path, late);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = server.api_expect(202, "POST", &format!("{path}/late/replay-missing"), since);
    let done = poll_until("a finished job", seconds(20), || {
        let path = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
        let shown = server.api_expect(200, "GET", &path, Value::Null);
        (shown["status"] == "finished").then(|| shown["data"].clone())
    });
    assert_eq!((&done["failed"], &done["failures"][0]["reason"]), (&json!(1), &json!("message_damaged")));
    receiver.wait_until(seconds(20), |requests| {
        let late = requests.iter().filter(|request| request.path == "/late");
        late.map(|request| request.id()).collect::<BTreeSet<_>>().is_superset(&ids)
    });
    let late = receiver.requests_to("/late");
    assert!(late.iter().all(|request| number_of(&request.body).is_some() && ids.contains(request.id())));
}
