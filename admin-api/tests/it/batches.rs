//! Batch ingest.

use crate::harness::Api;
use admin_api::ApiLimits;
use serde_json::{Value, json};

fn statuses(answer: &Value) -> Vec<u64> {
    answer["data"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn every_item_gets_its_own_result_in_order() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!([
        {"eventType": "a", "eventId": "e-1", "payload": {"n": 0}},
        {"eventType": "a b", "payload": {}},
        {"eventType": "a", "eventId": "e-1", "payload": {"n": 2}},
        7,
        {"eventType": "a", "payload": {"n": 4}},
    ]);
    let answer = api.post("/app/acme/msg/batch", body).await.expect(202);
    assert_eq!(statuses(&answer), [202, 422, 409, 422, 202]);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&2.into(), &3.into()));
    let items = answer["data"].as_array().unwrap();
    assert!(items.iter().enumerate().all(|(index, item)| item["index"] == index));
    assert_eq!((&items[1]["code"], &items[2]["code"]), (&"validation_error".into(), &"conflict".into()));
    assert!(items[1]["detail"].as_str().unwrap().starts_with("body.eventType: "));
    let id = items[4]["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/app/acme/msg/{id}")).await.expect(200)["payload"], json!({"n": 4}));
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 2);
}

#[tokio::test]
async fn lines_are_taken_like_an_array() {
    let api = Api::start();
    api.app("acme").await;
    let lines =
        "{\"eventType\":\"a\",\"payload\":{\"n\":1}}\n\n{\"eventType\":\n{\"eventType\":\"a\",\"payload\":{}}\n";
    let headers = [("content-type", "application/x-ndjson")];
    let answer = api.request("POST", "/app/acme/msg/batch", &headers, lines).await.expect(202);
    assert_eq!(statuses(&answer), [202, 422, 202]);
}

#[tokio::test]
async fn a_batch_can_be_sent_again_whole() {
    let api = Api::start();
    api.app("acme").await;
    let body = r#"[{"eventType":"a","payload":{"n":1}},{"eventType":"a","payload":{"n":1}}]"#;
    let headers = [("idempotency-key", "batch-1")];
    let first = api.request("POST", "/app/acme/msg/batch", &headers, body).await.expect(202);
    assert_eq!(api.request("POST", "/app/acme/msg/batch", &headers, body).await.expect(202), first);
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 2);
}

#[tokio::test]
async fn what_is_no_batch_fails_whole() {
    let api = Api::with(ApiLimits { batch_items: 2, body_bytes: 200, batch_body_bytes: 2_000, ..ApiLimits::default() });
    api.app("acme").await;
    let item = json!({"eventType": "a", "payload": {}});
    api.post("/app/acme/msg/batch", json!([])).await.expect_invalid("body");
    api.post("/app/acme/msg/batch", json!([item, item, item])).await.expect_invalid("body");
    api.post("/app/acme/msg/batch", item.clone()).await.expect(422);
    api.request("POST", "/app/acme/msg/batch", &[], "[{},").await.expect(422);
    let large = json!({"eventType": "a", "payload": {"text": "x".repeat(300)}});
    assert_eq!(statuses(&api.post("/app/acme/msg/batch", json!([item, large])).await.expect(202)), [202, 413]);
    let larger = json!([{"eventType": "a", "payload": {"text": "x".repeat(3_000)}}]);
    api.post("/app/acme/msg/batch", larger).await.expect_error(413, "payload_too_large");
    api.post("/app/none/msg/batch", json!([item])).await.expect_error(404, "not_found");
}
