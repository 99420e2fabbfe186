//! Attempts: by endpoint, by message, one; expunge the response of one.
//!
//! Which attempts a page has is [`control::query::attempt`]'s.

use super::attempt_places::{endpoint_place, message_place, text_of_cut, text_of_message_place};
use super::filter::message_filter;
use super::params::{AttemptPath, EndpointPath, MessagePath};
use crate::auth::By;
use crate::dto::attempt::MessageAttemptOut;
use crate::dto::fields::{ListResponse, yes};
use crate::dto::message_answer::MessageOut;
use crate::dto::status::{MessageStatus, StatusCodeClass, status_filter};
use crate::dto::timestamp::Timestamp;
use crate::error::{ApiError, NO_CONTENT};
use crate::extract::{InEndpoint, InMessage, NamedMessage, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::attempt::ExpungeResponse;
use control::query::attempt::{self, Attempt, AttemptFilter};
use control::query::log::MessageFilter;
use http::StatusCode;
use model::Event;
use serde::Deserialize;
use utoipa::IntoParams;

/// The parameters of both lists.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave, or an attempt's id: the page begins behind it. Led by `-`, the page ends
    /// before it.
    iterator: Option<String>,
    /// 0 succeeded, 2 failed.
    #[param(inline)]
    status: Option<MessageStatus>,
    /// By the hundred of the HTTP status; 0: no answer.
    #[param(inline)]
    status_code_class: Option<StatusCodeClass>,
    /// Only of messages of these event types, joined by commas.
    event_types: Option<String>,
    /// Only of messages with this channel.
    channel: Option<String>,
    /// Only of the message with this id of your own.
    event_id: Option<String>,
    /// Only of messages with this tag.
    tag: Option<String>,
    /// Only started before this.
    #[param(inline)]
    before: Option<Timestamp>,
    /// Only started then or after.
    #[param(inline)]
    after: Option<Timestamp>,
    /// Of a message's attempts: only at this endpoint.
    pub(super) endpoint_id: Option<String>,
    /// With responses. Default: true.
    #[serde(default = "yes")]
    with_content: bool,
    /// With the message inside.
    #[serde(default)]
    with_msg: bool,
    /// Distinguish canceled from given up: an attempt is neither.
    #[serde(default)]
    expanded_statuses: bool,
}

/// The parameters of one attempt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    /// Of no effect: an attempt succeeded or failed.
    #[serde(default)]
    #[expect(dead_code, reason = "taken, so that clients may say it")]
    expanded_statuses: bool,
}

impl ListQuery {
    fn filter(&self) -> AttemptFilter {
        let times = (self.after, self.before);
        let messages = message_filter(self.event_types.as_deref(), self.channel.clone(), self.tag.clone(), times);
        AttemptFilter {
            messages: MessageFilter { event_id: self.event_id.clone(), ..messages },
            statuses: status_filter(self.status, self.expanded_statuses),
            status_class: self.status_code_class.map(|StatusCodeClass(class)| class),
            with_payloads: self.with_msg && self.with_content,
        }
    }

    fn show(&self, attempt: &Attempt) -> MessageAttemptOut {
        let shown = MessageAttemptOut::of(attempt, self.with_content);
        if self.with_msg { shown.with_message(MessageOut::of(&attempt.event, self.with_content)) } else { shown }
    }
}

/// Lists the attempts at an endpoint, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-endpoint", params(EndpointPath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_endpoint(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let (limit, iterator) = (query.limit, query.iterator.as_deref());
    let asked = AskedPage::new(limit, iterator, Ordering::Descending, endpoint_place(row.id))?;
    let list = state.answer(move |state| {
        let listed = attempt::list_of_endpoint(state.view(), row, &query.filter(), &asked.page)?;
        Ok(asked.respond(listed, text_of_cut, |attempt| query.show(attempt)))
    });
    list.await
}

/// Lists the attempts of a message at all endpoints, newest first; of an application with more than 10,000 endpoints
/// newest first among each 10,000 of them.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/msg/{msg_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-msg", params(MessagePath, ListQuery),
    responses((status = 200, body = ListResponse<MessageAttemptOut>)))]
pub(crate) async fn by_message(
    state: Reader,
    InMessage(event): InMessage,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    list_of_message(state, event, query).await
}

/// A page of the attempts of a message.
pub(super) async fn list_of_message(state: Reader, event: Event, query: ListQuery) -> Result<JsonBytes, ApiError> {
    let asked = AskedPage::new(query.limit, query.iterator.as_deref(), Ordering::Descending, message_place)?;
    let list = state.answer(move |state| {
        let only = match &query.endpoint_id {
            Some(text) => {
                let found = attempt::find_endpoint_ever(state.view(), event.app, text)?;
                Some(found.ok_or(ApiError::NotFound("endpoint"))?)
            }
            None => None,
        };
        let listed = attempt::list_of_message(state.view(), &event, only, &query.filter(), &asked.page)?;
        Ok(asked.respond(listed, text_of_message_place, |attempt| query.show(attempt)))
    });
    list.await
}

/// Gets an attempt.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.get", params(AttemptPath, GetQuery),
    responses((status = 200, body = MessageAttemptOut)))]
pub(crate) async fn get(
    state: Reader,
    InMessage(event): InMessage,
    _: QueryParams<GetQuery>,
    path: PathTexts,
) -> Result<Json<MessageAttemptOut>, ApiError> {
    let text = path.get("attempt_id")?.to_owned();
    let shown = state.read(move |state| {
        let found = attempt::find(state.view(), &event, &text)?.ok_or(ApiError::NotFound("attempt"))?;
        Ok(MessageAttemptOut::of(&found, true))
    });
    Ok(Json(shown.await?))
}

/// Forgets the response of an attempt.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content", tag = "Message Attempt",
    operation_id = "v1.message-attempt.expunge-content", params(AttemptPath),
    responses((status = 204, description = "Forgotten")))]
pub(crate) async fn expunge(
    State(state): State<ApiState>,
    By(caller): By,
    NamedMessage(message): NamedMessage,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    let attempt = path.get("attempt_id")?.to_owned();
    state.control.submit(caller, ExpungeResponse { message, attempt }).await?;
    Ok(NO_CONTENT)
}
