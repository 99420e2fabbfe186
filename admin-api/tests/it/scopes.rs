//! Every operation with a key of every scope, and with a key of another application: the table says who may do what, and
//! an operation that is missing in it fails.

use crate::harness::Api;
use control::key::{KeyHash, generate_key};
use model::{ApiKeyRow, AppId, KeyScope, KeyScopes, UnixMs};
use serde_json::Value;
use storage::tables::api_key;

/// Operations by who may do them: `i`ngest, `r`ead, `w`rite, `a`dmin, `p`ortal.
const MAY: &[(&str, &str)] = &[
    (
        "iwa",
        "v1.message.create v1.message.create-batch v1.message.call-off",
    ),
    (
        "rwa",
        "v1.application.list v1.application.get-usage",
    ),
    (
        "rwap",
        "v1.application.get v1.event-type.list v1.event-type.get v1.background-task.list v1.background-task.get
         v1.background-task.list-in-app
         v1.message.list v1.message.get v1.message.list-scheduled v1.endpoint.list v1.endpoint.get
         v1.application.preview-retry-policy v1.endpoint.filter-try
         v1.message-attempt.list-by-endpoint v1.message-attempt.list-by-msg v1.message-attempt.get
         v1.message-attempt.get-headers v1.message-attempt.list-by-msg-deprecated
         v1.message-attempt.list-by-endpoint-deprecated v1.message-attempt.list-attempted-destinations
         v1.message-attempt.list-attempted-messages
         v1.endpoint.get-headers v1.endpoint.get-stats v1.endpoint.get-state v1.endpoint.get-policy v1.endpoint.get-failover
         v1.dead-letter.list v1.dead-letter.list-in-app v1.dead-letter.count-in-app",
    ),
    (
        "wap",
        "v1.background-task.cancel v1.endpoint.create v1.endpoint.create-bulk v1.endpoint.patch-bulk v1.endpoint.test v1.endpoint.update v1.endpoint.patch
         v1.endpoint.delete v1.endpoint.update-headers v1.endpoint.patch-headers v1.endpoint.get-secret
         v1.endpoint.rotate-secret v1.endpoint.switch-failover v1.endpoint.pause v1.endpoint.resume
         v1.endpoint.send-example v1.endpoint.verify v1.endpoint.recover v1.endpoint.replay-missing
         v1.endpoint.bulk-replay v1.message-attempt.resend
         v1.dead-letter.redrive v1.dead-letter.redrive-all v1.dead-letter.redrive-in-app",
    ),
    (
        "wa",
        "v1.application.create v1.application.update v1.application.patch v1.application.delete
         v1.application.pause v1.application.resume v1.event-type.create v1.event-type.update v1.event-type.patch
         v1.event-type.delete v1.message.erase v1.message.expunge-content v1.environment.export v1.environment.import v1.message-attempt.expunge-content
         v1.dead-letter.delete v1.dead-letter.purge v1.dead-letter.purge-in-app",
    ),
    (
        "a",
        "v1.api-key.list v1.api-key.create v1.api-key.get v1.api-key.delete v1.api-key.rotate
         v1.audit.list v1.audit.list-in-app v1.audit.head v1.backup.take",
    ),
];

/// Operations above applications that a key for one may do: it sees what is its own there.
const SHARED: [&str; 5] = [
    "v1.event-type.list",
    "v1.event-type.get",
    "v1.background-task.list",
    "v1.background-task.get",
    "v1.background-task.cancel",
];

struct Operation {
    id: String,
    method: String,
    path: String,
    /// The scopes that the document names.
    documented: Vec<String>,
}

/// Every operation of the document that needs a key.
fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&admin_api::openapi_json()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(security) = operation["security"].as_array() else { continue };
            let documented = security.iter().map(|one| one["bearer"][0].as_str().unwrap().to_owned()).collect();
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let path = path.strip_prefix("/api/v1").unwrap().replace("{app_id}", "acme");
            found.push(Operation { id, method: method.to_uppercase(), path, documented });
        }
    }
    assert!(found.len() > 70, "the document is not read");
    found
}

fn may(operation: &Operation, scope: KeyScope) -> bool {
    let named = |(_, operations): &&(&str, &str)| operations.split_whitespace().any(|id| id == operation.id);
    let mut rules = MAY.iter().filter(named);
    let (who, _) = rules.next().unwrap_or_else(|| panic!("no rule says who may do {}", operation.id));
    assert!(rules.next().is_none(), "two rules on {}", operation.id);
    who.contains(&scope.as_str()[..1])
}

async fn key(api: &Api, scopes: &[KeyScope], app: Option<AppId>) -> String {
    let key = generate_key().unwrap();
    let (hash, scopes) = (KeyHash::of(&key).to_bytes(), KeyScopes::of(scopes));
    let row = ApiKeyRow { scopes, ..ApiKeyRow::plain(hash, format!("{hash:?}"), app, UnixMs(1)) };
    api.rows(move |txn| api_key::put(txn, &row)).await;
    format!("Bearer {}", *key)
}

#[tokio::test]
async fn each_operation_takes_the_scopes_of_the_table_and_no_other() {
    let api = Api::start();
    api.app("acme").await;
    let operations = operations();
    for scope in KeyScope::ALL {
        let key = key(&api, &[scope], None).await;
        for operation in &operations {
            let Operation { id, method, path, documented } = operation;
            // Nothing has this name, so that nothing goes before the next operation.
            let path = path.replace("/acme", "/none");
            let answer = api.request(method, &path, &[("authorization", &key)], "{}").await;
            let refused = answer.status == 403 && answer.body["code"] == "insufficient_scope";
            assert_eq!(!refused, may(operation, scope), "{id} with {}: {}", scope.as_str(), answer.body);
            assert_eq!(documented.iter().any(|word| word == scope.as_str()), may(operation, scope), "{id}");
            if refused {
                let challenge = answer.headers["www-authenticate"].to_str().unwrap();
                assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", scope=\""), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_another_application_does_nothing_with_any_scope() {
    let api = Api::start();
    let (own, other) = (api.app("acme").await, api.app("other").await);
    let endpoint = api.endpoint("acme", "one").await;
    let message = api.message("acme", "a").await;
    let other = storage_id(&api, &other).await;
    for scope in KeyScope::ALL {
        let key = key(&api, &[scope], Some(other)).await;
        for Operation { id, method, path, .. } in operations() {
            let path = path.replace("{endpoint_id}", endpoint["id"].as_str().unwrap());
            let path = path.replace("{msg_id}", message["id"].as_str().unwrap());
            let answer = api.request(&method, &path, &[("authorization", &key)], "{}").await;
            let is_shared = SHARED.contains(&id.as_str());
            let refused = matches!(answer.status, 403 | 404);
            assert!(refused || is_shared, "{id} with {}: {} {}", scope.as_str(), answer.status, answer.body);
        }
    }
    assert_eq!(api.get("/app/acme").await.expect(200)["id"], own["id"]);
    assert_eq!(api.all("/app/acme/endpoint").await.0.len(), 1);
}

#[tokio::test]
async fn a_key_with_several_scopes_has_what_each_gives() {
    let api = Api::start();
    api.app("acme").await;
    let key = key(&api, &[KeyScope::Ingest, KeyScope::Portal], None).await;
    let headers = [("authorization", key.as_str())];
    api.request("POST", "/app/acme/msg", &headers, r#"{"eventType":"a","payload":{}}"#).await.expect(202);
    api.request("GET", "/app/acme/msg", &headers, "").await.expect(200);
    api.request("PATCH", "/app/acme", &headers, r#"{"name":"b"}"#).await.expect_error(403, "insufficient_scope");
}

#[tokio::test]
async fn a_push_brings_an_application_along_only_with_the_scope_for_it() {
    let api = Api::start();
    let body = r#"{"eventType":"a","payload":{},"application":{"name":"new","uid":"new"}}"#;
    let ingest = key(&api, &[KeyScope::Ingest], None).await;
    let answer = api.request("POST", "/app/new/msg", &[("authorization", &ingest)], body).await;
    answer.expect_error(403, "insufficient_scope");
    api.get("/app/new").await.expect_error(404, "not_found");
    let write = key(&api, &[KeyScope::Write], None).await;
    api.request("POST", "/app/new/msg", &[("authorization", &write)], body).await.expect(202);
    api.request("POST", "/app/new/msg", &[("authorization", &ingest)], body).await.expect(202);
}

/// The number of an application that the API shows.
async fn storage_id(api: &Api, app: &Value) -> AppId {
    let endpoint = api.endpoint(app["uid"].as_str().unwrap(), "of-it").await;
    crate::harness::target(app, &endpoint).app
}
