//! The audit log: one chain of records over the whole store.
//!
//! A change notes what it did in its transaction ([`Txn::audit`]). The writer puts the records of all changes of a commit at
//! the end of the chain, in that commit: none is durable without the other. Each record has the hash of the one before, and
//! the last of a commit a signature, which covers all before it.
//!
//! - *Who owns the state:* the writer has the end of the chain in memory; rows have the rest.
//! - *What bounds it:* a record fits one value: long fields are cut to their hash. Retention keeps records for a time and
//!   up to a number, and leaves a record of what it removed, which is signed as any other.
//! - *When the process dies:* a commit has its records, or neither. The end of the chain is read back.
//! - *When the data directory is edited:* [`verify`] finds a record that was changed, removed or moved, unless everything
//!   behind it goes too: a note of a later end of the chain, kept elsewhere, shows that.

mod chain;
pub mod verify;

pub use chain::{Chain, Head, Sign, cut, hash_of, head, signed_text};

use super::{Direction, application, endpoint, get_row, scan};
use crate::read::Read;
use crate::rows::{KeyRange, audit, audit_by_app};
use crate::store::StoreError;
use crate::txn::Txn;
use model::{Actor, ActorKind, AppId, AppName, AuditEntry, AuditRecord, EndpointRef, FieldChange, UnixMs, hex};

/// The action of the record that retention leaves.
pub const TRIM: &str = "audit.trim";

/// Retention removes at least so many records at once: each time costs a record.
pub const TRIM_MIN: usize = 100;

/// The record at a position.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), seq: u64) -> Result<Option<AuditRecord>, StoreError> {
    get_row(read, &audit::encode(seq), audit::from_value)
}

/// Records beyond `after`, at most `limit`, with the position of each as its key has it.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    after: Option<u64>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<(u64, AuditRecord)>, StoreError> {
    let range = audit::all().beyond(after.map(audit::encode), direction);
    let rows = scan(read, &range, limit, direction)?;
    rows.iter().map(|(key, value)| Ok((audit::decode(key)?, audit::from_value(value)?))).collect()
}

/// Positions of records of an application beyond `after`, at most `limit`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list_of_app(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<u64>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<u64>, StoreError> {
    let range: KeyRange = audit_by_app::of_app(app).beyond(after.map(|seq| audit_by_app::encode(app, seq)), direction);
    let rows = scan(read, &range, limit, direction)?;
    rows.iter().map(|(key, _)| Ok(audit_by_app::decode(key)?.1)).collect()
}

/// Removes the oldest records: those from before `before`, and those beyond the `most` newest; at most `limit`, and none
/// where they are fewer than [`TRIM_MIN`]. Answers their number.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn trim(txn: &mut Txn<'_>, before: UnixMs, most: u64, limit: usize) -> Result<usize, StoreError> {
    let end = head(txn)?.seq;
    let is_old = |(seq, record): &(u64, AuditRecord)| record.at < before || end - seq >= most;
    // Most rounds find too few, and one look at the last of the fewest tells: positions have no gaps.
    let Some((first, _)) = list(txn, None, 1, Direction::Forward)?.pop() else { return Ok(0) };
    let last_of_fewest = first + TRIM_MIN as u64 - 1;
    if !get(txn, last_of_fewest)?.is_some_and(|record| is_old(&(last_of_fewest, record))) {
        return Ok(0);
    }
    let oldest = list(txn, None, limit.max(TRIM_MIN), Direction::Forward)?;
    let old: Vec<(u64, AuditRecord)> = oldest.into_iter().take_while(is_old).collect();
    let Some((through, last)) = old.last().filter(|_| old.len() >= TRIM_MIN) else { return Ok(0) };
    let entry = AuditEntry {
        actor: Actor::plain(ActorKind::Engine),
        action: TRIM.to_owned(),
        kind: "audit".to_owned(),
        id: through.to_string(),
        app: None,
        changes: vec![FieldChange::words("hash", Some(&hex(&hash_of(last))), None)],
    };
    for (seq, record) in &old {
        txn.delete(audit::encode(*seq));
        if let Some(app) = &record.entry.app {
            txn.delete(audit_by_app::encode(app.number, *seq));
        }
    }
    txn.audit(entry);
    Ok(old.len())
}

/// Notes a change of an endpoint that the engine made by itself. Of an endpoint that is gone there is nothing to say.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn by_engine(txn: &mut Txn<'_>, target: EndpointRef, action: &str, change: FieldChange) -> Result<(), StoreError> {
    let Some(row) = endpoint::get(txn, target)? else { return Ok(()) };
    let app = app_name(txn, target.app)?;
    txn.audit(AuditEntry {
        actor: Actor::plain(ActorKind::Engine),
        action: action.to_owned(),
        kind: "endpoint".to_owned(),
        id: row.public_id(),
        app,
        changes: vec![change],
    });
    Ok(())
}

/// The name of an application that is there.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn app_name(read: &(impl Read + ?Sized), app: AppId) -> Result<Option<AppName>, StoreError> {
    Ok(application::get(read, app)?.map(|row| AppName { number: app, id: row.public_id() }))
}

#[cfg(test)]
mod tests;
