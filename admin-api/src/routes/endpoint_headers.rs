//! Custom headers of an endpoint: get, replace, change. They lie on the disk sealed.
//!
//! Deliberately no rules of its own on names and values: the engine that sends them has the rules.

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
use engine::dispatch::check_headers;
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

/// Replaces all custom headers.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.update-headers", params(EndpointPath), request_body = EndpointHeadersIn,
    responses((status = 204, description = "Replaced")))]
pub(crate) async fn put(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    JsonBody(body): JsonBody<EndpointHeadersIn>,
) -> Result<StatusCode, ApiError> {
    // All that does not depend on what is there is done here, and not where all writes are.
    let mut checks = Checks::of("body");
    check(&mut checks, &body.headers);
    checks.finish()?;
    let sealed = match body.headers.is_empty() {
        true => None,
        false => Some(seal_headers(&state, row.target(), &body.headers)?),
    };
    change(state, row.target(), move |_, _| Ok(sealed)).await
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
    let target = row.target();
    let after = move |state: &ApiState, row: &Endpoint| {
        let headers = body.apply(open_headers(state, row)?);
        let mut checks = Checks::of("body");
        check(&mut checks, &headers);
        checks.finish()?;
        Ok(match headers.is_empty() {
            true => None,
            false => Some(seal_headers(state, target, &headers)?),
        })
    };
    change(state, target, after).await
}

/// Sets an endpoint's sealed headers to what `after` makes of it as it is by then.
async fn change(
    state: ApiState,
    target: EndpointRef,
    after: impl FnOnce(&ApiState, &Endpoint) -> Result<Option<SealedBytes>, ApiError> + Send + 'static,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let change = {
        let state = state.clone();
        move |txn: &mut Txn<'_>| {
            let mut row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
            row.sealed_headers = after(&state, &row)?;
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

/// Custom headers as they lie on the disk.
pub(super) fn seal_headers(state: &ApiState, target: EndpointRef, headers: &Headers) -> Result<SealedBytes, ApiError> {
    let json = serde_json::to_vec(headers).map(Zeroizing::new).map_err(|error| {
        tracing::error!(%error, "headers could not be written");
        ApiError::Internal
    })?;
    state.seal(target, SealPurpose::Headers, &json)
}

fn open_headers(state: &ApiState, row: &Endpoint) -> Result<Headers, ApiError> {
    let Some(sealed) = &row.sealed_headers else { return Ok(Headers::new()) };
    let json = state.open(row.target(), SealPurpose::Headers, sealed)?;
    serde_json::from_slice(json.expose()).map_err(|_| {
        tracing::error!(endpoint = row.public_id(), "stored headers could not be read");
        ApiError::Internal
    })
}
