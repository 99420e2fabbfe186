//! Sends an example to one endpoint, regardless of its filter.
//!
//! It is an ordinary message for that endpoint only: it is stored, signed, retried and shown like any other. It is marked as a
//! test: breaker, statistics and disabling leave it out.

use super::params::EndpointPath;
use crate::auth::By;
use crate::dto::attempt::{ExampleOut, MessageAttemptOut};
use crate::dto::event_type::example_of;
use crate::dto::message::EventExampleIn;
use crate::dto::message_answer::MessageOut;
use crate::dto::timestamp::Timestamp;
use crate::error::{ACCEPTED, ApiError, OK};
use crate::extract::{IdempotencyKey, InEndpoint, JsonBody, QueryParams};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use bytes::Bytes;
use control::Checks;
use control::query::{attempt, event_type};
use engine::NewMessage;
use http::StatusCode;
use model::{Endpoint, Event};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;
use utoipa::IntoParams;

/// The type of the example that asks for nothing but to be received. It is in no catalogue.
const PING: &str = "svix.ping";

/// The first wait before the history is looked at again, and the longest one.
const LOOK_AFTER: Duration = Duration::from_millis(10);
const LOOK_AFTER_MAX: Duration = Duration::from_millis(250);

/// An attempt takes so much longer than its deadline until its record is durable, on a machine that is not overloaded.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// The answer is made so much earlier than the deadline of the request.
const ANSWER_BEFORE: Duration = Duration::from_secs(1);

/// The parameters of an example.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitQuery {
    /// Answer once the first attempt has ended, with the attempt. Default: false.
    #[serde(default)]
    wait: bool,
}

/// Sends an example to one endpoint: of an event type of the catalogue, of `svix.ping`, or a payload of the caller's own.
/// With `wait=true`, the answer has the first attempt; it is 202 and has none when that did not end in time.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example", tag = "Endpoint",
    operation_id = "v1.endpoint.send-example", params(EndpointPath, WaitQuery,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EventExampleIn,
    responses((status = 200, body = ExampleOut),
        (status = 202, description = "Stored; the attempt that was waited for has not ended", body = ExampleOut)))]
pub(crate) async fn send(
    state: Reader,
    By(caller): By,
    InEndpoint(endpoint): InEndpoint,
    QueryParams(query): QueryParams<WaitQuery>,
    IdempotencyKey(key): IdempotencyKey,
    JsonBody(body): JsonBody<EventExampleIn>,
) -> Result<(StatusCode, Json<ExampleOut>), ApiError> {
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
        only_for: None,
        more: None,
    };
    let event = state.control.send_example(caller, &endpoint, message).await?;
    let message = MessageOut::of(&event, true);
    if !query.wait {
        return Ok((OK, Json(ExampleOut { message, attempt: None })));
    }
    let patience = state.attempt_timeout(&endpoint) + SETTLED_WITHIN;
    let patience = patience.min(state.limits.request_timeout.saturating_sub(ANSWER_BEFORE));
    let waited = tokio::time::timeout(patience, first_attempt(&state, event, endpoint)).await;
    let attempt = waited.ok().transpose()?;
    Ok((if attempt.is_some() { OK } else { ACCEPTED }, Json(ExampleOut { message, attempt })))
}

/// Waits until the first attempt of a message is in the history. Ends with its caller's patience.
async fn first_attempt(state: &Reader, event: Event, endpoint: Endpoint) -> Result<MessageAttemptOut, ApiError> {
    let mut pause = LOOK_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        let (event, endpoint) = (event.clone(), endpoint.clone());
        let found = state.read(move |state| {
            let found = attempt::first(state.view(), &event, endpoint)?;
            Ok(found.map(|attempt| MessageAttemptOut::of(&attempt, true)))
        });
        if let Some(found) = found.await? {
            return Ok(found);
        }
        pause = (2 * pause).min(LOOK_AFTER_MAX);
    }
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
