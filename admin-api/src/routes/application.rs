//! Applications: create, list, get, replace, change, delete.
//!
//! Deliberately no removal of their events and histories here: that outlives a request and is the engine's job.

use super::once::{ALL_APPLICATIONS, Keyed, perform};
use super::params::AppPath;
use super::rows::{save_application, start_job};
use crate::auth::By;
use crate::auth::registry;
use crate::dto::application::{ApplicationIn, ApplicationOut, ApplicationPatch};
use crate::dto::fields::{ListResponse, Patch};
use crate::error::{ApiError, CREATED, NO_CONTENT, OK};
use crate::extract::{InApp, JsonBody, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering, place_of, text_of};
use crate::reader::Reader;
use crate::state::{ApiState, random_salt};
use axum::Json;
use axum::extract::State;
use control::Scope;
use control::checks::may_be_uid;
use control::find::find_application;
use control::query::applications::{self, Exclusion};
use http::StatusCode;
use model::id::IdKind;
use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, Job, JobKind, Seq, UnixMs};
use serde::Deserialize;
use storage::tables::{application, counter, deleted_endpoint, endpoint};
use storage::txn::{Change, Txn};
use storage::{Direction, StoreError};
use utoipa::IntoParams;

/// Endpoints removed in one step of a deletion.
const ENDPOINTS_PER_STEP: usize = 256;

/// The parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Without applications that have no endpoints.
    #[serde(default)]
    exclude_apps_with_no_endpoints: bool,
    /// Without applications whose endpoints are all disabled.
    #[serde(default)]
    exclude_apps_with_disabled_endpoints: bool,
    /// Without applications whose endpoints are all at Svix Play.
    #[serde(default)]
    exclude_apps_with_svix_play_endpoints: bool,
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// What the page before gave, or an application's id.
    iterator: Option<String>,
    /// Default: `ascending`.
    #[param(inline)]
    order: Option<Ordering>,
}

impl ListQuery {
    fn exclusion(&self) -> Exclusion {
        Exclusion {
            without_endpoints: self.exclude_apps_with_no_endpoints,
            disabled: self.exclude_apps_with_disabled_endpoints,
            svix_play: self.exclude_apps_with_svix_play_endpoints,
        }
    }
}

/// Whether an existing application is a fine answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateQuery {
    /// Answer with the application of this uid when there is one, rather than 409.
    #[serde(default)]
    get_if_exists: bool,
}

/// Lists applications.
#[utoipa::path(get, path = "/api/v1/app", tag = "Application", operation_id = "v1.application.list",
    params(ListQuery), responses((status = 200, body = ListResponse<ApplicationOut>)))]
pub(crate) async fn list(state: Reader, QueryParams(query): QueryParams<ListQuery>) -> Result<JsonBytes, ApiError> {
    let (order, read_place) = (query.order.unwrap_or_default(), place_of(IdKind::Application));
    let asked = AskedPage::new(query.limit, query.iterator.as_deref(), order, read_place)?;
    let list = state.answer(move |state| {
        let listed = applications::list(state.view(), query.exclusion(), &asked.page)?;
        Ok(asked.respond(listed, text_of(IdKind::Application), |row| ApplicationOut::from(row)))
    });
    list.await
}

/// Creates an application.
#[utoipa::path(post, path = "/api/v1/app", tag = "Application", operation_id = "v1.application.create",
    params(CreateQuery, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = ApplicationIn,
    responses((status = 201, body = ApplicationOut), (status = 200, description = "It existed", body = ApplicationOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    QueryParams(query): QueryParams<CreateQuery>,
    request: Keyed<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), ApiError> {
    let (body, once) = request.once(&state, ALL_APPLICATIONS, "application");
    body.validate()?;
    let (salt, now) = (random_salt()?, state.now());
    let again = |txn: &mut Txn<'_>, number| match u32::try_from(number) {
        Ok(number) => Ok(application::get(txn, AppId(number))?.map(|row| (CREATED, row))),
        Err(_) => Ok(None),
    };
    let act = move |txn: &mut Txn<'_>| {
        if query.get_if_exists
            && let Some(existing) = with_uid(txn, &body.uid)?
        {
            return Ok((None, (OK, existing)));
        }
        let row = insert(txn, body, salt, now)?;
        Ok((Some(u64::from(row.id.0)), (CREATED, row)))
    };
    let (status, row) = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    Ok((status, Json((&row).into())))
}

fn with_uid(txn: &Txn<'_>, uid: &Patch<String>) -> Result<Option<Application>, StoreError> {
    match uid.as_set() {
        Some(uid) => application::by_uid(txn, uid)?.map_or(Ok(None), |id| application::get(txn, id)),
        None => Ok(None),
    }
}

fn insert(txn: &mut Txn<'_>, body: ApplicationIn, salt: u64, now: UnixMs) -> Result<Application, ApiError> {
    let row = body.create(counter::next_app_id(txn)?, salt, now)?;
    save_application(txn, &row)?;
    Ok(row)
}

/// A key for one application may change neither the name that others call it by nor its rate: the operator sets these.
/// Checked before anything that depends on other applications is looked at.
fn check_scope(scope: Scope, before: &Application, after: &Application) -> Result<(), ApiError> {
    if !scope.reaches(before.id) {
        return Err(ApiError::NotFound("application"));
    }
    if matches!(scope, Scope::Application(_)) {
        if before.uid != after.uid {
            return Err(ApiError::Forbidden("a key for one application may not change its uid"));
        }
        if before.rate_limit != after.rate_limit {
            return Err(ApiError::Forbidden("a key for one application may not change its rateLimit or throttleRate"));
        }
    }
    Ok(())
}

/// Refuses a key for one application where there is none of that name: it makes no new ones.
fn check_may_create(scope: Scope) -> Result<(), ApiError> {
    if scope == Scope::All { Ok(()) } else { Err(ApiError::NotFound("application")) }
}

/// The application of `text`, or a new one by `body` whose uid it becomes: for messages that bring their application.
pub(super) async fn get_or_create(
    state: &ApiState,
    scope: Scope,
    text: &str,
    body: ApplicationIn,
) -> Result<Application, ApiError> {
    check_may_create(scope)?;
    body.validate()?;
    let (salt, now, text) = (random_salt()?, state.now(), text.to_owned());
    state
        .change(move |txn| match find_application(txn, &text)? {
            Some(existing) => Ok(existing),
            None => insert(txn, named(body, &text)?, salt, now),
        })
        .await
}

/// Gives a new application the name that its path called it by.
fn named(mut body: ApplicationIn, text: &str) -> Result<ApplicationIn, ApiError> {
    match body.uid.as_set() {
        Some(uid) if uid == text => Ok(body),
        None if may_be_uid(IdKind::Application, text) => {
            body.uid = Patch::Set(text.to_owned());
            Ok(body)
        }
        // An id that is not there, or a uid that is another than the path's.
        _ => Err(ApiError::NotFound("application")),
    }
}

/// Gets an application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.get",
    params(AppPath), responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn get(InApp(row): InApp) -> Json<ApplicationOut> {
    Json((&row).into())
}

/// Replaces an application, or creates it under the uid of the path. What is left out is cleared, its uid too. A key that
/// is limited to it may change neither its uid nor its rate, which stay as they are when they are left out.
#[utoipa::path(put, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.update",
    params(AppPath), request_body = ApplicationIn,
    responses((status = 200, body = ApplicationOut), (status = 201, description = "Created", body = ApplicationOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    By(scope): By,
    path: PathTexts,
    JsonBody(body): JsonBody<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), ApiError> {
    body.validate()?;
    let (salt, now, text) = (random_salt()?, state.now(), path.get("app_id")?.to_owned());
    let (status, row) = state
        .change(move |txn| match find_application(txn, &text)? {
            Some(current) => {
                let is_limited = scope != Scope::All;
                let (keeps_rate, keeps_uid) = (is_limited && !body.names_rate(), is_limited && !body.names_uid());
                let mut row = body.replace(&current, now)?;
                if keeps_rate {
                    row.rate_limit = current.rate_limit;
                }
                if keeps_uid {
                    row.uid.clone_from(&current.uid);
                }
                check_scope(scope, &current, &row)?;
                save_application(txn, &row)?;
                Ok((OK, row))
            }
            None => {
                check_may_create(scope)?;
                Ok((CREATED, insert(txn, named(body, &text)?, salt, now)?))
            }
        })
        .await?;
    Ok((status, Json((&row).into())))
}

/// Changes an application. A key that is limited to it may change neither its uid nor its rate.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.patch",
    params(AppPath), request_body = ApplicationPatch, responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(scope): By,
    path: PathTexts,
    JsonBody(body): JsonBody<ApplicationPatch>,
) -> Result<Json<ApplicationOut>, ApiError> {
    body.validate()?;
    let (now, text) = (state.now(), path.get("app_id")?.to_owned());
    let row = state
        .change(move |txn| {
            let current = find_application(txn, &text)?.ok_or(ApiError::NotFound("application"))?;
            let row = body.apply(current.clone(), now)?;
            check_scope(scope, &current, &row)?;
            save_application(txn, &row)?;
            Ok(row)
        })
        .await?;
    Ok(Json((&row).into()))
}

/// Deletes an application with its endpoints and the API keys that were limited to it. Not with one of those keys.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.delete",
    params(AppPath), responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(scope): By,
    InApp(app): InApp,
) -> Result<StatusCode, ApiError> {
    if scope != Scope::All {
        return Err(ApiError::Forbidden("a key for one application may not delete it"));
    }
    let now = state.now();
    state
        .change(move |txn| {
            let row = application::get(txn, app.id)?.ok_or(ApiError::NotFound("application"))?;
            let mut after = None;
            loop {
                let rows = endpoint::list(txn, row.id, after, ENDPOINTS_PER_STEP, Direction::Forward)?;
                after = rows.last().map(|row| row.id);
                for row in &rows {
                    endpoint::remove(txn, row)?;
                }
                if rows.len() < ENDPOINTS_PER_STEP {
                    break;
                }
            }
            application::remove(txn, &row)?;
            registry::revoke_all_of(txn, row.id)?;
            txn.tell(Change::ApplicationDeleted(row.id));
            purge(txn, EndpointRef { app: row.id, endpoint: EndpointId(0) }, JobKind::PurgeApplication, now)
        })
        .await?;
    Ok(NO_CONTENT)
}

/// Removes an endpoint and leaves a job that removes what was kept for it. Its attempts stay for as long as those of
/// others, and with them what is shown of it in the history of its messages.
pub(super) fn remove_endpoint(txn: &mut Txn<'_>, row: &Endpoint, now: UnixMs) -> Result<(), ApiError> {
    deleted_endpoint::keep(txn, row)?;
    endpoint::remove(txn, row)?;
    purge(txn, row.target(), JobKind::PurgeEndpoint, now)
}

fn purge(txn: &mut Txn<'_>, target: EndpointRef, kind: JobKind, now: UnixMs) -> Result<(), ApiError> {
    let job = Job::new(counter::next_job_number(txn)?, target, kind, (Seq::ZERO, Seq::MAX), now);
    start_job(txn, &job)
}
