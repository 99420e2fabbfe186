//! Many endpoints in one request.

use crate::harness::{Api, column};
use serde_json::{Value, json};

const PATH: &str = "/app/acme/endpoint/bulk";

fn statuses(answer: &Value) -> Vec<u64> {
    answer["data"].as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect()
}

async fn actions(api: &Api) -> Vec<String> {
    column(&api.all("/app/acme/audit?order=ascending").await.0, "action")
}

#[tokio::test]
async fn each_endpoint_is_created_or_refused_for_itself_in_one_commit_with_a_record_each() {
    let api = Api::start();
    api.app("acme").await;
    let url = api.target_url();
    let body = json!([
        {"url": url, "uid": "a", "headers": {"x-a": "1"}},
        {"url": "ftp://example.com/", "uid": "b"},
        {"url": url, "uid": "a"},
        7,
        {"url": url, "uid": "c", "failover": {"backupEndpointId": "a"}},
        {"url": url, "unknown": 1},
        {"url": url, "uid": "bulk"},
        {"url": url},
    ]);
    let answer = api.post(PATH, body).await.expect(200);
    assert_eq!(statuses(&answer), [201, 422, 409, 422, 201, 422, 422, 201]);
    assert_eq!((&answer["done"], &answer["refused"]), (&3.into(), &5.into()));
    let items = answer["data"].as_array().unwrap();
    assert!(items.iter().enumerate().all(|(index, item)| item["index"] == index));
    assert_eq!(items[1]["error"]["detail"][0]["loc"], json!(["body", "url"]));
    assert_eq!(items[2]["error"], json!({"code": "conflict", "detail": "an endpoint with this uid exists"}));
    assert_eq!(items[5]["error"]["code"], "validation_error");
    assert_eq!((&items[0]["uid"], &items[7]["uid"]), (&"a".into(), &Value::Null));
    let listed = column(&api.all("/app/acme/endpoint?order=ascending").await.0, "id");
    assert_eq!(listed, column(&[items[0].clone(), items[4].clone(), items[7].clone()], "id"));
    assert_eq!(api.get("/app/acme/endpoint/c").await.expect(200)["failover"]["backupEndpointId"], items[0]["id"]);
    assert_eq!(actions(&api).await[1..], ["endpoint.create"; 3]);
    let secrets: Vec<Value> = vec![
        api.get("/app/acme/endpoint/a/secret").await.expect(200)["key"].clone(),
        api.get("/app/acme/endpoint/c/secret").await.expect(200)["key"].clone(),
    ];
    assert_ne!(secrets[0], secrets[1], "each has a secret of its own");
}

#[tokio::test]
async fn each_endpoint_is_changed_or_refused_for_itself() {
    let api = Api::start();
    api.app("acme").await;
    let one = api.endpoint("acme", "one").await;
    api.endpoint("acme", "two").await;
    let body = json!([
        {"id": one["id"], "description": "by id"},
        {"id": "two", "description": "by uid", "uid": "second"},
        {"id": "two", "description": "its uid is another by now"},
        {"id": "second", "disabled": 5},
        {"description": "no id"},
        {"id": "second", "secret": null},
    ]);
    let answer = api.json("PATCH", PATH, body).await.expect(200);
    assert_eq!(statuses(&answer), [200, 200, 404, 422, 422, 422]);
    assert_eq!(answer["data"][1]["uid"], "second");
    assert_eq!(api.get("/app/acme/endpoint/one").await.expect(200)["description"], "by id");
    assert_eq!(api.get("/app/acme/endpoint/second").await.expect(200)["description"], "by uid");
    assert_eq!(actions(&api).await[3..], ["endpoint.patch"; 2]);
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_key_does_nothing_twice() {
    let api = Api::start();
    api.app("acme").await;
    let url = api.target_url();
    let body = json!([{"url": url}, {"url": "no"}, {"url": url}]).to_string();
    let headers = [("idempotency-key", "k-1")];
    let first = api.request("POST", PATH, &headers, &body).await.expect(200);
    let again = api.request("POST", PATH, &headers, &body).await.expect(200);
    assert_eq!(first, again);
    let other = json!([{"url": url, "uid": "x"}]).to_string();
    assert_eq!(statuses(&api.request("POST", PATH, &headers, &other).await.expect(200)), [422]);
    assert_eq!(api.all("/app/acme/endpoint").await.0.len(), 2);

    let id = first["data"][0]["id"].clone();
    let patch = json!([{"id": id, "description": "first"}]).to_string();
    api.request("PATCH", PATH, &headers, &patch).await.expect(200);
    let path = format!("/app/acme/endpoint/{}", id.as_str().unwrap());
    api.patch(&path, json!({"description": "later"})).await.expect(200);
    assert_eq!(statuses(&api.request("PATCH", PATH, &headers, &patch).await.expect(200)), [200]);
    assert_eq!(api.get(&path).await.expect(200)["description"], "later", "the change was not made again");
}

#[tokio::test]
async fn a_body_that_is_no_list_fails_as_a_whole_and_so_does_another_applications_key() {
    let api = Api::start();
    api.app("acme").await;
    api.app("other").await;
    let url = api.target_url();
    for method in ["POST", "PATCH"] {
        let too_many = vec![json!({"url": url, "id": "one"}); 101];
        for body in [json!([]), json!({}), json!(too_many)] {
            api.json(method, PATH, body).await.expect(422);
        }
        api.json(method, "/app/none/endpoint/bulk", json!([{"url": url}])).await.expect_error(404, "not_found");
    }
    let key = api.post("/api-key", json!({"name": "k", "appId": "other"})).await.expect(201);
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    for method in ["POST", "PATCH"] {
        let body = json!([{"url": url, "id": "one"}]).to_string();
        let answer = api.request(method, PATH, &[("authorization", &bearer)], &body).await;
        assert!(matches!(answer.status, 403 | 404), "{}", answer.status);
    }
    assert!(api.all("/app/acme/endpoint").await.0.is_empty());
}

#[tokio::test]
async fn a_quota_ends_within_a_request() {
    let quotas = control::Quotas { endpoints: 2, ..control::Quotas::default() };
    let api = Api::with(admin_api::ApiLimits { quotas, ..admin_api::ApiLimits::default() });
    api.app("acme").await;
    let endpoint = json!({"url": api.target_url()});
    let answer = api.post(PATH, json!([endpoint, endpoint, endpoint])).await.expect(200);
    assert_eq!(statuses(&answer), [201, 201, 422]);
    assert_eq!(answer["data"][2]["error"]["code"], "quota_exceeded");
}
