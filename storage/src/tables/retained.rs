//! The retained bytes, the time that retention goes by, and the time before which attempts were forgotten. Each is a
//! fact about the whole store, in a row of its own.
//!
//! The bytes are those of keys and values. The writer keeps them as the sum of the growth that each transaction notes.
//! Deliberately only events and attempts, nearly all there is: other rows are few, or expire by themselves.

use crate::read::Read;
use crate::rows::meta::{self, Retained};
use crate::store::StoreError;
use crate::tables::{get_row, put_value};
use crate::txn::{Txn, Wanted};
use model::UnixMs;

// Names of rows. Persisted: never rename.
const RETAINED: &str = "retained_bytes";
const CLOCK: &str = "retention_clock";
const FORGOTTEN: &str = "attempts_forgotten_before";

/// The retained bytes, as of the last commit.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized)) -> Result<Retained, StoreError> {
    Ok(get_row(read, &meta::encode(RETAINED), meta::from_value)?.unwrap_or_default())
}

/// The row that [`get`] reads.
pub(crate) fn want(wanted: &mut Wanted) {
    wanted.add(meta::encode(RETAINED));
}

/// Notes the retained bytes: for the writer alone.
pub(crate) fn put(txn: &mut Txn<'_>, retained: Retained) -> Result<(), StoreError> {
    put_value(txn, meta::encode(RETAINED), meta::to_value(&retained))
}

/// The time that retention went by when it was last noted.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn clock(read: &(impl Read + ?Sized)) -> Result<Option<UnixMs>, StoreError> {
    get_row(read, &meta::encode(CLOCK), meta::from_value)
}

/// Notes the time that retention goes by.
///
/// # Errors
/// None today.
pub fn put_clock(txn: &mut Txn<'_>, time: UnixMs) -> Result<(), StoreError> {
    put_value(txn, meta::encode(CLOCK), meta::to_value(&time))
}

/// Attempts that started before this time may have been forgotten; [`UnixMs::ZERO`] when none was for its age.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn attempts_forgotten_before(read: &(impl Read + ?Sized)) -> Result<UnixMs, StoreError> {
    Ok(get_row(read, &meta::encode(FORGOTTEN), meta::from_value)?.unwrap_or(UnixMs::ZERO))
}

/// Notes that attempts that started before this time are being forgotten. The mark never goes back: forgotten attempts
/// stay forgotten, whatever limits are set later.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn note_attempts_forgotten(txn: &mut Txn<'_>, before: UnixMs) -> Result<(), StoreError> {
    if before > attempts_forgotten_before(txn)? {
        put_value(txn, meta::encode(FORGOTTEN), meta::to_value(&before))?;
    }
    Ok(())
}
