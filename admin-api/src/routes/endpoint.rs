//! Endpoints: create, list, get, replace, change, delete.
//!
//! Their state is in [`super::endpoint_state`].

use super::once::Keyed;
use super::params::{AppPath, EndpointPath};
use crate::auth::By;
use crate::dto::endpoint::{EndpointIn, EndpointOut, EndpointPatch};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT, put_status};
use crate::extract::{InApp, InEndpoint, JsonBody, NamedEndpoint, OfApp, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{Ordering, PageQuery, place_of, text_of};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::endpoint::{CreateEndpoint, DeleteEndpoint, PatchEndpoint, PutEndpoint};
use control::query::endpoint;
use http::StatusCode;
use model::id::IdKind;

/// Lists the endpoints of an application, newest first unless asked otherwise.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.list",
    params(AppPath, PageQuery), responses((status = 200, body = ListResponse<EndpointOut>)))]
pub(crate) async fn list(
    state: Reader,
    QueryParams(query): QueryParams<PageQuery>,
    InApp(app): InApp,
) -> Result<JsonBytes, ApiError> {
    let asked = query.page_in(Ordering::Descending, place_of(IdKind::Endpoint))?;
    let list = state.answer(move |state| {
        let listed = endpoint::list(state.view(), app.id, &asked.page)?;
        Ok(asked.respond(listed, text_of(IdKind::Endpoint), |row| EndpointOut::from(row)))
    });
    list.await
}

/// Creates an endpoint. It gets the messages that are pushed from now on.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.create",
    params(AppPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EndpointIn, responses((status = 201, body = EndpointOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>), ApiError> {
    let mut checks = Checks::default();
    let (fields, secret, headers) = request.body.into_parts(&mut checks);
    let command = CreateEndpoint { app, fields, secret, headers };
    let changed = state.control.submit_once(caller, command, checks, request.once).await?;
    Ok((CREATED, Json((&changed.into_thing()).into())))
}

/// Gets an endpoint.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.get", params(EndpointPath), responses((status = 200, body = EndpointOut)))]
pub(crate) async fn get(InEndpoint(row): InEndpoint) -> Json<EndpointOut> {
    Json((&row).into())
}

/// Replaces an endpoint, or creates it under the uid of the path. A field that is left out is cleared, the uid too; its
/// secret and headers stay.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.update", params(EndpointPath), request_body = EndpointIn,
    responses((status = 200, body = EndpointOut), (status = 201, description = "Created", body = EndpointOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    JsonBody(body): JsonBody<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>), ApiError> {
    let mut checks = Checks::default();
    let (fields, secret, headers) = body.into_parts(&mut checks);
    let command = PutEndpoint { endpoint, fields, secret, headers };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok((put_status(&changed), Json((&changed.into_thing()).into())))
}

/// Changes an endpoint.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.patch", params(EndpointPath), request_body = EndpointPatch,
    responses((status = 200, body = EndpointOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    JsonBody(body): JsonBody<EndpointPatch>,
) -> Result<Json<EndpointOut>, ApiError> {
    let mut checks = Checks::default();
    let (fields, secret) = body.into_parts(&mut checks);
    let command = PatchEndpoint { endpoint, fields, secret };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok(Json((&changed.into_thing()).into()))
}

/// Deletes an endpoint. What was not delivered to it yet never will be.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.delete", params(EndpointPath), responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, DeleteEndpoint { endpoint }).await?;
    Ok(NO_CONTENT)
}
