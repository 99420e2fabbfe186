//! Event types.

use crate::harness::{Api, column};
use serde_json::json;

#[tokio::test]
async fn an_event_type_is_created_replaced_patched_archived_and_expunged() {
    let api = Api::start();
    let body = json!({"name": "invoice.paid", "description": "d", "schemas": {"1": {"type": "object"}}});
    let created = api.post("/event-type", body.clone()).await.expect(201);
    assert_eq!((&created["archived"], &created["deprecated"]), (&false.into(), &false.into()));
    api.post("/event-type", body).await.expect_error(409, "conflict");
    let replaced = api.put("/event-type/invoice.paid", json!({"description": "e"})).await.expect(200);
    assert_eq!((&replaced["createdAt"], &replaced["schemas"]), (&created["createdAt"], &json!(null)));
    api.put("/event-type/invoice.new", json!({"description": "e"})).await.expect(201);
    let patched = api.patch("/event-type/invoice.paid", json!({"deprecated": true})).await.expect(200);
    assert_eq!((&patched["deprecated"], &patched["description"]), (&true.into(), &"e".into()));
    api.delete("/event-type/invoice.paid").await.expect(204);
    assert_eq!(column(&api.all("/event-type").await.0, "name"), ["invoice.new"]);
    assert_eq!(api.all("/event-type?include_archived=true&limit=1").await.0.len(), 2);
    assert_eq!(api.get("/event-type/invoice.paid").await.expect(200)["archived"], true);
    api.delete("/event-type/invoice.paid?expunge=true").await.expect(204);
    api.get("/event-type/invoice.paid").await.expect_error(404, "not_found");
}

#[tokio::test]
async fn lists_show_schemas_on_request() {
    let api = Api::start();
    let body = json!({"name": "a.b", "description": "", "schemas": {"1": {"type": "object"}}});
    api.post("/event-type", body).await.expect(201);
    assert!(api.get("/event-type").await.expect(200)["data"][0]["schemas"].is_null());
    assert!(api.get("/event-type?with_content=false").await.expect(200)["data"][0]["schemas"].is_null());
    let with = api.get("/event-type?with_content=true").await.expect(200);
    assert_eq!(with["data"][0]["schemas"]["1"]["type"], "object");
}

#[tokio::test]
async fn a_name_has_an_alphabet() {
    let api = Api::start();
    api.post("/event-type", json!({"name": "a b", "description": ""})).await.expect_invalid("body.name");
    api.put("/event-type/a%20b", json!({"description": ""})).await.expect_invalid("path.event_type_name");
    api.post("/event-type", json!({"name": "a"})).await.expect_invalid("body.description");
}

#[tokio::test]
async fn a_group_is_kept_shown_and_cleared() {
    let api = Api::start();
    let body = json!({"name": "a.b", "description": "", "groupName": "orders"});
    assert_eq!(api.post("/event-type", body).await.expect(201)["groupName"], "orders");
    assert_eq!(api.get("/event-type").await.expect(200)["data"][0]["groupName"], "orders");
    assert_eq!(api.patch("/event-type/a.b", json!({"description": "d"})).await.expect(200)["groupName"], "orders");
    assert_eq!(api.patch("/event-type/a.b", json!({"groupName": "bills"})).await.expect(200)["groupName"], "bills");
    assert!(api.put("/event-type/a.b", json!({"description": "d"})).await.expect(200)["groupName"].is_null());
    api.patch("/event-type/a.b", json!({"groupName": "a b"})).await.expect_invalid("body.groupName");
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused_at_its_flaw() {
    let api = Api::start();
    let body = |schema| json!({"name": "a.b", "description": "", "schemas": {"1": {}, "2": schema}});
    let wrong = json!({"type": "object", "properties": {"a": {"readOnly": 15}}});
    api.post("/event-type", body(wrong.clone())).await.expect_invalid("body.schemas.2.properties.a.readOnly");
    assert_eq!(api.all("/event-type").await.0.len(), 0);
    api.post("/event-type", body(json!({"readOnly": true}))).await.expect(201);
    let schemas = json!({"schemas": {"3": wrong}});
    api.patch("/event-type/a.b", schemas).await.expect_invalid("body.schemas.3.properties.a.readOnly");
    let schemas = json!({"description": "", "schemas": {"1": {"type": "nothing"}}});
    api.put("/event-type/a.b", schemas).await.expect_invalid("body.schemas.1.type");
}
