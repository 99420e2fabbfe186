//! Recover: send again what an endpoint did not get in a span of time. A job does it, from the log, without a cap.
//!
//! Deliberately no work in the request: it writes one row.

use super::params::EndpointPath;
use super::rows::start_job;
use super::walk::first_at_or_after;
use crate::dto::job::{BackgroundTaskOut, RecoverIn};
use crate::error::{ACCEPTED, ApiError};
use crate::extract::{InEndpoint, JsonBody};
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::{EndpointRef, Job, JobKind, JobStatus, Seq};
use storage::tables::{counter, endpoint, log};
use storage::txn::Txn;

/// Sends again what was taken in a span of time and not delivered.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", tag = "Endpoint",
    operation_id = "v1.endpoint.recover", params(EndpointPath), request_body = RecoverIn,
    responses((status = 202, description = "A job does it", body = BackgroundTaskOut)))]
pub(crate) async fn recover(
    State(state): State<ApiState>,
    InEndpoint(row): InEndpoint,
    JsonBody(body): JsonBody<RecoverIn>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let (since, until) = (body.since.0, body.until.map_or(state.now(), |until| until.0));
    if until < since {
        return Err(ApiError::invalid(["body", "until"], "is before since", "value_error.date"));
    }
    if row.disabled.is_some() {
        return Err(ApiError::EndpointDisabled);
    }
    let app = row.app;
    let span = state.read(move |state| {
        let read = &**state.store();
        let first = first_at_or_after(read, app, since)?;
        Ok((first.previous(), first_at_or_after(read, app, until.plus_ms(1))?.previous()))
    });
    run(&state, row.target(), JobKind::Recover { since, until }, Some(span.await?)).await
}

/// Starts a job over a span of the log, or over all of it.
pub(super) async fn run(
    state: &ApiState,
    target: EndpointRef,
    kind: JobKind,
    span: Option<(Seq, Seq)>,
) -> Result<(StatusCode, Json<BackgroundTaskOut>), ApiError> {
    let now = state.now();
    let change = move |txn: &mut Txn<'_>| {
        endpoint::get(txn, target)?.ok_or(ApiError::NotFound("endpoint"))?;
        let (position, last) = match span {
            Some(span) => span,
            None => (Seq::ZERO, log::head(txn, target.app)?),
        };
        let job = Job {
            number: counter::next_job_number(txn)?,
            target,
            kind,
            status: JobStatus::Running,
            position,
            last,
            affected: 0,
            created_at: now,
            updated_at: now,
        };
        start_job(txn, &job)?;
        Ok(job)
    };
    Ok((ACCEPTED, Json((&state.change(change).await?).into())))
}
