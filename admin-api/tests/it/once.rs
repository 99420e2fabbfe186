//! The same request twice under one `Idempotency-Key`: done once, and answered alike.

use crate::harness::{Answer, Api, place, target};
use model::{DeadLetter, DeadLetterReason, UnixMs};
use serde_json::{Value, json};
use storage::tables::{dead_letter, delivery};

const KEY: (&str, &str) = ("idempotency-key", "auto_1");

async fn keyed(api: &Api, path: &str, body: &Value) -> Answer {
    api.request("POST", path, &[KEY], &body.to_string()).await
}

/// Twice, which must be answered alike, and then with another body, which must be refused.
async fn twice(api: &Api, path: &str, body: Value, other: Value) -> Value {
    let first = keyed(api, path, &body).await;
    assert!(first.status < 300, "{path}: {}", first.body);
    let second = keyed(api, path, &body).await;
    assert_eq!(second.status, first.status, "{path}: {}", second.body);
    // Progress of a job is told as it is by then.
    let fields = |answer: &Answer| match answer.body.get("task") {
        Some(task) => json!([answer.body["id"], task]),
        None => answer.body.clone(),
    };
    assert_eq!(fields(&second), fields(&first), "{path}");
    if !other.is_null() {
        let reused = keyed(api, path, &other).await.expect(422);
        assert_eq!(reused["code"], "idempotency_key_reused", "{path}");
    }
    first.body
}

#[tokio::test]
async fn what_is_created_under_one_key_is_created_once() {
    let api = Api::start();
    twice(&api, "/app", json!({"name": "x", "uid": "acme"}), json!({"name": "y"})).await;
    let url = api.target_url();
    twice(&api, "/app/acme/endpoint", json!({"url": url}), json!({"url": url, "description": "d"})).await;
    let body = json!({"name": "a.b", "description": "d"});
    twice(&api, "/event-type", body, json!({"name": "a.c", "description": "d"})).await;
    twice(&api, "/app/acme/msg", json!({"eventType": "a", "payload": {}}), json!({"eventType": "b", "payload": {}}))
        .await;
    for path in ["/app", "/app/acme/endpoint", "/event-type", "/app/acme/msg"] {
        assert_eq!(api.all(path).await.0.len(), 1, "{path}");
    }
}

#[tokio::test]
async fn an_api_key_that_is_asked_for_again_is_the_same_and_lies_nowhere() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"name": "backend", "appId": "acme"});
    let created = twice(&api, "/api-key", body.clone(), json!({"name": "backend"})).await;
    let key = created["key"].as_str().unwrap();
    assert!(control::key::is_key(key));
    let bearer = format!("Bearer {key}");
    api.request("GET", "/app/acme", &[("authorization", &bearer)], "").await.expect(200);
    assert_eq!(api.all("/api-key").await.0.len(), 1);
    let rows = api.engine.store().scan(&[], &[0xff; 8], 100_000, storage::Direction::Forward).unwrap();
    assert!(rows.len() > 3);
    let holds = |bytes: &[u8]| bytes.windows(key.len()).any(|part| part == key.as_bytes());
    assert!(!rows.iter().any(|(name, value)| holds(name) || holds(value)));
    // Another request under another key of its own is another key.
    api.post("/api-key", json!({"name": "other"})).await.expect(201);
    api.delete(&format!("/api-key/{}", created["id"].as_str().unwrap())).await.expect(204);
    keyed(&api, "/api-key", &body).await.expect_error(409, "conflict");
}

#[tokio::test]
async fn a_secret_is_rotated_once_and_the_answer_is_not_kept_in_the_clear() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/secret";
    let rotate = format!("{path}/rotate");
    let made = twice(&api, &rotate, json!({}), json!({"gracePeriodSeconds": 5})).await["key"].clone();
    assert_eq!(api.get(path).await.expect(200)["key"], made);
    let row = storage::tables::endpoint::get(&**api.engine.store(), target(&app, &endpoint)).unwrap().unwrap();
    assert_eq!(row.secrets.len(), 2, "one rotation");
    // Rotated on since: the answer is still the first one's.
    api.post(&rotate, json!({})).await.expect(200);
    assert_eq!(keyed(&api, &rotate, &json!({})).await.expect(200)["key"], made);
    assert_ne!(api.get(path).await.expect(200)["key"], made);
    // Replaced at once: it is not there to be told, and is not made again.
    api.patch("/app/acme/endpoint/one", json!({"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})).await.expect(200);
    keyed(&api, &rotate, &json!({})).await.expect_error(409, "conflict");
}

#[tokio::test]
async fn jobs_resends_examples_and_redrives_are_made_once() {
    let api = Api::start();
    let app = api.app("acme").await;
    let row = target(&app, &api.endpoint("acme", "one").await);
    let other = target(&app, &api.endpoint("acme", "two").await);
    let message = api.message("acme", "a").await;
    let (id, (_, seq, _)) = (message["id"].as_str().unwrap(), place(&message));
    let put = async |row| {
        let letter = DeadLetter {
            at: UnixMs(1_000),
            attempts: 8,
            reason: DeadLetterReason::AttemptsExhausted,
            last_outcome: None,
            last_status: 503,
        };
        api.rows(move |txn| dead_letter::put(txn, row, seq, &letter)).await;
    };
    put(row).await;
    let redrive = format!("/app/acme/endpoint/one/dead-letter/{id}/redrive");
    twice(&api, &redrive, json!({}), Value::Null).await;
    put(row).await;
    keyed(&api, &redrive, &json!({})).await.expect(202);
    assert!(dead_letter::get(&**api.engine.store(), row, seq).unwrap().is_some(), "redriven again under one key");

    twice(&api, &format!("/app/acme/msg/{id}/endpoint/two/resend"), json!({}), Value::Null).await;
    let waiting = delivery::pending(&**api.engine.store(), other, seq).unwrap();
    put(other).await;
    keyed(&api, &format!("/app/acme/msg/{id}/endpoint/two/resend"), &json!({})).await.expect(202);
    assert_eq!(delivery::pending(&**api.engine.store(), other, seq).unwrap(), waiting, "resent again under one key");

    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let later = json!({"since": "2021-01-01T00:00:00Z"});
    for word in ["recover", "replay-missing", "bulk-replay"] {
        twice(&api, &format!("/app/acme/endpoint/one/{word}"), since.clone(), later.clone()).await;
    }
    twice(&api, "/app/acme/endpoint/one/dead-letter/redrive", json!({}), Value::Null).await;
    twice(&api, "/app/acme/erase", json!({"tag": "a"}), json!({"tag": "b"})).await;
    for path in ["/app/acme/endpoint/one/pause", "/app/acme/endpoint/one/resume", "/app/acme/pause", "/app/acme/resume"]
    {
        twice(&api, path, json!({}), Value::Null).await;
    }
    api.patch("/app/acme", json!({"verification": "challenge"})).await.expect(200);
    api.post("/app/acme/endpoint", json!({"url": api.target_url(), "uid": "asked"})).await.expect(201);
    twice(&api, "/app/acme/endpoint/asked/verify", json!({}), Value::Null).await;
    assert_eq!(api.all("/background-task").await.0.len(), 5);
    // One key for another endpoint is another request.
    keyed(&api, "/app/acme/endpoint/two/recover", &since).await.expect(202);
    assert_eq!(api.all("/background-task").await.0.len(), 6);
    // The first answer comes again also when the same could not be asked for any more.
    api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
    keyed(&api, "/app/acme/endpoint/one/recover", &since).await.expect(202);
    api.post("/app/acme/endpoint/one/recover", since).await.expect_error(409, "endpoint_disabled");

    api.post("/event-type", json!({"name": "a.b", "description": ""})).await.expect(201);
    let path = "/app/acme/endpoint/two/send-example";
    twice(&api, path, json!({"eventType": "a.b"}), json!({"eventType": "svix.ping"})).await;
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 2);
}

#[tokio::test]
async fn every_post_takes_a_key() {
    let document: Value = serde_json::from_str(&admin_api::openapi_json()).unwrap();
    let mut posts = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(post) = item.get("post") else { continue };
        // They store nothing, or nothing that is there already, so doing it twice is harmless.
        let harmless = [
            "/retry-policy/preview",
            "/endpoint-test",
            "/filter/try",
            "/backup",
            "/environment/export",
            "/environment/import",
        ];
        if harmless.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        posts += 1;
        let takes =
            post["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "idempotency-key"));
        assert!(takes, "POST {path}");
    }
    assert!(posts >= 14, "{posts}");
}

#[tokio::test]
async fn a_request_that_failed_may_be_made_again_under_its_key() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    keyed(&api, "/app/acme/endpoint/one/recover", &since).await.expect_error(409, "endpoint_disabled");
    api.patch("/app/acme/endpoint/one", json!({"disabled": false})).await.expect(200);
    keyed(&api, "/app/acme/endpoint/one/recover", &since).await.expect(202);
}
