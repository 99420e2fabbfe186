//! An undelivered message says why, and stays undelivered. The endpoint is gone, the target is no longer allowed, or
//! the dead letter was deleted. The way of each answer is in [`super::outcomes`].

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};

#[test]
fn an_endpoint_that_is_gone_gets_nothing_more_and_every_message_says_so() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [Behaviour::status(410), Behaviour::status(200)]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    let message = json!({"eventType": "a", "payload": {}});
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", message.clone());
    let path = "/api/v1/app/acme/endpoint/hook";
    poll_until("disabled", seconds(20), || {
        server.api_expect(200, "GET", path, Value::Null)["disabled"].as_bool().filter(|disabled| *disabled)
    });
    server.wait_for_log(seconds(5), |line| line.contains("endpoint disabled") && line.contains("gone"));
    assert_eq!(server.metric("pinion_endpoints_disabled_total", &["reason=\"gone\""]), 1.0);

    let second = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message.clone());
    let second = second["id"].as_str().unwrap();
    let standing = server.api_expect(200, "GET", &format!("{path}/msg?expanded_statuses=true"), Value::Null);
    assert_eq!((&standing["data"][0]["id"], &standing["data"][0]["statusText"]), (&second.into(), &"canceled".into()));
    // Once it is enabled, it gets new messages only: had the second one been waiting, it would come first.
    server.api_expect(200, "PATCH", path, json!({"disabled": false}));
    let third = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    receiver.wait_until(seconds(20), |requests| requests.last().is_some_and(|last| third["id"] == last.id()));
    assert_eq!(receiver.count(), 2);
}

#[test]
fn a_target_that_is_no_longer_allowed_gets_no_connection_and_the_attempt_says_why() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    // An address is judged before it is dialled, a name when it is resolved.
    let named = format!("http://localhost:{}/", receiver.address().port());
    for (uid, url) in [("address", receiver.url("/")), ("name", named)] {
        server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", json!({"url": url, "uid": uid}));
    }
    server.kill();
    let server = Server::try_start_in(server.data(), &["--allow-target", "192.0.2.0/24"], &[]).unwrap();
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", json!({"eventType": "a", "payload": {}}));
    for uid in ["address", "name"] {
        let path = format!("/api/v1/app/acme/attempt/endpoint/{uid}");
        let attempt =
            poll_until(uid, seconds(20), || server.api_expect(200, "GET", &path, Value::Null)["data"].get(0).cloned());
        assert_eq!((&attempt["outcome"], &attempt["responseStatusCode"]), (&"refused".into(), &0.into()), "{attempt}");
        let response = attempt["response"].as_str().unwrap();
        assert!(response.contains("127.0.0.1") || response.contains("::1"), "{response}");
        assert!(!attempt["nextAttempt"].is_null());
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_dead_letter_that_was_deleted_is_not_a_success() {
    let (server, receiver) = (Server::start(&["--on-client-error", "dead-letter"]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url("/status/404"), "uid": "hook"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    for event_id in ["one", "two"] {
        let message = json!({"eventType": "a", "eventId": event_id, "payload": {}});
        server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    }
    let letters = "/api/v1/app/acme/endpoint/hook/dead-letter";
    let count = || server.api_expect(200, "GET", letters, Value::Null)["data"].as_array().unwrap().len();
    poll_until("dead letters", seconds(20), || (count() == 2).then_some(()));
    server.api_expect(204, "DELETE", &format!("{letters}/one"), Value::Null);
    server.api_expect(202, "DELETE", letters, Value::Null);
    poll_until("no dead letters", seconds(20), || (count() == 0).then_some(()));
    let stats = server.api_expect(200, "GET", "/api/v1/app/acme/endpoint/hook/stats", Value::Null);
    assert_eq!((&stats["success"], &stats["fail"]), (&0.into(), &2.into()), "{stats}");
    let standing = server.api_expect(200, "GET", "/api/v1/app/acme/msg/one/endpoint", Value::Null);
    assert_eq!(standing["data"][0]["statusText"], "fail");
}
