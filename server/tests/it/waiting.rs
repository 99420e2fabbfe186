//! An endpoint's state names the part of Pinion that it waits for, and only while it waits.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

#[test]
fn an_endpoint_without_a_place_for_its_attempt_says_so_in_its_state() {
    let server = Server::start(&["--shards", "1", "--max-in-flight-per-shard", "1", "--attempt-timeout-ms", "3000"]);
    let receiver = Receiver::start();
    receiver.script("/silent", [Behaviour::Stall]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let state =
        |uid: &str| server.api_expect(200, "GET", &format!("/api/v1/app/acme/endpoint/{uid}/state"), Value::Null);
    for uid in ["silent", "quick"] {
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "channels": [uid]});
        server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    }
    let message = |channel: &str| json!({"eventType": "a", "payload": {}, "channels": [channel]});
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", message("silent"));
    receiver.wait_for(1, seconds(20));
    assert_eq!(state("quick")["waitingFor"], Value::Null);
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", message("quick"));
    let waits =
        poll_until("a wait", seconds(10), || Some(state("quick")).filter(|state| !state["waitingFor"].is_null()));
    assert_eq!(waits["waitingFor"], "places");
    assert!(waits["waitingSince"].is_string(), "{waits}");
    assert_eq!(state("silent")["waitingFor"], Value::Null, "it has the place");

    // The silent attempt ends by its deadline, and the place is the other's.
    receiver.wait_until(seconds(40), |requests| requests.iter().any(|request| request.path == "/quick"));
    poll_until("no wait", seconds(10), || state("quick")["waitingFor"].is_null().then_some(()));
}
