//! Batch ingest: many messages, one durable commit, one result for each.
//!
//! Deliberately not all or nothing: a message that is wrong must not hold up the others. An `Idempotency-Key` counts
//! for each message by its place, so that a batch can be sent again whole.

use super::params::AppPath;
use crate::auth::Reaching;
use crate::dto::batch::{BatchItemOut, BatchOut, split};
use crate::dto::message::MessageIn;
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{BatchBody, IdempotencyKey, OfApp};
use crate::json;
use crate::rate::Limited;
use crate::state::ApiState;
use axum::extract::State;
use axum::{Extension, Json};
use bytes::Bytes;
use control::command::message::{PushMessages, accepted};
use control::rate::Standing;
use engine::NewMessage;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

/// Pushes up to 1,000 messages: a JSON array, or one message a line as `application/x-ndjson`.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/batch", tag = "Message", operation_id = "v1.message.create-batch",
    params(AppPath, ("idempotency-key" = Option<String>, Header,
        description = "Counts for each message by its place: makes sending the batch again harmless")),
    request_body(content((Vec<MessageIn<'static>> = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 202, description = "One result for each message; those with status 202 are on the disk",
        body = BatchOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Reaching(reach): Reaching,
    OfApp(app): OfApp,
    IdempotencyKey(key): IdempotencyKey,
    limited: Limited,
    headers: HeaderMap,
    BatchBody(body): BatchBody,
) -> Result<(StatusCode, Option<Extension<Standing>>, Json<BatchOut>), ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let items = split(&body, content_type, state.limits.batch_items)?;
    // The request itself was counted as one.
    let more = u32::try_from(items.len()).unwrap_or(u32::MAX).saturating_sub(1);
    let standing = limited.take(&state, more)?;
    let mut results: Vec<Option<BatchItemOut>> = Vec::with_capacity(items.len());
    let (mut messages, mut places) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, item) in items.iter().enumerate() {
        let key = key.as_ref().map(|key| format!("{key}#{index}"));
        match read_item(item, key, &state) {
            Ok(message) => {
                messages.push(message);
                places.push(index);
                results.push(None);
            }
            Err(error) => results.push(Some(BatchItemOut::refused(index, &error))),
        }
    }
    if !messages.is_empty() {
        let outcomes = state.control.push(reach, PushMessages { app, messages }).await?;
        for (index, outcome) in places.into_iter().zip(outcomes) {
            results[index] = Some(match accepted(outcome) {
                Ok(event) => BatchItemOut {
                    index,
                    status: ACCEPTED.as_u16(),
                    id: Some(event.message_id()),
                    code: None,
                    detail: None,
                },
                Err(error) => BatchItemOut::refused(index, &error.into()),
            });
        }
    }
    let data: Vec<BatchItemOut> = results.into_iter().flatten().collect();
    let accepted = data.iter().filter(|item| item.id.is_some()).count();
    Ok((ACCEPTED, standing.map(Extension), Json(BatchOut { accepted, rejected: data.len() - accepted, data })))
}

fn read_item(item: &Bytes, key: Option<String>, state: &ApiState) -> Result<NewMessage, ApiError> {
    let limit_bytes = state.limits.body_bytes;
    if item.len() > limit_bytes {
        return Err(ApiError::BodyTooLarge { limit_bytes });
    }
    let message: MessageIn<'_> = json::from_body(item)?;
    if message.application.is_some() {
        let msg = "is not taken in a batch: the application must exist";
        return Err(ApiError::invalid(["body", "application"], msg, "value_error.unsupported"));
    }
    message.into_new(item, key, || state.control.push_times())
}
