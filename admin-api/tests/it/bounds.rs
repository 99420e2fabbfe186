//! Bounds: size, number, time; and answers to paths that are no route.

use crate::harness::{Api, ROOT_KEY};
use admin_api::ApiLimits;
use axum::body::Body;
use http::Request;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_body_over_its_bound_is_refused_whether_or_not_it_says_so() {
    let api = Api::with(ApiLimits { body_bytes: 100, ..ApiLimits::default() });
    api.app("acme").await;
    let body = json!({"eventType": "a", "payload": {"text": "x".repeat(200)}});
    api.post("/app/acme/msg", body.clone()).await.expect_error(413, "payload_too_large");
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(body.to_string())]);
    let request = Request::post("/api/v1/app/acme/msg").header("authorization", format!("Bearer {ROOT_KEY}"));
    api.send(request.body(Body::from_stream(chunks)).unwrap()).await.expect_error(413, "payload_too_large");
    assert_eq!(api.all("/app/acme/msg").await.0.len(), 0);
}

#[tokio::test]
async fn requests_beyond_the_bound_are_told_to_come_back_and_health_still_answers() {
    let api = Api::with(ApiLimits { concurrent_requests: 0, ..ApiLimits::default() });
    let answer = api.get("/app").await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.expect_error(503, "busy");
    api.get("/health").await.expect(204);
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let api = Api::with(ApiLimits { request_timeout: Duration::from_millis(20), ..ApiLimits::default() });
    let endless = futures_util::stream::pending::<Result<String, std::io::Error>>();
    let request = Request::post("/api/v1/app").header("authorization", format!("Bearer {ROOT_KEY}"));
    api.send(request.body(Body::from_stream(endless)).unwrap()).await.expect_error(503, "timeout");
}

#[tokio::test]
async fn what_is_no_route_or_no_method_of_one_is_answered_in_json() {
    let api = Api::start();
    for path in ["/none", "/app/acme/none", "/poller", "/apps/"] {
        api.get(path).await.expect_error(404, "not_found");
    }
    let request = Request::get("/").body(Body::empty()).unwrap();
    api.send(request).await.expect_error(404, "not_found");
    api.request("PATCH", "/app", &[], "").await.expect_error(405, "method_not_allowed");
    api.request("DELETE", "/health", &[], "").await.expect_error(405, "method_not_allowed");
}

#[tokio::test]
async fn a_path_over_its_bound_is_refused() {
    let api = Api::start();
    api.get(&format!("/app?iterator={}", "x".repeat(9_000))).await.expect_invalid("path");
    api.get("/app/%ff").await.expect_error(404, "not_found");
}
