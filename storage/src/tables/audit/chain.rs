//! The end of the chain: positions, hashes and signatures of new records.
//!
//! # Hash
//! SHA-256 (FIPS 180-4) of these, one behind the other. Numbers are big-endian; a text is its length in bytes (u32), then
//! its bytes; what may be missing is one byte, 0 or 1, before it.
//! ```text
//! "pinion.audit.1" | hash of the record before, 32 bytes | position u64 | time u64
//! | kind, id, name, address, request id of the actor | action | kind | id | application's id, if it has one
//! | number of changes u32 | of each: field | old, if any | new, if any
//! ```
//! The signature is Ed25519 (RFC 8032) of `"pinion.audit.signature.1" | position u64 | hash`.

use crate::read::Read;
use crate::rows::{audit, audit_by_app};
use crate::store::{Direction, INLINE_MAX_BYTES, StoreError};
use crate::tables::put_value;
use crate::txn::Txn;
use bytes::Bytes;
use model::audit::{HASH_LEN, SIGNATURE_LEN};
use model::{AuditEntry, AuditRecord, UnixMs, hex};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Signs the ends of commits.
pub trait Sign: Send + Sync {
    /// The signature of a message.
    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN];
}

/// The last record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its position; 0 when there is none.
    pub seq: u64,
    /// Its hash; zeros when there is none.
    pub hash: [u8; HASH_LEN],
}

/// Puts records at the end of the chain.
pub struct Chain {
    signer: Option<Arc<dyn Sign>>,
    /// As the last commit left it, once it was read.
    head: Option<Head>,
}

impl Chain {
    /// One that signs, if it can.
    #[must_use]
    pub fn new(signer: Option<Arc<dyn Sign>>) -> Chain {
        Chain { signer, head: None }
    }

    /// Makes records of what the transaction's changes noted.
    ///
    /// # Errors
    /// Whatever the store reports, or a corrupt row.
    pub fn append(&mut self, txn: &mut Txn<'_>, at: UnixMs) -> Result<(), StoreError> {
        let mut entries = txn.take_audit().into_iter().peekable();
        if entries.peek().is_none() {
            return Ok(());
        }
        let mut end = match self.head {
            Some(head) => head,
            None => head(txn)?,
        };
        while let Some(entry) = entries.next() {
            let (seq, previous) = (end.seq + 1, end.hash);
            let mut record = fitting(AuditRecord { seq, at, previous, entry, signature: None });
            end = Head { seq, hash: hash_of(&record) };
            if entries.peek().is_none() {
                record.signature = self.signer.as_ref().map(|signer| signer.sign(&signed_text(end)));
            }
            if let Some(app) = &record.entry.app {
                put_value(txn, audit_by_app::encode(app.number, seq), Bytes::new())?;
            }
            put_value(txn, audit::encode(seq), audit::to_value(&record))?;
        }
        self.head = Some(end);
        Ok(())
    }
}

/// The last record as a reader sees it.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn head(read: &(impl Read + ?Sized)) -> Result<Head, StoreError> {
    let all = audit::all();
    let last = read.scan(&all.start, &all.end, 1, Direction::Reverse)?;
    let last = last.first().map(|(_, value)| audit::from_value(value)).transpose()?;
    Ok(last.map(|record| Head { seq: record.seq, hash: hash_of(&record) }).unwrap_or_default())
}

/// The message that is signed.
#[must_use]
pub fn signed_text(head: Head) -> Vec<u8> {
    [&b"pinion.audit.signature.1"[..], &head.seq.to_be_bytes(), &head.hash].concat()
}

/// The hash of a record: see the head of this file.
#[must_use]
pub fn hash_of(record: &AuditRecord) -> [u8; HASH_LEN] {
    let AuditRecord { seq, at, previous, entry, signature: _ } = record;
    let AuditEntry { actor, action, kind, id, app, changes } = entry;
    let mut hash = Sha256::new();
    hash.update(b"pinion.audit.1");
    hash.update(previous);
    hash.update(seq.to_be_bytes());
    hash.update(at.0.to_be_bytes());
    for each in [actor.kind.as_str(), &actor.id, &actor.name, &actor.address, &actor.request_id, action, kind, id] {
        text(&mut hash, each);
    }
    optional(&mut hash, app.as_ref().map(|app| app.id.as_str()));
    hash.update((changes.len() as u32).to_be_bytes());
    for change in changes {
        text(&mut hash, &change.field);
        optional(&mut hash, change.old.as_deref());
        optional(&mut hash, change.new.as_deref());
    }
    hash.finalize().into()
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u32).to_be_bytes());
    hash.update(text.as_bytes());
}

fn optional(hash: &mut Sha256, value: Option<&str>) {
    hash.update([u8::from(value.is_some())]);
    if let Some(value) = value {
        text(hash, value);
    }
}

/// A record that fits one value: its longest values are cut to what tells them apart, and the last of its fields go if that
/// is not enough.
fn fitting(mut record: AuditRecord) -> AuditRecord {
    // Signed, it has 64 bytes more.
    let is_long = |record: &AuditRecord| audit::to_value(record).len() + SIGNATURE_LEN > INLINE_MAX_BYTES;
    if !is_long(&record) {
        return record;
    }
    let changes = &mut record.entry.changes;
    for value in changes.iter_mut().flat_map(|change| [&mut change.old, &mut change.new]).flatten() {
        if value.len() > 128 {
            *value = cut(value);
        }
    }
    while is_long(&record) && record.entry.changes.pop().is_some() {}
    record
}

/// The JSON that stands for a value that is too long.
#[must_use]
pub fn cut(value: &str) -> String {
    format!("{{\"bytes\":{},\"sha256\":\"{}\"}}", value.len(), hex(&Sha256::digest(value.as_bytes())))
}
