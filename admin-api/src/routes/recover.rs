//! Recover and replay: send again the messages that were taken in a span of time, all of them or those that a filter
//! names. A job does it, from the log, without a cap, and as fast as it is allowed to.

use super::once::Keyed;
use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::job::{BackgroundTaskOut, RecoverIn};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::NamedEndpoint;
use crate::reader::Reader;
use axum::Json;
use control::command::job::{StartJob, positions};
use control::find::EndpointName;
use control::{Caller, Checks, Once};
use http::StatusCode;
use model::{JobKind, Span};

/// Sends again the messages that were taken in a span of time and given up or cancelled.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", tag = "Endpoint",
    operation_id = "v1.endpoint.recover", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn recover(
    state: Reader,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    over_span(&state, caller, endpoint, request.body, JobKind::Recover, request.once).await
}

/// Sends the messages that were taken in a span of time and never tried.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing", tag = "Endpoint",
    operation_id = "v1.endpoint.replay-missing", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn replay_missing(
    state: Reader,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    over_span(&state, caller, endpoint, request.body, JobKind::ReplayMissing, request.once).await
}

/// Sends again all that was taken in a span of time, delivered or not.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay", tag = "Endpoint",
    operation_id = "v1.endpoint.bulk-replay", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn bulk_replay(
    state: Reader,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    over_span(&state, caller, endpoint, request.body, JobKind::Replay, request.once).await
}

async fn over_span(
    state: &Reader,
    caller: Caller,
    endpoint: EndpointName,
    body: RecoverIn,
    kind: impl FnOnce(Span) -> JobKind,
    once: Option<Once>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (now, app) = (state.now(), endpoint.app);
    let span = body.span(now);
    let mut checks = Checks::default();
    let manner = body.into_manner(&mut checks, now);
    let positions = match manner.start_at() {
        Some(_) => None,
        None => Some(state.read(move |state| Ok(positions(state.view(), app, span)?)).await?),
    };
    let command = StartJob { endpoint, kind: kind(span), positions, manner };
    let changed = state.control.submit_once(caller, command, checks, once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}
