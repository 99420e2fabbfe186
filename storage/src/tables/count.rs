//! Counts of rows that have a quota. A count is a row of its own, written in the commit that changes the counted rows.
//!
//! No quotas: the caller that adds a row checks its own.

use crate::read::Read;
use crate::rows::{KeyRange, meta};
use crate::store::{Direction, StoreError, Write};
use crate::tables::{get_row, put_value, scan};
use crate::txn::Txn;
use bytes::Bytes;
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
    /// Dead letters of an application.
    DeadLetters(AppId),
    /// Remembered idempotency keys of an application, including expired ones that retention has not removed yet.
    IdempotencyKeys(AppId),
    /// Messages of an application whose time has not come.
    ScheduledMessages(AppId),
}

/// The names of all rows of [`Counted`] begin with this. Persisted.
const COUNT_PREFIX: &str = "count/";

/// The names of the rows of [`Counted::DeadLetters`] begin with this.
const DEAD_LETTERS_PREFIX: &str = "count/dead_letters/";

/// The row that says that all dead letters and idempotency keys are counted. It lies among the counts, so that
/// [`forget_counts`] forgets it with them. Persisted.
const COMPLETE: &str = "count/complete";

impl Counted {
    // Persisted: never rename.
    fn name(self) -> String {
        match self {
            Counted::Endpoints(app) => format!("{COUNT_PREFIX}endpoints/{app}"),
            Counted::EventTypes => format!("{COUNT_PREFIX}event_types"),
            Counted::RunningJobs(app) => format!("{COUNT_PREFIX}running_jobs/{app}"),
            Counted::Jobs(app) => format!("{COUNT_PREFIX}jobs/{app}"),
            Counted::DeadLetters(app) => format!("{COUNT_PREFIX}dead_letters/{app}"),
            Counted::IdempotencyKeys(app) => format!("{COUNT_PREFIX}idempotency_keys/{app}"),
            Counted::ScheduledMessages(app) => format!("{COUNT_PREFIX}scheduled_messages/{app}"),
        }
    }

    fn of_name(name: &str) -> Option<Counted> {
        let name = name.strip_prefix(COUNT_PREFIX)?;
        let Some((kind, app)) = name.split_once('/') else {
            return (name == "event_types").then_some(Counted::EventTypes);
        };
        let app = AppId(app.parse().ok()?);
        Some(match kind {
            "endpoints" => Counted::Endpoints(app),
            "running_jobs" => Counted::RunningJobs(app),
            "jobs" => Counted::Jobs(app),
            "dead_letters" => Counted::DeadLetters(app),
            "idempotency_keys" => Counted::IdempotencyKeys(app),
            "scheduled_messages" => Counted::ScheduledMessages(app),
            _ => return None,
        })
    }
}

/// The position at which a list of counts goes on.
#[derive(Clone, Debug)]
pub struct CountPosition(Vec<u8>);

/// Some counts, and the position to go on from, if there may be more.
pub type CountPage = (Vec<(Counted, u32)>, Option<CountPosition>);

/// The next `limit` counts of all applications.
///
/// # Errors
/// Whatever the store reports. A row that cannot be read is passed by.
pub fn list_counts(
    read: &(impl Read + ?Sized),
    after: Option<CountPosition>,
    limit: usize,
) -> Result<CountPage, StoreError> {
    let range = all_counts().beyond(after.map(|position| position.0), Direction::Forward);
    let rows = scan(read, &range, limit, Direction::Forward)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(key, _)| CountPosition(key.to_vec()));
    let counts = rows.iter().filter_map(|(key, value)| {
        let counted = Counted::of_name(&meta::decode(key).ok()?)?;
        Some((counted, meta::from_value(value).ok()?))
    });
    Ok((counts.collect(), next))
}

fn all_counts() -> KeyRange {
    KeyRange::prefix(meta::encode(COUNT_PREFIX))
}

/// The key of the row.
pub(super) fn row_key(counted: Counted) -> Vec<u8> {
    meta::encode(&counted.name())
}

/// The count, if it has a row. No row means none, or not counted yet: a store of an earlier version, or a repaired one.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(super) fn count(read: &(impl Read + ?Sized), counted: Counted) -> Result<Option<u32>, StoreError> {
    get_row(read, &row_key(counted), meta::from_value)
}

/// Sets a count; none has no row.
pub(super) fn set_count(txn: &mut Txn<'_>, counted: Counted, count: u32) -> Result<(), StoreError> {
    let key = row_key(counted);
    if count > 0 {
        return put_value(txn, key, meta::to_value(&count));
    }
    txn.delete(key);
    Ok(())
}

/// As [`count`], for a count that the recount or the first row began: no row means none. A damaged row counts as none
/// too, so that it stops neither the writer nor a request.
pub(super) fn count_kept(read: &(impl Read + ?Sized), counted: Counted) -> Result<u32, StoreError> {
    match count(read, counted) {
        Ok(count) => Ok(count.unwrap_or(0)),
        Err(StoreError::CorruptRow { detail, .. }) => {
            tracing::error!(?counted, detail, "a count is damaged and begins anew");
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// Changes a count that [`count_kept`] reads.
pub(super) fn add(txn: &mut Txn<'_>, counted: Counted, delta: i64) -> Result<(), StoreError> {
    if delta == 0 {
        return Ok(());
    }
    let count = i64::from(count_kept(txn, counted)?) + delta;
    set_count(txn, counted, u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

/// Forgets the counts of a deleted application's dead letters and idempotency keys; answers how many rows that were.
pub(super) fn forget_kept(txn: &mut Txn<'_>, app: AppId) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    for counted in [Counted::DeadLetters(app), Counted::IdempotencyKeys(app), Counted::ScheduledMessages(app)] {
        let key = row_key(counted);
        if txn.get(&key)?.is_some() {
            txn.delete(key);
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// The applications whose count of dead letters a transaction has changed, with the count before it and now. An
/// application with none left is not listed.
pub(super) fn dead_letters_changed(txn: &Txn<'_>) -> Result<Vec<(AppId, u32, u32)>, StoreError> {
    let written = txn.written(&KeyRange::prefix(meta::encode(DEAD_LETTERS_PREFIX)));
    let number = |value: &Bytes| meta::from_value::<u32>(value).unwrap_or(0);
    let mut changed = Vec::with_capacity(written.len());
    for (key, write) in written {
        let Some(Counted::DeadLetters(app)) = Counted::of_name(&meta::decode(&key)?) else { continue };
        let Write::Put(after) = write else { continue };
        let before = txn.committed(&key)?.map_or(0, |before| number(&before));
        changed.push((app, before, number(&after)));
    }
    Ok(changed)
}

/// Forgets up to `limit` counts, so that they are counted anew; answers how many it forgot.
///
/// # Errors
/// Whatever the store reports.
pub(crate) fn forget_counts(txn: &mut Txn<'_>, limit: usize) -> Result<usize, StoreError> {
    let rows = scan(txn, &all_counts(), limit, Direction::Forward)?;
    let count = rows.len();
    rows.into_iter().for_each(|(key, _)| txn.delete(key));
    Ok(count)
}

/// True if all dead letters and idempotency keys are counted: see [`super::recount`].
pub(super) fn is_complete(read: &(impl Read + ?Sized)) -> Result<bool, StoreError> {
    Ok(read.get(&meta::encode(COMPLETE))?.is_some())
}

/// Notes that all dead letters and idempotency keys are counted.
pub(super) fn note_complete(txn: &mut Txn<'_>) -> Result<(), StoreError> {
    put_value(txn, meta::encode(COMPLETE), meta::to_value(&1u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;

    #[test]
    fn every_count_is_listed_as_what_it_counts_page_by_page() {
        let (store, app) = (TestStore::default(), AppId(70));
        let all = [
            (Counted::DeadLetters(app), 1),
            (Counted::Endpoints(AppId(7)), 2),
            (Counted::EventTypes, 3),
            (Counted::IdempotencyKeys(app), 4),
            (Counted::Jobs(app), 5),
            (Counted::RunningJobs(app), 6),
            (Counted::ScheduledMessages(app), 7),
        ];
        store.write(|txn| {
            note_complete(txn)?;
            all.iter().try_for_each(|(counted, count)| set_count(txn, *counted, *count))
        });
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = list_counts(&store, after, 2).unwrap();
            assert!(page.len() <= 2);
            listed.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, all);
    }

    #[test]
    fn a_count_is_never_below_none_and_a_damaged_one_begins_anew() {
        let (store, counted) = (TestStore::default(), Counted::DeadLetters(AppId(1)));
        store.write(|txn| add(txn, counted, 3));
        store.write(|txn| add(txn, counted, -5));
        assert_eq!((count_kept(&store, counted).unwrap(), store.row_count()), (0, 0));
        store.write(|txn| {
            txn.put(meta::encode(&counted.name()), "damaged");
            Ok(())
        });
        assert!(count(&store, counted).is_err());
        store.write(|txn| add(txn, counted, 2));
        assert_eq!(count_kept(&store, counted).unwrap(), 2);
    }
}
