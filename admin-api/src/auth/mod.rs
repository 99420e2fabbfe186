//! The caller of a request: the reach of their key, and its scopes.
//!
//! A caller shows `Authorization: Bearer <key>`. [`key::lookup`] knows the key by its SHA-256; the key itself is
//! never kept or logged. Some clients add a suffix to the key, which says nothing here ([`candidates`]).
//!
//! A key may be limited to one application: then only paths below that application answer, and those of [`READ_BY_ALL`]
//! for reading. And it has scopes, of which each operation takes some ([`scopes`]).
//! Both checks sit in the one layer before every route, so no handler can forget them. No users and no
//! sessions: a key is all there is.

pub(crate) mod scopes;
mod uses;

pub(crate) use uses::Uses;

use crate::error::ApiError;
use crate::push;
use crate::rate;
use crate::state::ApiState;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use control::key::KeyHash;
use control::query::key::{self, KnownKey};
use control::rate::Standing;
use control::{Caller, Reach};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Method};
use model::{AppId, KeyScope, KeyScopes, UnixMs};
use std::iter;
use std::net::IpAddr;

/// The longest key that is looked at, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// The longest suffix of a key, in bytes.
const SUFFIX_BYTES_MAX: usize = 64;

/// Routes outside an application that a key for one may read. Event types are a catalogue that all applications share;
/// of background tasks the handlers show those of the key's own application only.
const READ_BY_ALL: [&str; 4] = [
    "/api/v1/event-type",
    "/api/v1/event-type/{event_type_name}",
    "/api/v1/background-task",
    "/api/v1/background-task/{task_id}",
];

/// The route outside an application on which a key for one may change something: the handler finds its own tasks only.
const CANCEL: &str = "/api/v1/background-task/{task_id}/cancel";

/// The answer to a key for one application about all others.
const OTHER_APPLICATION: &str = "this key is limited to another application";

/// The arrival of a request, left with it by the server that accepts connections.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The other end of the connection, which may be a proxy.
    pub peer: IpAddr,
    /// The id of the request.
    pub request_id: HeaderValue,
}

/// The reach of the caller's key, for queries and pushes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaching(pub(crate) Reach);

impl FromRequestParts<ApiState> for Reaching {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Reaching, ApiError> {
        let known: Option<&KnownKey> = parts.extensions.get();
        known.map(|known| Reaching(known.reach)).ok_or(ApiError::Unauthenticated)
    }
}

/// The caller of a push. Few pushes need to know who it is.
#[derive(Debug)]
pub(crate) struct Pusher {
    known: KnownKey,
    arrival: Option<Arrival>,
}

impl Pusher {
    /// How far the key reaches.
    pub(crate) fn reach(&self) -> Reach {
        self.known.reach
    }

    /// Refuses a key that has none of these scopes.
    pub(crate) fn check(&self, needed: KeyScopes) -> Result<(), ApiError> {
        check_scopes(&self.known, needed)
    }

    /// The caller, with the address and id of the request.
    pub(crate) fn caller(&self) -> Caller {
        caller(&self.known, self.arrival.as_ref())
    }
}

impl FromRequestParts<ApiState> for Pusher {
    type Rejection = ApiError;

    /// Takes the key away from the request.
    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Pusher, ApiError> {
        let known = parts.extensions.remove().ok_or(ApiError::Unauthenticated)?;
        Ok(Pusher { known, arrival: parts.extensions.remove() })
    }
}

/// The caller, by whom commands are judged and recorded.
#[derive(Clone, Debug)]
pub(crate) struct By(pub(crate) Caller);

impl FromRequestParts<ApiState> for By {
    type Rejection = ApiError;

    /// Takes the key that [`admit`] left.
    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<By, ApiError> {
        let known: &KnownKey = parts.extensions.get().ok_or(ApiError::Unauthenticated)?;
        Ok(By(caller(known, parts.extensions.get())))
    }
}

/// The caller with a known key.
fn caller(known: &KnownKey, arrival: Option<&Arrival>) -> Caller {
    let address = arrival.map(|arrival| arrival.peer.to_string());
    let request_id = arrival.and_then(|arrival| arrival.request_id.to_str().ok());
    Caller::of_request(
        known.reach,
        known.row.as_ref(),
        address.unwrap_or_default(),
        request_id.unwrap_or_default().to_owned(),
    )
}

/// The way that a request takes to its handler.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Through the router.
    Routed,
    /// That of [`push`], which no router has seen.
    Push,
}

/// Finds out whether a request may pass: its key is known, is for this and reaches far enough, and has not made more
/// requests than it may. Leaves its [`KnownKey`] with the request.
pub(crate) async fn admit(
    state: &ApiState,
    parts: &mut Parts,
    way: Way,
) -> Result<(Reach, Option<Standing>), ApiError> {
    let now = state.now();
    let known = known_key(state, parts, now)?;
    match way {
        Way::Push => {
            check_scopes(&known, scopes::INGEST)?;
            if let Reach::Application(own) = known.reach {
                check_application(state, push::app_text(&parts.uri).unwrap_or_default(), own)?;
            }
        }
        Way::Routed => {
            let route = parts.extensions.get().map(MatchedPath::as_str).unwrap_or_default();
            check_scopes(&known, scopes::needed(&parts.method, route))?;
            if let Reach::Application(own) = known.reach {
                check_path(state, parts, own).await?;
            }
        }
    }
    let standing = match state.control.limits().may_limit(known.row.as_ref()) {
        true => {
            let app = app_of(state, parts, way, known.reach).await?;
            rate::take_one(state, parts, &known, app)?
        }
        false => None,
    };
    state.uses.note(state, &known, now);
    let reach = known.reach;
    parts.extensions.insert(known);
    Ok((reach, standing))
}

/// The application that a request is about.
async fn app_of(state: &ApiState, parts: &mut Parts, way: Way, reach: Reach) -> Result<Option<AppId>, ApiError> {
    match (reach, way) {
        (Reach::Application(own), _) => Ok(Some(own)),
        (Reach::Everything, Way::Push) => Ok(state.control.app_id(push::app_text(&parts.uri).unwrap_or_default())?),
        (Reach::Everything, Way::Routed) => {
            let Ok(params) = RawPathParams::from_request_parts(parts, state).await else { return Ok(None) };
            match params.iter().find(|(name, _)| *name == "app_id") {
                Some((_, named)) => Ok(state.control.app_id(named)?),
                None => Ok(None),
            }
        }
    }
}

/// Refuses a key that has none of these scopes. The root key has all there are.
fn check_scopes(known: &KnownKey, needed: KeyScopes) -> Result<(), ApiError> {
    let scopes = known.row.as_ref().map_or(const { KeyScopes::of(&[KeyScope::Admin]) }, |row| row.scopes);
    if scopes.meets(needed) { Ok(()) } else { Err(ApiError::InsufficientScope { needed }) }
}

/// Looks the caller's key up.
fn known_key(state: &ApiState, parts: &Parts, now: UnixMs) -> Result<KnownKey, ApiError> {
    let text = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    for candidate in candidates(text.ok_or(ApiError::Unauthenticated)?) {
        if let Some(known) = key::lookup(state.view(), &state.root_key, &KeyHash::of(candidate), now)? {
            return Ok(known);
        }
    }
    Err(ApiError::Unauthenticated)
}

/// The texts that may be the key, in the order in which they are tried: all of it, then without the clients' suffixes.
/// These are `|ENVIRONMENT` (Terraform's provider) and `.REGION` (keys of a hosted service name one). A root key of the
/// operator's own making may hold either sign, so the whole text is tried first; the next text is looked for only then.
fn candidates(text: &str) -> impl Iterator<Item = &str> {
    let without = |text, sign| {
        let (key, suffix): (&str, &str) = str::rsplit_once(text, sign)?;
        let is_name = suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        (!key.is_empty() && suffix.len() <= SUFFIX_BYTES_MAX && is_name).then_some(key)
    };
    let shorter = iter::once_with(move || {
        let no_environment = without(text, '|');
        [no_environment, without(no_environment.unwrap_or(text), '.')]
    });
    iter::once(text).chain(shorter.flatten().flatten())
}

/// The key in an `Authorization` header (RFC 6750, 2.1). The scheme's case does not matter.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    let is_key = scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() && key.len() <= KEY_BYTES_MAX;
    is_key.then_some(key)
}

/// Refuses every path that is not below the key's own application, but for reads that are open to all keys. Other
/// applications are refused alike, whether they exist or not.
async fn check_path(state: &ApiState, parts: &mut Parts, own: AppId) -> Result<(), ApiError> {
    if is_open_to_all(&parts.method, parts.extensions.get()) {
        return Ok(());
    }
    let params =
        RawPathParams::from_request_parts(parts, state).await.map_err(|_| ApiError::Forbidden(OTHER_APPLICATION))?;
    let named = params.iter().find(|(name, _)| *name == "app_id").map(|(_, value)| value);
    check_application(state, named.ok_or(ApiError::Forbidden(OTHER_APPLICATION))?, own)
}

fn check_application(state: &ApiState, named: &str, own: AppId) -> Result<(), ApiError> {
    if state.control.app_id(named)? == Some(own) { Ok(()) } else { Err(ApiError::Forbidden(OTHER_APPLICATION)) }
}

fn is_open_to_all(method: &Method, route: Option<&MatchedPath>) -> bool {
    let Some(route) = route.map(MatchedPath::as_str) else { return false };
    match *method {
        Method::GET | Method::HEAD => READ_BY_ALL.contains(&route),
        Method::POST => route == CANCEL,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_add_to_a_key_is_taken_off_after_the_whole_was_tried() {
        let table: [(&str, &[&str]); 9] = [
            ("pk_1", &["pk_1"]),
            ("pk_1|env_2x", &["pk_1|env_2x", "pk_1"]),
            ("pk_1|", &["pk_1|", "pk_1"]),
            ("pk_1.eu", &["pk_1.eu", "pk_1"]),
            ("pk_1.eu|prod", &["pk_1.eu|prod", "pk_1.eu", "pk_1"]),
            ("own.root.key", &["own.root.key", "own.root"]),
            ("|env", &["|env"]),
            ("pk_1|a b", &["pk_1|a b"]),
            ("pk_1|a/b", &["pk_1|a/b"]),
        ];
        for (text, expected) in table {
            assert_eq!(candidates(text).collect::<Vec<_>>(), expected, "{text}");
        }
        let long = format!("pk_1|{}", "e".repeat(65));
        assert_eq!(candidates(&long).collect::<Vec<_>>(), [&*long]);
    }

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
