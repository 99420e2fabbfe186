//! Resend: one message to one endpoint, once more, by hand.

use super::once::Keyed;
use super::params::DeliveryPath;
use crate::auth::By;
use crate::dto::fields::{EmptyIn, EmptyResponse};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::NamedEndpoint;
use crate::extract::NamedMessage;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::delivery::Resend;
use http::StatusCode;

/// Sends a message to an endpoint once more, regardless of the endpoint's filter and of earlier deliveries. 409 when
/// the endpoint is disabled, 400 `missing_payload` when the payload was removed.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", tag = "Message Attempt",
    operation_id = "v1.message-attempt.resend", params(DeliveryPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "Put in line", body = EmptyResponse)))]
pub(crate) async fn resend(
    State(state): State<ApiState>,
    By(caller): By,
    NamedMessage(message): NamedMessage,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    let command = Resend { endpoint, message };
    state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json(EmptyResponse {})))
}
