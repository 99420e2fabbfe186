//! Custom headers of an endpoint: get, replace, change.

use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::endpoint_header::{EndpointHeadersIn, EndpointHeadersOut, EndpointHeadersPatchIn};
use crate::error::{ApiError, NO_CONTENT};
use crate::extract::NamedEndpoint;
use crate::extract::{InEndpoint, JsonBody};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::endpoint::open_headers;
use http::StatusCode;

/// Gets the custom headers; values that carry credentials are kept back.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.get-headers", params(EndpointPath),
    responses((status = 200, body = EndpointHeadersOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
) -> Result<Json<EndpointHeadersOut>, ApiError> {
    Ok(Json(open_headers(state.control.seals(), &row)?.into()))
}

/// Replaces all custom headers. A name that is listed as `sensitive` and comes without a value keeps its value, so that
/// headers can be put back as they were read.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.update-headers", params(EndpointPath), request_body = EndpointHeadersIn,
    responses((status = 204, description = "Replaced")))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    JsonBody(body): JsonBody<EndpointHeadersIn>,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, body.into_command(endpoint)).await?;
    Ok(NO_CONTENT)
}

/// Sets some custom headers and removes others.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.patch-headers", params(EndpointPath), request_body = EndpointHeadersPatchIn,
    responses((status = 204, description = "Changed")))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    JsonBody(body): JsonBody<EndpointHeadersPatchIn>,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, body.into_command(endpoint)).await?;
    Ok(NO_CONTENT)
}
