//! `pinion audit verify`: checks the chain of the audit log, in a data directory or in an export of it.
//!
//! It reads one record after the other, so a log of any length needs little memory.

mod export;

use crate::config::Loaded;
use crate::data_dir::{self, DataDirError};
use crate::keys::Environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::seal::{PUBLIC_KEY_LEN, is_signed};
use model::audit::SIGNATURE_LEN;
use model::hex;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use storage::disk::OpenError;
use storage::tables::audit::verify::{FAULTS_SHOWN, Findings, Verification, hash_from_hex};
use storage::tables::audit::{self, Head};
use storage::{Direction, StoreError};

/// Records read at once.
const STEP: usize = 1_000;

/// Why a log was not checked, or did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditCommandError {
    /// The data directory did not open.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A server has it open.
    #[error(
        "{0}; export its log with GET /api/v1/audit?order=ascending&format=ndjson, and name the file by --file and the key \
         of GET /api/v1/audit/head by --public-key"
    )]
    InUse(OpenError),
    /// No data directory: none is created only to find no log in it.
    #[error("there is no data directory {}", .0.display())]
    NoDataDir(PathBuf),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The export.
    #[error(transparent)]
    Export(#[from] export::ExportError),
    /// The log is not what was written.
    #[error("{0}")]
    Faulty(String),
}

/// The key that signatures are checked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; PUBLIC_KEY_LEN]);

/// The place of a record that was noted earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted(Head);

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PublicKey, &'static str> {
        let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(PublicKey).ok_or("must be 32 bytes in base64, as GET /api/v1/audit/head shows them")
    }
}

impl FromStr for Noted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Noted, &'static str> {
        let parts = text.split_once(':').and_then(|(seq, hash)| Some((seq.parse().ok()?, hash_from_hex(hash)?)));
        parts.map(|(seq, hash)| Noted(Head { seq, hash })).ok_or("must be SEQ:HASH, the hash in hex")
    }
}

/// Checks the log and answers what was found.
///
/// # Errors
/// See [`AuditCommandError`].
pub(crate) fn verify(
    loaded: &Loaded,
    file: Option<&Path>,
    key: Option<PublicKey>,
    expected: Option<Noted>,
    environment: Environment<'_>,
) -> Result<String, AuditCommandError> {
    let (expected, given) = (expected.map(|Noted(head)| head), key.map(|PublicKey(key)| key));
    let findings = match (file, given) {
        (Some(path), Some(key)) => of_file(path, &key, expected)?,
        // Clap asks for the key with a file.
        (_, given) => of_data_dir(loaded, given, expected, environment)?,
    };
    report(&findings)
}

fn of_file(path: &Path, key: &[u8; PUBLIC_KEY_LEN], expected: Option<Head>) -> Result<Findings, AuditCommandError> {
    let check = |message: &[u8], signature: &[u8; SIGNATURE_LEN]| is_signed(key, message, signature);
    let mut verification = Verification::new(&check, expected);
    export::read(path, |record| verification.next(record.seq, &record))?;
    Ok(verification.finish())
}

fn of_data_dir(
    loaded: &Loaded,
    given: Option<[u8; PUBLIC_KEY_LEN]>,
    expected: Option<Head>,
    environment: Environment<'_>,
) -> Result<Findings, AuditCommandError> {
    let folder = &loaded.config.data_dir;
    if !folder.exists() {
        return Err(AuditCommandError::NoDataDir(folder.clone()));
    }
    let store = data_dir::open_store(loaded).map_err(|error| match error {
        DataDirError::Open(in_use @ OpenError::InUse { .. }) => AuditCommandError::InUse(in_use),
        other => other.into(),
    })?;
    let key = match given {
        Some(key) => Some(key),
        None => data_dir::audit_public_key(loaded, &store, environment)?,
    };
    let check =
        |message: &[u8], signature: &[u8; SIGNATURE_LEN]| key.is_some_and(|key| is_signed(&key, message, signature));
    let (mut verification, mut after) = (Verification::new(&check, expected), None);
    loop {
        let records = audit::list(&*store, after, STEP, Direction::Forward)?;
        records.iter().for_each(|(seq, record)| verification.next(*seq, record));
        match records.last() {
            Some((last, _)) if records.len() == STEP => after = Some(*last),
            _ => return Ok(verification.finish()),
        }
    }
}

/// The findings as text; an error if there is a fault.
fn report(found: &Findings) -> Result<String, AuditCommandError> {
    let mut text = match found.records {
        0 => "the audit log is empty\n".to_owned(),
        records => format!("{records} records, {} to {}\nend: {}\n", found.first, found.end.seq, noted(found.end)),
    };
    if found.signed_upto < found.end.seq {
        let _infallible = writeln!(text, "not signed: records behind {}", found.signed_upto);
    }
    for fault in &found.faults {
        let _infallible = writeln!(text, "FAULT: {fault}");
    }
    if found.faulty > FAULTS_SHOWN as u64 {
        let _infallible = writeln!(text, "and {} more", found.faulty - FAULTS_SHOWN as u64);
    }
    if found.faulty > 0 {
        return Err(AuditCommandError::Faulty(format!("{text}the audit log was changed")));
    }
    text.push_str("no fault found\n");
    Ok(text)
}

fn noted(head: Head) -> String {
    format!("{}:{}", head.seq, hex(&head.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_and_a_key_are_read_as_they_are_shown() {
        let head = Head { seq: 7, hash: [0xab; 32] };
        assert_eq!(noted(head).parse(), Ok(Noted(head)));
        for text in ["", "7", "7:", "7:ab", "x:abababababababababababababababababababababababababababababababab"] {
            assert!(text.parse::<Noted>().is_err(), "{text}");
        }
        assert_eq!(STANDARD.encode([9; 32]).parse(), Ok(PublicKey([9; 32])));
        assert!("AAAA".parse::<PublicKey>().is_err());
    }
}
