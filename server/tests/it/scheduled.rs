//! Messages with a time of their own: delivered once, at that time, whatever happens to the process before; listed, called
//! off, bounded.
//!
//! `PINION_SCHEDULED` sets how many messages the large test has, for a release build by hand.

use crate::harness::{Client, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The bound that is promised for a start.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// How late an attempt may start on a machine with other work.
const LATE_MS: u64 = 1_500;

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A time as the API takes it.
pub(crate) fn text(ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap();
    at.format(&Rfc3339).unwrap()
}

/// A server with an application `acme` that has an endpoint `hook`.
fn acme(arguments: &[&str], receiver: &Receiver) -> Server {
    let server = Server::start(arguments);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook", "filterTypes": ["a"]});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    server
}

fn schedule(server: &Server, event_id: &str, at: u64) -> String {
    let message = json!({"eventType": "a", "eventId": event_id, "payload": {"n": event_id}, "deliverAt": text(at)});
    let taken = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    assert_eq!(
        OffsetDateTime::parse(taken["deliverAt"].as_str().unwrap(), &Rfc3339).unwrap().unix_timestamp_nanos(),
        i128::from(at) * 1_000_000
    );
    taken["id"].as_str().unwrap().to_owned()
}

fn scheduled(server: &Server) -> Vec<String> {
    let listed = server.api_expect(200, "GET", "/api/v1/app/acme/scheduled-msg?limit=250", Value::Null);
    listed["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn statuses(server: &Server, id: &str) -> Vec<String> {
    let shown = server.api_expect(200, "GET", &format!("/api/v1/app/acme/msg/{id}/endpoint"), Value::Null);
    shown["data"].as_array().unwrap().iter().map(|item| item["statusText"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_scheduled_message_is_delivered_once_at_its_time_through_kills_and_one_that_is_called_off_is_not() {
    let receiver = Receiver::start();
    let mut server = acme(&[], &receiver);
    let at = now_ms() + 6_000;
    let (later, kept) = (schedule(&server, "later", at + 3_600_000), schedule(&server, "kept", at));
    let off = schedule(&server, "off", at + 1);
    assert_eq!(scheduled(&server), [kept.clone(), off.clone(), later.clone()], "in the order of their times");
    assert_eq!(statuses(&server, &kept), ["pending"]);
    server.api_expect(204, "DELETE", &format!("/api/v1/app/acme/msg/{off}/schedule"), Value::Null);
    server.api_expect(204, "DELETE", "/api/v1/app/acme/msg/off/schedule", Value::Null);
    server.kill();
    server.start_again();
    assert_eq!(scheduled(&server), [kept.clone(), later.clone()]);
    // An ordinary message is not held up.
    let at_once = json!({"eventType": "a", "payload": {"n": "at once"}});
    let at_once = server.api_expect(202, "POST", "/api/v1/app/acme/msg", at_once)["id"].as_str().unwrap().to_owned();
    receiver.wait_for(1, seconds(20));
    // Else the kill would have it repeated.
    poll_until("that it is settled", seconds(20), || (statuses(&server, &at_once) == ["success"]).then_some(()));
    server.kill();
    server.start_again();
    let requests = receiver.wait_for(2, seconds(30));
    assert_eq!((requests[0].json()["n"].clone(), requests[1].json()["n"].clone()), ("at once".into(), "kept".into()));
    assert_eq!(requests[1].id(), kept, "the id of the answer");
    let attempts = format!("/api/v1/app/acme/attempt/msg/{kept}");
    let attempts = poll_until("the attempt's record", seconds(20), || {
        let listed = server.api_expect(200, "GET", &attempts, Value::Null);
        (listed["data"].as_array().unwrap().len() == 1).then_some(listed)
    });
    assert_eq!(attempts["data"][0]["triggerType"], 0, "nobody asked for it by hand");
    poll_until("that it is delivered", seconds(20), || (statuses(&server, &kept) == ["success"]).then_some(()));
    server.kill();
    server.start_again();
    // Whatever was still to be sent would have been by the time that this is.
    server.api_expect(202, "POST", "/api/v1/app/acme/msg", json!({"eventType": "a", "payload": {"n": "last"}}));
    let requests = receiver.wait_until(seconds(30), |requests| requests.iter().any(|one| one.json()["n"] == "last"));
    assert_eq!(requests.iter().filter(|request| request.id() == kept).count(), 1);
    assert!(requests.iter().all(|request| request.id() != off && request.id() != later));
    let (status, refused) = server.api("DELETE", &format!("/api/v1/app/acme/msg/{kept}/schedule"), Value::Null);
    assert_eq!((status, &refused["code"]), (409, &"conflict".into()));
    // A replay of all that was missed leaves out what was called off.
    let all = json!({"since": "2000-01-01T00:00:00Z"});
    let task = server.api_expect(202, "POST", "/api/v1/app/acme/endpoint/hook/replay-missing", all);
    let task = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    let done = poll_until("the task", seconds(20), || {
        let shown = server.api_expect(200, "GET", &task, Value::Null);
        (shown["status"] == "finished").then_some(shown)
    });
    assert_eq!((&done["data"]["skipped"]["calledOff"], &done["data"]["skipped"]["onItsWay"]), (&1.into(), &1.into()));
}

#[test]
fn messages_start_at_their_time_and_go_to_those_that_are_there_then() {
    let receiver = Receiver::start();
    let server = acme(&[], &receiver);
    let first = now_ms() + 3_000;
    let times: HashMap<String, u64> = (0..20u64)
        .map(|n| {
            let at = first + n * 50;
            (schedule(&server, &format!("n{n}"), at), at)
        })
        .collect();
    let batch = json!([
        {"eventType": "a", "payload": {}, "deliverAt": text(first)},
        {"eventType": "a", "payload": {}, "deliverAt": "tomorrow"},
        {"eventType": "a", "payload": {}, "deliverAt": "2001-01-01T00:00:00Z"},
    ]);
    let taken = server.api_expect(202, "POST", "/api/v1/app/acme/msg/batch", batch);
    assert_eq!((&taken["accepted"], &taken["data"][1]["status"]), (&2.into(), &422.into()));
    // One that comes before their time gets them, and one that wants another type gets none.
    for (uid, wanted) in [("new", "a"), ("other", "b")] {
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "filterTypes": [wanted]});
        server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    }
    let at_once = receiver.wait_for(1, seconds(20));
    assert_eq!(at_once[0].id(), taken["data"][2]["id"], "a time that has passed means at once");
    receiver.wait_for(1 + 2 * 21, seconds(40));
    for path in ["/hook", "/new"] {
        let attempts = format!("/api/v1/app/acme/attempt/endpoint{path}?limit=250");
        let listed = poll_until("records of all", seconds(20), || {
            let listed = server.api_expect(200, "GET", &attempts, Value::Null);
            (listed["data"].as_array().unwrap().len() >= 21).then_some(listed)
        });
        for attempt in listed["data"].as_array().unwrap() {
            let Some(at) = times.get(attempt["msgId"].as_str().unwrap()) else { continue };
            let started = OffsetDateTime::parse(attempt["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
            let started = u64::try_from(started.unix_timestamp_nanos() / 1_000_000).unwrap();
            assert!((*at..at + LATE_MS).contains(&started), "{started} for {at}");
        }
    }
    assert!(receiver.requests_to("/other").is_empty());
    poll_until("an empty schedule", seconds(10), || scheduled(&server).is_empty().then_some(()));
}

#[test]
fn times_are_checked_the_number_is_bounded_and_others_learn_nothing() {
    let receiver = Receiver::start();
    let server = acme(&["--max-scheduled-messages-per-app", "2", "--retain-events-hours", "48"], &receiver);
    let push = |fields: Value| {
        let mut message = json!({"eventType": "a", "payload": {}});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        server.api("POST", "/api/v1/app/acme/msg", message)
    };
    let now = now_ms();
    for (fields, path) in [
        (json!({"deliverAt": text(now + 49 * 3_600_000)}), "deliverAt"),
        (json!({"deliverAt": 5}), "deliverAt"),
        (json!({"deliverAt": text(now + 7_200_000), "payloadRetentionHours": 1}), "deliverAt"),
    ] {
        let (status, refused) = push(fields);
        assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["body", path])), "{refused}");
    }
    let id = schedule(&server, "one", now + 3_600_000);
    schedule(&server, "two", now + 3_600_000);
    let (status, refused) = push(json!({"deliverAt": text(now + 3_600_000)}));
    assert_eq!((status, &refused["code"]), (422, &"quota_exceeded".into()));
    assert_eq!(push(json!({})).0, 202, "others are taken");
    let usage = server.api_expect(200, "GET", "/api/v1/app/acme/usage", Value::Null);
    assert_eq!(usage["scheduledMessages"], json!({"used": 2, "most": 2}));
    let page = server.api_expect(200, "GET", "/api/v1/app/acme/scheduled-msg?limit=1", Value::Null);
    assert_eq!((&page["done"], page["data"].as_array().unwrap().len()), (&false.into(), 1));
    let next = format!("/api/v1/app/acme/scheduled-msg?limit=1&iterator={}", page["iterator"].as_str().unwrap());
    assert_eq!(server.api_expect(200, "GET", &next, Value::Null)["data"][0]["eventId"], "two");

    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "o", "appId": "other"}));
    let stranger = Client::new(server.api_address()).with_bearer(key["key"].as_str().unwrap());
    assert_eq!(stranger.json("GET", "/api/v1/app/acme/scheduled-msg", Value::Null).0, 403);
    assert_eq!(stranger.json("DELETE", &format!("/api/v1/app/acme/msg/{id}/schedule"), Value::Null).0, 403);
    assert_eq!(stranger.json("DELETE", &format!("/api/v1/app/other/msg/{id}/schedule"), Value::Null).0, 404);
    server.api_expect(204, "DELETE", &format!("/api/v1/app/acme/msg/{id}/schedule"), Value::Null);
    assert_eq!(push(json!({"deliverAt": text(now + 3_600_000)})).0, 202, "its place is free again");
}

#[test]
fn many_scheduled_messages_cost_neither_memory_nor_time_at_the_start() {
    let count: usize = std::env::var("PINION_SCHEDULED").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let receiver = Receiver::start();
    let mut server = acme(&["--retain-events-hours", "90d"], &receiver);
    let before_kib = server.resident_kib();
    let at = now_ms() + 80 * 24 * 3_600_000;
    let (mut sent, mut soon) = (0, Vec::new());
    while sent < count {
        let size = (count - sent).min(1_000);
        let message = |n: usize| json!({"eventType": "a", "payload": {"n": n}, "deliverAt": text(at + n as u64)});
        let batch: Vec<Value> = (sent..sent + size).map(message).collect();
        let taken = server.api_expect(202, "POST", "/api/v1/app/acme/msg/batch", Value::Array(batch));
        assert_eq!(taken["accepted"], size);
        sent += size;
    }
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    soon.push(schedule(&server, "soon", now_ms() + 4_000));
    server.kill();
    let started = Instant::now();
    server.start_again();
    poll_until("readiness", seconds(60), || (server.monitor("/readyz").status == 200).then_some(()));
    let ready = started.elapsed();
    let started_kib = server.resident_kib();
    eprintln!("{count} scheduled: {grown_kib} KiB more while they came, {started_kib} KiB after a start of {ready:?}");
    assert!(ready <= READY_WITHIN, "ready after {ready:?}");
    let requests = receiver.wait_for(1, seconds(30));
    assert_eq!(requests[0].id(), soon[0], "none of the others is before it");
    let usage = server.api_expect(200, "GET", "/api/v1/app/acme/usage", Value::Null);
    assert_eq!(usage["scheduledMessages"]["used"], count);
    // Less than the rows themselves would take: 200 bytes each, beside what any start needs.
    let most_kib = before_kib + 64 * 1024 + count as u64 / 5;
    assert!(started_kib < most_kib, "{started_kib} KiB with {count} scheduled, and {before_kib} KiB without");
}
