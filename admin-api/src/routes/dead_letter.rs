//! Dead letters of an endpoint: list, redrive one or all, forget one or all.
//!
//! A redriven delivery gets a fresh round of attempts. Those of a whole application are [`super::dead_letters`]'.

use super::message::{message_of, text_of_message};
use super::once::Keyed;
use super::params::{DeliveryPath, EndpointPath};
use crate::auth::By;
use crate::dto::dead_letter::DeadLetterOut;
use crate::dto::fields::{EmptyIn, EmptyResponse, ListResponse};
use crate::dto::job::{BackgroundTaskOut, StartIn};
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
use control::command::job::{Manner, StartJob};
use control::query::dead_letter;
use http::StatusCode;
use model::JobKind;

/// Lists the dead letters of an endpoint, in the order of their messages.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter", tag = "Dead Letter",
    operation_id = "v1.dead-letter.list", params(EndpointPath, PageQuery),
    responses((status = 200, body = ListResponse<DeadLetterOut>)))]
pub(crate) async fn list(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<JsonBytes, ApiError> {
    let asked = query.page(message_of(row.app))?;
    let list = state.answer(move |state| {
        let listed = dead_letter::list(state.view(), &row, &asked.page)?;
        Ok(asked.respond(listed, text_of_message, DeadLetterOut::of))
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
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    NamedMessage(message): NamedMessage,
    request: Keyed<Option<EmptyIn>>,
) -> Result<(StatusCode, Json<EmptyResponse>), ApiError> {
    let command = Redrive { endpoint, message };
    state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json(EmptyResponse {})))
}

/// Puts every dead letter of an endpoint back in line.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter/redrive", tag = "Dead Letter",
    operation_id = "v1.dead-letter.redrive-all", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = StartIn, responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn redrive_all(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    request: Keyed<Option<StartIn>>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let manner = request.body.unwrap_or_default().into_manner(state.now());
    let command = StartJob { endpoint, kind: JobKind::RedriveDeadLetters, positions: None, manner };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}

/// Forgets one dead letter.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter/{msg_id}", tag = "Dead Letter",
    operation_id = "v1.dead-letter.delete", params(DeliveryPath),
    responses((status = 204, description = "Forgotten")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
    NamedMessage(message): NamedMessage,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, ForgetDeadLetter { endpoint, message }).await?;
    Ok(NO_CONTENT)
}

/// Forgets every dead letter of an endpoint.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dead-letter", tag = "Dead Letter",
    operation_id = "v1.dead-letter.purge", params(EndpointPath),
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn purge(
    State(state): State<ApiState>,
    By(caller): By,
    NamedEndpoint(endpoint): NamedEndpoint,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let command = StartJob { endpoint, kind: JobKind::PurgeDeadLetters, positions: None, manner: Manner::default() };
    let changed = state.control.submit(caller, command).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}
