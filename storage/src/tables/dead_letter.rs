//! Deliveries that were given up, in the order of their events. Each application has an index of them by age, and a
//! count.
//!
//! An application has a quota of them: [`make_room`] is part of each commit that adds some. Only the rows:
//! `settle` sees to it that a delivery with a dead letter has no pending row.

pub(crate) mod kept;
mod room;

use crate::read::Read;
use crate::rows::{dead_letter, dead_letter_by_time};
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, put_value, scan};
use crate::txn::{Txn, Wanted};
use bytes::Bytes;
use kept::Times;
use model::{AppId, DeadLetter, EndpointRef, LetterPlace, Seq};

pub use kept::Kept;
pub use room::{Evicted, make_room};

/// Rows that a count reads at once.
const COUNT_PAGE: usize = 1_000;

/// The dead letter of one delivery.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), target: EndpointRef, seq: Seq) -> Result<Option<DeadLetter>, StoreError> {
    get_row(read, &dead_letter::encode(target, seq), dead_letter::from_value)
}

/// Dead letters of an endpoint in the order of their events (or against it), at most `limit`, those beyond `after`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    after: Option<Seq>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<(Seq, DeadLetter)>, StoreError> {
    let after = after.map(|seq| dead_letter::encode(target, seq));
    let rows = scan(read, &dead_letter::of_endpoint(target).beyond(after, direction), limit, direction)?;
    rows.iter()
        .map(|(key, value)| {
            let (_, seq) = dead_letter::decode(key)?;
            Ok((seq, dead_letter::from_value(value)?))
        })
        .collect()
}

/// Positions of the dead letters of an endpoint in the order of their events, at most `limit`, those beyond `after`: damaged
/// ones too.
///
/// # Errors
/// Whatever the store reports.
pub fn positions(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    after: Option<Seq>,
    limit: usize,
) -> Result<Vec<Seq>, StoreError> {
    let range =
        dead_letter::of_endpoint(target).beyond(after.map(|seq| dead_letter::encode(target, seq)), Direction::Forward);
    let rows = scan(read, &range, limit, Direction::Forward)?;
    rows.iter().map(|(key, _)| Ok(dead_letter::decode(key)?.1)).collect()
}

/// Places of the dead letters of an application, oldest first or newest first, at most `limit`, those beyond `after`.
///
/// # Errors
/// Whatever the store reports.
pub fn list_of_app(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<LetterPlace>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<LetterPlace>, StoreError> {
    let after = after.map(|LetterPlace { at, endpoint, seq }| dead_letter_by_time::encode(app, at, endpoint, seq));
    let rows = scan(read, &dead_letter_by_time::of_app(app).beyond(after, direction), limit, direction)?;
    let place = |key: &[u8]| {
        let (_, at, endpoint, seq) = dead_letter_by_time::decode(key)?;
        Ok(LetterPlace { at, endpoint, seq })
    };
    rows.iter().map(|(key, _)| place(key)).collect()
}

/// The number of dead letters of an endpoint, but never more than `max`: counting reads them.
///
/// # Errors
/// Whatever the store reports.
pub fn count_upto(read: &(impl Read + ?Sized), target: EndpointRef, max: u64) -> Result<u64, StoreError> {
    let mut count = 0;
    let mut after = None;
    while count < max {
        let page = usize::try_from(max - count).unwrap_or(usize::MAX).min(COUNT_PAGE);
        let range = dead_letter::of_endpoint(target).beyond(after.take(), Direction::Forward);
        let rows = scan(read, &range, page, Direction::Forward)?;
        count += rows.len() as u64;
        match rows.last() {
            Some((key, _)) if rows.len() == page => after = Some(key.to_vec()),
            _ => break,
        }
    }
    Ok(count)
}

/// The number of dead letters of an application. It is kept beside them.
///
/// # Errors
/// Whatever the store reports.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<u32, StoreError> {
    count::count_kept(read, Counted::DeadLetters(app))
}

/// The rows that [`put`] and [`remove`] read.
pub fn want(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    wanted.add(dead_letter::encode(target, seq));
    wanted.add(count::row_key(Counted::DeadLetters(target.app)));
}

/// Gives a delivery up.
///
/// # Errors
/// Whatever the store reports.
pub fn put(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, row: &DeadLetter) -> Result<(), StoreError> {
    let key = dead_letter::encode(target, seq);
    match txn.get(&key)? {
        Some(before) => drop_from_index(txn, target, seq, &before),
        None => count::add(txn, Counted::DeadLetters(target.app), 1)?,
    }
    txn.put(dead_letter_by_time::encode(target.app, row.at, target.endpoint, seq), Bytes::new());
    put_value(txn, key, dead_letter::to_value(row))
}

/// Removes a dead letter, if it exists.
///
/// # Errors
/// Whatever the store reports.
pub fn remove(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq) -> Result<(), StoreError> {
    let key = dead_letter::encode(target, seq);
    let Some(before) = txn.get(&key)? else { return Ok(()) };
    drop_from_index(txn, target, seq, &before);
    txn.delete(key);
    count::add(txn, Counted::DeadLetters(target.app), -1)
}

/// Removes a dead letter's entry from the index. The age of a damaged row is not known, so its entry stays:
/// [`make_room`] removes it when its turn comes.
fn drop_from_index(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, row: &[u8]) {
    if let Ok(row) = dead_letter::from_value(row) {
        txn.delete(dead_letter_by_time::encode(target.app, row.at, target.endpoint, seq));
    }
}

/// Looks at the next `limit` dead letters of all endpoints and removes those that are kept no longer.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    kept: Kept,
    limit: usize,
) -> Result<Swept, StoreError> {
    let mut times = Times::new(txn, kept)?;
    let (swept, gone) = sweep::sweep_rows(txn, dead_letter::all(), position, limit, |txn, key, value| {
        let row: DeadLetter = dead_letter::from_value(value)?;
        Ok(row.at < times.of(txn, key)?)
    })?;
    for (key, value) in gone {
        let (target, seq) = dead_letter::decode(&key)?;
        drop_from_index(txn, target, seq, &value);
        count::add(txn, Counted::DeadLetters(target.app), -1)?;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{DeadLetterReason, OutcomeClass, UnixMs};

    fn row(at: u64) -> DeadLetter {
        DeadLetter {
            at: UnixMs(at),
            attempts: 8,
            reason: DeadLetterReason::AttemptsExhausted,
            last_outcome: Some(OutcomeClass::ServerError),
            last_status: 503,
        }
    }

    #[test]
    fn dead_letters_list_in_both_directions_within_their_endpoint() {
        let store = TestStore::default();
        store.write(|txn| {
            put(txn, target(1, 2), Seq(1), &row(0))?;
            [3, 300, 70_000].iter().try_for_each(|seq| put(txn, target(1, 1), Seq(*seq), &row(*seq)))
        });
        let list = |after: Option<u64>, limit, direction| -> Vec<u64> {
            let page = list(&store, target(1, 1), after.map(Seq), limit, direction).unwrap();
            assert!(page.iter().all(|(seq, letter)| *letter == row(seq.0)));
            page.iter().map(|(seq, _)| seq.0).collect()
        };
        assert_eq!(list(None, 9, Direction::Forward), [3, 300, 70_000]);
        assert_eq!(list(Some(3), 1, Direction::Forward), [300]);
        assert_eq!(list(None, 2, Direction::Reverse), [70_000, 300]);
        assert_eq!(list(Some(300), 9, Direction::Reverse), [3]);
        store.write(|txn| remove(txn, target(1, 1), Seq(300)));
        assert_eq!(get(&store, target(1, 1), Seq(300)).unwrap(), None);
        assert_eq!(get(&store, target(1, 1), Seq(3)).unwrap(), Some(row(3)));
    }

    /// Index and count agree with the rows.
    fn agrees(store: &TestStore, app: u32, expected: &[(u64, u32, u64)]) {
        let range = dead_letter_by_time::of_app(AppId(app));
        let index = scan(store, &range, 1_000, Direction::Forward).unwrap();
        let index: Vec<(u64, u32, u64)> = index
            .iter()
            .map(|(key, _)| dead_letter_by_time::decode(key).unwrap())
            .map(|(_, at, endpoint, seq)| (at.0, endpoint.0, seq.0))
            .collect();
        assert_eq!(index, expected);
        assert_eq!(count(store, AppId(app)).unwrap() as usize, expected.len());
    }

    #[test]
    fn index_and_count_follow_whatever_happens_also_twice_in_one_transaction() {
        let store = TestStore::default();
        store.write(|txn| {
            put(txn, target(1, 1), Seq(1), &row(50))?;
            put(txn, target(1, 2), Seq(1), &row(40))?;
            put(txn, target(2, 3), Seq(1), &row(10))?;
            put(txn, target(1, 1), Seq(2), &row(40))
        });
        agrees(&store, 1, &[(40, 1, 2), (40, 2, 1), (50, 1, 1)]);
        agrees(&store, 2, &[(10, 3, 1)]);
        store.write(|txn| {
            put(txn, target(1, 1), Seq(1), &row(60))?;
            remove(txn, target(1, 1), Seq(2))?;
            remove(txn, target(1, 1), Seq(2))?;
            remove(txn, target(1, 1), Seq(99))
        });
        agrees(&store, 1, &[(40, 2, 1), (60, 1, 1)]);
        // A row that two requests of one commit remove is counted once.
        store.write(|txn| {
            remove(txn, target(1, 2), Seq(1))?;
            assert_eq!(
                sweep(txn, None, Kept { time: UnixMs(55), by_server: UnixMs(55) }, 100)?.removed,
                1,
                "that of application 2"
            );
            Ok(())
        });
        agrees(&store, 1, &[(60, 1, 1)]);
        agrees(&store, 2, &[]);
        store.write(|txn| remove(txn, target(1, 1), Seq(1)));
        assert_eq!(store.row_count(), 0);
    }

    #[test]
    fn a_count_stops_at_its_bound_and_crosses_pages() {
        let store = TestStore::default();
        let total = COUNT_PAGE as u64 + 5;
        store.write(|txn| (1..=total).try_for_each(|seq| put(txn, target(1, 1), Seq(seq), &row(seq))));
        let count = |max| count_upto(&store, target(1, 1), max).unwrap();
        assert_eq!((count(0), count(7), count(COUNT_PAGE as u64), count(total + 1)), (0, 7, 1_000, total));
        assert_eq!(count_upto(&store, target(1, 2), 9).unwrap(), 0);
    }
}
