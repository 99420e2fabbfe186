//! API keys: `ApiKeyIn`, `ApiKeyRotateIn`, `ApiKeyOut`, and `ApiKeyCreatedOut`, the one answer that has the key itself.
//!
//! The rules on names are the command's, which the command line shares.

use crate::dto::timestamp::Timestamp;
use control::command::api_key::{CreateApiKey, Derived, RotateApiKey};
use control::query::key::KeyInfo;
use model::{KeyScope, KeyScopes};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Something that a key may be for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ApiKeyScope)]
pub(crate) enum Scope {
    /// To send messages, and to call off those that are scheduled.
    Ingest,
    /// To read everything but secrets, keys and the audit log.
    Read,
    /// `ingest` and `read`, and to change everything but keys.
    Write,
    /// Everything.
    Admin,
    /// The work of an application's own users: they see its messages and look after its endpoints.
    Portal,
}

impl Scope {
    fn known(self) -> KeyScope {
        match self {
            Scope::Ingest => KeyScope::Ingest,
            Scope::Read => KeyScope::Read,
            Scope::Write => KeyScope::Write,
            Scope::Admin => KeyScope::Admin,
            Scope::Portal => KeyScope::Portal,
        }
    }

    fn of(scope: KeyScope) -> Scope {
        match scope {
            KeyScope::Ingest => Scope::Ingest,
            KeyScope::Read => Scope::Read,
            KeyScope::Write => Scope::Write,
            KeyScope::Admin => Scope::Admin,
            KeyScope::Portal => Scope::Portal,
        }
    }
}

/// A key to create. A field that is not known is refused: a limit under another name would make a key for everything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKeyIn {
    /// For people, unique among the keys that are answered.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The id or uid of the one application that it may act for. Left out: every application.
    app_id: Option<String>,
    /// The scopes that it has, at least one. Default: `admin`.
    #[schema(min_items = 1)]
    scopes: Option<Vec<Scope>>,
    /// From then on it is refused. Left out: never.
    #[schema(inline)]
    expires_at: Option<Timestamp>,
    /// Requests in a minute, at most; a batch counts its messages. Left out: as many as come.
    #[schema(minimum = 1, maximum = 6_000_000)]
    rate_limit: Option<u32>,
}

impl ApiKeyIn {
    /// The command; `derived` with an idempotency key.
    pub(crate) fn into_command(self, derived: Option<Derived>) -> CreateApiKey {
        let ApiKeyIn { name, app_id, scopes, expires_at, rate_limit } = self;
        let all = || vec![Scope::Admin];
        let scopes: KeyScopes = scopes.unwrap_or_else(all).into_iter().map(Scope::known).collect();
        let expires_at = expires_at.map(|Timestamp(at)| at);
        CreateApiKey { name, app: app_id, scopes, expires_at, rate_limit, derived }
    }
}

/// A rotation.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKeyRotateIn {
    /// Seconds for which the replaced key goes on to work, beside the new one. Default: a day.
    #[schema(minimum = 0, maximum = 2_592_000)]
    grace_period_seconds: Option<u64>,
    /// The end of the new key. Left out: it lives as long as the replaced one was made to.
    #[schema(inline)]
    expires_at: Option<Timestamp>,
}

impl ApiKeyRotateIn {
    /// The command; `derived` with an idempotency key.
    pub(crate) fn into_command(self, id: String, derived: Option<Derived>) -> RotateApiKey {
        let ApiKeyRotateIn { grace_period_seconds, expires_at } = self;
        let expires_at = expires_at.map(|Timestamp(at)| at);
        RotateApiKey { id, grace_period_s: grace_period_seconds, expires_at, derived }
    }
}

/// A key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyOut {
    /// The beginning of the key's hash.
    id: String,
    name: String,
    /// The beginning of the key; null for one that was made before this was kept.
    prefix: Option<String>,
    /// The application that it is limited to; null for every application.
    app_id: Option<String>,
    scopes: Vec<Scope>,
    /// Requests in a minute, at most.
    rate_limit: Option<u32>,
    created_at: Timestamp,
    /// From then on it is refused.
    #[schema(inline)]
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(inline)]
    revoked_at: Option<Timestamp>,
    /// A time at which it was used, at most about a minute before the last one.
    #[schema(inline)]
    last_used_at: Option<Timestamp>,
    /// The id of the key that takes its place: it was rotated, and works until it expires.
    replaced_by: Option<String>,
}

/// A new key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyCreatedOut {
    /// The key. Shown this once: only its hash is kept.
    key: String,
    #[serde(flatten)]
    shown: ApiKeyOut,
}

impl fmt::Debug for ApiKeyCreatedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyCreatedOut(hidden)")
    }
}

impl ApiKeyCreatedOut {
    /// A key that was just made, with its text.
    pub(crate) fn of(info: &KeyInfo, key: &str) -> ApiKeyCreatedOut {
        ApiKeyCreatedOut { key: key.to_owned(), shown: info.into() }
    }
}

impl From<&KeyInfo> for ApiKeyOut {
    fn from(info: &KeyInfo) -> ApiKeyOut {
        let KeyInfo {
            id,
            name,
            prefix,
            app_id,
            scopes,
            rate_limit,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
            replaced_by,
        } = info.clone();
        ApiKeyOut {
            id,
            name,
            prefix: Some(prefix).filter(|prefix| !prefix.is_empty()),
            app_id,
            scopes: scopes.iter().map(Scope::of).collect(),
            rate_limit,
            created_at: Timestamp(created_at),
            expires_at: expires_at.map(Timestamp),
            revoked_at: revoked_at.map(Timestamp),
            last_used_at: last_used_at.map(Timestamp),
            replaced_by,
        }
    }
}
