//! Counts of rows that have a quota. A count is a row of its own, written in the commit that changes what it counts.
//!
//! Deliberately no quotas: the caller that adds a row checks its own.

use crate::keys::{KeyKind, KeyRange, meta};
use crate::read::Read;
use crate::store::{Direction, StoreError};
use crate::tables::{get_row, put_row, scan};
use crate::txn::Txn;
use model::AppId;

/// A kind of thing that has a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Endpoints of an application.
    Endpoints(AppId),
    /// Event types of the catalogue.
    EventTypes,
    /// Jobs of an application that a caller asked for and that have more to do.
    RunningJobs(AppId),
    /// Jobs of an application that a caller asked for, ended ones too.
    Jobs(AppId),
}

/// The names of all rows of [`Counted`] begin with this. Persisted.
const COUNT_PREFIX: &str = "count/";

impl Counted {
    // Persisted: never rename.
    fn name(self) -> String {
        match self {
            Counted::Endpoints(app) => format!("{COUNT_PREFIX}endpoints/{app}"),
            Counted::EventTypes => format!("{COUNT_PREFIX}event_types"),
            Counted::RunningJobs(app) => format!("{COUNT_PREFIX}running_jobs/{app}"),
            Counted::Jobs(app) => format!("{COUNT_PREFIX}jobs/{app}"),
        }
    }
}

/// How many there are, as far as was noted. No row means none, or that nobody counted yet: a store of an earlier version,
/// or one that was repaired.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(super) fn count(read: &(impl Read + ?Sized), counted: Counted) -> Result<Option<u32>, StoreError> {
    get_row(read, KeyKind::Meta, &meta::encode(&counted.name()))
}

/// Notes how many there are; none has no row.
pub(super) fn set_count(txn: &mut Txn<'_>, counted: Counted, count: u32) -> Result<(), StoreError> {
    let key = meta::encode(&counted.name());
    if count > 0 {
        return put_row(txn, key, &count);
    }
    txn.delete(key);
    Ok(())
}

/// Changes a count; no row means none.
pub(super) fn add(txn: &mut Txn<'_>, counted: Counted, delta: i64) -> Result<(), StoreError> {
    if delta == 0 {
        return Ok(());
    }
    let count = i64::from(count(txn, counted)?.unwrap_or(0)) + delta;
    set_count(txn, counted, u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

/// Forgets all counts: the next to need one counts.
///
/// # Errors
/// Whatever the store reports.
pub(crate) fn forget_counts(txn: &mut Txn<'_>, limit: usize) -> Result<usize, StoreError> {
    let rows = scan(txn, &KeyRange::prefix(meta::encode(COUNT_PREFIX)), limit, Direction::Forward)?;
    let count = rows.len();
    rows.into_iter().for_each(|(key, _)| txn.delete(key));
    Ok(count)
}
