//! Event types of the catalogue: create, list, get, replace, change, archive or expunge.
//!
//! The catalogue has no effect on delivery: a message and a filter may name types that are not here.

use super::once::Keyed;
use super::params::EventTypePath;
use crate::auth::By;
use crate::dto::event_type::{EventTypeIn, EventTypeOut, EventTypePatch, EventTypeUpdate};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT, put_status};
use crate::extract::{JsonBody, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::checks::is_name;
use control::command::event_type::{ArchiveEventType, ExpungeEventType, PatchEventType, PutEventType};
use control::limits::NAME_MAX;
use control::query::event_type;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave, or a name.
    iterator: Option<String>,
    /// Default: `ascending`, by name.
    #[param(inline)]
    order: Option<Ordering>,
    /// Archived ones too.
    #[serde(default)]
    include_archived: bool,
    /// With schemas. Default: false.
    #[serde(default)]
    with_content: bool,
}

/// The parameters of a deletion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    /// Remove it for good rather than archive it.
    #[serde(default)]
    expunge: bool,
}

/// Lists event types.
#[utoipa::path(get, path = "/api/v1/event-type", tag = "Event Type", operation_id = "v1.event-type.list",
    params(ListQuery), responses((status = 200, body = ListResponse<EventTypeOut>)))]
pub(crate) async fn list(state: Reader, QueryParams(query): QueryParams<ListQuery>) -> Result<JsonBytes, ApiError> {
    let read_key = |text: &str| is_name(text).then(|| text.to_owned());
    let asked = AskedPage::new(query.limit, query.iterator.as_deref(), query.order.unwrap_or_default(), read_key)?;
    let list = state.answer(move |state| {
        let listed = event_type::list(state.view(), query.include_archived, &asked.page)?;
        Ok(asked.respond(listed, String::clone, |row| EventTypeOut::of(row, query.with_content)))
    });
    list.await
}

/// Creates an event type. One that is archived is created anew.
#[utoipa::path(post, path = "/api/v1/event-type", tag = "Event Type", operation_id = "v1.event-type.create",
    params(("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EventTypeIn, responses((status = 201, body = EventTypeOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    By(caller): By,
    request: Keyed<EventTypeIn>,
) -> Result<(StatusCode, Json<EventTypeOut>), ApiError> {
    let mut checks = Checks::default();
    let command = request.body.into_command(&mut checks);
    let changed = state.control.submit_once(caller, command, checks, request.once).await?;
    Ok((CREATED, Json(EventTypeOut::of(&changed.into_thing(), true))))
}

/// Gets an event type.
#[utoipa::path(get, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.get", params(EventTypePath), responses((status = 200, body = EventTypeOut)))]
pub(crate) async fn get(State(state): State<ApiState>, path: PathTexts) -> Result<Json<EventTypeOut>, ApiError> {
    let row = event_type::get(state.view(), path.get("event_type_name")?)?;
    Ok(Json(EventTypeOut::of(&row.ok_or(ApiError::NotFound("event type"))?, true)))
}

/// Replaces an event type, or creates it.
#[utoipa::path(put, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.update", params(EventTypePath), request_body = EventTypeUpdate,
    responses((status = 200, body = EventTypeOut), (status = 201, description = "Created", body = EventTypeOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    JsonBody(body): JsonBody<EventTypeUpdate>,
) -> Result<(StatusCode, Json<EventTypeOut>), ApiError> {
    let mut checks = Checks::default();
    let command = PutEventType { name: name_in(&path)?, fields: body.into_fields(&mut checks) };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok((put_status(&changed), Json(EventTypeOut::of(&changed.into_thing(), true))))
}

/// The name in the path, which a new event type gets.
fn name_in(path: &PathTexts) -> Result<String, ApiError> {
    let name = path.get("event_type_name")?;
    if !is_name(name) || name.len() > NAME_MAX {
        let msg = format!("must have 1 to {NAME_MAX} letters, digits, '-', '_' and '.'");
        return Err(ApiError::invalid(["path", "event_type_name"], msg, "value_error.str.regex"));
    }
    Ok(name.to_owned())
}

/// Changes an event type.
#[utoipa::path(patch, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.patch", params(EventTypePath), request_body = EventTypePatch,
    responses((status = 200, body = EventTypeOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    JsonBody(body): JsonBody<EventTypePatch>,
) -> Result<Json<EventTypeOut>, ApiError> {
    let mut checks = Checks::default();
    let fields = body.into_fields(&mut checks);
    let command = PatchEventType { name: path.get("event_type_name")?.to_owned(), fields };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok(Json(EventTypeOut::of(&changed.into_thing(), true)))
}

/// Archives an event type, or removes it for good.
#[utoipa::path(delete, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.delete", params(EventTypePath, DeleteQuery),
    responses((status = 204, description = "Archived or removed")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(caller): By,
    QueryParams(query): QueryParams<DeleteQuery>,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    let name = path.get("event_type_name")?.to_owned();
    if query.expunge {
        state.control.submit(caller, ExpungeEventType { name }).await?;
    } else {
        state.control.submit(caller, ArchiveEventType { name }).await?;
    }
    Ok(NO_CONTENT)
}
