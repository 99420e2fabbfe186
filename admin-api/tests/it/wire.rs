//! The forms in which requests come: slashes, dots, suffixes of keys, and pages in browsers.

use crate::harness::{Answer, Api, ROOT_KEY};
use admin_api::ApiLimits;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

/// Every operation of the API, with names in its path that there are none of.
async fn operations(api: &Api) -> Vec<(String, String)> {
    let document = api.get("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(template, item)| {
        let path: Vec<&str> =
            template.split('/').map(|part| if part.starts_with('{') { "none" } else { part }).collect();
        let path = path.join("/");
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

async fn call(api: &Api, method: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {ROOT_KEY}"));
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_path_is_taken_with_slashes_at_either_end_and_with_every_method() {
    let api = Api::start();
    let operations = operations(&api).await;
    assert!(operations.len() > 40);
    for (method, path) in &operations {
        let plain = call(&api, method, path).await;
        assert_ne!(plain.body["detail"], "path not found", "{method} {path}");
        for form in [format!("{path}/"), format!("{path}//"), format!("/{path}/"), format!("{path}/?limit=x")] {
            let other = call(&api, method, &form).await;
            assert_ne!(other.body["detail"], "path not found", "{method} {form}");
            if !form.contains('?') {
                assert_eq!((other.status, &other.body["code"]), (plain.status, &plain.body["code"]), "{method} {form}");
            }
        }
    }
    let listed = call(&api, "GET", "//api/v1/app/?limit=0").await;
    assert_eq!(listed.expect(422)["detail"][0]["loc"], json!(["query", "limit"]), "the query comes through");
}

#[tokio::test]
async fn dots_in_a_path_are_names_and_never_reach_what_is_above() {
    let api = Api::start();
    api.app("acme").await;
    api.endpoint("acme", "one").await;
    for dots in ["..", "../", "%2e%2e", "%2e%2e/", "%2E.", ".", "./", "%2e/", "..%2f", "../.."] {
        let answer = api.delete(&format!("/app/acme/endpoint/{dots}")).await;
        assert!(matches!(answer.status, 404 | 405), "{dots}: {} {}", answer.status, answer.body);
        let answer = api.delete(&format!("/app/{dots}")).await;
        assert!(matches!(answer.status, 404 | 405), "{dots}: {} {}", answer.status, answer.body);
    }
    // An empty name is the list, which cannot be deleted.
    api.delete("/app/acme/endpoint/").await.expect_error(405, "method_not_allowed");
    api.delete("/app/acme/endpoint//").await.expect_error(405, "method_not_allowed");
    api.get("/app/acme/endpoint/one/").await.expect(200);
    api.delete("/app/acme/endpoint/one/").await.expect(204);
    api.delete("/app/acme/").await.expect(204);
}

#[tokio::test]
async fn what_clients_add_to_a_key_is_ignored() {
    let api = Api::start();
    let own = api.app("own").await;
    let created = api.post("/api-key", json!({"name": "backend", "appId": "own"})).await.expect(201);
    let key = created["key"].as_str().unwrap();
    for suffix in ["", "|", "|env_2abc", ".eu", ".eu|prod"] {
        for (key, path) in [(key, "/app/own"), (ROOT_KEY, "/app")] {
            let bearer = format!("Bearer {key}{suffix}");
            api.request("GET", path, &[("authorization", &bearer)], "").await.expect(200);
        }
        // The reach is that of the key.
        let bearer = format!("Bearer {key}{suffix}");
        api.request("GET", "/app", &[("authorization", &bearer)], "").await.expect_error(403, "permission_denied");
    }
    let long = format!("|{}", "e".repeat(65));
    for wrong in [&format!("{key}x|env"), &format!("{key}{long}"), &format!("{key}|a/b"), "|env", "pk_wrong|env", ".eu"]
    {
        let bearer = format!("Bearer {wrong}");
        api.request("GET", "/app/own", &[("authorization", &bearer)], "").await.expect(401);
    }
    assert_eq!(own["uid"], "own");
}

#[tokio::test]
async fn a_key_for_one_application_reads_event_types_and_its_own_tasks_alone() {
    let api = Api::start();
    api.post("/event-type", json!({"name": "a.b", "description": ""})).await.expect(201);
    let mut tasks = Vec::new();
    for uid in ["own", "other"] {
        api.app(uid).await;
        api.endpoint(uid, "one").await;
        let since = json!({"since": "2020-01-01T00:00:00Z"});
        let task = api.post(&format!("/app/{uid}/endpoint/one/recover"), since).await.expect(202);
        tasks.push(task["id"].as_str().unwrap().to_owned());
    }
    let created = api.post("/api-key", json!({"name": "backend", "appId": "own"})).await.expect(201);
    let bearer = format!("Bearer {}", created["key"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let get = async |path: &str| api.request("GET", path, &headers, "").await;

    assert_eq!(get("/event-type").await.expect(200)["data"][0]["name"], "a.b");
    assert_eq!(get("/event-type/a.b/").await.expect(200)["name"], "a.b");
    let listed = get("/background-task/").await.expect(200);
    let ids: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [tasks[0].as_str()], "its own alone");
    get(&format!("/background-task/{}", tasks[0])).await.expect(200);
    get(&format!("/background-task/{}", tasks[1])).await.expect_error(404, "not_found");
    // It reads, and no more.
    let changes = [
        ("POST", "/event-type", r#"{"name":"x","description":""}"#),
        ("PUT", "/event-type/a.b", r#"{"description":"mine"}"#),
        ("PATCH", "/event-type/a.b", r#"{"description":"mine"}"#),
        ("DELETE", "/event-type/a.b", ""),
        ("DELETE", "/event-type/a.b/", ""),
    ];
    for (method, path, body) in changes {
        api.request(method, path, &headers, body).await.expect_error(403, "permission_denied");
    }
    // A key for everything sees both.
    assert_eq!(api.all("/background-task").await.0.len(), 2);
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

const PAGE: &str = "https://dashboard.example";

/// A preflight for a POST with a key, from this origin.
async fn preflight(api: &Api, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type"),
        // None: a browser sends none with it.
        ("authorization", ""),
    ];
    api.request("OPTIONS", path, &headers, "").await
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_call_with_a_key() {
    let api = Api::with_origins(ApiLimits::default(), &[PAGE]);
    for path in ["/app", "/app/", "/app/none/msg"] {
        let answer = preflight(&api, path, PAGE).await;
        assert_eq!((answer.status, &answer.body), (204, &Value::Null), "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), Some(PAGE));
        let allowed = header(&answer, "access-control-allow-headers").unwrap();
        assert!(["authorization", "content-type", "idempotency-key"].iter().all(|name| allowed.contains(name)));
        assert!(header(&answer, "access-control-allow-methods").unwrap().contains("PATCH"));
        assert_eq!(header(&answer, "access-control-max-age"), Some("7200"));
    }
    // Every answer can be read, errors too.
    let none = [("origin", PAGE), ("authorization", "")];
    for (path, headers, status) in [("/app", &none[..1], 200), ("/app", &none[..], 401), ("/nowhere", &none[..], 404)] {
        let answer = api.request("GET", path, headers, "").await;
        assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (status, Some(PAGE)), "{path}");
        assert!(header(&answer, "access-control-expose-headers").unwrap().contains("retry-after"));
        assert_eq!(header(&answer, "vary"), Some("origin"));
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn other_origins_get_no_word_of_it_and_without_origins_nobody_does() {
    for (origins, asks) in [(&[PAGE][..], "https://other.example"), (&[], PAGE)] {
        let api = Api::with_origins(ApiLimits::default(), origins);
        let answer = preflight(&api, "/app", asks).await;
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{answer:?}");
        let answer = api.request("GET", "/app", &[("origin", asks)], "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{answer:?}");
    }
    let api = Api::with_origins(ApiLimits::default(), &["*"]);
    assert_eq!(header(&preflight(&api, "/app", PAGE).await, "access-control-allow-origin"), Some("*"));
    // No preflight, but a method that no route has.
    api.request("OPTIONS", "/app", &[], "").await.expect_error(405, "method_not_allowed");
}
