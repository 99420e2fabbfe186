//! Custom headers of an endpoint: get, replace, change. They lie on the disk sealed.
//!
//! The engine that sends them has the rules on names and values.

use super::params::EndpointPath;
use super::rows::save_endpoint;
use crate::dto::endpoint_header::{EndpointHeadersIn, EndpointHeadersOut, EndpointHeadersPatchIn, Headers};
use crate::error::{ApiError, NO_CONTENT};
use crate::extract::{InEndpoint, JsonBody};
use crate::limits::{TARGET_HEADERS_BYTES_MAX, TARGET_HEADERS_MAX};
use crate::state::ApiState;
use crate::validate::Checks;
use axum::Json;
use axum::extract::State;
use engine::prepare::check_headers;
use engine::seal::SealPurpose;
use http::StatusCode;
use model::{Endpoint, EndpointRef, SealedBytes};
use storage::tables::endpoint;
use storage::txn::Txn;
use zeroize::Zeroizing;

/// Gets the custom headers; values that carry credentials are kept back.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.get-headers", params(EndpointPath),
    responses((status = 200, body = EndpointHeadersOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
) -> Result<Json<EndpointHeadersOut>, ApiError> {
    Ok(Json(open_headers(&state, &row)?.into()))
}

/// Replaces all custom headers. A name that is listed as `sensitive` and comes without a value keeps its value, so that what
/// was read can be put back.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.update-headers", params(EndpointPath), request_body = EndpointHeadersIn,
    responses((status = 204, description = "Replaced")))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    JsonBody(body): JsonBody<EndpointHeadersIn>,
) -> Result<StatusCode, ApiError> {
    let mut checks = Checks::of("body");
    body.check(&mut checks);
    checks.finish()?;
    change(state, row.target(), move |current| body.apply(&current)).await
}

/// Sets some custom headers and removes others.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.patch-headers", params(EndpointPath), request_body = EndpointHeadersPatchIn,
    responses((status = 204, description = "Changed")))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    JsonBody(body): JsonBody<EndpointHeadersPatchIn>,
) -> Result<StatusCode, ApiError> {
    let mut checks = Checks::of("body");
    body.check(&mut checks);
    checks.finish()?;
    change(state, row.target(), move |current| body.apply(current)).await
}

/// Sets an endpoint's headers to what `after` makes of those that it has by then.
async fn change(
    state: ApiState,
    target: EndpointRef,
    after: impl FnOnce(Headers) -> Result<Headers, ApiError> + Send + 'static,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let change = {
        let state = state.clone();
        move |txn: &mut Txn<'_>| {
            let mut row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
            let headers = after(open_headers(&state, &row)?)?;
            let mut checks = Checks::of("body");
            check(&mut checks, &headers);
            checks.finish()?;
            row.sealed_headers = sealed(&state, &row, &headers)?;
            row.updated_at = now;
            save_endpoint(txn, &row)
        }
    };
    state.change(change).await?;
    Ok(NO_CONTENT)
}

/// Notes what is wrong with custom headers.
pub(super) fn check(checks: &mut Checks, headers: &Headers) {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > TARGET_HEADERS_MAX || bytes > TARGET_HEADERS_BYTES_MAX {
        let msg = format!("must be at most {TARGET_HEADERS_MAX}, of {TARGET_HEADERS_BYTES_MAX} bytes together");
        checks.wrong(&["headers"], msg, "value_error.list.length");
    } else if let Err(error) = check_headers(headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        checks.wrong(&["headers"], error.to_string(), "value_error.header");
    }
}

/// Custom headers of an endpoint as they lie on the disk; none when there are none.
pub(super) fn sealed(state: &ApiState, row: &Endpoint, headers: &Headers) -> Result<Option<SealedBytes>, ApiError> {
    if headers.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_vec(headers).map(Zeroizing::new).map_err(|error| {
        tracing::error!(%error, "headers could not be written");
        ApiError::Internal
    })?;
    state.seal(row.target(), SealPurpose::Headers, &json).map(Some)
}

fn open_headers(state: &ApiState, row: &Endpoint) -> Result<Headers, ApiError> {
    let Some(sealed) = &row.sealed_headers else { return Ok(Headers::new()) };
    let json = state.open(row.target(), SealPurpose::Headers, sealed)?;
    serde_json::from_slice(json.expose()).map_err(|_| {
        tracing::error!(endpoint = row.public_id(), "stored headers could not be read");
        ApiError::Internal
    })
}
