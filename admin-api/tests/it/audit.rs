//! The audit log through the API: every operation that changes something leaves its record, no other does, and the log can
//! be read, filtered and checked.

use crate::attempts::with_history;
use crate::harness::{Api, column, place, target};
use model::{DeadLetter, DeadLetterReason, UnixMs};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use storage::Direction;
use storage::tables::audit::{self, verify::Verification};
use storage::tables::dead_letter;

/// A call of an operation, and the action of the record that it is to leave.
struct Call {
    operation: &'static str,
    method: &'static str,
    path: String,
    body: Value,
    leaves: Option<&'static str>,
}

fn call(
    operation: &'static str,
    method: &'static str,
    path: impl Into<String>,
    body: Value,
    leaves: impl Into<Option<&'static str>>,
) -> Call {
    Call { operation, method, path: path.into(), body, leaves: leaves.into() }
}

/// Operations of these methods change something; and of those that only read, this one shows a secret.
const METHODS: [&str; 4] = ["post", "put", "patch", "delete"];
const REVEALS: &str = "v1.endpoint.get-secret";

/// The operations of the document that must say what record they leave.
fn operations() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&admin_api::openapi_json()).unwrap();
    let mut found = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_default();
            if METHODS.contains(&method.as_str()) || id == REVEALS {
                found.push((id.to_owned(), method.to_uppercase()));
            }
        }
    }
    found
}

async fn newest(api: &Api) -> (u64, String) {
    let page = api.get("/audit?limit=1").await.expect(200);
    let newest = &page["data"][0];
    (newest["seq"].as_u64().unwrap_or(0), newest["action"].as_str().unwrap_or_default().to_owned())
}

/// One call of each operation, in an order in which each has something to do.
async fn calls(api: &Api) -> Vec<Call> {
    let (message, _) = with_history(api).await;
    let app = api.get("/app/acme").await.expect(200);
    let one = api.get("/app/acme/endpoint/one").await.expect(200);
    let (row, seq) = (target(&app, &one), place(&message).1);
    let (id, nothing) = (message["id"].as_str().unwrap().to_owned(), json!({}));
    let letter = DeadLetter {
        at: UnixMs(1_000),
        attempts: 8,
        reason: DeadLetterReason::AttemptsExhausted,
        last_outcome: None,
        last_status: 503,
    };
    let other = api.message("acme", "a").await;
    let other_seq = place(&other).1;
    api.rows(move |txn| {
        dead_letter::put(txn, row, seq, &letter)?;
        dead_letter::put(txn, row, other_seq, &letter)
    })
    .await;
    let attempt = api.all(&format!("/app/acme/attempt/msg/{id}")).await.0[0]["id"].as_str().unwrap().to_owned();
    let other = other["id"].as_str().unwrap().to_owned();
    let later = UnixMs(api.engine.now().0 + 3_600_000);
    let scheduled = json!({"eventType": "a", "payload": {}, "deliverAt": iso(later)});
    let scheduled = api.post("/app/acme/msg", scheduled).await.expect(202)["id"].as_str().unwrap().to_owned();
    let key = api.post("/api-key", json!({"name": "old"})).await.expect(201)["id"].as_str().unwrap().to_owned();
    for uid in ["two", "spare"] {
        api.endpoint("acme", uid).await;
    }
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let task = api.post("/app/acme/endpoint/two/recover", since.clone()).await.expect(202);
    let task = task["id"].as_str().unwrap().to_owned();
    api.patch("/app/acme", json!({"verification": "challenge"})).await.expect(200);
    let asked = json!({"url": "http://127.0.0.1:9/", "uid": "asked"});
    api.post("/app/acme/endpoint", asked).await.expect(201);
    let url = api.target_url();
    let endpoint = "/app/acme/endpoint/one";
    vec![
        call("v1.api-key.create", "POST", "/api-key", json!({"name": "new"}), "api-key.create"),
        call("v1.api-key.rotate", "POST", format!("/api-key/{key}/rotate"), nothing.clone(), "api-key.rotate"),
        call("v1.backup.take", "POST", "/backup", Value::Null, "store.backup"),
        call("v1.api-key.delete", "DELETE", format!("/api-key/{key}"), nothing.clone(), "api-key.revoke"),
        call("v1.application.create", "POST", "/app", json!({"name": "n", "uid": "n"}), "application.create"),
        call("v1.application.update", "PUT", "/app/n", json!({"name": "m", "uid": "n"}), "application.put"),
        call("v1.application.patch", "PATCH", "/app/n", json!({"name": "o"}), "application.patch"),
        call("v1.application.delete", "DELETE", "/app/n", nothing.clone(), "application.delete"),
        call("v1.application.pause", "POST", "/app/acme/pause", nothing.clone(), "application.pause"),
        call("v1.application.resume", "POST", "/app/acme/resume", nothing.clone(), "application.resume"),
        call(
            "v1.application.preview-retry-policy",
            "POST",
            "/app/acme/retry-policy/preview",
            json!({"type": "fixed", "delayMs": 1000, "maxAttempts": 2}),
            None,
        ),
        call(
            "v1.event-type.create",
            "POST",
            "/event-type",
            json!({"name": "e", "description": ""}),
            "event-type.create",
        ),
        call("v1.event-type.update", "PUT", "/event-type/e", json!({"description": "d"}), "event-type.put"),
        call("v1.event-type.patch", "PATCH", "/event-type/e", json!({"description": "p"}), "event-type.patch"),
        call("v1.event-type.delete", "DELETE", "/event-type/e", nothing.clone(), "event-type.archive"),
        call("v1.event-type.delete", "DELETE", "/event-type/e?expunge=true", nothing.clone(), "event-type.expunge"),
        call("v1.endpoint.create", "POST", "/app/acme/endpoint", json!({"url": url}), "endpoint.create"),
        call(
            "v1.endpoint.update",
            "PUT",
            endpoint,
            json!({"url": url, "uid": "one", "description": "d"}),
            "endpoint.put",
        ),
        call("v1.endpoint.patch", "PATCH", endpoint, json!({"description": "p"}), "endpoint.patch"),
        call("v1.endpoint.create-bulk", "POST", "/app/acme/endpoint/bulk", json!([{"url": url}]), "endpoint.create"),
        call(
            "v1.endpoint.patch-bulk",
            "PATCH",
            "/app/acme/endpoint/bulk",
            json!([{"id": "one", "description": "b"}]),
            "endpoint.patch",
        ),
        call("v1.endpoint.delete", "DELETE", "/app/acme/endpoint/two", nothing.clone(), "endpoint.delete"),
        call(
            "v1.endpoint.update-headers",
            "PUT",
            format!("{endpoint}/headers"),
            json!({"headers": {"x-a": "1"}}),
            "endpoint.put-headers",
        ),
        call(
            "v1.endpoint.patch-headers",
            "PATCH",
            format!("{endpoint}/headers"),
            json!({"headers": {"x-b": "1"}}),
            "endpoint.patch-headers",
        ),
        call(REVEALS, "GET", format!("{endpoint}/secret"), Value::Null, "endpoint.reveal-secret"),
        call(
            "v1.endpoint.rotate-secret",
            "POST",
            format!("{endpoint}/secret/rotate"),
            nothing.clone(),
            "endpoint.rotate-secret",
        ),
        call(
            "v1.endpoint.test",
            "POST",
            "/app/acme/endpoint-test",
            json!({"url": "http://127.0.0.1:9/"}),
            "endpoint.test",
        ),
        call(
            "v1.endpoint.send-example",
            "POST",
            format!("{endpoint}/send-example"),
            json!({"eventType": "svix.ping"}),
            "endpoint.send-example",
        ),
        call(
            "v1.endpoint.patch",
            "PATCH",
            endpoint,
            json!({"failover": {"backupEndpointId": "spare"}}),
            "endpoint.patch",
        ),
        call(
            "v1.endpoint.switch-failover",
            "POST",
            format!("{endpoint}/failover"),
            json!({"to": "backup"}),
            "endpoint.switch-failover",
        ),
        call("v1.endpoint.filter-try", "POST", "/app/acme/filter/try", json!({"filter": "true", "payload": {}}), None),
        call("v1.endpoint.pause", "POST", format!("{endpoint}/pause"), nothing.clone(), "endpoint.pause"),
        call("v1.endpoint.resume", "POST", format!("{endpoint}/resume"), nothing.clone(), "endpoint.resume"),
        call("v1.endpoint.verify", "POST", "/app/acme/endpoint/asked/verify", nothing.clone(), "endpoint.verify"),
        call(
            "v1.dead-letter.redrive",
            "POST",
            format!("{endpoint}/dead-letter/{other}/redrive"),
            nothing.clone(),
            "dead-letter.redrive",
        ),
        call(
            "v1.dead-letter.delete",
            "DELETE",
            format!("{endpoint}/dead-letter/{id}"),
            nothing.clone(),
            "dead-letter.delete",
        ),
        call("v1.endpoint.recover", "POST", format!("{endpoint}/recover"), since.clone(), "job.start"),
        call("v1.endpoint.replay-missing", "POST", format!("{endpoint}/replay-missing"), since.clone(), "job.start"),
        call("v1.endpoint.bulk-replay", "POST", format!("{endpoint}/bulk-replay"), since, "job.start"),
        call(
            "v1.message-attempt.resend",
            "POST",
            format!("/app/acme/msg/{id}/endpoint/one/resend"),
            nothing.clone(),
            "delivery.resend",
        ),
        call(
            "v1.message-attempt.expunge-content",
            "DELETE",
            format!("/app/acme/msg/{id}/attempt/{attempt}/content"),
            nothing.clone(),
            "attempt.expunge",
        ),
        call(
            "v1.message.call-off",
            "DELETE",
            format!("/app/acme/msg/{scheduled}/schedule"),
            nothing.clone(),
            "message.call-off",
        ),
        call("v1.message.create", "POST", "/app/acme/msg", json!({"eventType": "a", "payload": {}}), None),
        call(
            "v1.message.create-batch",
            "POST",
            "/app/acme/msg/batch",
            json!([{"eventType": "a", "payload": {}}]),
            None,
        ),
        call(
            "v1.message.expunge-content",
            "DELETE",
            format!("/app/acme/msg/{other}/content"),
            nothing.clone(),
            "message.expunge",
        ),
        call(
            "v1.dead-letter.redrive-all",
            "POST",
            format!("{endpoint}/dead-letter/redrive"),
            nothing.clone(),
            "job.start",
        ),
        call("v1.dead-letter.purge", "DELETE", format!("{endpoint}/dead-letter"), nothing.clone(), "job.start"),
        call(
            "v1.dead-letter.redrive-in-app",
            "POST",
            "/app/acme/dead-letter/redrive",
            nothing.clone(),
            "job.start-in-app",
        ),
        call("v1.dead-letter.purge-in-app", "POST", "/app/acme/dead-letter/purge", nothing.clone(), "job.start-in-app"),
        call("v1.environment.export", "POST", "/environment/export", nothing.clone(), None),
        call(
            "v1.environment.export",
            "POST",
            "/environment/export",
            json!({"publicKey": "QiyOemIn17yhNQs+K7cnn3iXuHu2hUt4PGDoAxGuMHk="}),
            "environment.export-secrets",
        ),
        call(
            "v1.environment.import",
            "POST",
            "/environment/import",
            json!({"applications": [{"id": "app_1", "name": "i"}]}),
            "application.put",
        ),
        call("v1.message.erase", "POST", "/app/acme/erase", json!({"tag": "t"}), "job.start-in-app"),
        call("v1.background-task.cancel", "POST", format!("/background-task/{task}/cancel"), nothing, None),
    ]
}

fn iso(at: UnixMs) -> String {
    String::from_utf8(at.iso8601().to_vec()).unwrap()
}

#[tokio::test]
async fn every_operation_that_changes_something_leaves_its_record_and_no_other_does() {
    let api = Api::start();
    let calls = calls(&api).await;
    let called: BTreeMap<&str, &str> = calls.iter().map(|call| (call.operation, call.method)).collect();
    for (operation, method) in operations() {
        assert_eq!(called.get(operation.as_str()), Some(&method.as_str()), "{operation} has no rule in this table");
    }
    for Call { operation, method, path, body, leaves } in &calls {
        let (before, _) = newest(&api).await;
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let answer = api.request(method, path, &[], &text).await;
        assert!(answer.status < 300, "{operation}: {} {}", answer.status, answer.body);
        let (after, action) = newest(&api).await;
        match leaves {
            Some(leaves) => assert_eq!((after, action.as_str()), (before + 1, *leaves), "{operation}"),
            None => assert_eq!(after, before, "{operation} left {action}"),
        }
    }
    // All of it is one chain, signed with the key that the API names.
    let head = api.get("/audit/head").await.expect(200);
    let public = api.engine.master().audit_key().public();
    let is_signed = |message: &[u8], signature: &[u8; 64]| engine::seal::is_signed(&public, message, signature);
    let mut verification = Verification::new(&is_signed, None);
    let records = audit::list(&**api.engine.store(), None, 10_000, Direction::Forward).unwrap();
    records.iter().for_each(|(seq, record)| verification.next(*seq, record));
    let found = verification.finish();
    assert_eq!((found.faulty, found.signed_upto, found.end.seq), (0, found.end.seq, head["seq"].as_u64().unwrap()));
    assert_eq!(head["hash"], model::hex(&found.end.hash));
}

#[tokio::test]
async fn records_are_filtered_and_outlive_what_they_describe() {
    let api = Api::start();
    let acme = api.app("acme").await["id"].as_str().unwrap().to_owned();
    api.app("other").await;
    let endpoint = api.endpoint("acme", "one").await["id"].as_str().unwrap().to_owned();
    let key = api.post("/api-key", json!({"name": "backend", "appId": "acme"})).await.expect(201);
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    let change = json!({"rateLimit": 7}).to_string();
    let headers = [("authorization", bearer.as_str())];
    api.request("PATCH", "/app/acme/endpoint/one", &headers, &change).await.expect(200);
    let (records, _) = api.all("/app/acme/audit?limit=1&order=ascending").await;
    let expected = ["application.create", "endpoint.create", "api-key.create", "endpoint.patch"];
    assert_eq!(column(&records, "action"), expected);
    let patched = &records[3];
    assert_eq!(patched["actor"]["kind"], "key");
    assert_eq!((&patched["actor"]["name"], &patched["actor"]["id"]), (&json!("backend"), &key["id"]));
    assert_eq!(patched["changes"], json!([{"field": "rateLimit", "old": null, "new": 7}]));
    assert_eq!(
        (&patched["kind"], &patched["id"], &patched["appId"]),
        (&json!("endpoint"), &json!(endpoint), &json!(acme))
    );
    let key_id = key["id"].as_str().unwrap();
    for (query, count) in [
        ("action=endpoint.patch".to_owned(), 1),
        ("action=endpoint.*".to_owned(), 2),
        ("kind=application".to_owned(), 2),
        (format!("id={endpoint}"), 2),
        (format!("actor={key_id}"), 1),
        ("actor=root".to_owned(), 4),
        (format!("app_id={acme}"), 4),
        ("app_id=app_unknown".to_owned(), 0),
        ("since=2000-01-01T00:00:00Z".to_owned(), 5),
        ("until=2000-01-01T00:00:00Z".to_owned(), 0),
    ] {
        assert_eq!(api.all(&format!("/audit?{query}")).await.0.len(), count, "{query}");
    }
    api.delete("/app/acme").await.expect(204);
    api.get("/app/acme/audit").await.expect_error(404, "not_found");
    let left = api.all(&format!("/audit?app_id={acme}")).await.0;
    assert_eq!(column(&left, "action")[0], "application.delete");
    assert_eq!(left.len(), 5, "its records are there");
}

#[tokio::test]
async fn a_key_for_one_application_reads_only_its_records() {
    let api = Api::start();
    api.app("acme").await;
    api.app("other").await;
    let key = api.post("/api-key", json!({"name": "k", "appId": "acme"})).await.expect(201);
    let bearer = format!("Bearer {}", key["key"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let own = api.request("GET", "/app/acme/audit", &headers, "").await.expect(200);
    assert_eq!(own["data"].as_array().unwrap().len(), 2);
    for path in ["/audit", "/audit/head", "/app/other/audit"] {
        api.request("GET", path, &headers, "").await.expect_error(403, "permission_denied");
    }
}
