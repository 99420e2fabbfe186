//! API keys: create, list, revoke.
//!
//! Below no application, so only the root key and keys for everything reach these. A key is shown in one answer, and only its
//! hash is kept; one that is asked for with an `Idempotency-Key` is derived from that, so that a repetition has the same
//! answer.

use super::once::{ALL_APPLICATIONS, Keyed, perform};
use super::params::ApiKeyPath;
use crate::auth::key::{KeyHash, NoRandomness, derived_key, generate_key};
use crate::auth::registry::{self, KeyInfo, KeyPlace, NewKey, RegistryError};
use crate::dto::api_key::{ApiKeyCreatedOut, ApiKeyIn, ApiKeyOut};
use crate::dto::fields::ListResponse;
use crate::error::{ApiError, CREATED, NO_CONTENT};
use crate::extract::{PathTexts, QueryParams};
use crate::json::JsonBytes;
use crate::paging::PageQuery;
use crate::reader::Reader;
use crate::state::{ApiState, random};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use model::UnixMs;
use storage::txn::Txn;

/// Lists API keys, oldest first, without their text.
#[utoipa::path(get, path = "/api/v1/api-key", tag = "API Key", operation_id = "v1.api-key.list",
    params(PageQuery), responses((status = 200, body = ListResponse<ApiKeyOut>)))]
pub(crate) async fn list(state: Reader, QueryParams(query): QueryParams<PageQuery>) -> Result<JsonBytes, ApiError> {
    let page = query.page(place_of)?;
    let list = state.answer(move |state| {
        let rows = registry::list(&**state.store(), page.after.as_ref(), page.read_limit(), page.direction())?;
        Ok(page.respond(rows, iterator_of, |row| ApiKeyOut::from(row)))
    });
    list.await
}

/// The iterator of a page that ends with this key.
fn iterator_of(key: &KeyInfo) -> String {
    format!("{}.{}", key.created_at.0, key.id)
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
    request: Keyed<ApiKeyIn>,
) -> Result<(StatusCode, Json<ApiKeyCreatedOut>), ApiError> {
    let (number, idempotency_key) = (u64::from_be_bytes(random()?), request.key.clone());
    let (body, once) = request.once_of(&state, ALL_APPLICATIONS, "api-key");
    let key = match &idempotency_key {
        Some(once) => derived_key(&state.root_key, number, once),
        None => generate_key()?,
    };
    let most_of_app = state.limits.quotas.api_keys;
    let new = NewKey { hash: KeyHash::of(&key), name: body.name, app: body.app_id, now: state.now(), most_of_app };
    let root_key = state.root_key;
    let again = move |txn: &mut Txn<'_>, number| {
        let key = derived_key(&root_key, number, idempotency_key.as_deref().unwrap_or_default());
        // Revoked since, or made under another root key: it is not made anew, its name tells that it was there.
        let gone = ApiError::Conflict("the key that this request made is not there any more".into());
        let info = registry::find(txn, &KeyHash::of(&key))?.ok_or(gone)?;
        Ok(Some((info, key, false)))
    };
    let act = move |txn: &mut Txn<'_>| Ok((Some(number), (registry::create(txn, new)?, key, true)));
    let (info, key, is_new) = state.change(move |txn| perform(once.as_ref(), txn, again, act)).await?;
    if is_new {
        tracing::info!(key_id = info.id, name = info.name, app = info.app_id, "an API key was created");
    }
    Ok((CREATED, Json(ApiKeyCreatedOut::of(info, &key))))
}

/// Revokes an API key: from the answer on, requests with it are refused.
#[utoipa::path(delete, path = "/api/v1/api-key/{key_id}", tag = "API Key", operation_id = "v1.api-key.delete",
    params(ApiKeyPath), responses((status = 204, description = "Revoked")))]
pub(crate) async fn delete(State(state): State<ApiState>, path: PathTexts) -> Result<StatusCode, ApiError> {
    let id = path.get("key_id")?.to_owned();
    let key_id = id.clone();
    state.change(move |txn| Ok(registry::revoke(txn, &id)?)).await?;
    tracing::info!(key_id, "an API key was revoked");
    Ok(NO_CONTENT)
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> ApiError {
        let text = error.to_string();
        match error {
            RegistryError::InvalidName => ApiError::invalid(["body", "name"], text, "value_error.any_str.length"),
            RegistryError::NameTaken(_) | RegistryError::TooMany => ApiError::Conflict(text.into()),
            RegistryError::TooManyOfApplication(most) => {
                ApiError::QuotaExceeded { quota: "api_keys", of: "keys for one application", most, again_after_s: None }
            }
            RegistryError::UnknownApplication(_) => ApiError::invalid(["body", "appId"], text, "value_error.unknown"),
            RegistryError::UnknownKey(_) => ApiError::NotFound("API key"),
            RegistryError::Store(error) => error.into(),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> ApiError {
        tracing::error!(%error, "no key could be made");
        ApiError::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_reads_back_and_nothing_else_does() {
        let key = KeyInfo { id: "ab12".to_owned(), name: String::new(), app_id: None, created_at: UnixMs(7) };
        assert_eq!(place_of(&iterator_of(&key)), Some((UnixMs(7), "ab12".to_owned())));
        assert_eq!((place_of("ab12"), place_of("x.ab12")), (None, None));
    }
}
