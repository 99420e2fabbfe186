//! Keys and how far they reach.

use crate::harness::{Api, target};
use admin_api::{KeyHash, generate_key};
use model::{ApiKeyRow, AppId, UnixMs};
use serde_json::json;
use storage::tables::api_key;

async fn add_key(api: &Api, app: Option<AppId>) -> String {
    let key = generate_key().unwrap();
    let hash = KeyHash::of(&key).to_bytes();
    api.rows(move |txn| api_key::put(txn, &ApiKeyRow { hash, name: "test".to_owned(), app, created_at: UnixMs(1) }))
        .await;
    format!("Bearer {}", *key)
}

#[tokio::test]
async fn without_a_known_key_nothing_answers_but_health_and_the_document() {
    let api = Api::start();
    for key in ["Bearer pk_wrong", "Basic x", "", "pk_test_root"] {
        let answer = api.request("GET", "/app", &[("authorization", key)], "").await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.expect_error(401, "authentication_failed");
    }
    for (method, path) in [("GET", "/health"), ("HEAD", "/health"), ("GET", "/health/ping"), ("HEAD", "/health/ping")] {
        assert!(api.request(method, path, &[("authorization", "")], "").await.expect(204).is_null());
    }
    api.request("GET", "/openapi.json", &[("authorization", "")], "").await.expect(200);
}

#[tokio::test]
async fn a_key_for_everything_does_everything() {
    let api = Api::start();
    let key = add_key(&api, None).await;
    api.request("POST", "/app", &[("authorization", &key)], r#"{"name":"x"}"#).await.expect(201);
}

#[tokio::test]
async fn a_key_for_one_application_reaches_only_that() {
    let api = Api::start();
    let own = api.app("own").await;
    api.app("other").await;
    let endpoint = api.endpoint("own", "one").await;
    let key = add_key(&api, Some(target(&own, &endpoint).app)).await;
    let headers = [("authorization", key.as_str())];
    let id = own["id"].as_str().unwrap();
    for path in ["/app/own", "/app/own/endpoint", "/app/own/msg", &format!("/app/{id}/endpoint/one")] {
        api.request("GET", path, &headers, "").await.expect(200);
    }
    api.request("POST", "/app/own/msg", &headers, r#"{"eventType":"a","payload":{}}"#).await.expect(202);
    for path in ["/app", "/app/other", "/app/other/msg", "/app/none", "/event-type", "/background-task"] {
        api.request("GET", path, &headers, "").await.expect_error(403, "permission_denied");
    }
    let body = json!({"eventType": "a", "payload": {}, "application": {"name": "n", "uid": "new"}}).to_string();
    api.request("POST", "/app/new/msg", &headers, &body).await.expect_error(403, "permission_denied");
    api.request("POST", "/app", &headers, r#"{"name":"x"}"#).await.expect_error(403, "permission_denied");
}
