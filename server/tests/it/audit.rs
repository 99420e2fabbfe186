//! The audit log of the real binary: in step with what it describes over a kill, and checked by the command line, which finds
//! what somebody did to it.

use crate::harness::{Behaviour, Client, Receiver, Server, pinion, poll_until, seconds};
use serde_json::{Value, json};
use std::path::Path;
use storage::disk::OpenOptions;
use storage::rows::audit;
use storage::tables::audit as log;
use storage::{Batch, Direction, Store};

/// Runs `pinion audit verify`: the exit code and all that it printed.
fn verify(arguments: &[&str]) -> (i32, String) {
    let output = pinion().args(["audit", "verify"]).args(arguments).output().expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
}

fn in_dir(folder: &Path) -> (i32, String) {
    verify(&["--data-dir", &folder.to_string_lossy()])
}

/// The records of switches of an endpoint are as many as its failover shows.
pub(crate) fn check_switches(client: &Client, endpoint: &str) {
    let get = |path: &str| {
        let (status, answer) = client.json("GET", path, Value::Null);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    };
    let id = get(endpoint)["id"].as_str().expect("an id").to_owned();
    // A switch may come between the two looks.
    poll_until("as many records as switches", seconds(10), || {
        let shown = get(&format!("{endpoint}/failover"))["switchCount"].as_u64().expect("a number");
        let path = format!("/api/v1/audit?action=endpoint.switch-failover&id={id}&limit=250");
        let (mut records, mut iterator) = (0, String::new());
        loop {
            let page = get(&format!("{path}&iterator={iterator}"));
            records += page["data"].as_array().expect("a list").len() as u64;
            if page["done"] == json!(true) {
                break;
            }
            iterator = page["iterator"].as_str().expect("text").to_owned();
        }
        (records == shown).then_some(())
    });
}

fn actions(server: &Server) -> Vec<String> {
    let page = server.api_expect(200, "GET", "/api/v1/audit?order=ascending", Value::Null);
    page["data"].as_array().unwrap().iter().map(|record| record["action"].as_str().unwrap().to_owned()).collect()
}

/// A server with some records, the last of them the engine's.
fn with_records() -> Server {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [Behaviour::status(410)]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "one"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    server.api_expect(200, "PATCH", "/api/v1/app/acme/endpoint/one", json!({"description": "d"}));
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", json!({"eventType": "a", "payload": {}}));
    poll_until("that the endpoint is disabled", seconds(20), || {
        let shown = server.api_expect(200, "GET", "/api/v1/app/acme/endpoint/one", Value::Null);
        (shown["disabled"] == json!(true)).then_some(())
    });
    server
}

#[test]
fn records_are_in_step_with_changes_over_a_kill_and_name_who_made_them() {
    let mut server = with_records();
    let expected = ["application.create", "endpoint.create", "endpoint.patch", "endpoint.disable"];
    assert_eq!(actions(&server), expected);
    server.kill();
    server.start_again();
    assert_eq!(actions(&server), expected);
    let page = server.api_expect(200, "GET", "/api/v1/app/acme/audit", Value::Null);
    let (last, patch) = (&page["data"][0], &page["data"][1]);
    assert_eq!(last["actor"]["kind"], "engine");
    assert_eq!(last["changes"], json!([{"field": "disabledReason", "old": null, "new": "gone"}]));
    assert_eq!((&patch["actor"]["kind"], &patch["actor"]["address"]), (&json!("root"), &json!("127.0.0.1")));
    assert!(patch["actor"]["requestId"].as_str().unwrap().starts_with("req_"), "{patch}");
    let (code, text) = in_dir(&server.data_dir());
    assert!(code == 1 && text.contains("export its log with GET /api/v1/audit"), "{text}");
    server.kill();
    let (code, text) = in_dir(&server.data_dir());
    assert!(code == 0 && text.starts_with("4 records, 1 to 4\n") && text.ends_with("no fault found\n"), "{text}");
}

#[test]
fn an_export_is_checked_without_the_server_and_a_changed_line_is_found() {
    let server = with_records();
    let head = server.api_expect(200, "GET", "/api/v1/audit/head", Value::Null);
    let (key, end) = (head["publicKey"].as_str().unwrap(), head["hash"].as_str().unwrap());
    let path = "/api/v1/audit?order=ascending&format=ndjson";
    let export = server.client().send("GET", path, &[], None).unwrap().text();
    assert_eq!(export.lines().count(), 4);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.ndjson");
    let check = |text: &str, expect: &str| {
        std::fs::write(&file, text).unwrap();
        verify(&["--file", &file.to_string_lossy(), "--public-key", key, "--expect", expect])
    };
    let noted = format!("4:{end}");
    let (code, text) = check(&export, &noted);
    assert!(code == 0 && text.contains(&format!("end: {noted}")), "{text}");
    let lines: Vec<&str> = export.lines().collect();
    let joined = |lines: &[&str]| lines.join("\n");
    for (what, changed, found) in [
        ("a value", export.replacen("\"d\"", "\"e\"", 1), "FAULT: record 3 is not the one"),
        ("a time", export.replacen("\"at\":\"20", "\"at\":\"21", 1), "FAULT: record 1 is not the one"),
        ("a removal", joined(&[lines[0], lines[2], lines[3]]), "FAULT: records 2 to 2 are missing"),
        ("an exchange", joined(&[lines[0], lines[2], lines[1], lines[3]]), "FAULT: "),
        ("the beginning cut off", joined(&lines[1..]), "FAULT: the log begins at 2"),
        ("the end cut off", joined(&lines[..3]), "FAULT: record 4 is not as expected, or not there"),
    ] {
        let (code, text) = check(&changed, &noted);
        assert!(code == 1 && text.contains(found), "{what}: {text}");
    }
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    std::fs::write(&file, &export).unwrap();
    let (code, text) = verify(&["--file", &file.to_string_lossy(), "--public-key", other]);
    assert!(code == 1 && text.contains("FAULT: the signature of record 1 does not fit"), "{text}");
}

#[test]
fn a_record_that_somebody_changed_in_the_data_directory_is_found() {
    let mut server = with_records();
    server.kill();
    let folder = server.data_dir();
    {
        let store = OpenOptions::default().open(&folder).unwrap();
        let (seq, mut record) = log::list(&store, None, 9, Direction::Forward).unwrap().remove(1);
        record.entry.actor.name = "somebody else".to_owned();
        let mut batch = Batch::new();
        batch.put(audit::encode(seq), audit::to_value(&record));
        store.apply(batch).unwrap();
    }
    let (code, text) = in_dir(&folder);
    assert!(code == 1 && text.contains("FAULT: record 2 is not the one"), "{text}");
    assert!(text.contains("FAULT: the signature of record 2 does not fit"), "{text}");
}
