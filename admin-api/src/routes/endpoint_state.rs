//! How an endpoint fares: statistics of its deliveries, and its state.
//!
//! Statistics are counted from the newest messages when asked for; nothing is kept for them. Deliberately bounded: past
//! the bound the answer says `truncated`.

use super::params::EndpointPath;
use super::walk::{MessageFilter, Step, each};
use crate::dto::attempt::EndpointStats;
use crate::dto::endpoint_state::{BacklogOut, EndpointStateOut};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{InEndpoint, QueryParams};
use crate::limits::{PAGE_PAYLOAD_BYTES, STATS_EVENTS_MAX};
use crate::reader::Reader;
use axum::Json;
use engine::prepare::filter::Filter;
use model::{Cursor, Endpoint, Event, Expired, UnixMs};
use serde::Deserialize;
use storage::tables::{dead_letter, delivery, log};
use storage::{Direction, Read};
use utoipa::IntoParams;

/// Dead letters are counted up to here.
const DEAD_LETTERS_COUNTED: u64 = 10_000;

/// Messages looked at for the oldest of a backlog.
const BACKLOG_LOOKED_AT: usize = 256;

/// The period of statistics.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsQuery {
    /// From when on messages were taken.
    #[param(inline)]
    since: Option<Timestamp>,
    /// Until when.
    #[param(inline)]
    until: Option<Timestamp>,
}

/// Counts the deliveries of an endpoint by how they stand.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats", tag = "Endpoint",
    operation_id = "v1.endpoint.get-stats", params(EndpointPath, StatsQuery),
    responses((status = 200, body = EndpointStats)))]
pub(crate) async fn stats(
    state: Reader,
    InEndpoint(row): InEndpoint,
    QueryParams(query): QueryParams<StatsQuery>,
) -> Result<Json<EndpointStats>, ApiError> {
    let stats = state.read(move |state| {
        let (read, mut stats, mut seen) = (&**state.store(), EndpointStats::default(), 0);
        // Both bounds of the period belong to it; those of the filter do not.
        let after = query.since.map(|since| Timestamp(UnixMs(since.0.0.saturating_sub(1))));
        let before = query.until.map(|until| Timestamp(until.0.plus_ms(1)));
        let filter = MessageFilter::new(None, None, before, after);
        let standings = state.standings(&row)?;
        let look = |event: &Event| {
            if seen == STATS_EVENTS_MAX {
                return Ok(Step::Stop);
            }
            seen += 1;
            stats.count(&standings.of(read, event)?);
            Ok(Step::On)
        };
        let span = filter.span(read, row.app)?;
        let ended = each(read, row.app, span, (None, Direction::Reverse), look)?;
        Ok(EndpointStats { truncated: !ended, ..stats })
    });
    Ok(Json(stats.await?))
}

/// Gets the state of an endpoint: breaker, failures, dead letters, and the thing of Pinion's own that it waits for.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/state", tag = "Endpoint",
    operation_id = "v1.endpoint.get-state", params(EndpointPath),
    responses((status = 200, body = EndpointStateOut)))]
pub(crate) async fn state(state: Reader, InEndpoint(row): InEndpoint) -> Result<Json<EndpointStateOut>, ApiError> {
    let waiting = state.waiting(row.target()).await;
    let shown = state.read(move |state| {
        let read = &**state.store();
        let health = delivery::health(read, row.target())?;
        let dead_letters = dead_letter::count_upto(read, row.target(), DEAD_LETTERS_COUNTED)?;
        let expired = expired_so_far(read, &row, state.now())?;
        let backlog = backlog(read, &row, state.now())?;
        Ok(EndpointStateOut::of(&row, &health, dead_letters, backlog, expired, waiting, state.now()))
    });
    Ok(Json(shown.await?))
}

/// The messages that the endpoint has not come to: between its cursor, or the first hole of it, and the end of the log.
fn backlog(read: &(impl Read + ?Sized), row: &Endpoint, now: UnixMs) -> Result<BacklogOut, ApiError> {
    if row.disabled.is_some() {
        // It is passed over, not waited for.
        return Ok(BacklogOut::default());
    }
    let noted = delivery::cursor(read, row.target())?;
    // One without a cursor owes nothing of what was routed.
    let cursor = match &noted {
        Some(cursor) => cursor.clone(),
        None => Cursor { upto: delivery::routed(read, row.app)?, holes: Vec::new() },
    };
    let first = cursor.holes.first().copied().unwrap_or(cursor.upto.next());
    let next = log::read_after(read, row.app, first.previous(), BACKLOG_LOOKED_AT, PAGE_PAYLOAD_BYTES)?;
    let filter = Filter::of(row);
    let is_owed = |event: &&Event| {
        let not_tried = event.seq > cursor.upto || cursor.holes.contains(&event.seq);
        not_tried && filter.matches(event)
    };
    let oldest_at = next.iter().find(is_owed).map(|event| event.accepted_at);
    if noted.is_none() && oldest_at.is_none() {
        return Ok(BacklogOut::default());
    }
    let behind = log::head(read, row.app)?.0.saturating_sub(cursor.upto.0);
    Ok(BacklogOut {
        messages: behind + cursor.holes.len() as u64,
        oldest_at: oldest_at.map(Timestamp),
        oldest_age_seconds: oldest_at.map(|at| now.since_ms(at) / 1_000),
    })
}

/// What is noted, and what will be once the endpoint gets there: it stands before the beginning of the log.
fn expired_so_far(read: &(impl Read + ?Sized), row: &Endpoint, now: UnixMs) -> Result<Option<Expired>, ApiError> {
    let noted = delivery::expired(read, row.target())?;
    let Some(cursor) = delivery::cursor(read, row.target())? else { return Ok(noted) };
    let stretch = Expired::stretch(cursor.upto.next(), log::begin(read, row.app)?.previous(), now);
    if stretch.positions == 0 || row.disabled.is_some() {
        return Ok(noted);
    }
    Ok(Some(noted.map_or(stretch, |noted| noted.and(stretch))))
}
