//! The OpenAPI document and the routes are the same set.

use crate::harness::Api;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(&admin_api::openapi_json()).unwrap()
}

/// `GET /api/v1/app` and so on.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods
            .filter(|key| Method::from_bytes(key.to_uppercase().as_bytes()).is_ok_and(|method| is_standard(&method)))
            .map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    each.collect()
}

fn is_standard(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}

#[tokio::test]
async fn every_described_operation_has_a_route() {
    let api = Api::start();
    for operation in operations(&document()) {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace(['{', '}'], "");
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let status = api.send(request).await.status;
        assert!([200, 204, 401].contains(&status), "{operation}: {status}");
    }
}

#[tokio::test]
async fn every_described_operation_below_an_application_refuses_another_ones_key() {
    let api = Api::start();
    for app in ["own", "other"] {
        api.app(app).await;
    }
    let key = api.post("/api-key", json!({"name": "own", "appId": "own"})).await.expect(201);
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    let mut tried = 0;
    for operation in operations(&document()).iter().filter(|operation| operation.contains("{app_id}")) {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{app_id}", "other").replace(['{', '}'], "");
        let path = path.strip_prefix("/api/v1").unwrap();
        let answer = api.request(method, path, &[("authorization", &bearer)], "{}").await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("permission_denied")), "{operation}");
        tried += 1;
    }
    assert!(tried > 30, "{tried}");
}

/// Routes are registered with their description, in `routes/mod.rs` only; nothing else may register any.
#[test]
fn no_route_is_registered_without_a_description() {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains(".route(") {
                found.push(path);
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_document_is_3_1_and_its_references_and_ids_hold() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not described");
    }
    let paths = document["paths"].as_object().unwrap();
    let ids: Vec<&str> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an operation id is there twice");
    let create = &document["paths"]["/api/v1/app/{app_id}/msg"]["post"];
    for status in ["202", "401", "403", "404", "409", "413", "422", "503"] {
        assert!(create["responses"].get(status).is_some(), "{status}");
    }
    assert!(create["security"].is_array());
}
