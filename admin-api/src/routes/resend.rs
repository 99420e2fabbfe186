//! Resend: one message to one endpoint, once more, by hand.
//!
//! It gets a fresh round of attempts under the endpoint's policy. Deliberately no matter whether the filter matches: who
//! asks for it by name gets it.

use super::params::DeliveryPath;
use crate::dto::fields::EmptyResponse;
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{InEndpoint, InMessage};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use engine::DeliveryState;
use http::StatusCode;
use storage::tables::{delivery, endpoint};
use storage::txn::Txn;

/// Sends a message to an endpoint once more.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", tag = "Message Attempt",
    operation_id = "v1.message-attempt.resend", params(DeliveryPath),
    responses((status = 202, description = "Put in line", body = EmptyResponse)))]
pub(crate) async fn resend(
    State(state): State<ApiState>,
    InMessage(event): InMessage,
    InEndpoint(row): InEndpoint,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    if row.disabled.is_some() {
        return Err(ApiError::EndpointDisabled);
    }
    if event.is_expunged() {
        return Err(ApiError::MissingPayload);
    }
    // What is on its way gets there without a second request.
    if !matches!(state.delivery_state(&row, &event)?, DeliveryState::Queued) {
        let now = state.now();
        let change = move |txn: &mut Txn<'_>| {
            endpoint::get(txn, row.target())?.ok_or(ApiError::NotFound("endpoint"))?;
            Ok(delivery::requeue(txn, row.target(), event.seq, now)?)
        };
        state.change(change).await?;
    }
    Ok((ACCEPTED, Json(EmptyResponse {})))
}
