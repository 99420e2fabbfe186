//! Jobs as clients see them: background tasks, by id or as a list.
//!
//! Not below an application, as clients ask without naming one. A key for one application is shown its own, and what is
//! another's is not found.

use super::params::TaskPath;
use super::rows::number_of;
use crate::auth::Scope;
use crate::dto::fields::ListResponse;
use crate::dto::job::BackgroundTaskOut;
use crate::dto::status::BackgroundTaskStatus;
use crate::error::ApiError;
use crate::extract::{PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::limits::JOBS_SCAN_MAX;
use crate::paging::{Ordering, Page};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use model::Job;
use model::id::IdKind;
use serde::Deserialize;
use storage::tables::job;
use utoipa::IntoParams;

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave.
    iterator: Option<String>,
    /// Default: `descending`, the newest first.
    #[param(inline)]
    order: Option<Ordering>,
    /// Only those that stand so.
    #[param(inline)]
    status: Option<BackgroundTaskStatus>,
    /// Only of this kind, e.g. `endpoint.recover`.
    task: Option<String>,
}

/// Lists jobs.
#[utoipa::path(get, path = "/api/v1/background-task", tag = "Background Task", operation_id = "v1.background-task.list",
    params(ListQuery), responses((status = 200, body = ListResponse<BackgroundTaskOut>)))]
pub(crate) async fn list(
    state: Reader,
    scope: Scope,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let order = query.order.unwrap_or(Ordering::Descending);
    let page = Page::new(query.limit, query.iterator.as_deref(), order, |text| number_of(IdKind::Job, text))?;
    let list = state.answer(move |state| {
        let (rows, cut_short_at) = matching(state, scope, &page, &query)?;
        let mut list = page.respond(rows, Job::public_id, |row| BackgroundTaskOut::from(row));
        if let Some(last_seen) = cut_short_at {
            page.cut_short(&mut list, &last_seen.public_id());
        }
        Ok(list)
    });
    list.await
}

/// The rows of a page that the key reaches and the query asks for. With the row that was looked at last when there were
/// too many others: jobs of all applications are one list.
fn matching(
    state: &ApiState,
    scope: Scope,
    page: &Page<u32>,
    query: &ListQuery,
) -> Result<(Vec<Job>, Option<Job>), ApiError> {
    let (mut rows, mut after, mut seen): (Vec<Job>, _, _) = (Vec::new(), page.after, 0);
    loop {
        let step = job::list(&**state.store(), after, page.read_limit(), page.direction())?;
        let is_last = step.len() < page.read_limit();
        let last_seen = step.last().cloned();
        after = last_seen.as_ref().map(|job| job.number);
        seen += step.len();
        rows.extend(step.into_iter().filter(|job| scope.reaches(job.target.app) && keeps(job, query)));
        if is_last || rows.len() >= page.read_limit() {
            rows.truncate(page.read_limit());
            return Ok((rows, None));
        }
        if seen >= JOBS_SCAN_MAX {
            return Ok((rows, last_seen));
        }
    }
}

fn keeps(job: &Job, query: &ListQuery) -> bool {
    let shown = BackgroundTaskOut::from(job);
    query.status.is_none_or(|status| status == shown.status)
        && query.task.as_ref().is_none_or(|task| task == shown.task)
}

/// Gets a job.
#[utoipa::path(get, path = "/api/v1/background-task/{task_id}", tag = "Background Task",
    operation_id = "v1.background-task.get", params(TaskPath), responses((status = 200, body = BackgroundTaskOut)))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    scope: Scope,
    path: PathTexts,
) -> Result<Json<BackgroundTaskOut>, ApiError> {
    let text = path.get("task_id")?;
    let missing = ApiError::NotFound("background task");
    let Some(number) = number_of(IdKind::Job, text) else { return Err(missing) };
    let found = job::get(&**state.store(), number)?;
    let found = found.filter(|job| job.public_id() == text && scope.reaches(job.target.app));
    Ok(Json((&found.ok_or(missing)?).into()))
}
