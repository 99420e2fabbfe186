//! Jobs as clients see them: background tasks, by id or as a list.
//!
//! Not below an application, as clients ask without naming one. A key for one application is shown its own, and what is
//! another's is not found.

use super::params::TaskPath;
use super::rows::number_of;
use crate::auth::By;
use crate::dto::fields::ListResponse;
use crate::dto::job::BackgroundTaskOut;
use crate::dto::status::BackgroundTaskStatus;
use crate::error::ApiError;
use crate::extract::{PathTexts, QueryParams};
use crate::json::JsonBytes;
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
    By(scope): By,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    let order = query.order.unwrap_or(Ordering::Descending);
    let page = Page::new(query.limit, query.iterator.as_deref(), order, |text| number_of(IdKind::Job, text))?;
    let list = state.answer(move |state| {
        let source =
            |after: Option<&u32>, limit| Ok(job::list(&**state.store(), after.copied(), limit, page.direction())?);
        let place = |row: &Job| (row.number, row.public_id());
        // Jobs of all applications are one list.
        let found = page.find(source, place, |row| Ok(scope.reaches(row.target.app) && keeps(row, &query)))?;
        Ok(page.respond_found(found, Job::public_id, |row| BackgroundTaskOut::from(row)))
    });
    list.await
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
    By(scope): By,
    path: PathTexts,
) -> Result<Json<BackgroundTaskOut>, ApiError> {
    let text = path.get("task_id")?;
    let missing = ApiError::NotFound("background task");
    let Some(number) = number_of(IdKind::Job, text) else { return Err(missing) };
    let found = job::get(&**state.store(), number)?;
    let found = found.filter(|job| job.public_id() == text && scope.reaches(job.target.app));
    Ok(Json((&found.ok_or(missing)?).into()))
}
