//! A content filter decides which messages an endpoint gets: at their turn, after a kill, and after a change of it.

use crate::harness::{Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::time::Instant;

const ENDPOINT: &str = "/api/v1/app/shop/endpoint";
const TRY: &str = "/api/v1/app/shop/filter/try";

fn push(server: &Server, amount: u64) -> String {
    let message = json!({"eventType": "invoice.paid", "payload": {"amount": amount, "items": [{"sku": "A1"}]}});
    let taken = server.api_expect(202, "POST", "/api/v1/app/shop/msg", message);
    taken["id"].as_str().expect("an id").to_owned()
}

fn amounts(receiver: &Receiver, path: &str) -> Vec<u64> {
    let mut amounts: Vec<u64> =
        receiver.requests_to(path).iter().map(|request| request.json()["amount"].as_u64().expect("a number")).collect();
    amounts.sort_unstable();
    amounts
}

/// Pushes until everything before is known to be settled: the last message matches, and the endpoint has no backlog.
fn settle(server: &Server, uid: &str) {
    poll_until("no backlog", seconds(30), || {
        let state = server.api_expect(200, "GET", &format!("{ENDPOINT}/{uid}/state"), Value::Null);
        (state["backlog"]["messages"] == 0).then_some(())
    });
}

fn standing(server: &Server, message: &str) -> Vec<(String, String)> {
    let found = server.api_expect(200, "GET", &format!("/api/v1/app/shop/msg/{message}/endpoint"), Value::Null);
    let items = found["data"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| (text(&item["uid"]), text(&item["statusText"]))).collect()
}

#[test]
fn an_endpoint_gets_the_messages_that_its_filter_agrees_to_over_a_kill_and_a_change() {
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    let filter = "payload.amount > 100 && payload.items.exists(i, i.sku.startsWith('A'))";
    for (uid, filter) in [("large", json!(filter)), ("all", Value::Null)] {
        let endpoint = json!({"url": receiver.url(&format!("/{uid}")), "uid": uid, "filter": filter});
        let made = server.api_expect(201, "POST", ENDPOINT, endpoint);
        assert_eq!(made["filter"], filter);
    }
    let ids: Vec<String> = [50, 150, 80, 250].map(|amount| push(&server, amount)).into();
    settle(&server, "large");
    settle(&server, "all");
    assert_eq!(amounts(&receiver, "/large"), [150, 250]);
    assert_eq!(amounts(&receiver, "/all"), [50, 80, 150, 250]);
    // A message that did not match is settled: it is no delivery of that endpoint, and says so after a restart too.
    server.kill();
    server.start_again();
    assert_eq!(standing(&server, &ids[0]), [("all".to_owned(), "success".to_owned())]);
    assert_eq!(standing(&server, &ids[1]).len(), 2);
    for amount in [90, 110] {
        push(&server, amount);
    }
    settle(&server, "large");
    assert_eq!(amounts(&receiver, "/large"), [110, 150, 250]);

    // A change counts from the next message on, and messages of before stay as they were.
    server.api_expect(200, "PATCH", &format!("{ENDPOINT}/large"), json!({"filter": "payload.amount < 10"}));
    for amount in [5, 500] {
        push(&server, amount);
    }
    settle(&server, "large");
    assert_eq!(amounts(&receiver, "/large"), [5, 110, 150, 250]);
    // A replay of what was missed asks the present filter.
    server.api_expect(200, "PATCH", &format!("{ENDPOINT}/large"), json!({"filter": "payload.amount == 80"}));
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    server.api_expect(202, "POST", &format!("{ENDPOINT}/large/replay-missing"), since);
    receiver.wait_until(seconds(30), |requests| requests.iter().filter(|one| one.path == "/large").count() == 5);
    assert_eq!(amounts(&receiver, "/large"), [5, 80, 110, 150, 250]);
    // Null clears it.
    server.api_expect(200, "PATCH", &format!("{ENDPOINT}/large"), json!({"filter": null}));
    push(&server, 1);
    settle(&server, "large");
    assert_eq!(amounts(&receiver, "/large"), [1, 5, 80, 110, 150, 250]);
}

#[test]
fn a_message_that_cannot_be_judged_does_not_match_and_is_counted() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    assert_eq!(server.metric("pinion_filter_errors_total", &[]), 0.0);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Shop", "uid": "shop"}));
    let endpoint =
        json!({"url": receiver.url("/hook"), "uid": "hook", "filter": "payload.missing > 1 || payload.amount == 7"});
    server.api_expect(201, "POST", ENDPOINT, endpoint);
    push(&server, 6);
    push(&server, 7);
    settle(&server, "hook");
    assert_eq!(amounts(&receiver, "/hook"), [7]);
    assert!(server.metric("pinion_filter_errors_total", &[]) >= 1.0);
    // An example is sent on request, whatever the filter says; so is a message that is sent again by hand.
    let example = json!({"eventType": "x", "payload": {"amount": 1}});
    server.api_expect(200, "POST", &format!("{ENDPOINT}/hook/send-example"), example);
    receiver.wait_for(2, seconds(20));
}

#[test]
fn filters_are_tried_out_and_bad_ones_are_refused_by_their_path() {
    let server = Server::start(&[]);
    for app in ["shop", "other"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    let id = push(&server, 150);
    let ask = |body: Value| server.api_expect(200, "POST", TRY, body);
    assert_eq!(
        ask(json!({"filter": "payload.amount > 100", "messageId": id})),
        json!({"matches": true, "error": null})
    );
    let given = json!({"filter": "'eu' in channels && 'x' in tags && eventType == 'a' && eventId == 'e'",
        "payload": {}, "channels": ["eu"], "tags": ["x"], "eventType": "a", "eventId": "e"});
    assert_eq!(ask(given)["matches"], true);
    let failed = ask(json!({"filter": "payload.a > 1", "payload": {}}));
    assert!(
        failed["matches"] == false && failed["error"].as_str().is_some_and(|words| words.contains('a')),
        "{failed}"
    );

    let refused = |path: &str, body: Value, at: &str| {
        let answer = server.api_expect(422, "POST", path, body);
        let path = answer["detail"][0]["loc"].as_array().unwrap();
        assert!(path.starts_with(&[json!("body"), json!(at)]), "{answer}");
    };
    for filter in
        ["", "payload.a ==", "body.a == 1", "payload.a.matches('x')", &"x".repeat(5_000), "payload.map(a, a.b) == 1"]
    {
        refused(ENDPOINT, json!({"url": "https://example.com", "filter": filter}), "filter");
        refused(TRY, json!({"filter": filter, "payload": {}}), "filter");
    }
    refused(TRY, json!({"filter": "true"}), "payload");
    refused(TRY, json!({"filter": "true", "messageId": id, "payload": {}}), "payload");
    refused(TRY, json!({"filter": "true", "payload": {}, "channels": ["a b"]}), "channels");
    server.api_expect(404, "POST", "/api/v1/app/other/filter/try", json!({"filter": "true", "messageId": id}));
}

#[test]
fn a_hostile_filter_over_a_hostile_message_holds_up_nobody() {
    let (server, receiver) = (Server::start(&["--shards", "1"]), Receiver::start());
    for app in ["shop", "victim"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    let loops = "payload.x.all(a, payload.x.all(b, payload.x == payload.x))";
    for uid in 0..20 {
        let endpoint = json!({"url": receiver.url("/hostile"), "uid": format!("h{uid}"), "filter": loops});
        server.api_expect(201, "POST", ENDPOINT, endpoint);
    }
    server.api_expect(201, "POST", "/api/v1/app/victim/endpoint", json!({"url": receiver.url("/victim")}));
    let message = json!({"eventType": "a", "payload": {"x": vec![0; 50_000]}});
    for _ in 0..5 {
        server.api_expect(202, "POST", "/api/v1/app/shop/msg", message.clone());
    }
    let pushed = Instant::now();
    server.api_expect(202, "POST", "/api/v1/app/victim/msg", json!({"eventType": "a", "payload": {}}));
    receiver.wait_until(seconds(30), |requests| requests.iter().any(|one| one.path == "/victim"));
    // One evaluation would take minutes if nothing bounded it.
    assert!(pushed.elapsed() < seconds(10), "{:?}", pushed.elapsed());
    settle(&server, "h0");
    assert!(server.metric("pinion_filter_errors_total", &[]) >= 20.0);
}
