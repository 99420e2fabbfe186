//! The failover of an endpoint: how it stands, and a switch by hand.

use super::once::Keyed;
use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::failover::{FailoverOut, FailoverSwitchIn, SideBody};
use crate::error::ApiError;
use crate::extract::{InEndpoint, NamedEndpoint};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::endpoint::SwitchFailover;
use model::Endpoint;

/// Gets the active side of an endpoint with a failover, and its last switches. 404 when it has none.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failover", tag = "Endpoint",
    operation_id = "v1.endpoint.get-failover", params(EndpointPath), responses((status = 200, body = FailoverOut)))]
pub(crate) async fn get(InEndpoint(row): InEndpoint) -> Result<Json<FailoverOut>, ApiError> {
    shown(&row)
}

/// Switches to one side by hand. The side that is active already changes nothing. 409 when the backup is disabled or
/// paused.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/failover", tag = "Endpoint",
    operation_id = "v1.endpoint.switch-failover", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = FailoverSwitchIn, responses((status = 200, body = FailoverOut)))]
pub(crate) async fn switch(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<FailoverSwitchIn>,
) -> Result<Json<FailoverOut>, ApiError> {
    let command = SwitchFailover { endpoint, to_backup: request.body.to == SideBody::Backup };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    shown(&changed.into_thing())
}

fn shown(row: &Endpoint) -> Result<Json<FailoverOut>, ApiError> {
    row.failover.as_ref().map(|failover| Json(failover.into())).ok_or(ApiError::NotFound("failover"))
}
