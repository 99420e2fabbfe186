//! Messages: push one, list, get, expunge the payload.
//!
//! A 202 means that the message is on the disk. Deliberately no look at endpoints: a message that none of them wants is
//! taken all the same, and says so when asked about.

use super::filter::message_filter;
use super::params::{AppPath, MessagePath};
use crate::auth::{By, Pusher, scopes};
use crate::dto::application::ApplicationIn;
use crate::dto::fields::{ListResponse, yes};
use crate::dto::message::MessageIn;
use crate::dto::message_answer::{MessageOut, answer_of};
use crate::dto::timestamp::Timestamp;
use crate::error::{ACCEPTED, ApiError, NO_CONTENT};
use crate::extract::NamedMessage;
use crate::extract::{IdempotencyKey, InApp, InMessage, PathTexts, QueryParams, RawBody};
use crate::json::{self, JsonBytes};
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::extract::State;
use bytes::Bytes;
use control::command::application::EnsureApplication;
use control::command::message::{ExpungePayload, PushMessages, accepted};
use control::query::log::MessageFilter;
use control::query::message;
use control::{Caller, Checks};
use http::StatusCode;
use model::AppId;
use model::id::{IdKind, IdParts};
use serde::Deserialize;
use utoipa::IntoParams;

/// The choice to get the payload back.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentQuery {
    /// With the payload. Default: true.
    #[serde(default = "yes")]
    with_content: bool,
}

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave.
    iterator: Option<String>,
    /// Only of these event types, joined by commas.
    event_types: Option<String>,
    /// Only with this channel.
    channel: Option<String>,
    /// Only the one with this id of your own.
    event_id: Option<String>,
    /// Only with this tag.
    tag: Option<String>,
    /// Only taken before this.
    #[param(inline)]
    before: Option<Timestamp>,
    /// Only taken then or after.
    #[param(inline)]
    after: Option<Timestamp>,
    /// With payloads. Default: true.
    #[serde(default = "yes")]
    with_content: bool,
}

/// Pushes a message.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg", tag = "Message", operation_id = "v1.message.create",
    params(AppPath, ContentQuery, ("idempotency-key" = Option<String>, Header,
        description = "Makes sending it again harmless: the first one's answer comes back")),
    request_body = MessageIn<'static>, responses((status = 202, description = "On the disk", body = MessageOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    by: Pusher,
    path: PathTexts,
    QueryParams(query): QueryParams<ContentQuery>,
    IdempotencyKey(key): IdempotencyKey,
    RawBody(body): RawBody,
) -> Result<(StatusCode, JsonBytes), ApiError> {
    push(&state, &by, path.get("app_id")?, &query, key, &body).await
}

/// Takes a message in for the application of this id or uid, which the message may bring with it.
pub(crate) async fn push(
    state: &ApiState,
    by: &Pusher,
    text: &str,
    query: &ContentQuery,
    key: Option<String>,
    body: &Bytes,
) -> Result<(StatusCode, JsonBytes), ApiError> {
    let reach = by.reach();
    let mut message: MessageIn<'_> = json::from_body(body)?;
    let application = message.application.take();
    let message = message.into_new(body, key, || state.control.push_times())?;
    let app = match (state.control.app_id(text)?, application) {
        (Some(app), _) if reach.reaches(app) => app,
        // Else the message would go to another application than the one that is made.
        (None, Some(application)) if application.uid.as_set().map(String::as_str) != Some(text) => {
            return Err(ApiError::ApplicationMismatch);
        }
        // In a box: the future of every push has room for this one otherwise.
        (None, Some(application)) => {
            by.check(scopes::WRITE)?;
            Box::pin(ensure(state, by.caller(), text, application)).await?
        }
        _ => return Err(ApiError::NotFound("application")),
    };
    let mut outcomes = state.control.push(reach, PushMessages { app, messages: vec![message] }).await?;
    let event = accepted(outcomes.pop().ok_or(ApiError::Internal)?)?;
    let answer = answer_of(&event, query.with_content).map_err(|_| ApiError::Internal)?;
    Ok((ACCEPTED, JsonBytes(answer)))
}

/// The application of `text`, or a new one by `body` whose uid it becomes.
async fn ensure(state: &ApiState, by: Caller, text: &str, body: ApplicationIn) -> Result<AppId, ApiError> {
    let mut checks = Checks::default();
    let fields = body.into_fields(&mut checks);
    let command = EnsureApplication { text: text.to_owned(), fields };
    Ok(state.control.submit_checked(by, command, checks).await?.into_thing().id)
}

/// Lists the messages of an application, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg", tag = "Message", operation_id = "v1.message.list",
    params(AppPath, ListQuery), responses((status = 200, body = ListResponse<MessageOut>)))]
pub(crate) async fn list(
    state: Reader,
    InApp(app): InApp,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let (limit, iterator) = (query.limit, query.iterator.as_deref());
    let asked = AskedPage::new(limit, iterator, Ordering::Descending, message_of(app.id))?;
    let filter = message_filter(query.event_types.as_deref(), query.channel, query.tag, (query.after, query.before));
    let filter = MessageFilter { event_id: query.event_id, ..filter };
    let list = state.answer(move |state| {
        let listed = message::list(state.view(), app.id, &filter, &asked.page)?;
        Ok(asked.respond(listed, text_of_message, |event| MessageOut::of(event, query.with_content)))
    });
    list.await
}

/// Reads the id of a message of this application as a place.
pub(super) fn message_of(app: AppId) -> impl Fn(&str) -> Option<IdParts> {
    move |text| IdParts::from_text(IdKind::Message, text).filter(|parts| parts.number == app.0)
}

/// Writes [`message_of`].
pub(super) fn text_of_message(place: &IdParts) -> String {
    place.to_text(IdKind::Message)
}

/// Gets a message.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}", tag = "Message", operation_id = "v1.message.get",
    params(MessagePath, ContentQuery), responses((status = 200, body = MessageOut)))]
pub(crate) async fn get(
    QueryParams(query): QueryParams<ContentQuery>,
    InMessage(event): InMessage,
) -> Result<JsonBytes, ApiError> {
    answer_of(&event, query.with_content).map(JsonBytes).map_err(|_| ApiError::Internal)
}

/// Forgets the payload of a message. No attempt of it starts after the answer; one that is in flight may still end,
/// within its timeout. Deliveries that were not made become dead letters with the reason `expunged`.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/content", tag = "Message",
    operation_id = "v1.message.expunge-content", params(MessagePath),
    responses((status = 204, description = "Forgotten")))]
pub(crate) async fn expunge(
    State(state): State<ApiState>,
    By(caller): By,
    NamedMessage(message): NamedMessage,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, ExpungePayload { message }).await?;
    Ok(NO_CONTENT)
}
