//! API keys: `ApiKeyIn`, `ApiKeyOut`, and `ApiKeyCreatedOut`, the one answer that has the key itself.
//!
//! The rules on names are in [`crate::auth::registry`], which the command line shares.

use crate::auth::registry::KeyInfo;
use crate::dto::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A key to create. A field that is not known is refused: a limit under another name would make a key for everything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKeyIn {
    /// For people, unique.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) name: String,
    /// The id or uid of the one application that it may act for. Left out: every application, and keys too.
    pub(crate) app_id: Option<String>,
}

/// A key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyOut {
    /// The beginning of the key's hash.
    id: String,
    name: String,
    /// The application that it is limited to; null for every application.
    app_id: Option<String>,
    created_at: Timestamp,
}

/// A new key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKeyCreatedOut {
    /// The beginning of the key's hash.
    id: String,
    name: String,
    /// The application that it is limited to; null for every application.
    app_id: Option<String>,
    /// The key. Shown this once: only its hash is kept.
    key: String,
    created_at: Timestamp,
}

impl fmt::Debug for ApiKeyCreatedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyCreatedOut(hidden)")
    }
}

impl ApiKeyCreatedOut {
    /// A key that was just made, with its text.
    pub(crate) fn of(info: KeyInfo, key: &str) -> ApiKeyCreatedOut {
        let KeyInfo { id, name, app_id, created_at } = info;
        ApiKeyCreatedOut { id, name, app_id, key: key.to_owned(), created_at: Timestamp(created_at) }
    }
}

impl From<&KeyInfo> for ApiKeyOut {
    fn from(info: &KeyInfo) -> ApiKeyOut {
        let KeyInfo { id, name, app_id, created_at } = info.clone();
        ApiKeyOut { id, name, app_id, created_at: Timestamp(created_at) }
    }
}
