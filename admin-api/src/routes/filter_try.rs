//! Tries a content filter out on a message. Changes nothing.

use super::params::AppPath;
use crate::dto::filter::{FilterTryIn, FilterTryOut};
use crate::error::ApiError;
use crate::extract::{IdempotencyKey, InApp, JsonBody};
use crate::json::JsonBytes;
use crate::reader::Reader;
use control::find::find_event;
use control::{Checks, Error, limits};
use engine::prepare::content::{Content, ContentFilter, Parts, Verdict, content_of};
use model::AppId;
use std::sync::Arc;

/// Asks a filter about a message: one of the application's by `messageId`, or one that is given here. Stores nothing.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/filter/try", tag = "Endpoint", operation_id = "v1.endpoint.filter-try",
    params(AppPath, ("idempotency-key" = Option<String>, Header,
        description = "Of no effect: trying a filter out changes nothing")),
    request_body = FilterTryIn, responses((status = 200, body = FilterTryOut)))]
pub(crate) async fn filter_try(
    state: Reader,
    InApp(app): InApp,
    // Checked as everywhere.
    _key: IdempotencyKey,
    JsonBody(body): JsonBody<FilterTryIn>,
) -> Result<JsonBytes, ApiError> {
    check(&body)?;
    let answer = state.answer(move |state| {
        let content = match &body.message_id {
            Some(text) => stored(state.view(), app.id, text)?,
            None => given(&body),
        };
        Ok(match ContentFilter::new(&body.filter).judge(&content) {
            Verdict::Matches => FilterTryOut { matches: true, error: None },
            Verdict::Differs => FilterTryOut { matches: false, error: None },
            Verdict::Failed(words) => FilterTryOut { matches: false, error: Some(words) },
        })
    });
    answer.await
}

fn check(body: &FilterTryIn) -> Result<(), ApiError> {
    let mut checks = Checks::default();
    checks.content_filter_if_any("filter", Some(&body.filter));
    let parts = [
        ("payload", body.payload.is_some()),
        ("eventType", body.event_type.is_some()),
        ("eventId", body.event_id.is_some()),
        ("channels", body.channels.is_some()),
        ("tags", body.tags.is_some()),
    ];
    if body.message_id.is_some() {
        for (name, _) in parts.iter().filter(|(_, is_given)| *is_given) {
            checks.wrong(&[name], "is given beside messageId", "value_error.conflict");
        }
    } else if body.payload.is_none() {
        checks.wrong(&["payload"], "is needed, or messageId", "value_error.missing");
    }
    body.event_type.iter().for_each(|name| checks.name("eventType", name));
    checks.name_if_any("eventId", body.event_id.as_deref());
    body.channels.iter().for_each(|names| checks.channels(names, limits::MESSAGE_CHANNELS_MAX, true));
    body.tags.iter().for_each(|tags| checks.tags(tags));
    Ok(checks.finish()?)
}

fn stored(view: &control::query::View, app: AppId, text: &str) -> Result<Content, ApiError> {
    let event = find_event(view, app, text).map_err(Error::from)?.ok_or(ApiError::NotFound("message"))?;
    if event.is_expunged() {
        return Err(ApiError::invalid(["body", "messageId"], "its payload is expunged", "value_error"));
    }
    Ok(content_of(&event))
}

fn given(body: &FilterTryIn) -> Content {
    let channels: Vec<Arc<str>> = body.channels.iter().flatten().map(|name| Arc::from(name.as_str())).collect();
    Content::new(Parts {
        event_type: body.event_type.as_deref().unwrap_or_default(),
        event_id: body.event_id.as_deref(),
        channels: &channels,
        tags: body.tags.as_deref().unwrap_or_default(),
        payload: body.payload.as_ref().map_or(&[], |payload| payload.get().as_bytes()),
    })
}
