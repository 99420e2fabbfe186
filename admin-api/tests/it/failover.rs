//! Failover through the API: what is refused, and what both ends show.

use crate::harness::Api;
use serde_json::json;

const BACKUP: &str = "body.failover.backupEndpointId";

#[tokio::test]
async fn a_failover_names_another_endpoint_of_the_application_and_makes_no_chain() {
    let api = Api::start();
    api.app("acme").await;
    api.app("other").await;
    for uid in ["one", "two", "three"] {
        api.endpoint("acme", uid).await;
    }
    let stranger = api.endpoint("other", "stranger").await;
    let one = "/app/acme/endpoint/one";
    let to = |name: &str| json!({"failover": {"backupEndpointId": name}});
    for name in ["one", "none", stranger["id"].as_str().unwrap()] {
        api.patch(one, to(name)).await.expect_invalid(BACKUP);
    }
    let set = api.patch(one, to("two")).await.expect(200);
    assert_eq!((&set["failover"]["threshold"], &set["failover"]["autoSwitch"]), (&3.into(), &true.into()));
    assert_eq!((&set["failover"]["autoReturn"], &set["failover"]["probeIntervalMinutes"]), (&false.into(), &30.into()));
    // Neither end of a pair is an end of another.
    api.patch("/app/acme/endpoint/two", to("three")).await.expect_invalid(BACKUP);
    api.patch("/app/acme/endpoint/three", to("one")).await.expect_invalid(BACKUP);
    for (field, value) in
        [("threshold", 0), ("threshold", 11), ("probeIntervalMinutes", 4), ("probeIntervalMinutes", 61)]
    {
        let body = json!({"failover": {"backupEndpointId": "two", field: value}});
        api.patch(one, body).await.expect_invalid(&format!("body.failover.{field}"));
    }
    api.patch(one, json!({"failover": null})).await.expect(200);
    api.patch("/app/acme/endpoint/two", to("three")).await.expect(200);
}

#[tokio::test]
async fn a_switch_by_hand_is_remembered_once_and_not_made_to_a_backup_that_gets_nothing() {
    let api = Api::start();
    api.app("acme").await;
    api.app("other").await;
    api.endpoint("acme", "two").await;
    let one = json!({"url": api.target_url(), "uid": "one", "failover": {"backupEndpointId": "two"}});
    let id = api.post("/app/acme/endpoint", one).await.expect(201)["id"].as_str().unwrap().to_owned();
    let path = "/app/acme/endpoint/one/failover";
    for path in ["/app/acme/endpoint/two/failover", &format!("/app/other/endpoint/{id}/failover")] {
        api.get(path).await.expect_error(404, "not_found");
        api.post(path, json!({"to": "backup"})).await.expect_error(404, "not_found");
    }
    api.post(path, json!({"to": "elsewhere"})).await.expect(422);
    api.post("/app/acme/endpoint/two/pause", json!({})).await.expect(200);
    api.post(path, json!({"to": "backup"})).await.expect_error(409, "conflict");
    api.post("/app/acme/endpoint/two/resume", json!({})).await.expect(200);
    for _ in 0..2 {
        let shown = api.post(path, json!({"to": "backup"})).await.expect(200);
        assert_eq!((&shown["active"], &shown["switchCount"]), (&"backup".into(), &1.into()));
    }
    // A change of the settings keeps the side; so does a change of the backup.
    let settings = json!({"failover": {"backupEndpointId": "two", "threshold": 5}});
    api.patch("/app/acme/endpoint/one", settings).await.expect(200);
    api.patch("/app/acme/endpoint/two", json!({"url": "https://example.com/moved"})).await.expect(200);
    let shown = api.get(path).await.expect(200);
    assert_eq!((&shown["active"], &shown["history"][0]["by"]), (&"backup".into(), &"hand".into()));
    api.delete("/app/acme/endpoint/one").await.expect(204);
    // Its backup is free to have one of its own.
    api.endpoint("acme", "three").await;
    api.patch("/app/acme/endpoint/two", json!({"failover": {"backupEndpointId": "three"}})).await.expect(200);
    api.delete("/app/acme/endpoint/three").await.expect(204);
    assert_eq!(api.get("/app/acme/endpoint/two").await.expect(200)["failover"], json!(null));
}
