//! Endpoints: create, list, get, replace, change, delete.
//!
//! Deliberately nothing about how they fare: see [`super::endpoint_state`].

use super::application::remove_endpoint;
use super::endpoint_headers::sealed;
use super::endpoint_secret::{SecretText, new_secret, read_secret, seal_secret};
use super::endpoint_url::seal_user_info;
use super::once::{Keyed, perform};
use super::params::{AppPath, EndpointPath};
use super::rows::{check_quota, save_endpoint};
use crate::dto::endpoint::{EndpointIn, EndpointOut, EndpointPatch, NewEndpoint};
use crate::dto::endpoint_header::{Headers, check_names};
use crate::dto::fields::{ListResponse, Patch};
use crate::error::{ApiError, CREATED, NO_CONTENT, OK};
use crate::extract::{InApp, InEndpoint, JsonBody, PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::{Ordering, PageQuery, place_of, text_of};
use crate::reader::Reader;
use crate::state::{ApiState, random_salt};
use axum::Json;
use axum::extract::State;
use control::checks::{Checks, may_be_uid};
use control::find::find_endpoint;
use control::query::endpoints;
use engine::seal::SealPurpose;
use http::StatusCode;
use model::id::IdKind;
use model::{AppId, Disabled, DisabledReason, Endpoint, EndpointId, EndpointRef, UnixMs};
use storage::tables::{application, counter, endpoint};
use storage::txn::Txn;

/// Lists the endpoints of an application, newest first unless asked otherwise.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.list",
    params(AppPath, PageQuery), responses((status = 200, body = ListResponse<EndpointOut>)))]
pub(crate) async fn list(
    state: Reader,
    QueryParams(query): QueryParams<PageQuery>,
    InApp(app): InApp,
) -> Result<JsonBytes, ApiError> {
    let asked = query.page_in(Ordering::Descending, place_of(IdKind::Endpoint))?;
    let list = state.answer(move |state| {
        let listed = endpoints::list(state.view(), app.id, &asked.page)?;
        Ok(asked.respond(listed, text_of(IdKind::Endpoint), |row| EndpointOut::from(row)))
    });
    list.await
}

/// Creates an endpoint. It gets what is pushed from now on.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint", tag = "Endpoint", operation_id = "v1.endpoint.create",
    params(AppPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = EndpointIn, responses((status = 201, body = EndpointOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    InApp(app): InApp,
    request: Keyed<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>), ApiError> {
    let (body, once) = request.once(&state, app.id, "endpoint");
    let new = checked(&state, body)?;
    let again = move |txn: &mut Txn<'_>, number| match u32::try_from(number) {
        Ok(number) => Ok(endpoint::get(txn, EndpointRef { app: app.id, endpoint: EndpointId(number) })?),
        Err(_) => Ok(None),
    };
    let act = {
        let state = state.clone();
        move |txn: &mut Txn<'_>| {
            let row = new.insert(&state, txn, app.id)?;
            Ok((Some(u64::from(row.id.0)), row))
        }
    };
    let row = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    Ok((CREATED, Json((&row).into())))
}

/// Gets an endpoint.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.get", params(EndpointPath), responses((status = 200, body = EndpointOut)))]
pub(crate) async fn get(InEndpoint(row): InEndpoint) -> Json<EndpointOut> {
    Json((&row).into())
}

/// Replaces an endpoint, or creates it under the uid of the path. What is left out is cleared, its uid too; its secret and
/// headers stay.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.update", params(EndpointPath), request_body = EndpointIn,
    responses((status = 200, body = EndpointOut), (status = 201, description = "Created", body = EndpointOut)))]
pub(crate) async fn update(
    State(state): State<ApiState>,
    InApp(app): InApp,
    path: PathTexts,
    JsonBody(body): JsonBody<EndpointIn>,
) -> Result<(StatusCode, Json<EndpointOut>), ApiError> {
    let new = checked(&state, body)?;
    let text = path.get("endpoint_id")?.to_owned();
    let change = {
        let state = state.clone();
        move |txn: &mut Txn<'_>| match find_endpoint(txn, app.id, &text)? {
            Some(current) => {
                let Checked { body, secret, headers, now, .. } = new;
                let wanted = body.disabled.unwrap_or(false);
                let mut row = body.replace(&current, now)?;
                seal_user_info(&state, &mut row, Some(&current))?;
                set_secret(&state, &mut row, secret.as_ref())?;
                if let Some(headers) = headers {
                    row.sealed_headers = sealed(&state, &row, &headers)?;
                }
                set_disabled(&mut row, wanted, now);
                save_endpoint(txn, &row)?;
                Ok((OK, row))
            }
            None => Ok((CREATED, new.named(&text)?.insert(&state, txn, app.id)?)),
        }
    };
    let (status, row) = state.change(change).await?;
    Ok((status, Json((&row).into())))
}

/// Changes an endpoint.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.patch", params(EndpointPath), request_body = EndpointPatch,
    responses((status = 200, body = EndpointOut)))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    InEndpoint(found): InEndpoint,
    JsonBody(body): JsonBody<EndpointPatch>,
) -> Result<Json<EndpointOut>, ApiError> {
    let mut checks = Checks::default();
    body.check(&mut checks);
    body.url.iter().for_each(|url| check_target(&state, &mut checks, url));
    checks.finish()?;
    let secret = body.secret.as_deref().map(|text| read_secret("secret", text)).transpose()?;
    let now = state.now();
    let change = {
        let state = state.clone();
        move |txn: &mut Txn<'_>| {
            let current = endpoint::get(txn, found.target())?.ok_or(ApiError::NotFound("endpoint"))?;
            let wanted = body.disabled.unwrap_or(current.disabled.is_some());
            let mut row = body.apply(current.clone(), now)?;
            seal_user_info(&state, &mut row, Some(&current))?;
            set_secret(&state, &mut row, secret.as_ref())?;
            set_disabled(&mut row, wanted, now);
            save_endpoint(txn, &row)?;
            Ok(row)
        }
    };
    Ok(Json((&state.change(change).await?).into()))
}

/// Deletes an endpoint. What was not delivered to it yet never will be.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", tag = "Endpoint",
    operation_id = "v1.endpoint.delete", params(EndpointPath), responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    InEndpoint(found): InEndpoint,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    state
        .change(move |txn| {
            let row = endpoint::get(txn, found.target())?.ok_or(ApiError::NotFound("endpoint"))?;
            remove_endpoint(txn, &row, now)
        })
        .await?;
    Ok(NO_CONTENT)
}

/// A new endpoint with everything that can be checked and made outside a transaction.
struct Checked {
    body: EndpointIn,
    /// None when the caller gave none.
    secret: Option<SecretText>,
    headers: Option<Headers>,
    salt: u64,
    now: UnixMs,
}

fn checked(state: &ApiState, mut body: EndpointIn) -> Result<Checked, ApiError> {
    let mut checks = Checks::default();
    body.check(&mut checks);
    check_target(state, &mut checks, &body.url);
    let headers = body.headers.take();
    headers.iter().for_each(|headers| {
        check_names(&mut checks, headers.keys());
        super::endpoint_headers::check(&mut checks, headers);
    });
    checks.finish()?;
    let secret = body.secret.take().map(|text| read_secret("secret", &text)).transpose()?;
    Ok(Checked { body, secret, headers, salt: random_salt()?, now: state.now() })
}

impl Checked {
    /// Gives a new endpoint the name that its path called it by.
    fn named(mut self, text: &str) -> Result<Checked, ApiError> {
        match self.body.uid.as_set() {
            Some(uid) if uid == text => Ok(self),
            None if may_be_uid(IdKind::Endpoint, text) => {
                self.body.uid = Patch::Set(text.to_owned());
                Ok(self)
            }
            // An id that is not there, or a uid that is another than the path's.
            _ => Err(ApiError::NotFound("endpoint")),
        }
    }

    fn insert(self, state: &ApiState, txn: &mut Txn<'_>, app: AppId) -> Result<Endpoint, ApiError> {
        // Again, where nothing can race: the application may be gone by now.
        application::get(txn, app)?.ok_or(ApiError::NotFound("application"))?;
        let (count, most) = (endpoint::count(txn, app)?, state.limits.quotas.endpoints);
        check_quota("endpoints", "endpoints of an application", count, most)?;
        let place = NewEndpoint { id: counter::next_endpoint_id(txn)?, app, salt: self.salt, now: self.now };
        let mut row = self.body.create(place)?;
        seal_user_info(state, &mut row, None)?;
        let secret = self.secret.map_or_else(|| new_secret(state.engine_config().secret_kind), Ok)?;
        row.secrets = vec![seal_secret(state, row.target(), &secret)?];
        row.sealed_headers = sealed(state, &row, &self.headers.unwrap_or_default())?;
        save_endpoint(txn, &row)?;
        Ok(row)
    }
}

/// Gives an endpoint a secret in place of all that it has, unless it is the current one already: then those that still
/// sign beside it stay.
fn set_secret(state: &ApiState, row: &mut Endpoint, secret: Option<&SecretText>) -> Result<(), ApiError> {
    let Some(secret) = secret else { return Ok(()) };
    let current = row
        .secrets
        .first()
        .map(|current| state.control.seals().open(row.target(), SealPurpose::SigningSecret, &current.sealed));
    if current.transpose()?.is_none_or(|current| current.expose() != secret.as_bytes()) {
        row.secrets = vec![seal_secret(state, row.target(), secret)?];
    }
    Ok(())
}

/// Notes what is wrong with a URL as a target.
fn check_target(state: &ApiState, checks: &mut Checks, url: &str) {
    if let Err(error) = state.check_target(url) {
        checks.wrong(&["url"], error.to_string(), "value_error.url");
    }
}

/// Disables an endpoint by hand, or enables it. The table sees to what passes it by meanwhile.
fn set_disabled(row: &mut Endpoint, wanted: bool, now: UnixMs) {
    let by_hand = Disabled { at: now, reason: DisabledReason::Operator };
    row.disabled = wanted.then(|| row.disabled.unwrap_or(by_hand));
}
