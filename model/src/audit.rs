//! The audit log: a record of each change of configuration and each order, with who made it.
//!
//! Not the chain of hashes, nor the signatures: `storage::tables::audit` makes and checks those.

use crate::id::AppId;
use crate::time::UnixMs;

/// Bytes of a SHA-256.
pub const HASH_LEN: usize = 32;
/// Bytes of an ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its position, from 1, without gaps.
    pub seq: u64,
    /// When its commit was made, by the wall clock.
    pub at: UnixMs,
    /// The hash of the record before; of zeros for the first.
    pub previous: [u8; HASH_LEN],
    /// The change.
    pub entry: AuditEntry,
    /// Of this record's hash, and so of all records before: the last record of each commit has one, where the process has
    /// the master key.
    pub signature: Option<[u8; SIGNATURE_LEN]>,
}

/// A change or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The maker.
    pub actor: Actor,
    /// The command, `kind.verb`.
    pub action: String,
    /// The kind of the thing, in the API's words.
    pub kind: String,
    /// Its text id.
    pub id: String,
    /// The application that it belongs to, or that it is.
    pub app: Option<AppName>,
    /// The fields that changed. Secrets are never among them.
    pub changes: Vec<FieldChange>,
}

/// An application in a record, which outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppName {
    /// Its number.
    pub number: AppId,
    /// Its text id.
    pub id: String,
}

/// One field before and after, as JSON texts in the API's words; none where there was nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// Before.
    pub old: Option<String>,
    /// After.
    pub new: Option<String>,
}

/// The maker of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Its kind.
    pub kind: ActorKind,
    /// The id of its API key; empty for other kinds.
    pub id: String,
    /// The name of its API key; empty for other kinds.
    pub name: String,
    /// The address that its request came from, without the port; empty if there was no request.
    pub address: String,
    /// The id of its request; empty if there was none.
    pub request_id: String,
}

/// The kind of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// Pinion itself, by a rule.
    Engine,
    /// The holder of an API key.
    Key,
    /// The holder of the root key.
    Root,
    /// Somebody with access to the data directory.
    Offline,
}

// === impl Actor ===

impl Actor {
    /// One without a request and a key.
    #[must_use]
    pub fn plain(kind: ActorKind) -> Actor {
        let none = String::new;
        Actor { kind, id: none(), name: none(), address: none(), request_id: none() }
    }
}

// === impl ActorKind ===

impl ActorKind {
    /// The word that the API shows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ActorKind::Engine => "engine",
            ActorKind::Key => "key",
            ActorKind::Root => "root",
            ActorKind::Offline => "offline",
        }
    }
}

// === impl FieldChange ===

impl FieldChange {
    /// A field whose value is a number of milliseconds or another text that is JSON as it stands.
    #[must_use]
    pub fn new(field: &str, old: Option<String>, new: Option<String>) -> FieldChange {
        FieldChange { field: field.to_owned(), old, new }
    }

    /// A field that holds one of a few words, which need no escapes.
    #[must_use]
    pub fn words(field: &str, old: Option<&str>, new: Option<&str>) -> FieldChange {
        let quoted = |word: &str| format!("\"{word}\"");
        FieldChange::new(field, old.map(quoted), new.map(quoted))
    }
}
