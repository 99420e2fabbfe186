//! Signing secrets of an endpoint: get the current one, rotate with an overlap.

use super::once::Keyed;
use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::endpoint_secret::{EndpointSecretOut, EndpointSecretRotateIn, wants_no_content};
use crate::error::{ApiError, NO_CONTENT, OK};
use crate::extract::NamedEndpoint;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::Checks;
use control::command::endpoint::{RevealSecret, verification_key};
use http::HeaderMap;
use http::header::USER_AGENT;
use model::Endpoint;

/// Gets the current signing secret. That is a record in the audit log.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", tag = "Endpoint",
    operation_id = "v1.endpoint.get-secret", params(EndpointPath),
    responses((status = 200, body = EndpointSecretOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
) -> Result<Json<EndpointSecretOut>, ApiError> {
    let seen = state.control.submit(caller, RevealSecret { endpoint }).await?;
    Ok(Json(shown(&state, &seen.into_thing())?))
}

fn shown(state: &ApiState, row: &Endpoint) -> Result<EndpointSecretOut, ApiError> {
    Ok(EndpointSecretOut { key: verification_key(state.control.seals(), row)?.to_string() })
}

/// Puts a new signing secret in place; the old one goes on to sign beside it for a while. A secret that is made is of
/// the kind of the present one.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", tag = "Endpoint",
    operation_id = "v1.endpoint.rotate-secret", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EndpointSecretRotateIn,
    responses((status = 200, description = "The new secret", body = EndpointSecretOut),
        (status = 204, description = "Done: for the official clients before 1.59, which take no other answer")))]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    headers: HeaderMap,
    request: Keyed<EndpointSecretRotateIn>,
) -> Result<Response, ApiError> {
    let command = request.body.into_command(endpoint);
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    if wants_no_content(agent) {
        return Ok(NO_CONTENT.into_response());
    }
    Ok((OK, Json(shown(&state, &changed.into_thing())?)).into_response())
}
