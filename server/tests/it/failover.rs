//! An endpoint that fails hands its deliveries to its backup, over a kill too, and gets them back.

use crate::harness::{Behaviour, Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PRIMARY: &str = "/api/v1/app/acme/endpoint/primary";

/// Checks that one look at a failover follows from an earlier one: no switch is lost or another one. Answers how many
/// switches there were between them.
///
/// # Panics
/// When it does not.
pub(crate) fn check_follows(before: &Value, after: &Value) -> u64 {
    let count = |look: &Value| look["switchCount"].as_u64().expect("a number");
    let newer = count(after).checked_sub(count(before));
    let newer = newer.unwrap_or_else(|| panic!("switches are lost: {before} {after}"));
    let history = |look: &Value| look["history"].as_array().expect("a list").clone();
    let (history_before, history_after) = (history(before), history(after));
    // The newest is first, and the oldest make room.
    let kept = history_after.get(newer as usize..).unwrap_or_default();
    assert_eq!(kept, &history_before[..kept.len()], "after {newer} switches: {before} {after}");
    assert_eq!(after["active"] == "backup", count(after) % 2 == 1, "each switch changes the side: {after}");
    if newer == 0 {
        assert_eq!((&before["since"], &before["active"]), (&after["since"], &after["active"]));
    }
    newer
}

fn secret(fill: char) -> String {
    format!("whsec_{}", fill.to_string().repeat(32))
}

/// An application with a primary and a backup, each with a secret of its own; only the primary gets messages by itself.
fn set_up(server: &Server, receiver: &Receiver) {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let backup = json!({"url": receiver.url("/backup"), "uid": "backup", "secret": secret('B'), "channels": ["none"]});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", backup);
    let primary = json!({"url": receiver.url("/primary"), "uid": "primary", "secret": secret('A'),
        "retryPolicy": {"type": "fixed", "delayMs": 100, "maxAttempts": 50, "jitter": "none"},
        "failover": {"backupEndpointId": "backup"}});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", primary);
}

fn push(server: &Server, count: usize) -> BTreeSet<String> {
    let messages = vec![json!({"eventType": "a", "payload": {}}); count];
    let answer = server.api_expect(202, "POST", "/api/v1/app/acme/msg/batch", Value::Array(messages));
    answer["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn get(server: &Server, path: &str) -> Value {
    server.api_expect(200, "GET", &format!("{PRIMARY}{path}"), Value::Null)
}

fn wait_for(receiver: &Receiver, path: &str, wanted: &BTreeSet<String>) {
    poll_until(&format!("all at {path}"), seconds(60), || {
        let got: BTreeSet<String> = receiver.requests_to(path).iter().map(|one| one.id().to_owned()).collect();
        wanted.is_subset(&got).then_some(())
    });
}

#[test]
fn a_failing_endpoint_hands_over_to_its_backup_which_signs_with_its_own_secret_and_a_kill_keeps_that() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    assert_eq!(get(&server, "/failover")["active"], "primary");
    receiver.script("/primary", [Behaviour::status(500)]);
    let failed = push(&server, 1);
    wait_for(&receiver, "/backup", &failed);
    let tries = receiver.requests_to("/primary").len();
    assert!(tries >= 3, "{tries}");
    assert!(receiver.requests_to("/primary").iter().all(|request| request.is_signed_with(&secret('A'))));
    let switched = poll_until("a switch", seconds(20), || {
        Some(get(&server, "/failover")).filter(|shown| shown["active"] == "backup")
    });
    assert_eq!((&switched["switchCount"], &switched["history"][0]["by"]), (&1.into(), &"auto".into()));
    assert!(server.metric("pinion_failover_total", &["to=\"backup\""]) > 0.0);

    server.kill();
    server.start_again();
    let more = push(&server, 20);
    wait_for(&receiver, "/backup", &more);
    assert_eq!(receiver.requests_to("/primary").len(), tries, "the restart keeps the side");
    assert!(receiver.requests_to("/backup").iter().all(|request| request.is_signed_with(&secret('B'))));
    let id = failed.first().unwrap();
    let attempts = poll_until("its attempts", seconds(20), || {
        let list = server.api_expect(200, "GET", &format!("/api/v1/app/acme/attempt/msg/{id}"), Value::Null);
        Some(list["data"].clone()).filter(|list| list[0]["status"] == 0)
    });
    assert_eq!(attempts[0]["url"], receiver.url("/backup"), "{attempts}");
    assert_eq!(attempts[1]["url"], receiver.url("/primary"), "{attempts}");

    // Back by hand, twice: the second changes nothing.
    receiver.script("/primary", [Behaviour::status(200)]);
    for _ in 0..2 {
        let back = server.api_expect(200, "POST", &format!("{PRIMARY}/failover"), json!({"to": "primary"}));
        assert_eq!((&back["active"], &back["switchCount"]), (&"primary".into(), &2.into()));
    }
    wait_for(&receiver, "/primary", &push(&server, 5));
    // The backup goes, and with it the failover.
    server.api_expect(204, "DELETE", "/api/v1/app/acme/endpoint/backup", Value::Null);
    assert_eq!(get(&server, "")["failover"], Value::Null);
    server.api_expect(404, "GET", &format!("{PRIMARY}/failover"), Value::Null);
    wait_for(&receiver, "/primary", &push(&server, 1));
}

#[test]
fn a_delivery_is_given_up_only_when_both_sides_gave_it_up() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    set_up(&server, &receiver);
    let one_try = json!({"retryPolicy": {"type": "fixed", "delayMs": 10, "maxAttempts": 1, "jitter": "none"},
        "failover": {"backupEndpointId": "backup", "autoSwitch": false}});
    server.api_expect(200, "PATCH", PRIMARY, one_try);
    receiver.script("/primary", [Behaviour::status(500)]);
    receiver.script("/backup", [Behaviour::status(200)]);
    let rescued = push(&server, 1);
    wait_for(&receiver, "/backup", &rescued);
    receiver.script("/backup", [Behaviour::status(500)]);
    push(&server, 1);
    let letters = poll_until("a dead letter", seconds(30), || {
        Some(get(&server, "/dead-letter")["data"].clone()).filter(|letters| !letters[0].is_null())
    });
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!((receiver.requests_to("/primary").len(), receiver.requests_to("/backup").len()), (2, 2));
    assert_eq!(get(&server, "/failover")["active"], "primary");
}
