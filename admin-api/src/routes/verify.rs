//! Asks the receiver of an unverified endpoint for its proof once more.

use super::once::Keyed;
use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::endpoint::EndpointOut;
use crate::dto::fields::EmptyIn;
use crate::error::{ACCEPTED, ApiError};
use crate::extract::NamedEndpoint;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::endpoint::VerifyEndpoint;
use http::StatusCode;

/// Asks the receiver for its challenge now. The attempt is made after this answer; the endpoint's `state` shows its
/// result. Once in ten seconds for an endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/verify", tag = "Endpoint",
    operation_id = "v1.endpoint.verify", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "An attempt is made", body = EndpointOut)))]
pub(crate) async fn verify(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<EndpointOut>), ApiError> {
    let command = VerifyEndpoint { endpoint };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}
