//! Event types of the catalogue: create, list, get, replace, change, archive or expunge.
//!
//! The catalogue has no effect on delivery: a message and a filter may name types that are not here.

use super::once::{ALL_APPLICATIONS, Keyed, perform};
use super::params::EventTypePath;
use super::rows::save_event_type;
use crate::dto::event_type::{EventTypeIn, EventTypeOut, EventTypePatch, EventTypeUpdate};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT, OK};
use crate::extract::{JsonBody, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::checks::is_name;
use control::query::event_types;
use http::StatusCode;
use model::EventType;
use serde::Deserialize;
use storage::tables::event_type;
use storage::txn::Txn;
use utoipa::IntoParams;

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave, or a name.
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
        let listed = event_types::list(state.view(), query.include_archived, &asked.page)?;
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
    request: Keyed<EventTypeIn>,
) -> Result<(StatusCode, Json<EventTypeOut>), ApiError> {
    let (body, once) = request.once(&state, ALL_APPLICATIONS, "event-type");
    let (row, most) = (body.create(state.now())?, state.limits.quotas.event_types);
    let name = row.name.clone();
    let again = move |txn: &mut Txn<'_>, _| Ok(event_type::get(txn, &name)?.filter(|existing| !existing.archived));
    let act = move |txn: &mut Txn<'_>| {
        if event_type::get(txn, &row.name)?.is_some_and(|existing| !existing.archived) {
            return Err(ApiError::Conflict("an event type of this name exists".into()));
        }
        save_event_type(txn, &row, most)?;
        // Its name, which the body has, is all that tells it from others.
        Ok((Some(0), row))
    };
    let row = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    Ok((CREATED, Json(EventTypeOut::of(&row, true))))
}

/// Gets an event type.
#[utoipa::path(get, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.get", params(EventTypePath), responses((status = 200, body = EventTypeOut)))]
pub(crate) async fn get(State(state): State<ApiState>, path: PathTexts) -> Result<Json<EventTypeOut>, ApiError> {
    let row = event_types::get(state.view(), path.get("event_type_name")?)?;
    Ok(Json(EventTypeOut::of(&row.ok_or(ApiError::NotFound("event type"))?, true)))
}

/// Replaces an event type, or creates it.
#[utoipa::path(put, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.update", params(EventTypePath), request_body = EventTypeUpdate,
    responses((status = 200, body = EventTypeOut), (status = 201, description = "Created", body = EventTypeOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    path: PathTexts,
    JsonBody(body): JsonBody<EventTypeUpdate>,
) -> Result<(StatusCode, Json<EventTypeOut>), ApiError> {
    let mut row = body.replace(path.get("event_type_name")?.to_owned(), state.now())?;
    let most = state.limits.quotas.event_types;
    let (status, row) = state
        .change(move |txn| {
            let current = event_type::get(txn, &row.name)?;
            let status = if current.is_some() { OK } else { CREATED };
            row.created_at = current.map_or(row.created_at, |current| current.created_at);
            save_event_type(txn, &row, most)?;
            Ok((status, row))
        })
        .await?;
    Ok((status, Json(EventTypeOut::of(&row, true))))
}

/// Changes an event type.
#[utoipa::path(patch, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.patch", params(EventTypePath), request_body = EventTypePatch,
    responses((status = 200, body = EventTypeOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    path: PathTexts,
    JsonBody(body): JsonBody<EventTypePatch>,
) -> Result<Json<EventTypeOut>, ApiError> {
    body.validate()?;
    let (now, name) = (state.now(), path.get("event_type_name")?.to_owned());
    let most = state.limits.quotas.event_types;
    let row = state
        .change(move |txn| {
            let row = body.apply(existing(txn, &name)?, now);
            save_event_type(txn, &row, most)?;
            Ok(row)
        })
        .await?;
    Ok(Json(EventTypeOut::of(&row, true)))
}

/// Archives an event type, or removes it for good.
#[utoipa::path(delete, path = "/api/v1/event-type/{event_type_name}", tag = "Event Type",
    operation_id = "v1.event-type.delete", params(EventTypePath, DeleteQuery),
    responses((status = 204, description = "Archived or removed")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    QueryParams(query): QueryParams<DeleteQuery>,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    let (now, name) = (state.now(), path.get("event_type_name")?.to_owned());
    let most = state.limits.quotas.event_types;
    state
        .change(move |txn| {
            let row = existing(txn, &name)?;
            if query.expunge {
                event_type::remove(txn, &row.name)?;
            } else {
                save_event_type(txn, &EventType { archived: true, updated_at: now, ..row }, most)?;
            }
            Ok(())
        })
        .await?;
    Ok(NO_CONTENT)
}

fn existing(txn: &Txn<'_>, name: &str) -> Result<EventType, ApiError> {
    event_type::get(txn, name)?.ok_or(ApiError::NotFound("event type"))
}
