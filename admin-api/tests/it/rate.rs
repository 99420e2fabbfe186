//! Limits on requests: of keys, of applications by tier, and what a caller is told of them.

use crate::harness::{Answer, Api};
use admin_api::ApiLimits;
use control::rate::Tiers;
use serde_json::{Value, json};

/// With these tiers; the first is the default one.
fn api_with(tiers: &[&str]) -> Api {
    let all = tiers.iter().map(|text| text.parse().unwrap()).collect();
    let default = tiers.first().and_then(|text| text.split('=').next());
    Api::with(ApiLimits { tiers: Tiers::new(all, default).unwrap(), ..ApiLimits::default() })
}

async fn key(api: &Api, body: Value) -> String {
    format!("Bearer {}", api.post("/api-key", body).await.expect(201)["key"].as_str().unwrap())
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

fn batch(messages: usize) -> String {
    Value::from(vec![json!({"eventType": "a", "payload": {}}); messages]).to_string()
}

#[tokio::test]
async fn a_key_with_a_rate_limit_is_told_how_much_is_left_and_refused_beyond_it() {
    let api = Api::start();
    let limited = key(&api, json!({"name": "limited", "rateLimit": 3})).await;
    let free = key(&api, json!({"name": "free"})).await;
    let ask = |key: String| {
        let api = &api;
        async move { api.request("GET", "/app", &[("authorization", &key)], "").await }
    };
    for remaining in ["2", "1", "0"] {
        let answer = ask(limited.clone()).await;
        assert_eq!((header(&answer, "x-ratelimit-limit"), header(&answer, "x-ratelimit-remaining")), ("3", remaining));
        assert!(header(&answer, "x-ratelimit-reset").ends_with('Z'));
        answer.expect(200);
    }
    let refused = ask(limited.clone()).await;
    assert_eq!((header(&refused, "x-ratelimit-limit"), header(&refused, "x-ratelimit-remaining")), ("3", "0"));
    let retry_after: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1..=20).contains(&retry_after), "{retry_after}");
    refused.expect_error(429, "rate_limited");
    // Others are not: neither another key nor the root key, nor a stranger with a wrong one.
    for _ in 0..5 {
        let answer = ask(free.clone()).await;
        assert!(!answer.headers.contains_key("x-ratelimit-limit"));
        answer.expect(200);
        api.get("/app").await.expect(200);
        ask("Bearer pk_wrong".to_owned()).await.expect_error(401, "authentication_failed");
    }
}

#[tokio::test]
async fn an_application_is_limited_by_its_tier_whatever_key_asks() {
    let api = api_with(&["free=4/3600", "professional=8/3600"]);
    let own = api.app("free-one").await;
    assert!(own["apiTier"].is_null());
    let body = json!({"name": "p", "uid": "paying", "apiTier": "professional"});
    assert_eq!(api.post("/app", body).await.expect(201)["apiTier"], "professional");
    let limited = key(&api, json!({"name": "k", "appId": "free-one"})).await;
    for (app, most) in [("free-one", 4), ("paying", 8)] {
        for nth in 0..most {
            let (path, headers) = (format!("/app/{app}/msg"), [("authorization", limited.as_str())]);
            let own_key = if nth % 2 == 0 && app == "free-one" { &headers[..] } else { &[] };
            let answer = api.request("GET", &path, own_key, "").await;
            assert_eq!(header(&answer, "x-ratelimit-remaining"), (most - 1 - nth).to_string());
            answer.expect(200);
        }
        let push = format!("/app/{app}/msg");
        api.post(&push, json!({"eventType": "a", "payload": {}})).await.expect_error(429, "rate_limited");
    }
    // Another tier is another bucket.
    api.patch("/app/free-one", json!({"apiTier": "professional"})).await.expect_error(429, "rate_limited");
    let unlimited = key(&api, json!({"name": "other"})).await;
    api.request("GET", "/app", &[("authorization", &unlimited)], "").await.expect(200);
}

#[tokio::test]
async fn a_batch_counts_its_messages_and_is_taken_whole_or_not() {
    let api = api_with(&["free=10/3600"]);
    api.app("acme").await;
    let push = async |messages| api.request("POST", "/app/acme/msg/batch", &[], &batch(messages)).await;
    let taken = push(6).await;
    assert_eq!(header(&taken, "x-ratelimit-remaining"), "4");
    assert_eq!(taken.expect(202)["accepted"], 6);
    let refused = push(6).await;
    assert_eq!(header(&refused, "x-ratelimit-limit"), "10");
    refused.expect_error(429, "rate_limited");
    // The request itself counted.
    assert_eq!(push(3).await.expect(202)["accepted"], 3);
    let api = api_with(&["free=10/3600"]);
    api.app("acme").await;
    api.request("POST", "/app/acme/msg/batch", &[], &batch(12)).await.expect_invalid("body");
    let listed = api.all("/app/acme/msg").await.0;
    assert_eq!(listed.len(), 0);
}

#[tokio::test]
async fn a_tier_must_be_there_and_only_operators_choose_it() {
    let api = api_with(&["free=1000/60", "pro=2000/60"]);
    api.app("acme").await;
    for wrong in [json!({"name": "x", "apiTier": "gold"}), json!({"name": "x", "apiTier": ""})] {
        api.post("/app", wrong.clone()).await.expect_invalid("body.apiTier");
        api.put("/app/acme", wrong).await.expect_invalid("body.apiTier");
    }
    api.patch("/app/acme", json!({"apiTier": "gold"})).await.expect_invalid("body.apiTier");
    let own = key(&api, json!({"name": "k", "appId": "acme"})).await;
    let headers = [("authorization", own.as_str())];
    api.request("PATCH", "/app/acme", &headers, r#"{"apiTier":"pro"}"#).await.expect_error(403, "permission_denied");
    api.patch("/app/acme", json!({"apiTier": "pro"})).await.expect(200);
    // A PUT of a key that may not choose it leaves it.
    let put = api.request("PUT", "/app/acme", &headers, r#"{"name":"b"}"#).await.expect(200);
    assert_eq!(put["apiTier"], "pro");
    assert!(api.put("/app/acme", json!({"name": "b"})).await.expect(200)["apiTier"].is_null());
}

#[tokio::test]
async fn the_tighter_of_two_limits_is_told_and_counts() {
    let api = api_with(&["free=5/3600"]);
    api.app("acme").await;
    let both = key(&api, json!({"name": "k", "rateLimit": 2})).await;
    let headers = [("authorization", both.as_str())];
    let answer = api.request("GET", "/app/acme", &headers, "").await;
    assert_eq!((header(&answer, "x-ratelimit-limit"), header(&answer, "x-ratelimit-remaining")), ("2", "1"));
    for _ in 0..4 {
        api.get("/app/acme").await.expect(200);
    }
    let answer = api.request("GET", "/app/acme", &headers, "").await;
    assert_eq!(header(&answer, "x-ratelimit-limit"), "5");
    answer.expect_error(429, "rate_limited");
}
