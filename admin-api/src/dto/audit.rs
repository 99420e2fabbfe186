//! Records of the audit log: `AuditRecordOut`, and the end of the log.

use crate::dto::timestamp::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::query::audit::{Audited, Head};
use engine::seal::PUBLIC_KEY_LEN;
use model::{Actor, AuditEntry, AuditRecord, FieldChange, hex};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// One change or order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRecordOut {
    /// Its position, from 1, without gaps.
    seq: u64,
    /// When its commit was made.
    at: Timestamp,
    actor: ActorOut,
    /// The command, e.g. `endpoint.patch`.
    #[schema(example = "endpoint.patch")]
    action: String,
    /// The kind of the thing, e.g. `endpoint`.
    kind: String,
    /// The id of the thing.
    id: String,
    /// The application that the thing belongs to, or that it is.
    app_id: Option<String>,
    /// The fields that changed. Secrets are shown as marks that only tell one from another; a longer value by its length and
    /// hash.
    changes: Vec<FieldChangeOut>,
    /// SHA-256 of this record and the hash of the one before, in hex.
    hash: String,
    /// The hash of the record before; zeros for the first.
    previous_hash: String,
    /// Ed25519 of the hash, in base64: the last record of each commit has one.
    signature: Option<String>,
}

/// The maker of a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ActorOut {
    /// `key`, `root` (the root key), `engine` (Pinion itself, by a rule) or `offline` (the command line, without a server).
    #[schema(example = "key")]
    kind: &'static str,
    /// The id of the API key; empty for other kinds.
    id: String,
    /// The name of the API key; empty for other kinds.
    name: String,
    /// The address that the request came from.
    address: String,
    /// The id of the request, as `X-Request-Id` had it.
    request_id: String,
}

/// One field before and after.
#[derive(Debug, Serialize, ToSchema)]
struct FieldChangeOut {
    /// Its name.
    field: String,
    /// Before; null where there was nothing.
    #[schema(value_type = Option<Object>)]
    old: Option<Box<RawValue>>,
    /// After; null where there is nothing.
    #[schema(value_type = Option<Object>)]
    new: Option<Box<RawValue>>,
}

/// The end of the log, to note elsewhere.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditHeadOut {
    /// The position of the last record; 0 when there is none.
    seq: u64,
    /// Its hash, in hex.
    hash: String,
    /// The Ed25519 public key that signatures are checked with, in base64.
    public_key: String,
}

impl AuditHeadOut {
    /// Of this end and key.
    pub(crate) fn of(head: Head, public_key: &[u8; PUBLIC_KEY_LEN]) -> AuditHeadOut {
        AuditHeadOut { seq: head.seq, hash: hex(&head.hash), public_key: STANDARD.encode(public_key) }
    }
}

impl From<&Audited> for AuditRecordOut {
    fn from(audited: &Audited) -> AuditRecordOut {
        let AuditRecord { seq, at, previous, entry, signature } = &audited.record;
        let AuditEntry { actor, action, kind, id, app, changes } = entry;
        let Actor { kind: actor_kind, id: actor_id, name, address, request_id } = actor.clone();
        AuditRecordOut {
            seq: *seq,
            at: Timestamp(*at),
            actor: ActorOut { kind: actor_kind.as_str(), id: actor_id, name, address, request_id },
            action: action.clone(),
            kind: kind.clone(),
            id: id.clone(),
            app_id: app.as_ref().map(|app| app.id.clone()),
            changes: changes.iter().map(FieldChangeOut::from).collect(),
            hash: hex(&audited.hash),
            previous_hash: hex(previous),
            signature: signature.map(|signature| STANDARD.encode(signature)),
        }
    }
}

impl From<&FieldChange> for FieldChangeOut {
    fn from(change: &FieldChange) -> FieldChangeOut {
        // The text is kept as it is: it is part of the hash.
        let raw = |value: &Option<String>| value.clone().and_then(|text| RawValue::from_string(text).ok());
        FieldChangeOut { field: change.field.clone(), old: raw(&change.old), new: raw(&change.new) }
    }
}
