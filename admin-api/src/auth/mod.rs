//! Who calls, and how far their key reaches.
//!
//! A caller shows `Authorization: Bearer <key>`. Its SHA-256 is looked up and compared in constant time; the key itself
//! is never kept or logged. A key may be limited to one application: then only paths below that application answer.
//! The check sits in the one layer before every route, so no handler can forget it. Deliberately no users and no
//! sessions: a key is all there is.

pub mod key;
pub mod registry;

use crate::error::ApiError;
use crate::state::ApiState;
use axum::extract::{FromRequestParts, RawPathParams};
use http::header::AUTHORIZATION;
use http::request::Parts;
use key::KeyHash;
use model::AppId;
use storage::tables::api_key;

/// The longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// What a key for one application is told of all others.
const OTHER_APPLICATION: &str = "this key is limited to another application";

/// How far a caller's key reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Everything.
    All,
    /// One application and what belongs to it.
    Application(AppId),
}

impl Scope {
    /// Whether it reaches an application.
    pub(crate) fn reaches(self, app: AppId) -> bool {
        match self {
            Scope::All => true,
            Scope::Application(own) => own == app,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = ApiError;

    /// What [`admit`] left.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Scope, ApiError> {
        parts.extensions.get().copied().ok_or(ApiError::Unauthenticated)
    }
}

/// Finds out whether a request may pass: its key is known and reaches far enough. Leaves its [`Scope`] with the request.
pub(crate) async fn admit(state: &ApiState, parts: &mut Parts) -> Result<Scope, ApiError> {
    let scope = scope_of(state, parts)?;
    if let Scope::Application(own) = scope {
        check_path(state, parts, own).await?;
    }
    parts.extensions.insert(scope);
    Ok(scope)
}

/// Looks the caller's key up.
fn scope_of(state: &ApiState, parts: &Parts) -> Result<Scope, ApiError> {
    let text = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let hash = KeyHash::of(text.ok_or(ApiError::Unauthenticated)?);
    if hash.matches(&state.root_key) {
        return Ok(Scope::All);
    }
    let row = api_key::get(&**state.store(), &hash.to_bytes())?.ok_or(ApiError::Unauthenticated)?;
    if !hash.matches(&KeyHash::from_bytes(row.hash)) {
        return Err(ApiError::Unauthenticated);
    }
    Ok(row.app.map_or(Scope::All, Scope::Application))
}

/// The key in an `Authorization` header (RFC 6750, 2.1). The scheme's case does not matter.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    let is_key = scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= KEY_BYTES_MAX;
    is_key.then_some(key)
}

/// Refuses every path that is not below the key's own application: others alike, whether they exist or not.
async fn check_path(state: &ApiState, parts: &mut Parts, own: AppId) -> Result<(), ApiError> {
    let params =
        RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::Forbidden(OTHER_APPLICATION))?;
    let named = params.iter().find(|(name, _)| *name == "app_id").map(|(_, value)| value);
    let found = match named {
        Some(text) => state.app_id(text)?,
        None => None,
    };
    if found == Some(own) { Ok(()) } else { Err(ApiError::Forbidden(OTHER_APPLICATION)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_key_of_sane_length_is_taken() {
        assert_eq!(bearer("Bearer pk_1"), Some("pk_1"));
        assert_eq!(bearer("bearer  pk_1 "), Some("pk_1"));
        assert_eq!(bearer("Basic pk_1"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("pk_1"), None);
        assert_eq!(bearer(&format!("Bearer {}", "k".repeat(513))), None);
    }
}
