//! Keys and how far they reach.

use crate::harness::{Api, column, target};
use control::key::{KeyHash, generate_key, is_key};
use model::{ApiKeyRow, AppId, UnixMs};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use storage::tables::api_key;

async fn add_key(api: &Api, app: Option<AppId>) -> String {
    let key = generate_key().unwrap();
    let hash = KeyHash::of(&key).to_bytes();
    api.rows(move |txn| api_key::put(txn, &ApiKeyRow::plain(hash, "test".to_owned(), app, UnixMs(1)))).await;
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
    for path in ["/app", "/app/other", "/app/other/msg", "/app/none", "/api-key"] {
        api.request("GET", path, &headers, "").await.expect_error(403, "permission_denied");
    }
    let body = json!({"eventType": "a", "payload": {}, "application": {"name": "n", "uid": "new"}}).to_string();
    api.request("POST", "/app/new/msg", &headers, &body).await.expect_error(403, "permission_denied");
    api.request("POST", "/app", &headers, r#"{"name":"x"}"#).await.expect_error(403, "permission_denied");
}

#[tokio::test]
async fn a_key_is_shown_once_works_at_once_and_stops_at_once() {
    let api = Api::start();
    let own = api.app("own").await;
    let created = api.post("/api-key", json!({"name": "backend", "appId": "own"})).await.expect(201);
    assert_eq!((&created["name"], &created["appId"]), (&json!("backend"), &own["id"]));
    assert!(created["createdAt"].is_string());
    let key = created["key"].as_str().unwrap();
    assert!(is_key(key));
    let bearer = format!("Bearer {key}");
    api.request("GET", "/app/own", &[("authorization", &bearer)], "").await.expect(200);

    let page = api.get("/api-key").await.expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["id"], created["id"]);
    assert!(!page.to_string().contains(key) && page["data"][0].get("key").is_none());
    let id = created["id"].as_str().unwrap();
    assert!(!key.contains(id));

    assert!(api.delete(&format!("/api-key/{id}")).await.expect(204).is_null());
    api.request("GET", "/app/own", &[("authorization", &bearer)], "").await.expect_error(401, "authentication_failed");
    api.delete(&format!("/api-key/{id}")).await.expect_error(404, "not_found");
    let listed = api.all("/api-key").await.0;
    assert!(listed.len() == 1 && listed[0]["revokedAt"].is_string(), "it is shown yet: {listed:?}");
    assert_eq!(api.get(&format!("/api-key/{id}")).await.expect(200), listed[0]);
}

#[tokio::test]
async fn a_key_says_what_it_is_for_and_when_it_ends() {
    let api = Api::start();
    let body = json!({"name": "k", "scopes": ["read", "ingest"], "expiresAt": "2999-01-01T00:00:00Z", "rateLimit": 60});
    let created = api.post("/api-key", body).await.expect(201);
    let mut shown = api.get(&format!("/api-key/{}", created["id"].as_str().unwrap())).await.expect(200);
    let key = created["key"].as_str().unwrap();
    assert_eq!(shown["prefix"], key[..11]);
    shown["key"] = created["key"].clone();
    assert_eq!(shown, created);
    assert_eq!(created["scopes"], json!(["ingest", "read"]));
    assert_eq!(created["expiresAt"], "2999-01-01T00:00:00.000Z");
    for unset in ["revokedAt", "lastUsedAt", "replacedBy", "appId"] {
        assert!(created[unset].is_null(), "{unset}");
    }
    let plain = api.post("/api-key", json!({"name": "plain"})).await.expect(201);
    assert_eq!(
        (&plain["scopes"], &plain["expiresAt"], &plain["rateLimit"]),
        (&json!(["admin"]), &json!(null), &json!(null))
    );
    for (wrong, loc) in [
        (json!({"name": "x", "scopes": []}), "body.scopes"),
        (json!({"name": "x", "scopes": ["root"]}), "body.scopes.0"),
        (json!({"name": "x", "expiresAt": "2001-01-01T00:00:00Z"}), "body.expiresAt"),
        (json!({"name": "x", "rateLimit": 0}), "body.rateLimit"),
    ] {
        api.post("/api-key", wrong).await.expect_invalid(loc);
    }
    assert_eq!(api.all("/api-key").await.0.len(), 2);
}

#[tokio::test]
async fn a_key_that_expired_is_refused_and_one_that_is_used_says_when() {
    let api = Api::start();
    let keys = [("expired", Some(UnixMs(2))), ("lasting", Some(UnixMs(u64::MAX))), ("endless", None)];
    let mut texts = Vec::new();
    for (name, expires_at) in keys {
        let key = generate_key().unwrap();
        let row = ApiKeyRow::plain(KeyHash::of(&key).to_bytes(), name.to_owned(), None, UnixMs(1));
        api.rows(move |txn| api_key::put(txn, &ApiKeyRow { expires_at, ..row })).await;
        texts.push(format!("Bearer {}", *key));
    }
    api.request("GET", "/app", &[("authorization", &texts[0])], "").await.expect_error(401, "authentication_failed");
    for text in &texts[1..] {
        api.request("GET", "/app", &[("authorization", text)], "").await.expect(200);
    }
    let used = || async {
        let keys = api.all("/api-key").await.0;
        column(&keys, "name").into_iter().zip(column(&keys, "lastUsedAt")).filter(|(_, at)| !at.is_empty()).count()
    };
    let until = Instant::now() + Duration::from_secs(20);
    while used().await < 2 {
        assert!(Instant::now() < until, "the uses are not noted");
        tokio::task::yield_now().await;
    }
    // A noted use is no change that anybody made.
    assert_eq!(api.all("/audit").await.0.len(), 0);
}

#[tokio::test]
async fn both_keys_of_a_rotation_work_and_then_the_new_one() {
    let api = Api::start();
    let first = api.post("/api-key", json!({"name": "backend", "scopes": ["read"]})).await.expect(201);
    let path = format!("/api-key/{}/rotate", first["id"].as_str().unwrap());
    for (wrong, loc) in [
        (json!({"gracePeriodSeconds": 2_592_001}), "body.gracePeriodSeconds"),
        (json!({"overlap": 1}), "body.overlap"),
        (json!({"expiresAt": "2001-01-01T00:00:00Z"}), "body.expiresAt"),
    ] {
        api.post(&path, wrong).await.expect_invalid(loc);
    }
    let second = api.request("POST", &path, &[("idempotency-key", "one")], "").await.expect(201);
    assert_eq!(api.request("POST", &path, &[("idempotency-key", "one")], "").await.expect(201), second);
    api.request("POST", &path, &[], "").await.expect_error(409, "conflict");
    assert_eq!((&second["name"], &second["scopes"]), (&first["name"], &first["scopes"]));
    let status = |created: &Value| {
        let bearer = format!("Bearer {}", created["key"].as_str().unwrap());
        let api = &api;
        async move { api.request("GET", "/app", &[("authorization", &bearer)], "").await.status }
    };
    assert_eq!((status(&first).await, status(&second).await), (200, 200));
    let old = api.get(&format!("/api-key/{}", first["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(old["replacedBy"], second["id"]);
    assert!(old["expiresAt"].is_string());

    let path = format!("/api-key/{}/rotate", second["id"].as_str().unwrap());
    let third = api.post(&path, json!({"gracePeriodSeconds": 0})).await.expect(201);
    assert_eq!((status(&second).await, status(&third).await), (401, 200));
    let record = &api.get("/audit?limit=1").await.expect(200)["data"][0];
    assert_eq!((&record["action"], &record["id"]), (&json!("api-key.rotate"), &third["id"]));
    assert!(!record.to_string().contains(third["key"].as_str().unwrap()));
}

#[tokio::test]
async fn a_key_is_not_made_when_its_limit_has_another_name() {
    let api = Api::start();
    api.app("own").await;
    for other in ["app", "app_id", "application"] {
        let refused = api.post("/api-key", json!({"name": "p", other: "own"})).await.expect(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", other]), "{refused}");
    }
    assert_eq!(api.all("/api-key").await.0.len(), 0);
}

#[tokio::test]
async fn a_key_may_revoke_itself_and_has_done_its_last() {
    let api = Api::start();
    let created = api.post("/api-key", json!({"name": "all", "appId": null})).await.expect(201);
    assert!(created["appId"].is_null());
    let bearer = format!("Bearer {}", created["key"].as_str().unwrap());
    let path = format!("/api-key/{}", created["id"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    api.request("POST", "/api-key", &headers, r#"{"name":"made by it"}"#).await.expect(201);
    api.request("DELETE", &path, &headers, "").await.expect(204);
    api.request("DELETE", &path, &headers, "").await.expect_error(401, "authentication_failed");
}

#[tokio::test]
async fn a_key_for_one_application_does_nothing_with_keys() {
    let api = Api::start();
    api.app("own").await;
    let created = api.post("/api-key", json!({"name": "limited", "appId": "own"})).await.expect(201);
    let bearer = format!("Bearer {}", created["key"].as_str().unwrap());
    let id = created["id"].as_str().unwrap();
    for (method, path, body) in
        [("GET", "/api-key", ""), ("POST", "/api-key", r#"{"name":"x"}"#), ("DELETE", &format!("/api-key/{id}"), "")]
    {
        let answer = api.request(method, path, &[("authorization", &bearer)], body).await;
        answer.expect_error(403, "permission_denied");
    }
    assert_eq!(api.all("/api-key").await.0.len(), 1);
}

#[tokio::test]
async fn a_key_needs_a_new_name_and_an_application_that_is_there() {
    let api = Api::start();
    api.post("/api-key", json!({"name": "backend"})).await.expect(201);
    api.post("/api-key", json!({"name": "backend"})).await.expect_error(409, "conflict");
    api.post("/api-key", json!({"name": ""})).await.expect_invalid("body.name");
    api.post("/api-key", json!({"name": "a\nb"})).await.expect_invalid("body.name");
    api.post("/api-key", json!({})).await.expect(422);
    api.post("/api-key", json!({"name": "other", "appId": "absent"})).await.expect_invalid("body.appId");
    assert_eq!(api.all("/api-key").await.0.len(), 1);
}

#[tokio::test]
async fn keys_are_listed_in_pages_and_go_with_their_application() {
    let api = Api::start();
    api.app("own").await;
    for name in ["a", "b", "c", "d", "e"] {
        let app = if name == "c" { json!("own") } else { json!(null) };
        api.post("/api-key", json!({"name": name, "appId": app})).await.expect(201);
    }
    let (keys, pages) = api.all("/api-key?limit=2").await;
    let mut names = column(&keys, "name");
    names.sort();
    assert_eq!((names.join(""), pages), ("abcde".to_owned(), 3));
    api.get("/api-key?iterator=x").await.expect_invalid("query.iterator");

    api.delete("/app/own").await.expect(204);
    let revoked = api.all("/api-key").await.0.into_iter().filter(|key| !key["revokedAt"].is_null());
    assert_eq!(column(&revoked.collect::<Vec<_>>(), "name"), ["c"]);
}

#[tokio::test]
async fn a_key_for_one_application_changes_neither_its_name_nor_its_limits_and_does_not_delete_it() {
    let api = Api::start();
    let limited = json!({"name": "own", "uid": "own", "rateLimit": 7});
    let own = api.post("/app", limited).await.expect(201);
    let other = api.app("other").await;
    let endpoint = api.endpoint("own", "one").await;
    let key = add_key(&api, Some(target(&own, &endpoint).app)).await;
    let headers = [("authorization", key.as_str())];
    let refused = [
        ("PATCH", r#"{"uid":"mine"}"#),
        // The answer is the same whether that name is taken or not.
        ("PATCH", r#"{"uid":"other"}"#),
        ("PATCH", r#"{"uid":null}"#),
        ("PATCH", r#"{"rateLimit":null}"#),
        ("PATCH", r#"{"throttleRate":1000}"#),
        ("PUT", r#"{"name":"own","uid":"other"}"#),
        ("PUT", r#"{"name":"own","uid":"own","throttleRate":8}"#),
        ("DELETE", ""),
    ];
    for (method, body) in refused {
        api.request(method, "/app/own", &headers, body).await.expect_error(403, "permission_denied");
    }
    // A field that it repeats as it is, or leaves out, stays; the rest is its own.
    api.request("PUT", "/app/own", &headers, r#"{"name":"put"}"#).await.expect(200);
    api.request("PATCH", "/app/own", &headers, r#"{"uid":"own","rateLimit":7,"name":"mine"}"#).await.expect(200);
    let after = api.get("/app/own").await.expect(200);
    assert_eq!((&after["name"], &after["uid"], &after["rateLimit"]), (&json!("mine"), &json!("own"), &json!(7)));
    assert_eq!(api.get("/app/other").await.expect(200)["id"], other["id"]);
}

#[tokio::test]
async fn no_name_looks_like_an_id_and_an_id_is_never_looked_up_as_a_name() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let message = api.message("acme", "a").await;
    let (app_id, endpoint_id) = (app["id"].as_str().unwrap(), endpoint["id"].as_str().unwrap());
    let message_id = message["id"].as_str().unwrap();
    let upper = format!("app_{}", "A".repeat(26));
    for name in [app_id, endpoint_id, message_id, &upper, ".", ".."] {
        api.post("/app", json!({"name": "x", "uid": name})).await.expect_invalid("body.uid");
        api.patch("/app/acme", json!({"uid": name})).await.expect_invalid("body.uid");
        api.patch("/app/acme/endpoint/one", json!({"uid": name})).await.expect_invalid("body.uid");
        let endpoint = json!({"url": api.target_url(), "uid": name});
        api.post("/app/acme/endpoint", endpoint).await.expect_invalid("body.uid");
        let message = json!({"eventType": "a", "payload": {}, "eventId": name});
        api.post("/app/acme/msg", message).await.expect_invalid("body.eventId");
    }
    // Of its own kind nothing that begins like one.
    for name in ["app_1", "app_", &format!("app_{}", "a".repeat(27))] {
        api.post("/app", json!({"name": "x", "uid": name})).await.expect_invalid("body.uid");
        api.put(&format!("/app/{name}"), json!({"name": "x"})).await.expect_error(404, "not_found");
        let endpoint = json!({"url": api.target_url(), "uid": name});
        api.post("/app/acme/endpoint", endpoint).await.expect(201);
    }
    for name in ["ep_1", "ep_main"] {
        let endpoint = json!({"url": api.target_url(), "uid": name});
        api.post("/app/acme/endpoint", endpoint.clone()).await.expect_invalid("body.uid");
        api.put(&format!("/app/acme/endpoint/{name}"), json!({"url": api.target_url()})).await.expect(404);
        api.patch("/app/acme/endpoint/one", json!({"uid": name})).await.expect_invalid("body.uid");
        api.post("/app", json!({"name": "x", "uid": name})).await.expect(201);
    }
    // One that was stored before such names were refused: the id is looked up as an id only.
    let mut free = app_id.to_owned();
    free.replace_range(free.len() - 1.., if free.ends_with('0') { "1" } else { "0" });
    let (uid, row) = (free.clone(), target(&app, &endpoint).app);
    api.rows(move |txn| {
        let row = storage::tables::application::get(txn, row)?.unwrap();
        storage::tables::application::put(txn, &model::Application { uid: Some(uid), ..row })
    })
    .await;
    api.get(&format!("/app/{free}")).await.expect_error(404, "not_found");
    api.put(&format!("/app/{free}"), json!({"name": "x"})).await.expect_error(404, "not_found");
    api.get(&format!("/app/{app_id}")).await.expect(200);
}
