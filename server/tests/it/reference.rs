//! Payloads that are sent as a reference: the body names the message, and the receiver reads it there.

use crate::harness::{Behaviour, Receiver, Server, seconds};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/shop";
const HOOK: &str = "/api/v1/app/shop/endpoint/hook";

fn set_up(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook", "payloadMode": "reference"});
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
}

fn push(server: &Server) -> Value {
    let message = json!({"eventType": "order.paid", "payload": {"canary": 1}});
    server.api_expect(202, "POST", &format!("{APP}/msg"), message)
}

#[test]
fn a_reference_is_signed_holds_no_payload_and_leads_to_the_message_over_a_kill() {
    let flags = ["--public-url", "https://hooks.example.com/p/", "--retry-schedule", "200ms,200ms,200ms"];
    let (mut server, receiver) = (Server::start(&flags), Receiver::start());
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
    set_up(&server, &receiver);
    let secret = server.api_expect(200, "GET", &format!("{HOOK}/secret"), Value::Null);
    let message = push(&server);
    receiver.wait_for(1, seconds(20));
    server.kill();
    server.restart();
    let requests = receiver.wait_until(seconds(30), |requests| requests.iter().any(|request| request.answered == 200));
    for request in &requests {
        assert!(request.is_signed_with(secret["key"].as_str().unwrap()), "signed over what is sent");
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body = request.json();
        assert_eq!(
            body,
            json!({"id": message["id"], "type": "order.paid", "timestamp": message["timestamp"],
            "url": body["url"]})
        );
        assert_eq!(requests[0].body, request.body, "each attempt has the same bytes");
    }
    // The URL leads to the message, by the id of the application and not by its uid, which may change.
    let url = requests[0].json()["url"].as_str().unwrap().to_owned();
    server.api_expect(200, "PATCH", APP, json!({"uid": "other"}));
    let path = url.strip_prefix("https://hooks.example.com/p").unwrap();
    let read = server.api_expect(200, "GET", path, Value::Null);
    assert_eq!((&read["id"], &read["payload"]), (&message["id"], &json!({"canary": 1})));
}

#[test]
fn a_message_of_another_type_is_referred_to_in_json_and_full_payloads_come_back_with_null() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    let params = json!({"rawPayload": "<a/>", "headers": {"content-type": "application/xml"}});
    let message = json!({"eventType": "order.paid", "payload": {}, "transformationsParams": params});
    let id = server.api_expect(202, "POST", &format!("{APP}/msg"), message.clone())["id"].clone();
    let request = receiver.wait_for(1, seconds(20)).remove(0);
    assert_eq!((request.header("content-type"), &request.json()["id"]), (Some("application/json"), &id));
    assert!(request.json()["url"].as_str().unwrap().starts_with("/api/v1/app/app_"));
    assert_eq!(server.api_expect(200, "PATCH", HOOK, json!({"payloadMode": null}))["payloadMode"], "full");
    server.api_expect(202, "POST", &format!("{APP}/msg"), message);
    let request = receiver.wait_for(2, seconds(20)).remove(1);
    assert_eq!(
        (request.header("content-type"), request.body.as_slice()),
        (Some("application/xml"), b"<a/>".as_slice())
    );
}
