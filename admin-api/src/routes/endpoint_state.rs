//! The state of an endpoint, and statistics of its deliveries.

use super::params::EndpointPath;
use crate::dto::attempt::EndpointStats;
use crate::dto::endpoint_state::EndpointStateOut;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{InEndpoint, QueryParams};
use crate::reader::Reader;
use axum::Json;
use control::query::endpoint_state::{state_of, stats_of};
use serde::Deserialize;
use utoipa::IntoParams;

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
    let at = |time: Option<Timestamp>| time.map(|Timestamp(at)| at);
    let (since, until) = (at(query.since), at(query.until));
    let stats = state.read(move |state| Ok(stats_of(state.view(), &row, since, until)?));
    Ok(Json(stats.await?.into()))
}

/// Gets the state of an endpoint: breaker, failures, dead letters, and what holds it back now.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/state", tag = "Endpoint",
    operation_id = "v1.endpoint.get-state", params(EndpointPath),
    responses((status = 200, body = EndpointStateOut)))]
pub(crate) async fn state(state: Reader, InEndpoint(row): InEndpoint) -> Result<Json<EndpointStateOut>, ApiError> {
    let holding = state.holding(row.target()).await;
    let shown = state.read(move |state| {
        let now = state.now();
        Ok(EndpointStateOut::of(&row, state_of(state.view(), &row, now)?, holding, now))
    });
    Ok(Json(shown.await?))
}
