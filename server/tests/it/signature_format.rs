//! Signatures in the form of an old receiver: computed here anew over the bytes that arrived.

use crate::harness::{Behaviour, Received, Receiver, Server, seconds};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const APP: &str = "/api/v1/app/shop";
const HOOK: &str = "/api/v1/app/shop/endpoint/hook";
const SECRET: &str = "It's a Secret to Everybody";

/// HMAC-SHA256 of these parts in hex, as a receiver of ten years ago computes it.
fn hex_hmac(key: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn set_up(server: &Server, endpoint: Value) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
}

/// Pushes a body with white space in it, which only the exact bytes verify.
fn push(server: &Server) -> String {
    let body = br#"{"eventType":"order.paid","payload":{ "number" :  1,"name":"\u00e9"}}"#;
    let answer = server.client().send("POST", &format!("{APP}/msg"), &[], Some(body)).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn assert_signed_over_time_and_body(request: &Received, key: &str) {
    let time = request.header("x-acme-timestamp").unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    let digits = hex_hmac(key, &[time.as_bytes(), b".", &request.body]);
    assert_eq!(request.header("x-acme-signature"), Some(&*format!("v1={digits}")));
}

#[test]
fn a_receiver_that_cannot_change_verifies_first_tries_and_retries_over_a_kill() {
    let (mut server, receiver) = (Server::start(&["--retry-schedule", "200ms,200ms,200ms"]), Receiver::start());
    receiver.script("/hook", [Behaviour::status(500), Behaviour::status(200)]);
    let format = json!({"scheme": "hexTimeBody", "signatureHeader": "X-Acme-Signature",
        "timestampHeader": "X-Acme-Timestamp", "timestampFormat": "iso8601", "prefix": "v1=",
        "eventTypeHeader": "X-Acme-Event", "deliveryIdHeader": "X-Acme-Delivery"});
    set_up(
        &server,
        json!({"url": receiver.url("/hook"), "uid": "hook", "secret": format!("raw:{SECRET}"), "signatureFormat": format}),
    );
    let id = push(&server);
    receiver.wait_for(1, seconds(20));
    server.kill();
    server.restart();
    let requests = receiver.wait_until(seconds(30), |requests| requests.iter().any(|request| request.answered == 200));
    for request in &requests {
        assert_signed_over_time_and_body(request, SECRET);
        assert_eq!(
            (request.header("x-acme-event"), request.header("x-acme-delivery")),
            (Some("order.paid"), Some(&*id))
        );
        assert_eq!(request.id(), id, "receivers tell repeats by webhook-id");
        assert!(request.header("webhook-timestamp").is_some() && request.header("svix-id").is_some());
        assert_eq!((request.header("webhook-signature"), request.header("svix-signature")), (None, None));
    }
    let shown = server.api_expect(200, "GET", HOOK, Value::Null);
    assert_eq!(shown["signatureFormat"], format);
}

#[test]
fn the_newest_secret_signs_alone_and_without_a_form_all_is_as_before() {
    let (server, receiver) = (Server::start(&["--secret-kind", "ed25519"]), Receiver::start());
    let format = json!({"scheme": "hexBody", "signatureHeader": "X-Hub-Signature-256"});
    set_up(&server, json!({"url": receiver.url("/hook"), "uid": "hook", "signatureFormat": format}));
    let key = || {
        let shown = server.api_expect(200, "GET", &format!("{HOOK}/secret"), Value::Null);
        shown["key"].as_str().unwrap().to_owned()
    };
    let verify = |request: &Received, key: &str| {
        let digits = hex_hmac(key.strip_prefix("raw:").unwrap(), &[&request.body]);
        assert_eq!(request.header("x-hub-signature-256"), Some(&*format!("sha256={digits}")));
    };
    let first = key();
    push(&server);
    verify(&receiver.wait_for(1, seconds(20))[0], &first);
    server.api_expect(200, "POST", &format!("{HOOK}/secret/rotate"), json!({}));
    let second = key();
    assert!(second.starts_with("raw:") && second != first);
    push(&server);
    verify(&receiver.wait_for(2, seconds(20))[1], &second);
    // Back to Standard Webhooks: both secrets sign, as long as the old one is valid.
    server.api_expect(200, "PATCH", HOOK, json!({"signatureFormat": null}));
    push(&server);
    let request = &receiver.wait_for(3, seconds(20))[2];
    assert_eq!(request.header("x-hub-signature-256"), None);
    assert_eq!(request.header("webhook-signature").unwrap().split(' ').count(), 2);
}
