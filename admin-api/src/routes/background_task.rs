//! Jobs as clients see them: background tasks, by id or as a list.
//!
//! Clients ask without naming an application. A key for one application is shown the tasks of its own; another's are
//! not found. The list of one application is the same list, looked through for it: no index. Jobs are started by people
//! and few, retention bounds those of each application, and a second row for each would have to be made for the stores
//! that there are. A page looks at 20,000 jobs at most for its first item.

use super::once::Keyed;
use super::params::{AppPath, TaskPath};
use crate::auth::{By, Reaching};
use crate::dto::fields::{EmptyIn, ListResponse};
use crate::dto::job::BackgroundTaskOut;
use crate::dto::status::BackgroundTaskStatus;
use crate::error::ApiError;
use crate::extract::{InApp, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering, place_of, text_of};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::job::CancelJob;
use control::query::job;
use control::{Checks, Reach};
use model::Job;
use model::id::IdKind;
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
    Reaching(reach): Reaching,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    page(state, reach, query).await
}

/// Lists the jobs of one application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/background-task", tag = "Background Task",
    operation_id = "v1.background-task.list-in-app", params(AppPath, ListQuery),
    responses((status = 200, body = ListResponse<BackgroundTaskOut>)))]
pub(crate) async fn list_in_app(
    state: Reader,
    InApp(app): InApp,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    page(state, Reach::Application(app.id), query).await
}

async fn page(state: Reader, of: Reach, query: ListQuery) -> Result<JsonBytes, ApiError> {
    let order = query.order.unwrap_or(Ordering::Descending);
    let asked = AskedPage::new(query.limit, query.iterator.as_deref(), order, place_of(IdKind::Job))?;
    let list = state.answer(move |state| {
        let listed = job::list(state.view(), of, &asked.page, |job| keeps(job, &query))?;
        Ok(asked.respond(listed, text_of(IdKind::Job), |row| BackgroundTaskOut::from(row)))
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
    Reaching(reach): Reaching,
    path: PathTexts,
) -> Result<Json<BackgroundTaskOut>, ApiError> {
    let found = job::get(state.view(), reach, path.get("task_id")?)?;
    Ok(Json((&found.ok_or(ApiError::NotFound("background task"))?).into()))
}

/// Cancels a job: what it has put in line stays there. One that has ended stays as it is.
#[utoipa::path(post, path = "/api/v1/background-task/{task_id}/cancel", tag = "Background Task",
    operation_id = "v1.background-task.cancel", params(TaskPath,
        ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    responses((status = 200, body = BackgroundTaskOut)))]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    request: Keyed<Option<EmptyIn>>,
) -> Result<Json<BackgroundTaskOut>, ApiError> {
    let found = job::get(state.view(), caller.reach(), path.get("task_id")?)?;
    let found = found.ok_or(ApiError::NotFound("background task"))?;
    let command = CancelJob { app: found.target.app, number: found.number };
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(Json((&changed.into_thing()).into()))
}
