//! Records as the API exports them: a JSON object a line, oldest first.

use crate::time_text::time_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::audit::SIGNATURE_LEN;
use model::id::{IdKind, IdParts};
use model::{Actor, ActorKind, AppId, AppName, AuditEntry, AuditRecord, FieldChange};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use storage::tables::audit::verify::hash_from_hex;

/// A longer line is no record.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Why an export could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The file.
    #[error("{path} cannot be read: {source}")]
    File {
        /// Its name.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A line of it.
    #[error("line {line} is no record: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// The reason.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    seq: u64,
    at: String,
    actor: ActorLine,
    action: String,
    kind: String,
    id: String,
    app_id: Option<String>,
    changes: Vec<ChangeLine>,
    previous_hash: String,
    signature: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActorLine {
    kind: String,
    id: String,
    name: String,
    address: String,
    request_id: String,
}

#[derive(Deserialize)]
struct ChangeLine {
    field: String,
    old: Option<Box<RawValue>>,
    new: Option<Box<RawValue>>,
}

/// Reads the records of a file, or of standard input for `-`.
///
/// # Errors
/// See [`ExportError`].
pub(super) fn read(path: &Path, mut take: impl FnMut(AuditRecord)) -> Result<(), ExportError> {
    let failed = |source| ExportError::File { path: path.display().to_string(), source };
    let mut input: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(BufReader::new(io::stdin())),
        _ => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
    };
    for line in 1.. {
        let mut text = String::new();
        let bytes = io::Read::take(&mut input, LINE_BYTES_MAX).read_line(&mut text).map_err(failed)?;
        if bytes == 0 {
            break;
        }
        if !text.trim().is_empty() {
            take(record(&text).map_err(|problem| ExportError::Line { line, problem })?);
        }
    }
    Ok(())
}

fn record(text: &str) -> Result<AuditRecord, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let ActorLine { kind, id, name, address, request_id } = line.actor;
    let actor = Actor { kind: actor_kind(&kind).ok_or("an unknown kind of actor")?, id, name, address, request_id };
    let raw = |value: Option<Box<RawValue>>| value.map(|value| value.get().to_owned());
    let changes = line.changes.into_iter();
    let entry = AuditEntry {
        actor,
        action: line.action,
        kind: line.kind,
        id: line.id,
        app: line.app_id.map(app_name),
        changes: changes.map(|change| FieldChange::new(&change.field, raw(change.old), raw(change.new))).collect(),
    };
    let previous = hash_from_hex(&line.previous_hash).ok_or("previousHash is no hash")?;
    let signature = line.signature.as_deref().map(signature).transpose()?;
    Ok(AuditRecord { seq: line.seq, at: time_of(&line.at)?, previous, entry, signature })
}

/// The number is not part of the hash.
fn app_name(id: String) -> AppName {
    let number = IdParts::from_text(IdKind::Application, &id).map_or(0, |parts| parts.number);
    AppName { number: AppId(number), id }
}

fn actor_kind(word: &str) -> Option<ActorKind> {
    [ActorKind::Engine, ActorKind::Key, ActorKind::Root, ActorKind::Offline]
        .into_iter()
        .find(|kind| kind.as_str() == word)
}

fn signature(text: &str) -> Result<[u8; SIGNATURE_LEN], String> {
    let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
    bytes.try_into().map_err(|_| "signature has another length".to_owned())
}
