//! The OpenAPI 3.1 document: made of the routes themselves, completed with the parts that they all share, and served.
//!
//! No hand-written paths: a description here applies to every route or to none.

use crate::auth::scopes;
use crate::error::{ApiError, HttpErrorOut, HttpValidationError, ValidationItem};
use axum::response::IntoResponse;
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use model::{KeyScope, KeyScopes};
use std::sync::OnceLock;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// The name of the bearer scheme in the document.
const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Pinion",
        description = "Webhook delivery: durable, isolated, signed. The shape is Svix's API; batch ingest, dead letters, \
                       retry policies and endpoint state extend it in the same style.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(HttpErrorOut, HttpValidationError, ValidationItem))
)]
struct Base;

/// The document before any route is in it.
pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// Adds to every operation so far that it needs a key and how it can fail.
pub(crate) fn secure(document: &mut OpenApi) {
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_with(Components::new).add_security_scheme(BEARER, scheme);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
            (Method::HEAD, &mut item.head),
        ];
        for (method, operation) in operations {
            operation.iter_mut().for_each(|operation| complete(operation, scopes::needed(&method, path)));
        }
        item.get.iter_mut().filter(|operation| is_list(operation)).for_each(offer_formats);
    }
}

/// `scopes` are those of which the key must have one. The document names them as roles (OpenAPI 3.1, Security Requirement
/// Object): one requirement for each, any of which does.
fn complete(operation: &mut Operation, scopes: KeyScopes) {
    let requirement = |scope: KeyScope| SecurityRequirement::new(BEARER, [scope.as_str()]);
    operation.security = Some(scopes.iter().map(requirement).collect());
    let errors = [
        (ApiError::Unauthenticated, "HttpErrorOut"),
        (ApiError::Forbidden("this key does not reach that far"), "HttpErrorOut"),
        (ApiError::NotFound(""), "HttpErrorOut"),
        (ApiError::Conflict("".into()), "HttpErrorOut"),
        (ApiError::BodyTooLarge { limit_bytes: 0 }, "HttpErrorOut"),
        (ApiError::Invalid(Vec::new()), "HTTPValidationError"),
        (ApiError::Busy { retry_after_s: 0 }, "HttpErrorOut"),
    ];
    for (error, schema) in errors {
        let response = error_response(error.code(), schema);
        operation.responses.responses.entry(error.status().as_str().to_owned()).or_insert(RefOr::T(response));
    }
}

/// True if it answers pages.
fn is_list(operation: &Operation) -> bool {
    let Some(RefOr::T(answer)) = operation.responses.responses.get("200") else { return false };
    let Some(RefOr::T(content)) = answer.content.get("application/json") else { return false };
    matches!(&content.schema, Some(RefOr::Ref(name)) if name.ref_location.contains("/ListResponse_"))
}

/// A list can be had in other forms: see [`crate::export`].
fn offer_formats(operation: &mut Operation) {
    let formats = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["ndjson", "csv"])).build();
    let parameter = ParameterBuilder::new()
        .name("format")
        .parameter_in(ParameterIn::Query)
        .description(Some(
            "Streams the list, up to `limit` (100,000) items from `iterator` on, an item a line. When more follow, the last line has \
             the iterator to go on from.",
        ))
        .schema(Some(formats))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter));
}

fn error_response(code: &str, schema: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    ResponseBuilder::new().description(format!("`{code}`")).content("application/json", content).build()
}

/// The document as it is served.
pub(crate) fn document_json(document: &OpenApi) -> String {
    document.to_json().unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be written");
        "{}".to_owned()
    })
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "Health", operation_id = "v1.openapi.get",
    responses((status = 200, description = "This document", body = Object)))]
pub(crate) async fn get() -> impl IntoResponse {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let json = DOCUMENT.get_or_init(|| Bytes::from(document_json(&super::all().2)));
    ([(CONTENT_TYPE, "application/json")], json.clone())
}
