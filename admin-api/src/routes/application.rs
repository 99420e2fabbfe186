//! Applications: create, list, get, replace, change, delete.

use super::once::Keyed;
use super::params::AppPath;
use crate::auth::By;
use crate::dto::application::{ApplicationIn, ApplicationOut, ApplicationPatch};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT, OK, put_status};
use crate::extract::{InApp, JsonBody, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering, place_of, text_of};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::application::{CreateApplication, DeleteApplication, PatchApplication, PutApplication};
use control::query::application::{self, Exclusion};
use control::{Changed, Checks};
use http::StatusCode;
use model::id::IdKind;
use serde::Deserialize;
use utoipa::IntoParams;

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
    /// The iterator that the page before gave, or an application's id.
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

/// The choice to get an existing application as the answer.
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
        let listed = application::list(state.view(), query.exclusion(), &asked.page)?;
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
    By(caller): By,
    QueryParams(query): QueryParams<CreateQuery>,
    request: Keyed<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), ApiError> {
    let mut checks = Checks::default();
    let fields = request.body.into_fields(&mut checks);
    let command = CreateApplication { fields, or_get: query.get_if_exists };
    let changed = state.control.submit_once(caller, command, checks, request.once).await?;
    // A repetition is answered as the first request was, which created it.
    let status = if matches!(changed, Changed::Nothing(_)) { OK } else { CREATED };
    Ok((status, Json((&changed.into_thing()).into())))
}

/// Gets an application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.get",
    params(AppPath), responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn get(InApp(row): InApp) -> Json<ApplicationOut> {
    Json((&row).into())
}

/// Replaces an application, or creates it under the uid of the path. A field that is left out is cleared, the uid too.
/// A key that is limited to it may change neither its uid nor its rate: these stay as they are when they are left out.
#[utoipa::path(put, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.update",
    params(AppPath), request_body = ApplicationIn,
    responses((status = 200, body = ApplicationOut), (status = 201, description = "Created", body = ApplicationOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    JsonBody(body): JsonBody<ApplicationIn>,
) -> Result<(StatusCode, Json<ApplicationOut>), ApiError> {
    let mut checks = Checks::default();
    let fields = body.into_fields(&mut checks);
    let command = PutApplication { text: path.get("app_id")?.to_owned(), fields };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok((put_status(&changed), Json((&changed.into_thing()).into())))
}

/// Changes an application. A key that is limited to it may change neither its uid nor its rate.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.patch",
    params(AppPath), request_body = ApplicationPatch, responses((status = 200, body = ApplicationOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    JsonBody(body): JsonBody<ApplicationPatch>,
) -> Result<Json<ApplicationOut>, ApiError> {
    let mut checks = Checks::default();
    let fields = body.into_fields(&mut checks);
    let command = PatchApplication { text: path.get("app_id")?.to_owned(), fields };
    let changed = state.control.submit_checked(caller, command, checks).await?;
    Ok(Json((&changed.into_thing()).into()))
}

/// Deletes an application with its endpoints and the API keys that were limited to it. Not with one of those keys.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}", tag = "Application", operation_id = "v1.application.delete",
    params(AppPath), responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    state.control.submit(caller, DeleteApplication { text: path.get("app_id")?.to_owned() }).await?;
    Ok(NO_CONTENT)
}
