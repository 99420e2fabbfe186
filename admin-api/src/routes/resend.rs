//! Resend: one message to one endpoint, once more, by hand.
//!
//! An order: it is put in line whatever the endpoint's filter and the state of the delivery, and gets a fresh round of
//! attempts under the endpoint's policy. A message whose first attempt is still to come is sent at once, and in its turn.
//! A message that is on its way is queued too: it can still be dropped, by a change of the filter for one, and then a 202 would
//! have been an order for nothing.

use super::once::{Keyed, perform};
use super::params::DeliveryPath;
use super::recover::kind_of;
use crate::dto::fields::{EmptyIn, EmptyResponse};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{InEndpoint, InMessage};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::{Endpoint, Event};
use storage::tables::{delivery, endpoint, log};
use storage::txn::Txn;

/// Sends a message to an endpoint once more, whatever the endpoint's filter and whether or not it was delivered. 409 when
/// the endpoint is disabled, 400 `missing_payload` when the payload was removed.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend", tag = "Message Attempt",
    operation_id = "v1.message-attempt.resend", params(DeliveryPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "Put in line", body = EmptyResponse)))]
pub(crate) async fn resend(
    State(state): State<ApiState>,
    InMessage(event): InMessage,
    InEndpoint(row): InEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    put_in_line(&state, &row, &event, request, "resend", |_| Ok(())).await
}

/// Puts a delivery in line by hand, once by its key, if it can be sent and `check` finds nothing. `order` is the name that its
/// key counts for.
pub(super) async fn put_in_line(
    state: &ApiState,
    row: &Endpoint,
    event: &Event,
    request: Keyed<Option<EmptyIn>>,
    order: &'static str,
    check: impl FnOnce(&Txn<'_>) -> Result<(), ApiError> + Send + 'static,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    let (target, seq, now) = (row.target(), event.seq, state.now());
    let (_, once) = request.once(state, target.app, &format!("{}/{seq}", kind_of(order, target)));
    let act = move |txn: &mut Txn<'_>| {
        // Where nothing can race: what is put in line for a disabled endpoint only becomes a dead letter.
        let endpoint = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
        if endpoint.disabled.is_some() {
            return Err(ApiError::EndpointDisabled);
        }
        if log::get_undamaged(txn, target.app, seq)?.is_some_and(|event| event.is_expunged()) {
            return Err(ApiError::MissingPayload);
        }
        check(txn)?;
        delivery::requeue(txn, target, seq, now)?;
        Ok((Some(seq.0), ()))
    };
    state.change(move |txn| perform(once.as_ref(), txn, |_, _| Ok(Some(())), act)).await?;
    Ok((ACCEPTED, Json(EmptyResponse {})))
}
