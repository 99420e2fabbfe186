//! The audit log: of everything, of one application, and its end.

use super::params::AppPath;
use crate::dto::audit::{AuditHeadOut, AuditRecordOut};
use crate::dto::fields::ListResponse;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::extract::{InApp, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{AskedPage, Ordering};
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::query::audit::{self, AuditFilter};
use serde::Deserialize;
use utoipa::IntoParams;

/// The records to list.
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
    /// Only this action, e.g. `endpoint.patch`, or `endpoint.*` for all of a kind.
    action: Option<String>,
    /// Only on things of this kind, e.g. `endpoint`.
    kind: Option<String>,
    /// Only on the thing of this id.
    id: Option<String>,
    /// Only by the API key of this id, or by actors of this kind: `key`, `root`, `engine`, `offline`.
    actor: Option<String>,
    /// Only those made from then on.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// Only those made until then.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
}

/// The records of an application to list, which may be deleted by now.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllQuery {
    /// Items of a page. Default: 50.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u64>,
    /// The iterator that the page before gave.
    iterator: Option<String>,
    /// Default: `descending`, the newest first.
    #[param(inline)]
    order: Option<Ordering>,
    /// Only this action, e.g. `endpoint.patch`, or `endpoint.*` for all of a kind.
    action: Option<String>,
    /// Only on things of this kind, e.g. `endpoint`.
    kind: Option<String>,
    /// Only on the thing of this id.
    id: Option<String>,
    /// Only by the API key of this id, or by actors of this kind: `key`, `root`, `engine`, `offline`.
    actor: Option<String>,
    /// Only those made from then on.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// Only those made until then.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
    /// Only of the application with this id, which may be deleted by now.
    app_id: Option<String>,
}

/// Lists the records of everything. They outlive what they describe.
#[utoipa::path(get, path = "/api/v1/audit", tag = "Audit", operation_id = "v1.audit.list", params(AllQuery),
    responses((status = 200, body = ListResponse<AuditRecordOut>)))]
pub(crate) async fn list(state: Reader, QueryParams(query): QueryParams<AllQuery>) -> Result<JsonBytes, ApiError> {
    let AllQuery { limit, iterator, order, action, kind, id, actor, since, until, app_id } = query;
    answer(state, app_id, ListQuery { limit, iterator, order, action, kind, id, actor, since, until }).await
}

/// Lists the records of an application and what belongs to it.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/audit", tag = "Audit", operation_id = "v1.audit.list-in-app",
    params(AppPath, ListQuery), responses((status = 200, body = ListResponse<AuditRecordOut>)))]
pub(crate) async fn list_in_app(
    state: Reader,
    InApp(app): InApp,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<JsonBytes, ApiError> {
    answer(state, Some(app.public_id()), query).await
}

async fn answer(state: Reader, app: Option<String>, query: ListQuery) -> Result<JsonBytes, ApiError> {
    let ListQuery { limit, iterator, order, action, kind, id, actor, since, until } = query;
    let order = order.unwrap_or(Ordering::Descending);
    let asked = AskedPage::new(limit, iterator.as_deref(), order, |text| text.parse().ok())?;
    let (since, until) = (since.map(|Timestamp(at)| at), until.map(|Timestamp(at)| at));
    let filter = AuditFilter { action, kind, id, actor, since, until };
    let list = state.answer(move |state| {
        let listed = audit::list(state.view(), app.as_deref(), &asked.page, &filter)?;
        Ok(asked.respond(listed, u64::to_string, |audited| AuditRecordOut::from(audited)))
    });
    list.await
}

/// Gets the end of the log, to note elsewhere: a later check against it finds that nothing before it was changed or removed.
#[utoipa::path(get, path = "/api/v1/audit/head", tag = "Audit", operation_id = "v1.audit.head",
    responses((status = 200, body = AuditHeadOut)))]
pub(crate) async fn head(State(state): State<ApiState>) -> Result<Json<AuditHeadOut>, ApiError> {
    Ok(Json(AuditHeadOut::of(audit::head(state.view())?, &state.audit_public_key())))
}
