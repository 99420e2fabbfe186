//! The headers of an attempt: those that were sent, and those of the answer.

use super::params::AttemptPath;
use crate::dto::attempt_details::MessageAttemptHeadersOut;
use crate::error::ApiError;
use crate::extract::{InMessage, PathTexts};
use crate::reader::Reader;
use axum::Json;
use control::query::attempt;

/// Gets the headers of an attempt. Those that were sent are computed from the endpoint as it is now, so a change of its
/// headers since then shows; the answer's headers are those that were kept.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers", tag = "Message Attempt",
    operation_id = "v1.message-attempt.get-headers", params(AttemptPath),
    responses((status = 200, body = MessageAttemptHeadersOut)))]
pub(crate) async fn get(
    state: Reader,
    InMessage(event): InMessage,
    path: PathTexts,
) -> Result<Json<MessageAttemptHeadersOut>, ApiError> {
    let text = path.get("attempt_id")?.to_owned();
    let shown = state.read(move |state| {
        let found = attempt::find(state.view(), &event, &text)?.ok_or(ApiError::NotFound("attempt"))?;
        Ok(MessageAttemptHeadersOut::of(&found, &state.plan_of(&found.endpoint)))
    });
    Ok(Json(shown.await?))
}
