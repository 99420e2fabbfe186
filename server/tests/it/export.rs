//! Lists as NDJSON and CSV: whole, in order, within the reach of their key, page by page.

use crate::harness::{Receiver, Server, poll_until, seconds};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MESSAGES: &str = "/api/v1/app/acme/msg";

/// An application `acme` with so many messages; their ids, oldest first.
fn acme(server: &Server, messages: usize) -> Vec<String> {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "=cmd()", "uid": "acme"}));
    let item = |n: usize| json!({"eventType": "a", "payload": {"n": n, "text": "two\nlines, \"quoted\""}, "eventId": format!("e{n}")});
    let batch: Vec<Value> = (0..messages).map(item).collect();
    let answer = server.api_expect(202, "POST", &format!("{MESSAGES}/batch"), json!(batch));
    answer["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> (String, String) {
    let answer = server.client().send("GET", path, headers, None).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    (answer.header("content-type").unwrap_or_default().to_owned(), answer.text())
}

fn items(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item["id"].as_str()).collect()
}

#[test]
fn an_export_has_every_item_of_every_page_in_the_order_of_the_list() {
    let mut server = Server::start(&[]);
    let mut sent = acme(&server, 600);
    sent.reverse();
    server.restart();
    let (kind, text) = get(&server, &format!("{MESSAGES}?format=ndjson"), &[]);
    assert_eq!(kind, "application/x-ndjson");
    let all = items(&text);
    assert_eq!(ids(&all), sent);
    assert_eq!(all[0]["payload"], json!({"n": 599, "text": "two\nlines, \"quoted\""}));
    // The list's own filters hold.
    let (_, none) = get(&server, &format!("{MESSAGES}?event_types=b"), &[("accept", "application/x-ndjson")]);
    assert_eq!(none, "");

    // A part says where to go on.
    let (_, part) = get(&server, &format!("{MESSAGES}?format=ndjson&limit=301"), &[]);
    let mut part = items(&part);
    let last = part.pop().unwrap();
    assert_eq!((part.len(), &last["done"]), (301, &json!(false)));
    let rest = format!("{MESSAGES}?format=ndjson&iterator={}", last["iterator"].as_str().unwrap());
    let rest = items(&get(&server, &rest, &[]).1);
    assert_eq!([ids(&part), ids(&rest)].concat(), sent);
}

#[test]
fn csv_has_a_line_of_columns_and_no_formula() {
    let server = Server::start(&[]);
    let sent = acme(&server, 2);
    let (kind, text) = get(&server, MESSAGES, &[("accept", "text/csv")]);
    assert!(kind.starts_with("text/csv"), "{kind}");
    let mut lines = text.split("\r\n");
    let columns: BTreeSet<&str> = lines.next().unwrap().split(',').collect();
    assert!(["id", "eventType", "payload", "timestamp"].iter().all(|name| columns.contains(name)), "{columns:?}");
    let rows: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].starts_with(&sent[1]) && rows[0].contains(r#"two\nlines, \""quoted"#), "{}", rows[0]);
    let (_, apps) = get(&server, "/api/v1/app?format=csv", &[]);
    assert!(apps.contains(",'=cmd(),"), "{apps}");
}

#[test]
fn every_list_of_an_application_can_be_exported() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let policy = json!({"type": "fixed", "delayMs": 100, "maxAttempts": 1, "jitter": "none"});
    let endpoint = json!({"url": receiver.url("/status/500"), "uid": "hook", "retryPolicy": policy});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    let message = server.api_expect(202, "POST", MESSAGES, json!({"eventType": "a", "payload": {}}));
    let letters = "/api/v1/app/acme/endpoint/hook/dead-letter";
    poll_until("a dead letter", seconds(20), || {
        server.api_expect(200, "GET", letters, Value::Null)["data"].get(0).is_some().then_some(())
    });
    let id = message["id"].as_str().unwrap();
    for (path, field, value) in [
        ("/api/v1/app/acme/endpoint".to_owned(), "uid", "hook"),
        (letters.to_owned(), "msgId", id),
        ("/api/v1/app/acme/attempt/endpoint/hook".to_owned(), "msgId", id),
        (format!("/api/v1/app/acme/attempt/msg/{id}"), "msgId", id),
        ("/api/v1/app/acme/endpoint/hook/msg".to_owned(), "id", id),
    ] {
        let exported = items(&get(&server, &format!("{path}?format=ndjson"), &[]).1);
        assert_eq!((exported.len(), &exported[0][field]), (1, &json!(value)), "{path}");
        let (_, csv) = get(&server, &format!("{path}?format=csv"), &[]);
        assert!(csv.lines().count() >= 2 && csv.contains(value), "{path}: {csv}");
    }
}

#[test]
fn an_export_is_refused_as_its_list_is() {
    let server = Server::start(&[]);
    acme(&server, 1);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Other", "uid": "other"}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "o", "appId": "other"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    let path = format!("{MESSAGES}?format=csv");
    assert_eq!(other.json("GET", &path, Value::Null).0, 403);
    assert_eq!(server.anonymous().json("GET", &format!("{path}&limit=0"), Value::Null).0, 401);
    for (query, parameter) in [
        ("format=xml", "format"),
        ("format=csv&limit=0", "limit"),
        ("format=csv&limit=100001", "limit"),
        ("format=csv&iterator=-x", "iterator"),
        ("format=csv&iterator=x", "iterator"),
    ] {
        let (status, refused) = server.api("GET", &format!("{MESSAGES}?{query}"), Value::Null);
        assert_eq!((status, &refused["detail"][0]["loc"][1]), (422, &json!(parameter)), "{query}: {refused}");
    }
}

#[test]
fn messages_and_attempts_are_found_by_the_tenants_own_id() {
    let (server, receiver) = (Server::start(&[]), Receiver::start());
    acme(&server, 50);
    let endpoint = json!({"url": receiver.url("/hook"), "uid": "hook"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    for id in ["first", "second"] {
        let message = json!({"eventType": "a", "payload": {}, "eventId": id});
        server.api_expect(202, "POST", MESSAGES, message);
    }
    let found = |path: &str| {
        let list = server.api_expect(200, "GET", path, Value::Null);
        assert_eq!(list["done"], true, "{list}");
        list["data"].as_array().unwrap().clone()
    };
    let messages = found(&format!("{MESSAGES}?event_id=e7"));
    assert_eq!((messages.len(), &messages[0]["payload"]["n"]), (1, &json!(7)));
    assert!(found(&format!("{MESSAGES}?event_id=e7&event_types=b")).is_empty(), "other filters hold as well");
    assert!(found(&format!("{MESSAGES}?event_id=none")).is_empty());
    let attempts = "/api/v1/app/acme/attempt/endpoint/hook";
    poll_until("both", seconds(20), || (found(attempts).len() == 2).then_some(()));
    let of_second = found(&format!("{attempts}?event_id=second"));
    let second = &found(&format!("{MESSAGES}?event_id=second"))[0]["id"];
    assert_eq!((of_second.len(), &of_second[0]["msgId"]), (1, second));
    assert!(found(&format!("{attempts}?event_id=none")).is_empty());
    assert_eq!(found("/api/v1/app/acme/endpoint/hook/msg?event_id=first").len(), 1);
}
