//! An example that the caller waits for: the answer is the attempt, and it says nothing about the endpoint.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::net::TcpListener;

const ENDPOINT: &str = "/api/v1/app/acme/endpoint/hook";
const SEND: &str = "/api/v1/app/acme/endpoint/hook/send-example?wait=true";

fn acme(server: &Server, url: &str) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let policy = json!({"type": "fixed", "delayMs": 60_000, "maxAttempts": 2, "jitter": "none"});
    let endpoint = json!({"url": url, "uid": "hook", "retryPolicy": policy, "timeoutMs": 1_000});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
}

fn ping() -> Value {
    json!({"eventType": "svix.ping"})
}

#[test]
fn a_waiting_caller_gets_the_attempt_as_it_went_and_the_example_is_marked() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/hook", [Behaviour::with_body(418, "short and stout"), Behaviour::status(200)]);
    acme(&server, &receiver.url("/hook"));
    let refused = server.api_expect(200, "POST", SEND, ping());
    assert_eq!(refused["test"], true);
    let attempt = &refused["attempt"];
    assert_eq!((&attempt["responseStatusCode"], &attempt["response"]), (&json!(418), &json!("short and stout")));
    assert_eq!(attempt["msgId"], refused["id"]);
    let taken = server.api_expect(200, "POST", SEND, ping());
    assert_eq!((&taken["attempt"]["status"], &taken["attempt"]["responseStatusCode"]), (&json!(0), &json!(200)));
    assert!(taken["attempt"]["details"]["peer"].is_string(), "details are kept of every example: {taken}");

    let ordinary = json!({"eventType": "a", "payload": {}});
    let pushed = server.api_expect(202, "POST", "/api/v1/app/acme/msg", ordinary);
    assert!(pushed.get("test").is_none(), "{pushed}");
    let stats = || server.api_expect(200, "GET", &format!("{ENDPOINT}/stats"), Value::Null);
    poll_until("the message", seconds(20), || (stats()["success"] == 1).then_some(()));
    let counted = stats();
    assert_eq!((&counted["fail"], &counted["sending"]), (&json!(0), &json!(0)), "examples are left out: {counted}");

    server.restart();
    let path = format!("/api/v1/app/acme/msg/{}", refused["id"].as_str().unwrap());
    assert_eq!(server.api_expect(200, "GET", &path, Value::Null)["test"], true);
}

#[test]
fn examples_open_no_breaker_and_disable_nothing() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    let failures = [503; 7].map(Behaviour::status);
    receiver.script("/hook", failures.into_iter().chain([Behaviour::status(410), Behaviour::status(200)]));
    acme(&server, &receiver.url("/hook"));
    for expected in [503; 7].into_iter().chain([410, 200]) {
        let sent = server.api_expect(200, "POST", SEND, ping());
        assert_eq!(sent["attempt"]["responseStatusCode"], expected);
        assert_eq!(server.api_expect(200, "GET", &format!("{ENDPOINT}/state"), Value::Null)["breaker"], "closed");
    }
    assert_eq!(server.api_expect(200, "GET", ENDPOINT, Value::Null)["disabled"], false);
}

#[test]
fn an_attempt_that_does_not_end_in_time_is_answered_without_it() {
    let (server, receiver) = (Server::start(&["--request-timeout-ms", "1500"]), Receiver::start());
    receiver.script("/hook", [Behaviour::Stall]);
    acme(&server, &receiver.url("/hook"));
    let sent = server.api_expect(202, "POST", SEND, ping());
    assert!(sent.get("attempt").is_none(), "{sent}");
    let (status, refused) = server.api("POST", &format!("{ENDPOINT}/send-example?wait=maybe"), ping());
    assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["query", "wait"])));
}

const TEST: &str = "/api/v1/app/acme/endpoint-test";

#[test]
fn a_url_is_tried_before_it_is_saved_and_nothing_of_it_is_kept() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    receiver.script("/new", [Behaviour::with_body(202, "hello")]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let asked =
        json!({"url": receiver.url("/new"), "headers": {"x-tenant": "7"}, "eventType": "a.b", "payload": {"n": 1}});
    let answer = server.api_expect(200, "POST", TEST, asked);
    assert_eq!(
        (&answer["status"], &answer["response"], &answer["error"]),
        (&json!(202), &json!("hello"), &Value::Null)
    );
    assert_eq!(answer["details"]["peer"], receiver.address().to_string());
    let request = &receiver.requests_to("/new")[0];
    assert_eq!((request.json(), request.header("x-tenant")), (json!({"n": 1}), Some("7")));
    assert!(request.header("webhook-signature").is_some_and(|signature| signature.starts_with("v1,")));
    for list in ["endpoint", "msg"] {
        let list = server.api_expect(200, "GET", &format!("/api/v1/app/acme/{list}"), Value::Null);
        assert_eq!(list["data"], json!([]));
    }
    // A port that nobody listens on: it is bound, and closed again.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = format!("http://127.0.0.1:{port}/");
    let answer = server.api_expect(200, "POST", TEST, json!({"url": gone}));
    assert_eq!((&answer["status"], &answer["outcome"]), (&json!(0), &json!("connect_error")));
    assert!(answer["error"].as_str().unwrap().contains("no connection"), "{answer}");
}

#[test]
fn a_trial_is_behind_the_guard_checked_limited_and_for_its_application() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    for (body, field) in [
        (json!({"url": "http://10.0.0.1/"}), "url"),
        (json!({"url": "ftp://a.example/"}), "url"),
        (json!({"url": receiver.url("/"), "timeoutMs": 1}), "timeoutMs"),
        (json!({"url": receiver.url("/"), "eventType": "a b"}), "eventType"),
        (json!({"url": receiver.url("/"), "headers": {"host": "a"}}), "headers"),
        (json!({"url": receiver.url("/"), "more": 1}), "more"),
    ] {
        let (status, refused) = server.api("POST", TEST, body.clone());
        assert_eq!((status, &refused["detail"][0]["loc"][1]), (422, &json!(field)), "{body}: {refused}");
    }
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "o", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    let asked = json!({"url": receiver.url("/")});
    assert_eq!(other.json("POST", TEST, asked.clone()).0, 403);
    let statuses: Vec<u16> = (0..12).map(|_| server.api("POST", TEST, asked.clone()).0).collect();
    assert!(statuses[..5].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(other.json("POST", "/api/v1/app/other/endpoint-test", asked).0, 200, "others have their own");
}
