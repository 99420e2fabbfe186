//! Pause and resume through the API: what they answer, to whom, and what else leaves a pause as it is.

use crate::harness::{Api, target};
use control::key::{KeyHash, generate_key};
use model::{ApiKeyRow, UnixMs};
use serde_json::json;
use storage::tables::api_key;

#[tokio::test]
async fn an_endpoint_and_an_application_are_paused_and_resumed_and_a_put_leaves_it_so() {
    let api = Api::start();
    api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    assert_eq!((&endpoint["paused"], &endpoint["pausedAt"]), (&false.into(), &json!(null)));
    let paused = api.post("/app/acme/endpoint/one/pause", json!({})).await.expect(200);
    assert_eq!((&paused["paused"], &paused["pausedReason"]), (&true.into(), &"operator".into()));
    let put = json!({"url": api.target_url(), "uid": "one", "description": "d"});
    assert_eq!(api.put("/app/acme/endpoint/one", put).await.expect(200)["pausedAt"], paused["pausedAt"]);
    assert_eq!(api.get("/app/acme/endpoint/one/state").await.expect(200)["waitingFor"], "pause");
    assert_eq!(api.patch("/app/acme/endpoint/one", json!({"paused": false})).await.expect(200)["paused"], false);
    assert_eq!(api.post("/app/acme/endpoint/one/resume", json!({})).await.expect(200)["paused"], false);

    assert_eq!(api.post("/app/acme/pause", json!({})).await.expect(200)["paused"], true);
    assert_eq!(api.put("/app/acme", json!({"name": "n", "uid": "acme"})).await.expect(200)["paused"], true);
    assert_eq!(api.get("/app/acme/endpoint/one/state").await.expect(200)["waitingFor"], "pause");
    assert_eq!(api.post("/app/acme/resume", json!({})).await.expect(200)["paused"], false);
    assert_eq!(api.get("/app/acme/endpoint/one/state").await.expect(200)["waitingFor"], json!(null));

    let born_paused = json!({"url": api.target_url(), "paused": true});
    assert_eq!(api.post("/app/acme/endpoint", born_paused).await.expect(201)["paused"], true);
}

#[tokio::test]
async fn nobody_pauses_what_is_not_theirs_and_a_pause_is_true_or_false() {
    let api = Api::start();
    let own = api.app("own").await;
    api.app("other").await;
    let endpoint = api.endpoint("own", "one").await;
    api.endpoint("other", "two").await;
    let id = endpoint["id"].as_str().unwrap();
    for path in [&format!("/app/other/endpoint/{id}/pause"), "/app/own/endpoint/two/resume", "/app/none/pause"] {
        api.post(path, json!({})).await.expect_error(404, "not_found");
    }
    let (key, app) = (generate_key().unwrap(), Some(target(&own, &endpoint).app));
    let hash = KeyHash::of(&key).to_bytes();
    let row = ApiKeyRow::plain(hash, "own".to_owned(), app, UnixMs(1));
    api.rows(move |txn| api_key::put(txn, &row)).await;
    let bearer = format!("Bearer {}", *key);
    let headers = [("authorization", bearer.as_str())];
    for path in ["/app/other/pause", "/app/other/resume", "/app/other/endpoint/two/pause"] {
        api.request("POST", path, &headers, "{}").await.expect_error(403, "permission_denied");
    }
    api.request("POST", "/app/own/pause", &headers, "{}").await.expect(200);
    for path in ["/app/own", "/app/own/endpoint/one"] {
        api.patch(path, json!({"paused": "yes"})).await.expect_invalid("body.paused");
        api.patch(path, json!({"paused": null})).await.expect_invalid("body.paused");
    }
}
