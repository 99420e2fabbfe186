//! How much is retained, the time that retention goes by, and how far attempts were forgotten: facts about the whole
//! store, a row each.
//!
//! The bytes are those of keys and values, kept by the writer as the sum of what each transaction says it adds and takes
//! away. Deliberately only events and attempts, nearly all there is: other rows are few, or expire by themselves.

use crate::read::Read;
use crate::rows::meta::{self, Retained};
use crate::store::StoreError;
use crate::tables::{get_row, put_value};
use crate::txn::Txn;
use model::UnixMs;

// Names of rows. Persisted: never rename.
const RETAINED: &str = "retained_bytes";
const CLOCK: &str = "retention_clock";
const FORGOTTEN: &str = "attempts_forgotten_before";

/// What is retained, as of the last commit.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized)) -> Result<Retained, StoreError> {
    Ok(get_row(read, &meta::encode(RETAINED), meta::from_value)?.unwrap_or_default())
}

/// Notes what is retained: for the writer alone.
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

/// Notes that time.
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

/// Notes that attempts that started before this time are being forgotten. The mark never goes back: what is forgotten
/// stays so, whatever limits are set later.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn note_attempts_forgotten(txn: &mut Txn<'_>, before: UnixMs) -> Result<(), StoreError> {
    if before > attempts_forgotten_before(txn)? {
        put_value(txn, meta::encode(FORGOTTEN), meta::to_value(&before))?;
    }
    Ok(())
}
