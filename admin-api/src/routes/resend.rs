//! Resend: one message to one endpoint, once more, by hand.
//!
//! It gets a fresh round of attempts under the endpoint's policy. Deliberately no matter whether the filter matches: who
//! asks for it by name gets it.

use super::once::{Once, perform};
use super::params::DeliveryPath;
use super::recover::kind_of;
use crate::dto::fields::EmptyResponse;
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{IdempotencyKey, InEndpoint, InMessage};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use engine::DeliveryState;
use http::StatusCode;
use storage::tables::{delivery, endpoint};
use storage::txn::Txn;

/// Sends a message to an endpoint once more.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", tag = "Message Attempt",
    operation_id = "v1.message-attempt.resend", params(DeliveryPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "Put in line", body = EmptyResponse)))]
pub(crate) async fn resend(
    State(state): State<ApiState>,
    InMessage(event): InMessage,
    InEndpoint(row): InEndpoint,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    let kind = format!("{}/{}", kind_of("resend", row.target()), event.seq.0);
    let once = key.map(|key| Once::new(&state, row.app, &kind, &key, b""));
    // What is on its way gets there without a second request.
    let is_on_its_way = matches!(state.delivery_state(&row, &event)?, DeliveryState::Queued);
    let now = state.now();
    let act = move |txn: &mut Txn<'_>| {
        if row.disabled.is_some() {
            return Err(ApiError::EndpointDisabled);
        }
        endpoint::get(txn, row.target())?.ok_or(ApiError::NotFound("endpoint"))?;
        if !is_on_its_way {
            delivery::requeue(txn, row.target(), event.seq, now)?;
        }
        Ok((Some(event.seq.0), ()))
    };
    state.change(move |txn| perform(once.as_ref(), txn, |_, _| Ok(Some(())), act)).await?;
    Ok((ACCEPTED, Json(EmptyResponse {})))
}
