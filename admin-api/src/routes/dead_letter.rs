//! Dead letters of an endpoint: list, redrive one or all, forget one or all.
//!
//! A redriven delivery gets a fresh round of attempts. Deliberately no dead letters across endpoints: whoever mends an
//! endpoint redrives that endpoint.

use super::once::Keyed;
use super::params::{DeliveryPath, EndpointPath};
use crate::auth::By;
use crate::dto::dead_letter::DeadLetterOut;
use crate::dto::fields::{EmptyIn, EmptyResponse, ListResponse};
use crate::dto::job::BackgroundTaskOut;
use crate::error::{ACCEPTED, ApiError, NO_CONTENT};
use crate::extract::NamedEndpoint;
use crate::extract::NamedMessage;
use crate::extract::{InEndpoint, QueryParams};
use crate::json::JsonBytes;
use crate::paging::PageQuery;
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::Checks;
use control::command::delivery::{ForgetDeadLetter, Redrive};
use control::command::job::StartJob;
use http::StatusCode;
use model::id::{IdKind, IdParts, message_id};
use model::{DeadLetter, Event, JobKind, Seq, UnixMs};
use storage::tables::{dead_letter, log};

/// Lists the dead letters of an endpoint, in the order of their messages.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter", tag = "Dead Letter",
    operation_id = "v1.dead-letter.list", params(EndpointPath, PageQuery),
    responses((status = 200, body = ListResponse<DeadLetterOut>)))]
pub(crate) async fn list(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBytes, ApiError> {
    let app = row.app;
    let read_key = |text: &str| IdParts::from_text(IdKind::Message, text).filter(|parts| parts.number == app.0);
    let page = query.page(read_key)?;
    let list = state.answer(move |state| {
        let (read, after) = (&**state.store(), page.after.map(|parts| Seq(parts.low)));
        let letters = dead_letter::list(read, row.target(), after, page.read_limit(), page.direction())?;
        let with_event = letters.into_iter().map(|(seq, letter)| {
            // Payloads are not shown, and those of a whole page would be a lot to hold.
            let event = log::get(read, app, seq)?.map(|event| Event { payload: Default::default(), ..event });
            let taken_at = event.as_ref().map_or(UnixMs::ZERO, |event| event.accepted_at);
            Ok((message_id(app, seq, taken_at), event, letter))
        });
        let rows = with_event.collect::<Result<Vec<(String, Option<Event>, DeadLetter)>, ApiError>>()?;
        let show = |(id, event, letter): &(String, Option<Event>, DeadLetter)| {
            DeadLetterOut::of(id.clone(), event.as_ref(), letter)
        };
        Ok(page.respond(rows, |(id, _, _)| id.clone(), show))
    });
    list.await
}

/// Puts one dead letter back in line.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter/{msg_id}/redrive",
    tag = "Dead Letter", operation_id = "v1.dead-letter.redrive", params(DeliveryPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "Put in line", body = EmptyResponse)))]
pub(crate) async fn redrive(
    State(state): State<ApiState>,
    By(scope): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    NamedMessage(message): NamedMessage,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    let command = Redrive { endpoint, message };
    state.control.submit_once(scope, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json(EmptyResponse {})))
}

/// Puts every dead letter of an endpoint back in line.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter/redrive", tag = "Dead Letter",
    operation_id = "v1.dead-letter.redrive-all", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn redrive_all(
    State(state): State<ApiState>,
    By(scope): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let command = StartJob { endpoint, kind: JobKind::RedriveDeadLetters, positions: None };
    let changed = state.control.submit_once(scope, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}

/// Forgets one dead letter.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter/{msg_id}", tag = "Dead Letter",
    operation_id = "v1.dead-letter.delete", params(DeliveryPath),
    responses((status = 204, description = "Forgotten")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(scope): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    NamedMessage(message): NamedMessage,
) -> Result<StatusCode, ApiError> {
    state.control.submit(scope, ForgetDeadLetter { endpoint, message }).await?;
    Ok(NO_CONTENT)
}

/// Forgets every dead letter of an endpoint.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter", tag = "Dead Letter",
    operation_id = "v1.dead-letter.purge", params(EndpointPath),
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn purge(
    State(state): State<ApiState>,
    By(scope): By,
    NamedEndpoint(endpoint): NamedEndpoint,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let command = StartJob { endpoint, kind: JobKind::PurgeDeadLetters, positions: None };
    let changed = state.control.submit(scope, command).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}
