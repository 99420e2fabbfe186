//! Endpoints with their headers, secrets and state.

use crate::harness::{Api, column, target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::seals::Seals;
use engine::seal::SealPurpose;
use model::{AppId, Endpoint, EndpointHealth, EndpointId, EndpointRef, UnixMs};
use serde_json::json;
use storage::tables::endpoint::get as endpoint_row;
use storage::tables::{delivery, endpoint};

const URL: &str = "https://example.com/hook";

/// The first endpoint of the first application.
const FIRST: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };

#[tokio::test]
async fn an_endpoint_is_created_replaced_patched_and_deleted() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"url": URL, "uid": "one", "filterTypes": ["invoice.*"], "rateLimit": 5, "timeoutMs": 3000,
        "retryPolicy": {"type": "fixed", "delayMs": 10, "maxAttempts": 3}, "onClientError": "dead_letter"});
    let created = api.post("/app/acme/endpoint", body).await.expect(201);
    for field in ["eventTypes", "filterTypes"] {
        assert_eq!(created[field], json!(["invoice.*"]));
    }
    assert_eq!(
        (&created["version"], &created["description"], &created["disabled"]),
        (&1.into(), &"".into(), &false.into())
    );
    assert_eq!((&created["retryPolicy"]["delayMs"], &created["onClientError"]), (&10.into(), &"dead_letter".into()));
    let id = created["id"].as_str().unwrap();
    assert_eq!(api.get(&format!("/app/acme/endpoint/{id}")).await.expect(200), created);

    let body = json!({"url": "https://example.com/2", "uid": "one"});
    let replaced = api.put("/app/acme/endpoint/one", body).await.expect(200);
    assert_eq!((&replaced["id"], &replaced["uid"], &replaced["eventTypes"]), (&id.into(), &"one".into(), &json!(null)));
    let cleared = api.put("/app/acme/endpoint/one", json!({"url": "https://example.com/2"})).await.expect(200);
    assert_eq!((&cleared["id"], &cleared["uid"]), (&id.into(), &json!(null)));
    let path = format!("/app/acme/endpoint/{id}");
    let patched = api.patch(&path, json!({"throttleRate": 9, "uid": null})).await.expect(200);
    assert_eq!(
        (&patched["rateLimit"], &patched["uid"], &patched["url"]),
        (&9.into(), &json!(null), &"https://example.com/2".into())
    );
    api.delete(&format!("/app/acme/endpoint/{id}")).await.expect(204);
    api.get(&format!("/app/acme/endpoint/{id}")).await.expect_error(404, "not_found");
    assert_eq!(api.put("/app/acme/endpoint/two", json!({"url": URL})).await.expect(201)["uid"], "two");
}

#[tokio::test]
async fn an_endpoint_belongs_to_one_application() {
    let api = Api::start();
    api.app("acme").await;
    api.app("other").await;
    let id = api.endpoint("acme", "one").await["id"].as_str().unwrap().to_owned();
    api.get(&format!("/app/other/endpoint/{id}")).await.expect_error(404, "not_found");
    api.post("/app/acme/endpoint", json!({"url": URL, "uid": "one"})).await.expect_error(409, "conflict");
    api.endpoint("other", "one").await;
    api.get("/app/none/endpoint").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn a_target_that_must_not_be_called_is_refused_when_it_is_set() {
    let api = Api::start();
    api.app("acme").await;
    for url in
        ["http://127.0.0.2/", "http://169.254.169.254/latest", "http://[::1]/", "ftp://example.com/", "nonsense", ""]
    {
        api.post("/app/acme/endpoint", json!({"url": url})).await.expect_invalid("body.url");
    }
    api.endpoint("acme", "one").await;
    api.patch("/app/acme/endpoint/one", json!({"url": "http://10.0.0.1/"})).await.expect_invalid("body.url");
    api.put("/app/acme/endpoint/one", json!({"url": "http://10.0.0.1/"})).await.expect_invalid("body.url");
    assert_eq!(api.get("/app/acme/endpoint/one").await.expect(200)["url"], api.target_url());
    assert_eq!(api.all("/app/acme/endpoint").await.0.len(), 1);
}

#[tokio::test]
async fn user_name_and_password_of_a_url_are_sealed_and_shown_to_nobody() {
    let api = Api::start();
    api.app("acme").await;
    let sent = "https://us%65r:canary@example.com/hook?x=1";
    let shown = "https://***@example.com/hook?x=1";
    let stored = || {
        let row = endpoint::get(&**api.engine.store(), FIRST).unwrap().unwrap();
        let sealed = row.sealed_user_info.as_ref();
        let opened = sealed.map(|sealed| {
            Seals::new(api.engine.master().clone()).open(row.target(), SealPurpose::UserInfo, sealed).unwrap()
        });
        let text = opened.map(|opened| String::from_utf8(opened.expose().to_vec()).unwrap());
        (format!("{row:?}"), text)
    };
    let created = api.post("/app/acme/endpoint", json!({"url": sent, "uid": "one"})).await.expect(201);
    assert_eq!(created["url"], shown);
    let (debug, sealed) = stored();
    assert!(!debug.contains("canary"), "{debug}");
    assert_eq!(sealed.as_deref(), Some("us%65r:canary"));

    // As it was read, it keeps them; with anything else changed it is refused, and nothing is.
    for answer in [
        api.put("/app/acme/endpoint/one", json!({"url": shown, "uid": "one", "description": "d"})).await,
        api.patch("/app/acme/endpoint/one", json!({"url": shown})).await,
        api.patch("/app/acme/endpoint/one", json!({"description": "e"})).await,
        api.get("/app/acme/endpoint/one").await,
    ] {
        assert_eq!(answer.expect(200)["url"], shown);
        assert_eq!(stored().1.as_deref(), Some("us%65r:canary"));
    }
    for elsewhere in
        ["https://***@evil.example/hook?x=1", "https://***@example.com/other", "http://***@example.com/hook?x=1"]
    {
        api.patch("/app/acme/endpoint/one", json!({"url": elsewhere})).await.expect_invalid("body.url");
        api.put("/app/acme/endpoint/one", json!({"url": elsewhere})).await.expect_invalid("body.url");
        api.post("/app/acme/endpoint", json!({"url": elsewhere})).await.expect_invalid("body.url");
    }
    assert_eq!(stored().1.as_deref(), Some("us%65r:canary"));
    let list = api.get("/app/acme/endpoint").await.expect(200).to_string();
    assert!(list.contains(shown) && !list.contains("canary"), "{list}");

    let changed = api.patch("/app/acme/endpoint/one", json!({"url": "https://new:canary2@example.com/"})).await;
    assert_eq!(changed.expect(200)["url"], "https://***@example.com/");
    assert_eq!(stored().1.as_deref(), Some("new:canary2"));
    let without = api.patch("/app/acme/endpoint/one", json!({"url": "https://example.com/"})).await;
    assert_eq!((without.expect(200)["url"].as_str(), stored().1), (Some("https://example.com/"), None));
}

#[tokio::test]
async fn a_row_from_before_user_names_were_sealed_is_masked_and_sealed_at_its_next_change() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let url = "https://user:canary@example.com/".to_owned();
    let row = endpoint::get(&**api.engine.store(), FIRST).unwrap().unwrap();
    api.rows(move |txn| endpoint::put(txn, &Endpoint { url, ..row })).await;
    assert_eq!(api.get("/app/acme/endpoint/one").await.expect(200)["url"], "https://***@example.com/");
    let body = json!({"url": "https://***@example.com/"});
    assert_eq!(api.put("/app/acme/endpoint/one", body).await.expect(200)["url"], "https://***@example.com/");
    let row = endpoint::get(&**api.engine.store(), FIRST).unwrap().unwrap();
    let opened = Seals::new(api.engine.master().clone()).open(
        row.target(),
        SealPurpose::UserInfo,
        row.sealed_user_info.as_ref().unwrap(),
    );
    assert_eq!((opened.unwrap().expose(), row.url.as_str()), (b"user:canary".as_slice(), "https://***@example.com/"));
}

#[tokio::test]
async fn urls_that_people_have_are_taken_and_come_back_as_they_were_sent() {
    let api = Api::start();
    api.app("acme").await;
    let long = format!("https://example.com/{}", "x".repeat(8_192 - 20));
    for url in ["https://bücher.example/naïve?q=ü", "https://example.com:/x", "https://例え.テスト", &long] {
        assert_eq!(api.post("/app/acme/endpoint", json!({"url": url})).await.expect(201)["url"], url);
    }
    let urls = column(&api.all("/app/acme/endpoint").await.0, "url");
    assert!(urls.contains(&long), "a row in pieces is listed");
    api.post("/app/acme/endpoint", json!({"url": format!("{long}x")})).await.expect_invalid("body.url");
}

#[tokio::test]
async fn root_certificates_of_an_endpoint_are_checked_kept_and_cleared() {
    let api = Api::start();
    api.app("acme").await;
    let issued = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
    let text = STANDARD.encode(issued.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let created = api.post("/app/acme/endpoint", json!({"url": URL, "uid": "one", "caPem": pem})).await.expect(201);
    assert_eq!(created["caPem"], pem);
    let key = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n";
    for wrong in ["nonsense", key, "-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----\n", &pem.repeat(200)] {
        api.patch("/app/acme/endpoint/one", json!({"caPem": wrong})).await.expect_invalid("body.caPem");
    }
    assert_eq!(api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200)["caPem"], pem);
    for cleared in [json!(null), json!("")] {
        api.patch("/app/acme/endpoint/one", json!({"caPem": pem})).await.expect(200);
        assert!(api.patch("/app/acme/endpoint/one", json!({"caPem": cleared})).await.expect(200)["caPem"].is_null());
    }
}

#[tokio::test]
async fn disabling_says_why_and_enabling_forgets_it() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let disabled = api.patch("/app/acme/endpoint/one", json!({"disabled": true})).await.expect(200);
    assert_eq!((&disabled["disabled"], &disabled["disabledReason"]), (&true.into(), &"operator".into()));
    let enabled = api.patch("/app/acme/endpoint/one", json!({"disabled": false})).await.expect(200);
    assert_eq!((&enabled["disabled"], &enabled["disabledReason"]), (&false.into(), &json!(null)));
}

#[tokio::test]
async fn custom_headers_are_kept_and_credentials_in_them_never_shown() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"url": URL, "uid": "one", "headers": {"Authorization": "Bearer canary", "x-id": "7"}});
    assert!(!api.post("/app/acme/endpoint", body).await.expect(201).to_string().contains("canary"));
    let path = "/app/acme/endpoint/one/headers";
    let shown = api.get(path).await.expect(200);
    assert_eq!(shown, json!({"headers": {"x-id": "7"}, "sensitive": ["Authorization"]}));
    api.patch(path, json!({"headers": {"x-id": null, "x-two": "2"}})).await.expect(204);
    assert_eq!(api.get(path).await.expect(200), json!({"headers": {"x-two": "2"}, "sensitive": ["Authorization"]}));
    api.put(path, json!({"headers": {"x-three": "3"}})).await.expect(204);
    assert_eq!(api.get(path).await.expect(200), json!({"headers": {"x-three": "3"}, "sensitive": []}));
    for (name, value) in [("webhook-id", "x"), ("host", "x"), ("a b", "x"), ("x", "a\nb"), ("content-length", "1")] {
        api.put(path, json!({"headers": {name: value}})).await.expect_invalid("body.headers");
    }
    assert_eq!(api.get(path).await.expect(200)["headers"], json!({"x-three": "3"}));
}

#[tokio::test]
async fn a_secret_is_made_or_given_and_rotated() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/secret";
    let made = api.get(path).await.expect(200)["key"].as_str().unwrap().to_owned();
    assert!(made.starts_with("whsec_") && made.len() == 6 + 32);
    let rotated = api.post(&format!("{path}/rotate"), json!({})).await.expect(200)["key"].clone();
    assert_ne!(rotated, made.as_str());
    assert_eq!(api.get(path).await.expect(200)["key"], rotated);
    let given = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    api.post(&format!("{path}/rotate"), json!({"key": given, "gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(api.get(path).await.expect(200)["key"], given);
    api.post(&format!("{path}/rotate"), json!({"key": "short"})).await.expect_invalid("body.key");
    api.post(&format!("{path}/rotate"), json!({"gracePeriodSeconds": 604_801}))
        .await
        .expect_invalid("body.gracePeriodSeconds");

    let row = endpoint_row(&**api.engine.store(), target(&app, &endpoint)).unwrap().unwrap();
    assert_eq!(row.secrets.len(), 2, "made: for a day; rotated: without grace; given: current");
    assert!(!format!("{row:?}").contains(given), "a secret lies on the disk in the clear");
}

#[tokio::test]
async fn only_so_many_old_secrets_stay_valid() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/secret/rotate";
    for _ in 0..10 {
        api.post(path, json!({})).await.expect(200);
    }
    api.post(path, json!({})).await.expect_error(400, "limit_reached");
}

#[tokio::test]
async fn the_state_shows_breaker_and_failures() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    assert_eq!(api.get("/app/acme/endpoint/one/state").await.expect(200)["breaker"], "closed");
    let target = target(&app, &endpoint);
    let until = api.engine.now().plus_ms(60_000);
    let health = EndpointHealth {
        failing_since: Some(UnixMs(1)),
        breaker_open_until: Some(until),
        breaker_openings: 2,
        ..EndpointHealth::default()
    };
    api.rows(move |txn| {
        delivery::put_health(txn, target, &health);
        Ok(())
    })
    .await;
    let state = api.get("/app/acme/endpoint/one/state").await.expect(200);
    assert_eq!((&state["breaker"], &state["breakerOpenings"]), (&"open".into(), &2.into()));
    assert_eq!(state["failingSince"], "1970-01-01T00:00:00.001Z");
}

#[tokio::test]
async fn many_fields_at_their_bounds_make_a_long_row() {
    let api = Api::start();
    api.app("acme").await;
    let types: Vec<String> = (0..100).map(|number| format!("{number:03}{}", "x".repeat(200))).collect();
    let body = json!({"url": URL, "eventTypes": types});
    let created = api.post("/app/acme/endpoint", body).await.expect(201);
    assert_eq!(created["eventTypes"].as_array().unwrap().len(), 100);
    assert_eq!(api.all("/app/acme/endpoint").await.0, [created]);
}

#[tokio::test]
async fn a_put_with_a_secret_or_headers_sets_them_and_one_without_leaves_them() {
    let api = Api::start();
    let app = api.app("acme").await;
    let endpoint = api.endpoint("acme", "one").await;
    let given = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
    let body = json!({"url": URL, "uid": "one", "secret": given, "headers": {"x-id": "7"}});
    let kept = || endpoint_row(&**api.engine.store(), target(&app, &endpoint)).unwrap().unwrap();
    api.put("/app/acme/endpoint/one", body.clone()).await.expect(200);
    assert_eq!(api.get("/app/acme/endpoint/one/secret").await.expect(200)["key"], given);
    assert_eq!(api.get("/app/acme/endpoint/one/headers").await.expect(200)["headers"], json!({"x-id": "7"}));
    let secrets = kept().secrets;
    api.put("/app/acme/endpoint/one", body).await.expect(200);
    assert_eq!(kept().secrets, secrets, "the same secret again is no rotation");
    api.put("/app/acme/endpoint/one", json!({"url": URL, "uid": "one"})).await.expect(200);
    assert_eq!(kept().secrets, secrets);
    assert_eq!(api.get("/app/acme/endpoint/one/headers").await.expect(200)["headers"], json!({"x-id": "7"}));
    api.put("/app/acme/endpoint/one", json!({"url": URL, "uid": "one", "headers": {}})).await.expect(200);
    assert_eq!(api.get("/app/acme/endpoint/one/headers").await.expect(200)["headers"], json!({}));
    for (field, value) in [("secret", json!("short")), ("headers", json!({"host": "x"}))] {
        let body = json!({"url": URL, "uid": "one", field: value});
        api.put("/app/acme/endpoint/one", body).await.expect_invalid(&format!("body.{field}"));
    }
}

#[tokio::test]
async fn headers_can_be_put_back_as_they_were_read() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"url": URL, "uid": "one", "headers": {"Authorization": "Bearer canary", "x-id": "7"}});
    api.post("/app/acme/endpoint", body).await.expect(201);
    let path = "/app/acme/endpoint/one/headers";
    let read = api.get(path).await.expect(200);
    api.put(path, read.clone()).await.expect(204);
    assert_eq!(api.get(path).await.expect(200), read);
    api.patch(path, read.clone()).await.expect(204);
    assert_eq!(api.get(path).await.expect(200), read);
    api.put(path, json!({"headers": {}, "sensitive": ["x-none"]})).await.expect_invalid("body.sensitive.0");
    api.put(path, json!({"headers": {"x-id": "7"}})).await.expect(204);
    assert_eq!(api.get(path).await.expect(200), json!({"headers": {"x-id": "7"}, "sensitive": []}));
}

#[tokio::test]
async fn endpoints_are_listed_newest_first() {
    let api = Api::start();
    api.app("acme").await;
    for uid in ["one", "two", "three"] {
        api.endpoint("acme", uid).await;
    }
    assert_eq!(column(&api.all("/app/acme/endpoint?limit=2").await.0, "uid").join(" "), "three two one");
    let ascending = api.all("/app/acme/endpoint?order=ascending").await.0;
    assert_eq!(column(&ascending, "uid").join(" "), "one two three");
}

#[tokio::test]
async fn a_version_is_shown_as_it_was_given() {
    let api = Api::start();
    api.app("acme").await;
    let body = json!({"url": URL, "uid": "one", "version": 3});
    assert_eq!(api.post("/app/acme/endpoint", body).await.expect(201)["version"], 3);
    assert_eq!(api.patch("/app/acme/endpoint/one", json!({"description": "d"})).await.expect(200)["version"], 3);
    assert_eq!(api.get("/app/acme/endpoint/one").await.expect(200)["version"], 3);
    api.post("/app/acme/endpoint", json!({"url": URL, "version": 0})).await.expect_invalid("body.version");
    api.patch("/app/acme/endpoint/one", json!({"version": 0})).await.expect_invalid("body.version");
}

#[tokio::test]
async fn of_an_ed25519_secret_only_the_public_key_is_shown() {
    let api = Api::start();
    let app = api.app("acme").await;
    // RFC 8032, 7.1, test 1: the seed, and the public key that belongs to it.
    let private = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let public = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let body = json!({"url": URL, "uid": "one", "secret": private});
    let endpoint = api.post("/app/acme/endpoint", body).await.expect(201);
    assert!(!endpoint.to_string().contains("whsk_"));
    let path = "/app/acme/endpoint/one/secret";
    assert_eq!(api.get(path).await.expect(200), json!({"key": public}));
    let rotated = api.post(&format!("{path}/rotate"), json!({})).await.expect(200);
    assert!(rotated["key"].as_str().unwrap().starts_with("whpk_"), "its kind stays, and the private key unseen");
    assert_ne!(rotated["key"], public);
    assert_eq!(api.get(path).await.expect(200), rotated);
    let given = api.post(&format!("{path}/rotate"), json!({"key": private})).await.expect(200);
    assert_eq!(given, json!({"key": public}));
    api.post(&format!("{path}/rotate"), json!({"key": public})).await.expect_invalid("body.key");
    let row = endpoint_row(&**api.engine.store(), target(&app, &endpoint)).unwrap().unwrap();
    assert_eq!(row.secrets.len(), 3);
}

#[tokio::test]
async fn a_rotation_is_answered_as_the_client_takes_it() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/secret";
    let old = [("user-agent", "svix-libs/1.56.0/python"), ("idempotency-key", "auto_1")];
    let before = api.get(path).await.expect(200);
    for _ in 0..2 {
        assert!(api.request("POST", &format!("{path}/rotate"), &old, "{}").await.expect(204).is_null());
    }
    assert_ne!(api.get(path).await.expect(200), before);
    let new = [("user-agent", "svix-libs/2.9.1/python")];
    let rotated = api.request("POST", &format!("{path}/rotate"), &new, "{}").await.expect(200);
    assert_eq!(api.get(path).await.expect(200), rotated);
}

#[tokio::test]
async fn names_that_clouds_read_as_their_own_cannot_be_set_and_those_from_before_can_go() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    let path = "/app/acme/endpoint/one/headers";
    for name in ["x-svix-a", "X-Amzn-Trace-Id", "x-amz-date", "x-google-id"] {
        let loc = format!("body.headers.{name}");
        api.put(path, json!({"headers": {name: "1"}})).await.expect_invalid(&loc);
        api.patch(path, json!({"headers": {name: "1"}})).await.expect_invalid(&loc);
        api.post("/app/acme/endpoint", json!({"url": URL, "headers": {name: "1"}})).await.expect_invalid(&loc);
        api.patch(path, json!({"headers": {name: null}})).await.expect(204);
    }
    api.put(path, json!({"headers": {"x-amazon": "1", "x-google": "2"}})).await.expect(204);
}
