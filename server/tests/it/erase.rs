//! Erase by subject: the content of every message with a tag or an id goes, through a kill, and of no other.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use crate::scheduled::{now_ms, text};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/acme";

/// An application whose one endpoint fails, so that what is pushed waits for a retry that is far away.
fn set_up(receiver: &Receiver) -> Server {
    let server = Server::start(&["--retry-schedule", "10h"]);
    receiver.script("/hook", [Behaviour::status(500)]);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook"});
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), endpoint);
    server
}

/// Messages in one request; every second one is about customer 7.
fn push(server: &Server, count: usize) -> Vec<(String, bool)> {
    let tag = |number: usize| if number.is_multiple_of(2) { "customer-7" } else { "customer-8" };
    let messages: Vec<Value> = (0..count)
        .map(|number| {
            json!({"eventType": "a", "eventId": format!("e-{number}"), "tags": [tag(number), "all"],
            "payload": {"number": number}})
        })
        .collect();
    let taken = server.api_expect(202, "POST", &format!("{APP}/msg/batch"), json!(messages));
    let items = taken["data"].as_array().unwrap();
    items.iter().enumerate().map(|(at, item)| (item["id"].as_str().unwrap().to_owned(), at % 2 == 0)).collect()
}

fn finished(server: &Server, started: &Value) -> Value {
    let path = format!("/api/v1/background-task/{}", started["id"].as_str().unwrap());
    poll_until("an ended task", seconds(30), || {
        let shown = server.api_expect(200, "GET", &path, Value::Null);
        (shown["status"] == "finished").then(|| shown["data"].clone())
    })
}

fn payload(server: &Server, id: &str) -> Value {
    server.api_expect(200, "GET", &format!("{APP}/msg/{id}"), Value::Null)["payload"].clone()
}

#[test]
fn the_content_of_all_messages_of_a_subject_goes_through_a_kill_and_of_no_other() {
    let receiver = Receiver::start();
    let mut server = set_up(&receiver);
    let messages = push(&server, 300);
    receiver.wait_for(1, seconds(20));
    let erase = format!("{APP}/erase");
    let dry = server.api_expect(202, "POST", &erase, json!({"tag": "customer-7", "dryRun": true}));
    let counted = finished(&server, &dry);
    assert_eq!((&counted["affected"], &counted["skipped"]["notNamed"]), (&json!(150), &json!(150)));
    assert_eq!(payload(&server, &messages[0].0), json!({"number": 0}), "a dry run erases nothing");
    let started = server.api_expect(202, "POST", &erase, json!({"tag": "customer-7"}));
    assert_eq!((&started["kind"], &started["task"]), (&json!("erase"), &json!("application.purge_content")));
    server.kill();
    server.start_again();
    let done = finished(&server, &started);
    assert_eq!((&done["affected"], &done["lookedAt"], &done["failed"]), (&json!(150), &json!(300), &json!(0)));
    for (number, (id, is_erased)) in messages.iter().enumerate() {
        let left = if *is_erased { json!({"expired": true}) } else { json!({"number": number}) };
        assert_eq!(payload(&server, id), left, "{number}");
    }
    let shown = server.api_expect(200, "GET", &format!("{APP}/msg/{}", messages[0].0), Value::Null);
    assert_eq!((&shown["tags"], &shown["eventId"]), (&json!(["customer-7", "all"]), &json!("e-0")));
    // Deliveries that waited for a retry have ended, and none can be sent by hand either.
    let resend = format!("{APP}/msg/{}/endpoint/hook/resend", messages[0].0);
    assert_eq!(server.api("POST", &resend, json!({})).0, 400);

    let by_id = server.api_expect(202, "POST", &erase, json!({"eventId": "e-1"}));
    assert_eq!(finished(&server, &by_id)["affected"], 1);
    assert_eq!(payload(&server, &messages[1].0), json!({"expired": true}));
    let again = server.api_expect(202, "POST", &erase, json!({"tag": "all"}));
    let again = finished(&server, &again);
    assert_eq!((&again["affected"], &again["skipped"]["payloadGone"]), (&json!(149), &json!(151)));
}

#[test]
fn one_subject_is_named_and_another_applications_key_erases_nothing() {
    let receiver = Receiver::start();
    let server = set_up(&receiver);
    let messages = push(&server, 2);
    let erase = format!("{APP}/erase");
    for body in [
        json!({}),
        json!({"tag": "a", "eventId": "b"}),
        json!({"tag": ""}),
        json!({"eventId": "x".repeat(300)}),
        json!({"tags": ["a"]}),
        json!({"tag": "a", "startAt": text(now_ms() + 31 * 86_400_000)}),
    ] {
        let (status, answer) = server.api("POST", &erase, body.clone());
        assert_eq!(status, 422, "{body}: {answer}");
    }
    let later = json!({"tag": "all", "startAt": text(now_ms() + 3_600_000)});
    assert_eq!(server.api_expect(202, "POST", &erase, later)["status"], "pending");
    server.api_expect(404, "POST", "/api/v1/app/none/erase", json!({"tag": "all"}));
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "k", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    let (status, _) = other.json("POST", &erase, json!({"tag": "all"}));
    assert!(matches!(status, 403 | 404), "{status}");
    let own = other.json("POST", "/api/v1/app/other/erase", json!({"tag": "all"}));
    assert_eq!((own.0, &finished(&server, &own.1)["lookedAt"]), (202, &json!(0)));
    assert_eq!(payload(&server, &messages[0].0), json!({"number": 0}));
    let records = server.api_expect(200, "GET", "/api/v1/app/acme/audit?action=job.start-in-app", Value::Null);
    assert_eq!(records["data"].as_array().unwrap().len(), 1);
}
