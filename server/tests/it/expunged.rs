//! A message whose payload was expunged: nothing of it is sent any more, and soon no file of the data directory holds
//! any of it. This is so while messages come in, while none do, and after a restart.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time that the documentation promises, and as much again for a machine with other work.
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// Lengths of payloads: within a block with others, a block of its own, chunks.
const LENGTHS: [usize; 3] = [20, 3_000, 100_000];

fn marker(name: &str) -> String {
    format!("expunged-{name}-5e81c0")
}

/// Counts the files below `folder` that have these bytes. A file that goes while it is looked for has none.
fn files_with(folder: &Path, bytes: &[u8]) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.fold(0, |sum, entry| {
        let path = entry.path();
        if path.is_dir() {
            return sum + files_with(&path, bytes);
        }
        let held = std::fs::read(path).unwrap_or_default();
        sum + usize::from(held.windows(bytes.len()).any(|window| window == bytes))
    })
}

/// An application with one endpoint at `path` of the receiver.
fn acme(server: &Server, receiver: &Receiver, path: &str) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url(path), "uid": "hook"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
}

fn push(server: &Server, payload: &Value) -> String {
    let message = json!({"eventType": "a", "payload": payload});
    let taken = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    taken["id"].as_str().unwrap().to_owned()
}

fn expunge(server: &Server, id: &str) {
    server.api_expect(204, "DELETE", &format!("/api/v1/app/acme/msg/{id}/content"), Value::Null);
}

#[test]
fn what_was_expunged_is_not_sent_again_by_whatever_way_and_says_why() {
    let server = Server::start(&["--retry-schedule", "2s,2s"]);
    let receiver = Receiver::start();
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
    acme(&server, &receiver, "/hook");
    let id = push(&server, &json!({"a": 1}));
    receiver.wait_for(1, seconds(20));
    let standing = format!("/api/v1/app/acme/msg/{id}/endpoint");
    poll_until("the retry", seconds(20), || {
        let shown = server.api_expect(200, "GET", &standing, Value::Null);
        (!shown["data"][0]["nextAttempt"].is_null()).then_some(())
    });
    expunge(&server, &id);
    let shown = server.api_expect(200, "GET", &standing, Value::Null);
    assert_eq!(shown["data"][0]["statusText"], "fail", "{shown}");
    let (status, refused) = server.api("POST", &format!("{standing}/hook/resend"), Value::Null);
    assert_eq!((status, &refused["code"]), (400, &"missing_payload".into()));
    let hook = "/api/v1/app/acme/endpoint/hook";
    let all = json!({"since": "2000-01-01T00:00:00Z"});
    for path in ["recover", "replay-missing", "bulk-replay"] {
        server.api_expect(202, "POST", &format!("{hook}/{path}"), all.clone());
    }
    server.api_expect(202, "POST", &format!("{hook}/dead-letter/redrive"), Value::Null);
    // A later message is tried three times, two seconds apart: the retry of the other would have been due in between.
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(500), Behaviour::status(200)]);
    let later = push(&server, &json!({"b": 2}));
    let requests = receiver
        .wait_until(seconds(30), |requests| requests.iter().filter(|request| request.id() == later).count() == 3);
    let of_it: Vec<_> = requests.iter().filter(|request| request.id() == id).map(|request| request.json()).collect();
    assert_eq!(of_it, [json!({"a": 1})], "sent once, before");
    let letters = server.api_expect(200, "GET", &format!("{hook}/dead-letter"), Value::Null);
    assert_eq!(letters["data"][0]["reason"], "expunged", "{letters}");
    let read = server.api_expect(200, "GET", &format!("/api/v1/app/acme/msg/{id}"), Value::Null);
    assert_eq!(read["payload"], json!({"expired": true}));
}

#[test]
fn its_payload_is_soon_in_no_file_while_messages_come_in_and_while_none_do() {
    let mut server = Server::start(&["--store-log-bytes", "2MiB"]);
    let receiver = Receiver::start();
    acme(&server, &receiver, "/hook");
    let traffic = |over: &AtomicBool, client: &crate::harness::Client| {
        let body = json!({"eventType": "a", "payload": {"fill": "x".repeat(2_000)}}).to_string();
        while !over.load(Ordering::SeqCst) {
            client.send("POST", "/api/v1/app/acme/msg", &[], Some(body.as_bytes())).unwrap();
        }
    };
    let gone = |server: &Server, busy: bool| {
        let pushed = LENGTHS.map(|length| {
            let marker = marker(&format!("{busy}-{length}"));
            (push(server, &json!({"m": marker, "fill": "y".repeat(length)})), marker)
        });
        let folder = server.data_dir();
        for (_, marker) in &pushed {
            assert!(files_with(&folder, marker.as_bytes()) > 0, "it is on the disk before");
        }
        pushed.iter().for_each(|(id, _)| expunge(server, id));
        pushed.map(|(_, marker)| marker)
    };
    let over = AtomicBool::new(false);
    let folder = server.data_dir();
    let none_left = |markers: &[String]| {
        let left = || markers.iter().map(|marker| files_with(&folder, marker.as_bytes())).sum::<usize>();
        poll_until("no file has any of it", GONE_WITHIN, || (left() == 0).then_some(()));
    };
    std::thread::scope(|scope| {
        let (client, over) = (server.client(), &over);
        scope.spawn(move || traffic(over, &client));
        none_left(&gone(&server, true));
        over.store(true, Ordering::SeqCst);
    });
    none_left(&gone(&server, false));
    // The process dies right after the answer: the next one erases it.
    let id = push(&server, &json!({"m": marker("killed"), "fill": "y".repeat(300)}));
    expunge(&server, &id);
    server.kill();
    server.start_again();
    none_left(&[marker("killed")]);
    let read = server.api_expect(200, "GET", &format!("/api/v1/app/acme/msg/{id}"), Value::Null);
    assert_eq!(read["payload"], json!({"expired": true}));
}
