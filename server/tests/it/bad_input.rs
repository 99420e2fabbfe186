//! Wrong input at every door of the real program: named, refused, and without a trace.
//!
//! One case for each kind of mistake. The values of each field are tested beside the HTTP surface.
//! Refusals of the command line are in [`super::command_line`] and [`super::lifecycle`].

use crate::harness::{Client, Response, Server, pinion, seconds};
use serde_json::{Value, json};
use std::path::Path;

/// The lists that must not change.
const LISTS: [&str; 6] = [
    "/api/v1/app",
    "/api/v1/event-type",
    "/api/v1/background-task",
    "/api/v1/app/acme/endpoint",
    "/api/v1/app/acme/msg",
    "/api/v1/app/acme/endpoint/hook/dead-letter",
];

/// Nothing listens there and nobody may call it: every delivery waits.
const NOWHERE: &str = "http://pinion.invalid/";

fn lists(server: &Server) -> Vec<Value> {
    LISTS.iter().map(|path| server.api_expect(200, "GET", path, Value::Null)).collect()
}

/// One application with one endpoint and one message, and the id of the message.
fn acme(server: &Server) -> String {
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Acme", "uid": "acme"}));
    let endpoint = json!({"url": NOWHERE, "uid": "hook"});
    server.api_expect(201, "POST", "/api/v1/app/acme/endpoint", endpoint);
    let message = json!({"eventType": "a", "eventId": "e-1", "payload": {}});
    let answer = server.api_expect(202, "POST", "/api/v1/app/acme/msg", message);
    answer["id"].as_str().unwrap().to_owned()
}

/// Every error: a code for programs, a detail for people; with a 422 a list of places.
#[track_caller]
fn expect_error(response: &Response, status: u16, code: &str) -> Value {
    let body = response.json();
    assert_eq!((response.status, body["code"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    if status == 422 {
        let items = body["detail"].as_array().unwrap();
        assert!(!items.is_empty());
        for item in items {
            assert!(item["loc"].is_array() && item["msg"].is_string() && item["type"].is_string(), "{body}");
        }
    } else {
        assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
    body
}

/// Sends a body as it is, which must be refused for the value at `place`.
#[track_caller]
fn expect_invalid(client: &Client, method: &str, path: &str, body: &[u8], place: &str) {
    let response = client.send(method, path, &[], Some(body)).unwrap();
    let answer = expect_error(&response, 422, "validation_error");
    let places: Vec<String> = answer["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let parts = item["loc"].as_array().unwrap().iter();
            parts
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(".")
        })
        .collect();
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    assert!(places.iter().any(|found| found == place), "{method} {path} {text}: {place} is not in {places:?}");
}

#[test]
fn whatever_is_wrong_is_named_and_changes_nothing() {
    // No address is allowed that a guard would refuse.
    let server = Server::start(&["--allow-target", "192.0.2.0/24", "--max-body-bytes", "64KiB"]);
    let message = acme(&server);
    let before = lists(&server);
    let client = server.client();

    malformed_and_mistyped(&client);
    unknown_ids(&client, &message);
    refused_targets(&client);
    taken_names(&client);
    let large = json!({"eventType": "a", "payload": {"text": "x".repeat(100_000)}}).to_string();
    let response = client.send("POST", "/api/v1/app/acme/msg", &[], Some(large.as_bytes())).unwrap();
    expect_error(&response, 413, "payload_too_large");
    for (client, case) in [(server.anonymous(), "none"), (server.anonymous().with_bearer("pk_wrong"), "wrong")] {
        let response = client.send("POST", "/api/v1/app", &[], Some(b"{\"name\":\"x\"}")).unwrap();
        expect_error(&response, 401, "authentication_failed");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"), "key: {case}");
    }

    assert_eq!(lists(&server), before);
}

fn malformed_and_mistyped(client: &Client) {
    let (app, endpoint, message) = ("/api/v1/app", "/api/v1/app/acme/endpoint", "/api/v1/app/acme/msg");
    let hook = "/api/v1/app/acme/endpoint/hook";
    for (method, path, body, place) in [
        ("POST", app, "{", "body"),
        ("POST", app, "", "body.name"),
        ("POST", app, r#"["a", null, null, null, null, null]"#, "body"),
        ("POST", app, "nonsense", "body"),
        ("POST", app, r#"{"name": 7}"#, "body.name"),
        ("POST", app, r#"{"name": "x", "metadata": {"a": 1}}"#, "body.metadata.a"),
        ("PUT", "/api/v1/app/acme", r#"{"name": null}"#, "body.name"),
        ("PATCH", "/api/v1/app/acme", r#"{"name": []}"#, "body.name"),
        ("POST", endpoint, "{}", "body.url"),
        ("POST", endpoint, r#"{"url": "http://example.com", "maxInFlight": -1}"#, "body.maxInFlight"),
        ("POST", endpoint, r#"{"url": "http://example.com", "eventTypes": "a"}"#, "body.eventTypes"),
        (
            "POST",
            endpoint,
            r#"{"url": "http://example.com", "retryPolicy": {"type": "never"}}"#,
            "body.retryPolicy.type",
        ),
        (
            "PATCH",
            hook,
            r#"{"retryPolicy": {"type": "fixed", "delayMs": 1, "maxDelay": 2}}"#,
            "body.retryPolicy.maxDelay",
        ),
        ("POST", "/api/v1/api-key", r#"{"name": "p", "app": "acme"}"#, "body.app"),
        ("PATCH", hook, r#"{"onClientError": "explode"}"#, "body.onClientError"),
        ("POST", message, r#"{"eventType": "a", "payload": "text"}"#, "body.payload"),
        ("POST", message, r#"{"eventType": "a", "payload": {"broken": tru}}"#, "body.payload"),
        ("POST", message, r#"{"eventType": "a b", "payload": {}}"#, "body.eventType"),
        ("POST", "/api/v1/app/acme/msg/batch", r#"{"eventType": "a"}"#, "body"),
        ("POST", "/api/v1/event-type", r#"{"name": "a"}"#, "body.description"),
        ("POST", "/api/v1/app/acme/endpoint/hook/recover", r#"{"since": "yesterday"}"#, "body.since"),
        ("POST", "/api/v1/app/acme/endpoint/hook/secret/rotate", r#"{"key": "whsec_short"}"#, "body.key"),
        ("PUT", "/api/v1/app/acme/endpoint/hook/headers", r#"{"headers": {"x": 1}}"#, "body.headers.x"),
    ] {
        expect_invalid(client, method, path, body.as_bytes(), place);
    }
    expect_invalid(client, "POST", app, b"{\"name\": \"\xff\"}", "body.name");
    expect_invalid(client, "POST", app, "[".repeat(5_000).as_bytes(), "body");
    let deep = format!(r#"{{"eventType": "a", "payload": {}{}}}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    let response = client.send("POST", message, &[], Some(deep.as_bytes())).unwrap();
    expect_error(&response, 422, "validation_error");
    for (query, place) in
        [("limit=0", "limit"), ("limit=x", "limit"), ("iterator=x", "iterator"), ("before=x", "before")]
    {
        let response = client.send("GET", &format!("{message}?{query}"), &[], None).unwrap();
        let body = expect_error(&response, 422, "validation_error");
        assert_eq!(body["detail"][0]["loc"], json!(["query", place]), "{query}");
    }
}

fn unknown_ids(client: &Client, message: &str) {
    let absent = "msg_00000000000000000000000000";
    for (method, path) in [
        ("GET", "/app/none".to_owned()),
        ("DELETE", "/app/none".to_owned()),
        ("GET", "/app/none/msg".to_owned()),
        ("GET", "/app/acme/endpoint/none".to_owned()),
        ("DELETE", "/app/acme/endpoint/none".to_owned()),
        ("GET", "/app/acme/endpoint/none/secret".to_owned()),
        ("GET", "/app/acme/endpoint/none/dead-letter".to_owned()),
        ("GET", format!("/app/acme/msg/{absent}")),
        ("GET", format!("/app/acme/msg/{message}/attempt/atmpt_none")),
        ("POST", format!("/app/acme/msg/{message}/endpoint/none/resend")),
        ("POST", format!("/app/acme/msg/{absent}/endpoint/hook/resend")),
        ("POST", format!("/app/acme/endpoint/hook/dead-letter/{message}/redrive")),
        ("DELETE", format!("/app/acme/endpoint/hook/dead-letter/{message}")),
        ("GET", "/event-type/none".to_owned()),
        ("GET", "/background-task/none".to_owned()),
        ("GET", "/nothing-of-ours".to_owned()),
        ("GET", "/app/%2e%2e/msg".to_owned()),
        ("GET", "/app/%00/msg".to_owned()),
    ] {
        let response = client.send(method, &format!("/api/v1{path}"), &[], None).unwrap();
        assert_eq!(response.status, 404, "{method} {path}: {}", response.text());
        expect_error(&response, 404, "not_found");
    }
    expect_error(&client.send("PATCH", "/api/v1/app", &[], None).unwrap(), 405, "method_not_allowed");
}

fn refused_targets(client: &Client) {
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.0.1/",
        "http://[fd00::1]/",
        "http://user@127.0.0.1/",
        "http://example.com@127.0.0.1/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "javascript:alert(1)",
        "//example.com/",
        "http:///path",
        "http://exa mple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:0/",
        "",
    ] {
        let body = json!({"url": url}).to_string();
        expect_invalid(client, "POST", "/api/v1/app/acme/endpoint", body.as_bytes(), "body.url");
        expect_invalid(client, "PATCH", "/api/v1/app/acme/endpoint/hook", body.as_bytes(), "body.url");
    }
}

fn taken_names(client: &Client) {
    let endpoint = json!({"url": NOWHERE, "uid": "hook"});
    for (path, body) in [
        ("/api/v1/app", json!({"name": "Acme again", "uid": "acme"})),
        ("/api/v1/app/acme/endpoint", endpoint),
        ("/api/v1/app/acme/msg", json!({"eventType": "a", "eventId": "e-1", "payload": {}})),
    ] {
        let response = client.send("POST", path, &[], Some(body.to_string().as_bytes())).unwrap();
        expect_error(&response, 409, "conflict");
    }
}

#[test]
fn a_key_for_one_application_cannot_reach_another() {
    let mut server = Server::start(&[]);
    acme(&server);
    server.api_expect(201, "POST", "/api/v1/app", json!({"name": "Own", "uid": "own"}));
    assert_eq!(server.terminate(seconds(15)).code(), Some(0));
    let created = pinion()
        .args(["key", "create", "--name", "own", "--app", "own", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .unwrap();
    assert!(created.status.success(), "{created:?}");
    server.start_again();
    let before = lists(&server);
    let client = server.anonymous().with_bearer(String::from_utf8(created.stdout).unwrap().trim());

    assert_eq!(client.json("GET", "/api/v1/app/own", Value::Null).0, 200);
    let message = br#"{"eventType":"a","payload":{}}"#;
    assert_eq!(client.send("POST", "/api/v1/app/own/msg", &[], Some(message)).unwrap().status, 202);
    for (method, path) in [
        ("GET", "/app"),
        ("GET", "/app/acme"),
        ("DELETE", "/app/acme"),
        ("GET", "/app/acme/endpoint/hook/secret"),
        ("GET", "/app/acme/msg"),
        ("GET", "/app/acme/usage"),
        ("DELETE", "/app/acme/endpoint/hook"),
        ("GET", "/app/own%2f..%2facme"),
        ("GET", "/app/acme/../own"),
        ("POST", "/event-type"),
        ("DELETE", "/event-type/a"),
        ("GET", "/background-task/none"),
    ] {
        let response = client.send(method, &format!("/api/v1{path}"), &[], None).unwrap();
        let code = if response.status == 403 { "permission_denied" } else { "not_found" };
        assert!([403, 404].contains(&response.status), "{method} {path}: {}", response.status);
        expect_error(&response, response.status, code);
    }
    let response = client.send("POST", "/api/v1/app/acme/msg", &[], Some(message)).unwrap();
    expect_error(&response, 403, "permission_denied");
    assert_eq!(lists(&server), before);
}

/// The words of a refused start on this data directory; the process must end with 1.
#[track_caller]
fn refusal(server: &Server) -> String {
    let exited = Server::try_start_in(server.data(), &[], &[]).err().expect("the store is refused");
    assert_eq!(exited.status.code(), Some(1), "{}", exited.stderr);
    assert!(!exited.stderr.contains("panicked at"), "{}", exited.stderr);
    exited.stderr
}

#[track_caller]
fn expect_names(said: &str, path: &Path, what: &str) {
    assert!(said.contains(&path.display().to_string()) && said.contains(what), "{said}");
}

#[test]
fn a_store_that_cannot_be_right_is_refused_by_its_path_and_left_as_it_is() {
    let mut server = Server::start(&[]);
    acme(&server);
    let before = lists(&server)[3].clone();
    assert_eq!(server.terminate(seconds(15)).code(), Some(0));
    let store = server.data_dir().join("store");
    let format = store.join("FORMAT");
    let good = std::fs::read(&format).unwrap();

    for (content, said) in [("pinion-store\n3\n", "an older version"), ("pinion-store\n99\n", "99")] {
        std::fs::write(&format, content).unwrap();
        expect_names(&refusal(&server), &format, said);
        assert_eq!(std::fs::read_to_string(&format).unwrap(), content);
    }
    std::fs::write(&format, "nonsense").unwrap();
    expect_names(&refusal(&server), &format, "format version");
    std::fs::remove_file(&format).unwrap();
    expect_names(&refusal(&server), &format, "missing");
    std::fs::write(&format, good).unwrap();

    let db = store.join("sled").join("db");
    let bytes = std::fs::read(&db).unwrap();
    std::fs::write(&db, vec![0xa5; bytes.len()]).unwrap();
    expect_names(&refusal(&server), &store.join("sled"), "");
    std::fs::write(&db, []).unwrap();
    expect_names(&refusal(&server), &store.join("sled"), "");
    std::fs::remove_file(&db).unwrap();
    expect_names(&refusal(&server), &db, "missing");

    // With the byte put back, the file is as it was: no refusal changed anything beside it.
    std::fs::write(&db, bytes).unwrap();
    server.start_again();
    assert_eq!(lists(&server)[3], before);
}
