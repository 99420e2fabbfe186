//! `deadLetterRetentionDays`: dead letters go by the days of their endpoint, else of their application, else the server's.
//!
//! Dead letters are made older between two starts, as the clock of retention cannot be hurried.

use crate::harness::{Receiver, Server, poll_until, seconds};
use model::{EndpointRef, UnixMs};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use storage::disk::OpenOptions;
use storage::tables::{application, dead_letter, endpoint};
use storage::{Direction, Store as _, Txn};

const DAY_MS: u64 = 86_400_000;
const FIELD: &str = "deadLetterRetentionDays";

/// Applications and their endpoints.
const ALL: [(&str, &str); 3] = [("sets", "inherits"), ("sets", "own"), ("plain", "hook")];

fn path(app: &str, uid: &str, rest: &str) -> String {
    format!("/api/v1/app/{app}/endpoint/{uid}{rest}")
}

fn letters(server: &Server, app: &str, uid: &str) -> usize {
    server.api_expect(200, "GET", &path(app, uid, "/dead-letter"), Value::Null)["data"].as_array().unwrap().len()
}

/// The number of dead letters of each endpoint.
fn all_letters(server: &Server) -> [usize; 3] {
    ALL.map(|(app, uid)| letters(server, app, uid))
}

/// Lets every dead letter be of so many days ago, in the store of a server that has stopped.
fn make_older(server: &Server, days: u64) {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let store = OpenOptions::default().open(&server.data_dir()).unwrap();
    let mut txn = Txn::new(&store);
    for (app, uid) in ALL {
        let app = application::by_uid(&store, app).unwrap().unwrap();
        let target = EndpointRef { app, endpoint: endpoint::by_uid(&store, app, uid).unwrap().unwrap() };
        for (seq, mut row) in dead_letter::list(&store, target, None, 10, Direction::Forward).unwrap() {
            row.at = UnixMs(now_ms - days * DAY_MS);
            dead_letter::put(&mut txn, target, seq, &row).unwrap();
        }
    }
    store.apply(txn.into_parts().batch).unwrap();
}

#[test]
fn a_dead_letter_goes_after_the_days_of_its_endpoint_else_of_its_application_else_of_the_server() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "S", "uid": "sets", "policy": {FIELD: 2}}));
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "P", "uid": "plain"}));
    for (app, uid) in ALL {
        let mut body = json!({"url": receiver.url("/status/404"), "uid": uid,
            "retryPolicy": {"type": "fixed", "delayMs": 1, "maxAttempts": 1, "jitter": "none"}});
        if uid == "own" {
            body[FIELD] = json!(60);
        }
        server.api_expect(201, "POST", &format!("/api/v1/app/{app}/endpoint"), body);
    }
    for app in ["sets", "plain"] {
        server.api_expect(202, "POST", &format!("/api/v1/app/{app}/msg"), json!({"eventType": "a", "payload": {}}));
    }
    poll_until("a dead letter of each", seconds(30), || (all_letters(&server) == [1, 1, 1]).then_some(()));
    let in_force = ALL.map(|(app, uid)| {
        let policy = server.api_expect(200, "GET", &path(app, uid, "/policy"), Value::Null);
        policy[FIELD].clone()
    });
    let expected = [(2, "application"), (60, "endpoint"), (30, "server")];
    assert_eq!(in_force, expected.map(|(value, source)| json!({"value": value, "source": source})));

    assert!(server.terminate(seconds(20)).success());
    make_older(&server, 3);
    server.start_again();
    poll_until("a pass of retention", seconds(30), || (all_letters(&server) == [0, 1, 1]).then_some(()));
    assert_eq!(server.metric("pinion_retention_removed_total", &["kind=\"dead_letters\""]), 1.0);

    // Fewer days count for those that are there, from the next pass on.
    server.api_expect(200, "PATCH", &path("sets", "own", ""), json!({FIELD: 3}));
    poll_until("another pass", seconds(60), || (all_letters(&server) == [0, 0, 1]).then_some(()));
    let changed = server.api_expect(200, "PATCH", &path("sets", "own", ""), json!({FIELD: null}));
    assert_eq!(changed[FIELD], Value::Null);
    for wrong in [0, 91] {
        let (status, answer) = server.api("PATCH", &path("sets", "own", ""), json!({FIELD: wrong}));
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", FIELD])));
        let (status, answer) = server.api("PATCH", "/api/v1/app/sets", json!({"policy": {FIELD: wrong}}));
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "policy", FIELD])));
    }
}
