//! Many endpoints in one request: the items of its body, and a result for each.
//!
//! An item that is wrong is reported and leaves the others alone; only a body that is no list of items fails as a whole.

use crate::dto::endpoint::{EndpointIn, EndpointPatch};
use crate::error::{ApiError, ErrorBody};
use crate::json::{from_body, items_from_body};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Endpoints of one request at most.
pub(crate) const ENDPOINTS_MAX: usize = 100;

/// The result of one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkItemOut {
    /// Its place in the request, from 0.
    index: usize,
    /// As of a request of its own: 201 created, 200 changed, else why not.
    status: u16,
    /// The endpoint's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The endpoint's uid, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// The body that a request of its own would have been answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

/// The results of a request for many endpoints.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkOut {
    /// The number of endpoints that were created or changed, now or before.
    done: usize,
    /// The number of those that were not.
    refused: usize,
    /// One for each item, in order.
    data: Vec<BulkItemOut>,
}

/// Changes to one endpoint of many: its id or uid, beside the fields of `EndpointPatch`. For the OpenAPI document: an item is
/// read in two steps.
#[derive(Debug)]
pub(crate) struct EndpointBulkPatch;

impl PartialSchema for EndpointBulkPatch {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new().schema_type(Type::String).description(Some("Id or uid of the endpoint."));
        let named = ObjectBuilder::new().schema_type(Type::Object).property("id", id).required("id");
        AllOfBuilder::new().item(Ref::from_schema_name(EndpointPatch::name())).item(named).into()
    }
}

impl ToSchema for EndpointBulkPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EndpointPatch::name().into_owned(), EndpointPatch::schema()));
        EndpointPatch::schemas(schemas);
    }
}

impl BulkItemOut {
    /// One that was carried out.
    pub(crate) fn done(index: usize, status: u16, endpoint: &model::Endpoint) -> BulkItemOut {
        BulkItemOut { index, status, id: Some(endpoint.public_id()), uid: endpoint.uid.clone(), error: None }
    }

    /// One that was refused.
    pub(crate) fn refused(index: usize, error: &ApiError) -> BulkItemOut {
        error.count_refusal();
        BulkItemOut { index, status: error.status().as_u16(), id: None, uid: None, error: Some(error.body()) }
    }
}

impl From<Vec<BulkItemOut>> for BulkOut {
    fn from(data: Vec<BulkItemOut>) -> BulkOut {
        let refused = data.iter().filter(|item| item.error.is_some()).count();
        BulkOut { done: data.len() - refused, refused, data }
    }
}

/// The items of a body as text.
///
/// # Errors
/// 422 when it is no list, empty or too long.
pub(crate) fn items(body: &[u8]) -> Result<Vec<&[u8]>, ApiError> {
    let found = items_from_body(body, ENDPOINTS_MAX)?;
    if found.items.is_empty() || found.more {
        let msg = format!("has 1 to {ENDPOINTS_MAX} endpoints");
        return Err(ApiError::invalid(["body"], msg, "value_error.list.length"));
    }
    Ok(found.items.into_iter().map(RawValue::get).map(str::as_bytes).collect())
}

/// Reads an endpoint to create.
///
/// # Errors
/// 422 with the path of the field that does not fit.
pub(crate) fn created(item: &[u8]) -> Result<EndpointIn, ApiError> {
    from_body(item)
}

/// Reads the changes to an endpoint, and its id or uid.
///
/// # Errors
/// 422 with the path of the field that does not fit.
pub(crate) fn patched(item: &[u8]) -> Result<(String, EndpointPatch), ApiError> {
    let mut fields: Map<String, Value> = from_body(item)?;
    let id = match fields.remove("id") {
        Some(Value::String(id)) => id,
        Some(_) => return Err(ApiError::invalid(["body", "id"], "must be a text", "type_error")),
        None => return Err(ApiError::invalid(["body", "id"], "missing field `id`", "type_error")),
    };
    Ok((id, from_body(Value::Object(fields).to_string().as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_neither_empty_nor_too_long_nor_something_else() {
        for body in ["[]", "{}", "7", "", "[{]"] {
            assert!(items(body.as_bytes()).is_err(), "{body}");
        }
        let of = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(items(of(ENDPOINTS_MAX).as_bytes()).unwrap().len(), ENDPOINTS_MAX);
        assert!(items(of(ENDPOINTS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn an_item_of_a_patch_has_an_id_and_fields_of_a_patch_and_nothing_else() {
        let (id, patch) = patched(br#"{"id": "one", "disabled": true, "uid": null}"#).unwrap();
        assert_eq!((id.as_str(), patch.disabled), ("one", Some(true)));
        for bad in [
            r#"{"disabled": true}"#,
            r#"{"id": 7}"#,
            r#"{"id": "a", "unknown": 1}"#,
            "7",
            "[]",
            r#"{"id": "a", "disabled": 5}"#,
        ] {
            assert!(matches!(patched(bad.as_bytes()), Err(ApiError::Invalid(_))), "{bad}");
        }
    }
}
