//! How much is retained, the time that retention goes by, and how far attempts were forgotten: facts about the whole
//! store, a row each.
//!
//! The bytes are those of keys and values, kept by the writer as the sum of what each transaction says it adds and takes
//! away. Deliberately only events and attempts, nearly all there is: other rows are few, or expire by themselves.

use crate::keys::{KeyKind, meta};
use crate::read::Read;
use crate::store::StoreError;
use crate::tables::{get_row, put_row};
use crate::txn::{Growth, Txn, Wanted};
use bincode::{Decode, Encode};
use model::UnixMs;

// Names of rows. Persisted: never rename.
const RETAINED: &str = "retained_bytes";
const CLOCK: &str = "retention_clock";
const FORGOTTEN: &str = "attempts_forgotten_before";

/// Bytes of what is retained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Retained {
    /// Blocks, chunks, names of events.
    pub events: u64,
    /// Attempts.
    pub attempts: u64,
}

impl Retained {
    /// All of it.
    #[must_use]
    pub fn total(self) -> u64 {
        self.events.saturating_add(self.attempts)
    }

    /// After a commit that grew it so.
    #[must_use]
    pub fn grown(self, growth: Growth) -> Retained {
        Retained {
            events: self.events.saturating_add_signed(growth.events),
            attempts: self.attempts.saturating_add_signed(growth.attempts),
        }
    }
}

/// What is retained, as of the last commit.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized)) -> Result<Retained, StoreError> {
    Ok(get_row(read, KeyKind::Meta, &meta::encode(RETAINED))?.unwrap_or_default())
}

/// The row that [`get`] reads.
pub(crate) fn want(wanted: &mut Wanted) {
    wanted.add(meta::encode(RETAINED));
}

/// Notes what is retained: for the writer alone.
pub(crate) fn put(txn: &mut Txn<'_>, retained: Retained) -> Result<(), StoreError> {
    put_row(txn, meta::encode(RETAINED), &retained)
}

/// The time that retention went by when it was last noted.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn clock(read: &(impl Read + ?Sized)) -> Result<Option<UnixMs>, StoreError> {
    get_row(read, KeyKind::Meta, &meta::encode(CLOCK))
}

/// Notes that time.
///
/// # Errors
/// None today.
pub fn put_clock(txn: &mut Txn<'_>, time: UnixMs) -> Result<(), StoreError> {
    put_row(txn, meta::encode(CLOCK), &time)
}

/// Attempts that started before this time may have been forgotten; [`UnixMs::ZERO`] when none was for its age.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn attempts_forgotten_before(read: &(impl Read + ?Sized)) -> Result<UnixMs, StoreError> {
    Ok(get_row(read, KeyKind::Meta, &meta::encode(FORGOTTEN))?.unwrap_or(UnixMs::ZERO))
}

/// Notes that attempts that started before this time are being forgotten. The mark never goes back: what is forgotten
/// stays so, whatever limits are set later.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn note_attempts_forgotten(txn: &mut Txn<'_>, before: UnixMs) -> Result<(), StoreError> {
    if before > attempts_forgotten_before(txn)? {
        put_row(txn, meta::encode(FORGOTTEN), &before)?;
    }
    Ok(())
}
