//! Policies that endpoints inherit from their application, and the preview of a retry policy.

use crate::harness::{Receiver, Server, pinion, poll_until, seconds};
use serde_json::{Value, json};

const APP: &str = "/api/v1/app/policies";

fn create(server: &Server, app: Value) {
    server.api_expect(201, "POST", "/api/v1/app", app);
}

/// An endpoint that answers 404 without end: that is no failure for its breaker.
fn create_endpoint(server: &Server, receiver: &Receiver, uid: &str, mut fields: Value) {
    fields["url"] = json!(receiver.url(&format!("/status/404/{uid}")));
    fields["uid"] = json!(uid);
    server.api_expect(201, "POST", &format!("{APP}/endpoint"), fields);
}

fn push(server: &Server) -> String {
    let sent = json!({"eventType": "a", "payload": {}});
    server.api_expect(202, "POST", &format!("{APP}/msg"), sent)["id"].as_str().unwrap().to_owned()
}

/// How often a message was tried at an endpoint, once it is a dead letter there.
fn attempts_until_given_up(server: &Server, uid: &str, message: &str) -> u64 {
    poll_until(&format!("a dead letter of {uid}"), seconds(30), || {
        let page = server.api_expect(200, "GET", &format!("{APP}/endpoint/{uid}/dead-letter"), Value::Null);
        let found = page["data"].as_array().unwrap().iter().find(|letter| letter["msgId"] == message)?.clone();
        found["attempts"].as_u64()
    })
}

fn policy(server: &Server, uid: &str) -> Value {
    server.api_expect(200, "GET", &format!("{APP}/endpoint/{uid}/policy"), Value::Null)
}

fn quick(attempts: u64) -> Value {
    json!({"type": "fixed", "delayMs": 10, "maxAttempts": attempts, "jitter": "none"})
}

#[test]
fn endpoints_inherit_each_field_from_their_application_while_they_run_and_after_a_kill() {
    let mut server = Server::start(&["--retry-schedule", "1h", "--shards", "2"]);
    let receiver = Receiver::start();
    create(&server, json!({"name": "P", "uid": "policies", "policy": {"retryPolicy": quick(3), "timeoutMs": 900}}));
    create_endpoint(&server, &receiver, "heir", json!({}));
    create_endpoint(&server, &receiver, "own", json!({"retryPolicy": quick(2)}));
    let shown = policy(&server, "own");
    assert_eq!(
        (&shown["retryPolicy"]["source"], &shown["timeoutMs"]["source"]),
        (&"endpoint".into(), &"application".into())
    );
    assert_eq!((&shown["timeoutMs"]["value"], &shown["onClientError"]["source"]), (&900.into(), &"server".into()));
    assert_eq!(policy(&server, "heir")["retryPolicy"]["value"]["maxAttempts"], 3);
    let message = push(&server);
    assert_eq!(attempts_until_given_up(&server, "heir", &message), 3);
    assert_eq!(attempts_until_given_up(&server, "own", &message), 2);

    // Both have a lane now, which is told. A field that is not named stays.
    server.api_expect(200, "PATCH", APP, json!({"policy": {"retryPolicy": quick(4)}}));
    assert_eq!(policy(&server, "heir")["timeoutMs"]["value"], 900);
    let message = push(&server);
    assert_eq!(attempts_until_given_up(&server, "heir", &message), 4);
    assert_eq!(attempts_until_given_up(&server, "own", &message), 2);

    server.kill();
    server.start_again();
    assert_eq!(policy(&server, "heir")["retryPolicy"]["source"], "application");
    let message = push(&server);
    assert_eq!(attempts_until_given_up(&server, "heir", &message), 4);

    server.api_expect(200, "PATCH", APP, json!({"policy": {"onClientError": "dead_letter", "retryPolicy": null}}));
    let message = push(&server);
    assert_eq!(attempts_until_given_up(&server, "heir", &message), 1);
    assert_eq!(attempts_until_given_up(&server, "own", &message), 1);
    // A PUT without a policy clears it: the server's schedule is an hour.
    server.api_expect(200, "PUT", APP, json!({"name": "P", "uid": "policies"}));
    assert_eq!(policy(&server, "heir")["onClientError"], json!({"value": "retry", "source": "server"}));
    let before = receiver.requests_to("/status/404/own").len();
    push(&server);
    receiver.wait_until(seconds(20), |_| receiver.requests_to("/status/404/own").len() == before + 2);
}

#[test]
fn a_wrong_policy_is_refused_with_the_path_of_each_field_and_changes_nothing() {
    let server = Server::start(&[]);
    create(&server, json!({"name": "P", "uid": "policies"}));
    let wrong = json!({"policy": {
        "retryPolicy": {"type": "exponential", "initialMs": 9, "maxDelayMs": 8, "maxAttempts": 0, "multiplier": 10.5},
        "timeoutMs": 99,
        "maxInFlight": 0,
    }});
    let (status, answer) = server.api("PATCH", APP, wrong);
    let paths: Vec<String> = answer["detail"].as_array().unwrap().iter().map(|item| item["loc"].to_string()).collect();
    assert_eq!(status, 422, "{answer}");
    for field in ["timeoutMs", "maxInFlight", "initialMs", "maxAttempts", "multiplier"] {
        assert!(paths.iter().any(|path| path.contains("\"policy\"") && path.contains(field)), "{field}: {paths:?}");
    }
    let unknown = server.api("PATCH", APP, json!({"policy": {"nonsense": 1}}));
    assert_eq!(unknown.0, 422, "{}", unknown.1);
    let shown = server.api_expect(200, "GET", APP, Value::Null);
    assert!(shown["policy"].as_object().unwrap().values().all(Value::is_null), "{shown}");
}

#[test]
fn another_tenant_learns_nothing_of_a_policy() {
    let server = Server::start(&[]);
    let receiver = Receiver::start();
    create(&server, json!({"name": "P", "uid": "policies"}));
    create(&server, json!({"name": "Q", "uid": "others"}));
    create_endpoint(&server, &receiver, "heir", json!({}));
    let key = server.api_expect(201, "POST", "/api/v1/api-key", json!({"name": "q", "appId": "others"}));
    let other = server.anonymous().with_bearer(key["key"].as_str().unwrap());
    let path = format!("{APP}/endpoint/heir/policy");
    let foreign = other.json("GET", &path, Value::Null).0;
    assert!(matches!(foreign, 403 | 404), "{foreign}");
    let foreign = other.json("POST", &format!("{APP}/retry-policy/preview"), json!({})).0;
    assert!(matches!(foreign, 403 | 404), "{foreign}");
    assert_eq!(server.api("GET", "/api/v1/app/others/endpoint/heir/policy", Value::Null).0, 404);
    assert_eq!(server.api("GET", &format!("{APP}/endpoint/none/policy"), Value::Null).0, 404);
    // Its own policy is the tenant's to set, its rate is not.
    assert_eq!(other.json("PATCH", "/api/v1/app/others", json!({"policy": {"timeoutMs": 500}})).0, 200);
    assert_eq!(other.json("PATCH", "/api/v1/app/others", json!({"throttleRate": 5})).0, 403);
}

#[test]
fn a_preview_shows_what_is_scheduled_over_http_and_on_the_command_line() {
    let server = Server::start(&[]);
    create(&server, json!({"name": "P", "uid": "policies", "policy": {"retryPolicy": quick(3)}}));
    let preview = |body: Value| server.api("POST", &format!("{APP}/retry-policy/preview"), body);
    let (status, inherited) = preview(json!({}));
    assert_eq!((status, inherited["attempts"].as_array().unwrap().len()), (200, 3));
    assert_eq!(inherited["deadLetterAfter"], json!({"earliestMs": 20, "nominalMs": 20, "latestMs": 20}));

    let asked = json!({
        "type": "exponential", "initialMs": 1000, "multiplier": 1.5, "maxAttempts": 4, "maxDelayMs": 2000, "jitter": "additive",
    });
    let (status, shown) = preview(asked.clone());
    assert_eq!(status, 200, "{shown}");
    let third = json!({
        "attempt": 3,
        "gap": {"earliestMs": 1500, "nominalMs": 1500, "latestMs": 2000},
        "offset": {"earliestMs": 2500, "nominalMs": 2500, "latestMs": 3499},
    });
    assert_eq!(shown["attempts"][2], third);
    let file = server.data_dir().join("policy.json");
    std::fs::write(&file, asked.to_string()).unwrap();
    let run = |arguments: &[&str]| pinion().arg("retry-preview").args(arguments).output().unwrap();
    let printed = run(&["--json", "--policy", file.to_str().unwrap()]);
    let by_file: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!((&by_file["attempts"], &by_file["deadLetterAfter"]), (&shown["attempts"], &shown["deadLetterAfter"]));
    let flags = [
        "--json",
        "--type",
        "exponential",
        "--initial-ms",
        "1000",
        "--multiplier",
        "1.5",
        "--max-attempts",
        "4",
        "--max-delay-ms",
        "2000",
        "--jitter",
        "additive",
    ];
    assert_eq!(run(&flags).stdout, printed.stdout);
    let wrong = run(&["--type", "fixed", "--delay-ms", "0", "--max-attempts", "2"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("delayMs"), "the field is named");
    let (status, answer) = preview(json!({"type": "fixed", "delayMs": 9, "maxAttempts": 2000}));
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "maxAttempts"])));
    let stored = server.api_expect(200, "GET", APP, Value::Null);
    assert_eq!(stored["policy"]["retryPolicy"]["maxAttempts"], 3, "a preview stores nothing");
}
