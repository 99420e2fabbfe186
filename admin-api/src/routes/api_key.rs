//! API keys: create, list, rotate, revoke.
//!
//! Below no application, so only the root key and keys for everything reach these. A key is shown in one answer, and
//! only its hash is kept. A key that is asked for with an `Idempotency-Key` is derived from that, so that a repetition
//! has the same answer.

use super::once::Keyed;
use super::params::ApiKeyPath;
use crate::auth::By;
use crate::dto::api_key::{ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut, ApiKeyRotateIn};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT};
use crate::extract::{PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::PageQuery;
use crate::reader::Reader;
use crate::state::ApiState;
use axum::Json;
use axum::extract::State;
use control::command::api_key::{Derived, IssuedKey, RevokeApiKey};
use control::query::key::{self, KeyPlace};
use control::{Changed, Checks, Once};
use http::StatusCode;
use model::UnixMs;

/// Lists API keys, oldest first, without their text; revoked and expired ones too.
#[utoipa::path(get, path = "/api/v1/api-key", tag = "API Key", operation_id = "v1.api-key.list",
    params(PageQuery), responses((status = 200, body = ListResponse<ApiKeyOut>)))]
pub(crate) async fn list(state: Reader, QueryParams(query): QueryParams<PageQuery>) -> Result<JsonBytes, ApiError> {
    let asked = query.page(place_of)?;
    let list = state.answer(move |state| {
        let listed = key::list(state.view(), &asked.page)?;
        Ok(asked.respond(listed, iterator_of, |row| ApiKeyOut::from(row)))
    });
    list.await
}

/// The text of a key's place.
fn iterator_of((created_at, id): &KeyPlace) -> String {
    format!("{}.{id}", created_at.0)
}

/// Reads [`iterator_of`] back; whether the key still exists does not matter.
fn place_of(text: &str) -> Option<KeyPlace> {
    let (at, id) = text.split_once('.')?;
    Some((UnixMs(at.parse().ok()?), id.to_owned()))
}

/// Creates an API key. The answer is the only one that ever has the key itself.
#[utoipa::path(post, path = "/api/v1/api-key", tag = "API Key", operation_id = "v1.api-key.create",
    params(("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = ApiKeyIn, responses((status = 201, body = ApiKeyCreatedOut)))]
pub(crate) async fn create(
    State(state): State<ApiState>,
    By(caller): By,
    request: Keyed<ApiKeyIn>,
) -> Result<(StatusCode, Json<ApiKeyCreatedOut>), ApiError> {
    let command = request.body.into_command(derived(&state, request.once.as_ref()));
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(answer(changed, "an API key was created"))
}

/// Makes a key that takes the place of this one. Both work until the grace period ends.
#[utoipa::path(post, path = "/api/v1/api-key/{key_id}/rotate", tag = "API Key", operation_id = "v1.api-key.rotate",
    params(ApiKeyPath, ("idempotency-key" = Option<String>, Header, description = "Makes sending it again harmless")),
    request_body = ApiKeyRotateIn, responses((status = 201, body = ApiKeyCreatedOut)))]
pub(crate) async fn rotate(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
    request: Keyed<Option<ApiKeyRotateIn>>,
) -> Result<(StatusCode, Json<ApiKeyCreatedOut>), ApiError> {
    let body = request.body.unwrap_or_default();
    let command = body.into_command(path.get("key_id")?.to_owned(), derived(&state, request.once.as_ref()));
    let changed = state.control.submit_once(caller, command, Checks::default(), request.once).await?;
    Ok(answer(changed, "an API key was rotated"))
}

/// From which a new key is derived, with an idempotency key.
fn derived(state: &ApiState, once: Option<&Once>) -> Option<Derived> {
    once.map(|once| Derived { root: state.root_key, once: once.key().to_owned() })
}

/// Shows a new key, and logs `event` if it was made just now.
fn answer(changed: Changed<IssuedKey>, event: &'static str) -> (StatusCode, Json<ApiKeyCreatedOut>) {
    let (is_new, IssuedKey { info, text, .. }) = (changed.is_new(), changed.into_thing());
    if is_new {
        tracing::info!(key_id = info.id, name = info.name, app = info.app_id, "{event}");
    }
    (CREATED, Json(ApiKeyCreatedOut::of(&info, &text)))
}

/// Gets an API key, without its text.
#[utoipa::path(get, path = "/api/v1/api-key/{key_id}", tag = "API Key", operation_id = "v1.api-key.get",
    params(ApiKeyPath), responses((status = 200, body = ApiKeyOut)))]
pub(crate) async fn get(State(state): State<ApiState>, path: PathTexts) -> Result<Json<ApiKeyOut>, ApiError> {
    let found = key::get(state.view(), path.get("key_id")?)?.ok_or(ApiError::NotFound("API key"))?;
    Ok(Json((&found).into()))
}

/// Revokes an API key: from the answer on, requests with it are refused.
#[utoipa::path(delete, path = "/api/v1/api-key/{key_id}", tag = "API Key", operation_id = "v1.api-key.delete",
    params(ApiKeyPath), responses((status = 204, description = "Revoked")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    By(caller): By,
    path: PathTexts,
) -> Result<StatusCode, ApiError> {
    let key_id = path.get("key_id")?.to_owned();
    state.control.submit(caller, RevokeApiKey { id: key_id.clone() }).await?;
    tracing::info!(key_id, "an API key was revoked");
    Ok(NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_reads_back_and_nothing_else_does() {
        let place = (UnixMs(7), "ab12".to_owned());
        assert_eq!(place_of(&iterator_of(&place)), Some(place));
        assert_eq!((place_of("ab12"), place_of("x.ab12")), (None, None));
    }
}
