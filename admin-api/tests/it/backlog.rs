//! The backlog that an endpoint's state shows.

use crate::harness::Api;
use serde_json::json;

#[tokio::test]
async fn a_state_shows_how_far_behind_an_endpoint_is_and_since_when() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "all").await;
    let endpoint = json!({"url": api.target_url(), "uid": "some", "eventTypes": ["b"]});
    api.post("/app/acme/endpoint", endpoint).await.expect(201);
    let backlog = async |uid: &str| {
        let state = api.get(&format!("/app/acme/endpoint/{uid}/state")).await.expect(200);
        state["backlog"].clone()
    };
    let nothing = json!({"messages": 0, "oldestAt": null, "oldestAgeSeconds": null});
    assert_eq!(backlog("all").await, nothing);
    // Nobody ever answers.
    let first = api.message("acme", "a").await;
    api.message("acme", "a").await;
    let shown = backlog("all").await;
    assert_eq!((&shown["messages"], &shown["oldestAt"]), (&json!(2), &first["timestamp"]));
    assert!(shown["oldestAgeSeconds"].as_u64().unwrap() < 60);
    assert_eq!(backlog("some").await, nothing, "none of them was for it");
    let second = api.message("acme", "b").await;
    assert_eq!(backlog("some").await["oldestAt"], second["timestamp"]);
}
