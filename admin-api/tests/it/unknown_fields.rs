//! A field of a caller that Pinion does not know is refused by its path, in every place of a body.

use crate::harness::{Api, place, target};
use model::{DeadLetter, DeadLetterReason, UnixMs};
use serde_json::{Value, json};
use storage::tables::dead_letter;

const URL: &str = "https://example.com/hook";

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_on_every_route_with_a_body_and_changes_nothing() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    api.post("/event-type", json!({"name": "a.b", "description": "d"})).await.expect(201);
    let given_up = api.message("acme", "a").await;
    let id = given_up["id"].as_str().unwrap();
    let resend = format!("/app/acme/msg/{id}/endpoint/one/resend");
    let redrive = format!("/app/acme/endpoint/one/dead-letter/{id}/redrive");
    let (row, seq) = (target(&app, &endpoint), place(&given_up).1);
    let letter = DeadLetter {
        at: UnixMs(1_000),
        attempts: 8,
        reason: DeadLetterReason::AttemptsExhausted,
        last_outcome: None,
        last_status: 503,
    };
    api.rows(move |txn| dead_letter::put(txn, row, seq, &letter)).await;
    let since = "2020-01-01T00:00:00Z";
    let key = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let bodies: [(&str, &str, Value); 27] = [
        // First, while there is a dead letter.
        ("POST", &redrive, json!({})),
        ("POST", &resend, json!({})),
        ("POST", "/app", json!({"name": "x"})),
        ("PUT", "/app/acme", json!({"name": "x", "uid": "acme"})),
        ("PATCH", "/app/acme", json!({"name": "x"})),
        ("POST", "/event-type", json!({"name": "c.d", "description": ""})),
        ("PUT", "/event-type/a.b", json!({"description": "new"})),
        ("PATCH", "/event-type/a.b", json!({"description": "new"})),
        ("POST", "/app/acme/endpoint", json!({"url": URL})),
        ("PUT", "/app/acme/endpoint/one", json!({"url": URL, "uid": "one"})),
        ("PATCH", "/app/acme/endpoint/one", json!({"url": URL})),
        ("PUT", "/app/acme/endpoint/one/headers", json!({"headers": {"x-a": "1"}})),
        ("PATCH", "/app/acme/endpoint/one/headers", json!({"headers": {"x-a": "1"}})),
        ("POST", "/app/acme/endpoint/one/secret/rotate", json!({"key": key})),
        ("POST", "/app/acme/endpoint/one/send-example", json!({"eventType": "a.b"})),
        ("POST", "/app/acme/endpoint/one/recover", json!({"since": since})),
        ("POST", "/app/acme/endpoint/one/replay-missing", json!({"since": since})),
        ("POST", "/app/acme/endpoint/one/bulk-replay", json!({"since": since})),
        ("POST", "/api-key", json!({"name": "x"})),
        ("POST", "/app/acme/msg", json!({"eventType": "a", "payload": {}})),
        ("POST", "/app/new/msg", json!({"eventType": "a", "payload": {}, "application": {"name": "x", "uid": "new"}})),
        ("PUT", "/app/acme/endpoint/two", json!({"url": URL, "retryPolicy": {"type": "schedule", "delaysMs": [1]}})),
        ("PUT", "/app/new", json!({"name": "new"})),
        ("POST", "/app/acme/endpoint/one/dead-letter/redrive", json!({})),
        ("POST", "/app/acme/erase", json!({"eventId": "e"})),
        ("POST", "/environment/export", json!({})),
        ("POST", "/environment/import", json!({})),
    ];
    for (method, path, body) in &bodies {
        let (mut wrong, mut loc) = (body.clone(), "body.nonsense".to_owned());
        let inner = ["application", "retryPolicy"].into_iter().find(|inner| body.get(*inner).is_some());
        let place = match inner {
            Some(inner) => {
                loc = format!("body.{inner}.nonsense");
                &mut wrong[inner]
            }
            None => &mut wrong,
        };
        place["nonsense"] = json!(1);
        let answer = api.request(method, path, &[], &wrong.to_string()).await;
        assert_eq!(answer.status, 422, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["detail"][0]["type"], "value_error.extra", "{method} {path}");
        answer.expect_invalid(&loc);
    }
    let apps = api.all("/app").await.0;
    assert_eq!((apps.len(), &apps[0]["name"]), (1, &json!("acme")));
    assert_eq!(api.all("/app/acme/endpoint").await.0.len(), 1);
    assert_eq!(api.get("/event-type").await.expect(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/event-type/a.b").await.expect(200)["description"], "d");
    assert_eq!(api.get("/app/acme/endpoint/one/headers").await.expect(200)["headers"], json!({}));
    assert_ne!(api.get("/app/acme/endpoint/one/secret").await.expect(200)["key"], key);
    assert_eq!(api.all("/background-task").await.0.len() + api.all("/api-key").await.0.len(), 0);
    for (method, path, body) in &bodies {
        let answer = api.request(method, path, &[], &body.to_string()).await;
        assert!(answer.status < 300, "the same without it: {method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_query_parameter_that_is_not_known_is_refused_rather_than_all_shown() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let message = api.message("acme", "a").await["id"].as_str().unwrap().to_owned();
    for path in [
        "/app",
        "/event-type",
        "/app/acme/endpoint",
        "/app/acme/endpoint/one/msg",
        "/app/acme/endpoint/one/stats",
        "/app/acme/endpoint/one/dead-letter",
        "/app/acme/msg",
        &format!("/app/acme/msg/{message}"),
        &format!("/app/acme/msg/{message}/endpoint"),
        &format!("/app/acme/attempt/msg/{message}"),
        "/app/acme/attempt/endpoint/one",
        "/background-task",
        "/api-key",
    ] {
        api.get(path).await.expect(200);
        api.get(&format!("{path}?nonsense=1")).await.expect_invalid("query.nonsense");
    }
}

#[tokio::test]
async fn null_clears_what_can_be_empty_and_is_refused_for_the_rest() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    api.post("/event-type", json!({"name": "a.b", "description": "d"})).await.expect(201);
    for (path, refused, cleared) in [
        ("/app/acme", &["name", "metadata"][..], &["throttleRate", "rateLimit"][..]),
        (
            "/app/acme/endpoint/one",
            &["url", "description", "disabled", "metadata", "secret"],
            &["channels", "eventTypes", "filterTypes", "throttleRate", "timeoutMs", "retryPolicy", "onClientError"],
        ),
        ("/event-type/a.b", &["description", "archived", "deprecated"], &["schemas", "featureFlag", "groupName"]),
    ] {
        for field in refused {
            let answer = api.patch(path, json!({*field: null})).await;
            answer.expect_invalid(&format!("body.{field}"));
        }
        for field in cleared {
            assert!(api.patch(path, json!({*field: null})).await.expect(200)[*field].is_null(), "{path} {field}");
        }
    }
}
