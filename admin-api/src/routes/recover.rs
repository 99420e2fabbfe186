//! Recover and replay: send again what was taken in a span of time. A job does it, from the log, without a cap.
//!
//! Deliberately no work in the request: it writes one row.

use super::once::{Keyed, Once, perform};
use super::params::EndpointPath;
use super::rows::{check_jobs, start_job};
use crate::dto::job::{BackgroundTaskOut, BulkReplayIn, RecoverIn};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::InEndpoint;
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use http::StatusCode;
use model::{Endpoint, EndpointRef, Job, JobKind, Seq, Span};
use storage::tables::{counter, endpoint, job, log};
use storage::txn::Txn;

/// Sends again what was taken in a span of time and given up or cancelled.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", tag = "Endpoint",
    operation_id = "v1.endpoint.recover", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn recover(
    state: Reader,
    InEndpoint(row): InEndpoint,
    request: Keyed<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (body, once) = request.once(&state, row.app, &kind_of("recover", row.target()));
    over_span(&state, &row, &body, JobKind::Recover, once).await
}

/// Sends what was taken in a span of time and never tried.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing", tag = "Endpoint",
    operation_id = "v1.endpoint.replay-missing", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn replay_missing(
    state: Reader,
    InEndpoint(row): InEndpoint,
    request: Keyed<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (body, once) = request.once(&state, row.app, &kind_of("replay-missing", row.target()));
    over_span(&state, &row, &body, JobKind::ReplayMissing, once).await
}

/// Sends again all that was taken in a span of time, delivered or not.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/bulk-replay", tag = "Endpoint",
    operation_id = "v1.endpoint.bulk-replay", params(EndpointPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")), request_body = BulkReplayIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn bulk_replay(
    state: Reader,
    InEndpoint(row): InEndpoint,
    request: Keyed<BulkReplayIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (body, once) = request.once(&state, row.app, &kind_of("bulk-replay", row.target()));
    over_span(&state, &row, &body.into_span()?, JobKind::Replay, once).await
}

async fn over_span(
    state: &Reader,
    row: &Endpoint,
    body: &RecoverIn,
    kind: impl FnOnce(Span) -> JobKind,
    once: Option<Once>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (since, until) = (body.since.0, body.until.map_or(state.now(), |until| until.0));
    if until < since {
        return Err(ApiError::invalid(["body", "until"], "is before since", "value_error.date"));
    }
    let app = row.app;
    let positions = state.read(move |state| {
        let read = &**state.store();
        Ok((log::before_time(read, app, since)?, log::before_time(read, app, until.plus_ms(1))?))
    });
    run(state, row.target(), kind(Span { since, until }), Some(positions.await?), once).await
}

/// The kind of a request to an endpoint that is done once by its key.
pub(super) fn kind_of(word: &str, target: EndpointRef) -> String {
    format!("{word}/{}", target.endpoint.0)
}

/// Starts a job over a span of the log, or over all of it.
pub(super) async fn run(
    state: &ApiState,
    target: EndpointRef,
    kind: JobKind,
    positions: Option<(Seq, Seq)>,
    once: Option<Once>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (now, quotas) = (state.now(), state.limits.quotas);
    let act = move |txn: &mut Txn<'_>| {
        let row = endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
        // What is put in line for a disabled endpoint would only become a dead letter.
        if row.disabled.is_some() && kind != JobKind::PurgeDeadLetters {
            return Err(ApiError::EndpointDisabled);
        }
        check_jobs(txn, target.app, &quotas)?;
        let positions = match positions {
            Some(positions) => positions,
            None => (Seq::ZERO, log::head(txn, target.app)?),
        };
        let job = Job::new(counter::next_job_number(txn)?, target, kind, positions, now);
        start_job(txn, &job)?;
        Ok((Some(u64::from(job.number)), job))
    };
    let again = |txn: &mut Txn<'_>, number| match u32::try_from(number) {
        Ok(number) => Ok(job::get(txn, number)?),
        Err(_) => Ok(None),
    };
    let job = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    Ok((ACCEPTED, Json((&job).into())))
}
