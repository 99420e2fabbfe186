//! Applications.

use crate::harness::{Api, column};
use serde_json::json;

#[tokio::test]
async fn an_application_is_created_read_replaced_patched_and_deleted() {
    let api = Api::start();
    let body = json!({"name": "Acme", "uid": "acme", "metadata": {"plan": "gold"}, "rateLimit": 10});
    let created = api.post("/app", body).await.expect(201);
    assert_eq!((&created["throttleRate"], &created["metadata"]["plan"]), (&10.into(), &"gold".into()));
    let id = created["id"].as_str().unwrap();
    assert!(id.starts_with("app_"));
    for name in [id, "acme"] {
        assert_eq!(api.get(&format!("/app/{name}")).await.expect(200), created);
    }
    let replaced = api.put("/app/acme", json!({"name": "Acme 2"})).await.expect(200);
    assert_eq!((&replaced["uid"], &replaced["rateLimit"], &replaced["id"]), (&json!(null), &json!(null), &id.into()));
    api.get("/app/acme").await.expect_error(404, "not_found");
    let patched = api.patch(&format!("/app/{id}"), json!({"uid": "acme-2"})).await.expect(200);
    assert_eq!((&patched["uid"], &patched["name"]), (&"acme-2".into(), &"Acme 2".into()));
    let kept = api.put("/app/acme-2", json!({"name": "Acme 3", "uid": "acme-2"})).await.expect(200);
    assert_eq!((&kept["uid"], &kept["name"]), (&"acme-2".into(), &"Acme 3".into()));
    assert!(api.delete("/app/acme-2").await.expect(204).is_null());
    api.get(&format!("/app/{id}")).await.expect_error(404, "not_found");
}

#[tokio::test]
async fn a_uid_is_taken_once() {
    let api = Api::start();
    let first = api.app("acme").await;
    api.post("/app", json!({"name": "x", "uid": "acme"})).await.expect_error(409, "conflict");
    let same = api.post("/app?get_if_exists=true", json!({"name": "x", "uid": "acme"})).await.expect(200);
    assert_eq!(same, first);
    api.post("/app?get_if_exists=true", json!({"name": "x", "uid": "other"})).await.expect(201);
    api.patch("/app/other", json!({"uid": "acme"})).await.expect_error(409, "conflict");
    api.delete("/app/acme").await.expect(204);
    api.post("/app", json!({"name": "x", "uid": "acme"})).await.expect(201);
}

#[tokio::test]
async fn a_put_creates_under_the_uid_of_its_path() {
    let api = Api::start();
    let created = api.put("/app/acme", json!({"name": "Acme"})).await.expect(201);
    assert_eq!(created["uid"], "acme");
    let body = json!({"name": "Acme", "uid": "acme"});
    assert_eq!(api.put("/app/acme", body).await.expect(200)["id"], created["id"]);
    api.put("/app/app_01jd3k0000000000000000000a", json!({"name": "Acme"})).await.expect_error(404, "not_found");
}

#[tokio::test]
async fn lists_page_in_either_order_and_back() {
    let api = Api::start();
    for number in 1..=5 {
        api.app(&format!("app-{number}")).await;
    }
    let (ascending, pages) = api.all("/app?limit=2").await;
    assert_eq!((column(&ascending, "uid").join(" ").as_str(), pages), ("app-1 app-2 app-3 app-4 app-5", 3));
    let (descending, _) = api.all("/app?limit=2&order=descending").await;
    assert_eq!(column(&descending, "uid").join(" "), "app-5 app-4 app-3 app-2 app-1");
    let first = api.get("/app?limit=2").await.expect(200);
    let second = api.get(&format!("/app?limit=2&iterator={}", first["iterator"].as_str().unwrap())).await.expect(200);
    let back = format!("/app?limit=2&iterator={}", second["prevIterator"].as_str().unwrap());
    assert_eq!(api.get(&back).await.expect(200)["data"], first["data"]);
    api.get("/app?limit=251").await.expect_invalid("query.limit");
    api.get("/app?limit=x").await.expect_invalid("query.limit");
    api.get("/app?iterator=nonsense").await.expect_invalid("query.iterator");
    api.get("/app?order=sideways").await.expect_invalid("query.order");
}

#[tokio::test]
async fn wrong_input_is_named_and_changes_nothing() {
    let api = Api::start();
    api.post("/app", json!({"uid": "acme"})).await.expect_invalid("body.name");
    api.post("/app", json!({"name": 7})).await.expect_invalid("body.name");
    api.post("/app", json!({"name": "x", "uid": "a b"})).await.expect_invalid("body.uid");
    api.post("/app", json!({"name": "x", "metadata": {"a": 1}})).await.expect_invalid("body.metadata.a");
    api.request("POST", "/app", &[], "{\"name\":").await.expect(422);
    api.request("POST", "/app", &[], "").await.expect_invalid("body.name");
    assert_eq!(api.all("/app").await.0.len(), 0);
}

#[tokio::test]
async fn a_deleted_application_takes_its_endpoints_with_it() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    api.delete("/app/acme").await.expect(204);
    api.get("/app/acme/endpoint/one").await.expect_error(404, "not_found");
    api.app("acme").await;
    assert_eq!(api.all("/app/acme/endpoint").await.0.len(), 0);
}

#[tokio::test]
async fn creating_again_under_one_key_gives_the_first_one() {
    let api = Api::start();
    let headers = [("idempotency-key", "auto_1")];
    let first = api.request("POST", "/app", &headers, r#"{"name":"x"}"#).await.expect(201);
    assert_eq!(api.request("POST", "/app", &headers, r#"{"name":"x"}"#).await.expect(201), first);
    let reused = api.request("POST", "/app", &headers, r#"{"name":"y"}"#).await.expect(422);
    assert_eq!(reused["code"], "idempotency_key_reused");
    let app = first["id"].as_str().unwrap();
    let (path, body) = (format!("/app/{app}/endpoint"), json!({"url": api.target_url()}).to_string());
    let endpoint = api.request("POST", &path, &headers, &body).await.expect(201);
    assert_eq!(api.request("POST", &path, &headers, &body).await.expect(201), endpoint);
    assert_eq!((api.all("/app").await.0.len(), api.all(&path).await.0.len()), (1, 1));
}

#[tokio::test]
async fn a_put_with_a_key_for_the_application_keeps_the_uid_that_it_may_not_change() {
    let api = Api::start();
    api.app("acme").await;
    let key = api.post("/api-key", json!({"name": "own", "appId": "acme"})).await.expect(201);
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let put = api.request("PUT", "/app/acme", &headers, r#"{"name":"x"}"#).await.expect(200);
    assert_eq!((&put["uid"], &put["name"]), (&"acme".into(), &"x".into()));
    let cleared = api.request("PUT", "/app/acme", &headers, r#"{"name":"x","uid":null}"#).await;
    cleared.expect_error(403, "permission_denied");
}

#[tokio::test]
async fn a_list_leaves_out_applications_for_what_their_endpoints_are() {
    let api = Api::start();
    for (app, urls, disabled) in [
        ("none", &[][..], false),
        ("off", &["https://example.com/"], true),
        ("play", &["https://play.svix.com/in/x/", "https://PLAY.svix.com/in/y/"], false),
        ("mixed", &["https://play.svix.com/in/x/", "https://example.com/"], false),
    ] {
        api.app(app).await;
        for url in urls {
            let body = json!({"url": url, "disabled": disabled});
            api.post(&format!("/app/{app}/endpoint"), body).await.expect(201);
        }
    }
    let uids = async |query: &str| column(&api.all(&format!("/app?{query}")).await.0, "uid").join(" ");
    assert_eq!(uids("limit=1").await, "none off play mixed");
    assert_eq!(uids("exclude_apps_with_no_endpoints=true").await, "off play mixed");
    assert_eq!(uids("exclude_apps_with_disabled_endpoints=true&limit=1").await, "none play mixed");
    assert_eq!(uids("exclude_apps_with_svix_play_endpoints=true&limit=2&order=descending").await, "mixed off none");
    let play = "exclude_apps_with_svix_play_endpoints=true";
    let all = format!("{play}&exclude_apps_with_no_endpoints=true&exclude_apps_with_disabled_endpoints=true");
    assert_eq!(uids(&all).await, "mixed");
}
