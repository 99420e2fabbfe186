//! The recount: counts the dead letters and idempotency keys of a store that has no such counts. It also makes the index
//! of dead letters by age.
//!
//! Such a store is of an earlier version, or was repaired. Every other start finds the row that a recount ends with, and
//! reads no further. *When the process dies here:* that row is written last, so the next start begins anew.

use super::count::{self, CountPosition, Counted};
use super::scan;
use crate::rows::{self, KeyRange};
use crate::store::{Direction, Store, StoreError};
use crate::txn::Txn;
use bytes::Bytes;
use model::AppId;

/// Rows looked at, and at most written, in one step.
const PAGE: usize = 4_096;

/// Counts, unless this store has its counts. Call it before anything else writes to the store. Blocks while it
/// reads every dead letter and idempotency key.
///
/// # Errors
/// Whatever the store reports.
pub fn run(store: &dyn Store) -> Result<(), StoreError> {
    if count::is_complete(store)? {
        return Ok(());
    }
    forget_counts(store)?;
    each_page(store, rows::dead_letter_by_time::all(), |txn, rows| {
        rows.iter().for_each(|(key, _)| txn.delete(key.clone()));
        Ok(())
    })?;
    let (mut letters, mut found) = (Tally::new(Counted::DeadLetters), 0u64);
    each_page(store, rows::dead_letter::all(), |txn, rows| {
        for (key, value) in rows {
            let (target, seq) = rows::dead_letter::decode(key)?;
            letters.add(txn, target.app)?;
            // A damaged dead letter is counted. Its age is not known, so it has no entry.
            if let Ok(row) = rows::dead_letter::from_value(value) {
                txn.put(rows::dead_letter_by_time::encode(target.app, row.at, target.endpoint, seq), Bytes::new());
            }
        }
        found += rows.len() as u64;
        Ok(())
    })?;
    let mut remembered = Tally::new(Counted::IdempotencyKeys);
    each_page(store, rows::idempotency::all(), |txn, rows| {
        found += rows.len() as u64;
        rows.iter().try_for_each(|(key, _)| remembered.add(txn, rows::idempotency::decode(key)?.0))
    })?;
    let mut scheduled = Tally::new(Counted::ScheduledMessages);
    each_page(store, rows::scheduled::all(), |txn, rows| {
        found += rows.len() as u64;
        rows.iter().try_for_each(|(key, _)| scheduled.add(txn, rows::scheduled::decode(key)?.0))
    })?;
    if found > 0 {
        tracing::info!(rows = found, "dead letters, idempotency keys and scheduled messages were counted");
    }
    let mut txn = Txn::new(store);
    letters.note(&mut txn)?;
    remembered.note(&mut txn)?;
    scheduled.note(&mut txn)?;
    count::note_complete(&mut txn)?;
    store.apply(txn.into_parts().batch)
}

/// Removes the counts that an unfinished recount left behind.
fn forget_counts(store: &dyn Store) -> Result<(), StoreError> {
    let mut after: Option<CountPosition> = None;
    loop {
        let (counts, next) = count::list_counts(store, after, PAGE)?;
        let mut txn = Txn::new(store);
        for (counted, _) in counts {
            if !matches!(
                counted,
                Counted::Endpoints(_) | Counted::EventTypes | Counted::RunningJobs(_) | Counted::Jobs(_)
            ) {
                count::set_count(&mut txn, counted, 0)?;
            }
        }
        commit(store, txn)?;
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Rows by application, which come in the order of applications.
struct Tally {
    of: fn(AppId) -> Counted,
    current: Option<(AppId, u32)>,
}

impl Tally {
    fn new(of: fn(AppId) -> Counted) -> Tally {
        Tally { of, current: None }
    }

    fn add(&mut self, txn: &mut Txn<'_>, app: AppId) -> Result<(), StoreError> {
        match &mut self.current {
            Some((current, count)) if *current == app => *count = count.saturating_add(1),
            _ => {
                self.note(txn)?;
                self.current = Some((app, 1));
            }
        }
        Ok(())
    }

    fn note(&self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let Some((app, count)) = self.current else { return Ok(()) };
        count::set_count(txn, (self.of)(app), count)
    }
}

/// Shows every row of a range, a page and a commit at a time.
fn each_page(
    store: &dyn Store,
    mut range: KeyRange,
    mut each: impl FnMut(&mut Txn<'_>, &[(Bytes, Bytes)]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    loop {
        let mut txn = Txn::new(store);
        let rows = scan(&txn, &range, PAGE, Direction::Forward)?;
        each(&mut txn, &rows)?;
        commit(store, txn)?;
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE => range = range.beyond(Some(last.to_vec()), Direction::Forward),
            _ => return Ok(()),
        }
    }
}

fn commit(store: &dyn Store, txn: Txn<'_>) -> Result<(), StoreError> {
    if txn.is_empty() { Ok(()) } else { store.apply(txn.into_parts().batch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::idempotency::Remembered;
    use crate::tables::testing::{TestStore, letter, target};
    use crate::tables::{dead_letter, idempotency};
    use model::{EndpointId, Seq, UnixMs};

    fn all(store: &TestStore) -> Vec<(Bytes, Bytes)> {
        Store::scan(store, &[0], &[0xff], usize::MAX, Direction::Forward).unwrap()
    }

    fn remember(txn: &mut Txn<'_>, app: u32, key: &str) -> Result<(), StoreError> {
        let row = Remembered { seq: Seq(1), accepted_at: UnixMs(1), fingerprint: [0; 16], expires_at: UnixMs(9) };
        idempotency::find(txn, AppId(app), key)?.remember(txn, &row, 9).map(|taken| assert!(taken))
    }

    #[test]
    fn a_store_without_counts_gets_those_and_the_index_that_it_would_have() {
        let store = TestStore::default();
        run(&store).unwrap();
        store.write(|txn| {
            for (app, seq) in [(1, 1), (1, 2), (2, 1), (7, 3)] {
                dead_letter::put(txn, target(app, 1), Seq(seq), &letter(seq))?;
            }
            (0..5).try_for_each(|n| remember(txn, 2 + n % 2, &format!("key {n}")))
        });
        let as_written = all(&store);
        // The state of a store before there were counts, and after a recount that did not end.
        store.write(|txn| {
            count::forget_counts(txn, 100)?;
            for (key, _) in scan(txn, &rows::dead_letter_by_time::all(), 100, Direction::Forward)? {
                txn.delete(key);
            }
            count::set_count(txn, Counted::DeadLetters(AppId(99)), 5)?;
            txn.put(rows::dead_letter_by_time::encode(AppId(9), UnixMs(1), EndpointId(9), Seq(1)), Bytes::new());
            Ok(())
        });
        run(&store).unwrap();
        assert_eq!(all(&store), as_written);
        run(&store).unwrap();
        assert_eq!(all(&store), as_written);
    }

    #[test]
    fn more_than_a_page_of_one_application_is_one_count() {
        let store = TestStore::default();
        let many = PAGE as u64 + 3;
        store.write(|txn| (1..=many).try_for_each(|seq| dead_letter::put(txn, target(1, 1), Seq(seq), &letter(seq))));
        store.write(|txn| count::forget_counts(txn, 100).map(drop));
        run(&store).unwrap();
        assert_eq!(u64::from(dead_letter::count(&store, AppId(1)).unwrap()), many);
    }
}
