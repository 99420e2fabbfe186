//! An API key: who may call the API, and for which application.
//!
//! Not the key itself, nor how one is made or checked: only its hash is ever kept.

use crate::id::AppId;
use crate::time::UnixMs;

/// One API key as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// SHA-256 of the key's text, its identity. A key is random and long, so that a fast hash is enough.
    pub hash: [u8; 32],
    /// For people, e.g. the name of the backend that holds it.
    pub name: String,
    /// The one application it may act for; none for every one.
    pub app: Option<AppId>,
    /// When it was created.
    pub created_at: UnixMs,
}
