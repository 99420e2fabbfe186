//! Sends an example to one endpoint, regardless of its filter.
//!
//! It is an ordinary message for that endpoint only: it is stored, signed, retried and shown like any other.

use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::event_type::example_of;
use crate::dto::message::EventExampleIn;
use crate::dto::message_answer::MessageOut;
use crate::dto::timestamp::Timestamp;
use crate::error::{ApiError, OK};
use crate::extract::{IdempotencyKey, InEndpoint, JsonBody};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use control::Checks;
use control::command::message::{PushMessages, accepted};
use control::query::event_type;
use engine::NewMessage;
use http::StatusCode;
use serde_json::{Map, Value};

/// The type of the example that asks for nothing but to be received. It is in no catalogue.
const PING: &str = "svix.ping";

/// Sends an example to one endpoint: of an event type of the catalogue, of `svix.ping`, or a payload of the caller's
/// own.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example", tag = "Endpoint",
    operation_id = "v1.endpoint.send-example", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EventExampleIn,
    responses((status = 200, body = MessageOut)))]
pub(crate) async fn send(
    State(state): State<ApiState>,
    By(scope): By,
    InEndpoint(endpoint): InEndpoint,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(body): JsonBody<EventExampleIn>,
) -> Result<(StatusCode, Json<MessageOut>), ApiError> {
    let mut checks = Checks::default();
    checks.name("eventType", &body.event_type);
    checks.finish()?;
    if endpoint.disabled.is_some() {
        return Err(ApiError::EndpointDisabled);
    }
    let payload = match body.payload {
        Some(payload) => payload,
        None => example(&state, &body.event_type, body.example_index)?,
    };
    let message = NewMessage {
        event_type: body.event_type,
        event_id: None,
        channels: Vec::new(),
        payload: Bytes::from(Value::Object(payload).to_string()),
        // Apart from the keys of messages that were pushed.
        idempotency_key: key.map(|key| format!("send-example/{key}")),
        only_for: Some(endpoint.id),
        more: None,
    };
    let push = PushMessages { app: endpoint.app, messages: vec![message] };
    let mut outcomes = state.control.push(scope, push).await?;
    let event = accepted(outcomes.pop().ok_or(ApiError::Internal)?)?;
    Ok((OK, Json(MessageOut::of(&event, true))))
}

/// The example of the event type's schema, or a plain one. The same each time, so that one key means one message.
///
/// # Errors
/// 404 for a type that is not in the catalogue, 422 for an example that its schema does not have.
fn example(state: &ApiState, name: &str, index: Option<usize>) -> Result<Map<String, Value>, ApiError> {
    if name == PING && index.is_none() {
        return Ok(Map::from_iter([("success".to_owned(), true.into())]));
    }
    let row = event_type::get(state.view(), name)?.ok_or(ApiError::NotFound("event type"))?;
    let from_schema = row.schemas.and_then(|schemas| example_of(&schemas, index.unwrap_or(0)));
    match (from_schema, index) {
        (Some(example), _) => Ok(example),
        (None, Some(_)) => {
            Err(ApiError::invalid(["body", "exampleIndex"], "the event type has no such example", "value_error"))
        }
        (None, None) => Ok(Map::from_iter([
            ("type".to_owned(), name.into()),
            ("timestamp".to_owned(), Timestamp(row.updated_at).to_string().into()),
            ("data".to_owned(), Value::Object(Map::from_iter([("example".to_owned(), true.into())]))),
        ])),
    }
}
