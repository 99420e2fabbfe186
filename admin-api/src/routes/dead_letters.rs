//! Dead letters of a whole application: list and count them, redrive or forget those that a filter names.

use super::once::Keyed;
use super::params::AppPath;
use crate::auth::By;
use crate::dto::dead_letter::{AppDeadLetterOut, DeadLetterCountOut};
use crate::dto::fields::ListResponse;
use crate::dto::job::{BackgroundTaskOut, DeadLettersIn, Reason};
use crate::dto::timestamp::Timestamp;
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{InApp, OfApp, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::job::StartAppJob;
use control::find::{EndpointName, find_endpoint};
use control::query::dead_letter::{self, LetterFilter};
use control::{Caller, Checks, Error};
use http::StatusCode;
use model::{AppId, EndpointId, JobKind, LetterPlace, Seq, UnixMs};
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
    /// The iterator that the page before gave.
    iterator: Option<String>,
    /// Default: `descending`, those given up last first.
    #[param(inline)]
    order: Option<Ordering>,
    /// Only those given up for this reason.
    #[param(value_type = Option<String>)]
    reason: Option<Reason>,
    /// Only messages of this type.
    event_type: Option<String>,
    /// Only of the endpoint with this id or uid.
    endpoint_id: Option<String>,
    /// Only those given up from then on.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// Only those given up until then.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
}

/// Lists the dead letters of an application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/dead-letter", tag = "Dead Letter",
    operation_id = "v1.dead-letter.list-in-app", params(AppPath, ListQuery),
    responses((status = 200, body = ListResponse<AppDeadLetterOut>)))]
pub(crate) async fn list(
    state: Reader,
    InApp(app): InApp,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let order = query.order.unwrap_or(Ordering::Descending);
    let asked = AskedPage::new(query.limit, query.iterator.as_deref(), order, place_of_text)?;
    let list = state.answer(move |state| {
        let endpoint = match &query.endpoint_id {
            Some(text) => {
                let found = find_endpoint(state.view(), app.id, text).map_err(Error::from)?;
                Some(found.ok_or(ApiError::NotFound("endpoint"))?.id)
            }
            None => None,
        };
        let filter = LetterFilter {
            reason: query.reason.map(|Reason(reason)| reason),
            event_type: query.event_type,
            endpoint,
            since: query.since.map(|at| at.0),
            until: query.until.map(|at| at.0),
        };
        let listed = dead_letter::list_of_app(state.view(), app.id, &filter, &asked.page)?;
        Ok(asked.respond(listed, text_of_place, AppDeadLetterOut::of))
    });
    list.await
}

/// Counts the dead letters of an application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/dead-letter/count", tag = "Dead Letter",
    operation_id = "v1.dead-letter.count-in-app", params(AppPath),
    responses((status = 200, body = DeadLetterCountOut)))]
pub(crate) async fn count(state: Reader, InApp(app): InApp) -> Result<Json<DeadLetterCountOut>, ApiError> {
    let count = state.read(move |state| Ok(dead_letter::count_of_app(state.view(), app.id)?)).await?;
    Ok(Json(count.into()))
}

/// Puts the dead letters of an application that a filter names back in line.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/dead-letter/redrive", tag = "Dead Letter",
    operation_id = "v1.dead-letter.redrive-in-app", params(AppPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = DeadLettersIn, responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn redrive(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<Option<DeadLettersIn>>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    start(&state, caller, app, JobKind::RedriveDeadLetters, request).await
}

/// Forgets the dead letters of an application that a filter names.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/dead-letter/purge", tag = "Dead Letter",
    operation_id = "v1.dead-letter.purge-in-app", params(AppPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = DeadLettersIn, responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn purge(
    State(state): State<ApiState>,
    By(caller): By,
    OfApp(app): OfApp,
    request: Keyed<Option<DeadLettersIn>>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    start(&state, caller, app, JobKind::PurgeDeadLetters, request).await
}

async fn start(
    state: &ApiState,
    caller: Caller,
    app: AppId,
    kind: JobKind,
    request: Keyed<Option<DeadLettersIn>>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let body = request.body.unwrap_or_default();
    let endpoint = body.endpoint_id.clone().map(|text| EndpointName { app, text });
    let command = StartAppJob { app, kind, endpoint, manner: body.into_manner(state.now()) };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok((ACCEPTED, Json((&changed.into_thing()).into())))
}

/// An iterator: time, endpoint and position in hexadecimal digits.
fn text_of_place(place: &LetterPlace) -> String {
    format!("{:x}.{:x}.{:x}", place.at.0, place.endpoint.0, place.seq.0)
}

/// Reads [`text_of_place`].
fn place_of_text(text: &str) -> Option<LetterPlace> {
    let mut parts = text.split('.').map(|part| u64::from_str_radix(part, 16).ok());
    let (at, endpoint, seq) = (parts.next()??, parts.next()??, parts.next()??);
    let endpoint = EndpointId(u32::try_from(endpoint).ok()?);
    parts.next().is_none().then_some(LetterPlace { at: UnixMs(at), endpoint, seq: Seq(seq) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_is_read_as_it_was_written_and_nothing_else_is() {
        let place = LetterPlace { at: UnixMs(1_795_000_000_123), endpoint: EndpointId(77), seq: Seq(u64::MAX) };
        assert_eq!(place_of_text(&text_of_place(&place)), Some(place));
        for text in ["", "1.2", "1.2.3.4", "1.2.x", "1.100000000.3"] {
            assert_eq!(place_of_text(text), None, "{text}");
        }
    }
}
