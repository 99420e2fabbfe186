//! Pause and resume, of an endpoint and of an application. Asked for twice, the second time changes nothing.

use super::once::Keyed;
use super::params::{AppPath, EndpointPath};
use crate::auth::By;
use crate::dto::application::ApplicationOut;
use crate::dto::endpoint::EndpointOut;
use crate::dto::fields::EmptyIn;
use crate::error::ApiError;
use crate::extract::{NamedEndpoint, OfApp};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::pause::{PauseApplication, PauseEndpoint, ResumeApplication, ResumeEndpoint};

/// Pauses an endpoint: what is for it waits on disk, retries too, and is sent when it is resumed. Nothing is cancelled, and
/// attempts in flight end.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/pause", tag = "Endpoint",
    operation_id = "v1.endpoint.pause", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 200, body = EndpointOut)))]
pub(crate) async fn pause_endpoint(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<Json<EndpointOut>, ApiError> {
    let command = PauseEndpoint { endpoint };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(Json((&changed.into_thing()).into()))
}

/// Sends to an endpoint again: first what has waited, in its order.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/resume", tag = "Endpoint",
    operation_id = "v1.endpoint.resume", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 200, body = EndpointOut)))]
pub(crate) async fn resume_endpoint(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<Json<EndpointOut>, ApiError> {
    let command = ResumeEndpoint { endpoint };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(Json((&changed.into_thing()).into()))
}

/// Pauses an application: what is for its endpoints waits on disk, and is sent when it is resumed.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/pause", tag = "Application", operation_id = "v1.application.pause",
    params(AppPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn pause_application(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<Option<EmptyIn>>,
) -> Result<Json<ApplicationOut>, ApiError> {
    let command = PauseApplication { app };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(Json((&changed.into_thing()).into()))
}

/// Sends to an application's endpoints again, but for those that are paused by themselves.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/resume", tag = "Application", operation_id = "v1.application.resume",
    params(AppPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn resume_application(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<Option<EmptyIn>>,
) -> Result<Json<ApplicationOut>, ApiError> {
    let command = ResumeApplication { app };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(Json((&changed.into_thing()).into()))
}
