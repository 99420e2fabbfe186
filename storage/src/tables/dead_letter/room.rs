//! Room for dead letters: when an application has more than its quota, its oldest are removed.
//!
//! A dead letter cannot be refused, because its delivery has already been given up; and the oldest is of least use. The
//! attempts of its delivery stay in the history.
//!
//! - *Bound:* one commit removes at most [`TRIMMED_MIN`] and twice as many as it adds. After the operator lowered the
//!   quota, an application comes down to it over several commits.

use super::{get, remove};
use crate::read::Read;
use crate::rows::{dead_letter, dead_letter_by_time};
use crate::store::{Direction, StoreError, Write};
use crate::tables::count::{self, Counted};
use crate::tables::scan;
use crate::txn::Txn;
use bytes::Bytes;
use model::{AppId, EndpointRef};

/// Dead letters of an application that a commit may remove beyond twice as many as it adds.
const TRIMMED_MIN: u32 = 64;

/// Entries of the index looked at in one step.
const PAGE: usize = 256;

/// Dead letters that made room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The application that had them.
    pub app: AppId,
    /// The number of dead letters that were removed.
    pub count: u32,
}

/// Removes the oldest dead letters of each application that this transaction leaves with more than `most`. Those of
/// earlier commits go first, then those of this one. Call it at the end of a commit, when the transaction holds every
/// row of it. A commit without a dead letter costs one look at the transaction.
///
/// # Errors
/// Whatever the store reports.
pub fn make_room(txn: &mut Txn<'_>, most: u32) -> Result<Vec<Evicted>, StoreError> {
    let mut all = Vec::new();
    for (app, before, after) in count::dead_letters_changed(txn)? {
        let grown = after.saturating_sub(before);
        let excess = after.saturating_sub(most).min(grown.saturating_mul(2).saturating_add(TRIMMED_MIN));
        if excess > 0 {
            let count = remove_oldest(txn, app, excess)?;
            all.push(Evicted { app, count });
        }
    }
    Ok(all)
}

/// Removes up to `wanted` dead letters of an application; answers how many it removed.
fn remove_oldest(txn: &mut Txn<'_>, app: AppId, wanted: u32) -> Result<u32, StoreError> {
    let (mut removed, mut range) = (0, dead_letter_by_time::of_app(app));
    loop {
        // The scan shows the store, so it may show entries that this transaction has removed already.
        let page = scan(txn, &range, PAGE, Direction::Forward)?;
        for (entry, _) in &page {
            if removed == wanted {
                return Ok(removed);
            }
            removed += u32::from(remove_entry(txn, entry)?);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => range = range.beyond(Some(last.to_vec()), Direction::Forward),
            _ => break,
        }
    }
    for (entry, write) in txn.written(&dead_letter_by_time::of_app(app)) {
        if removed == wanted {
            break;
        }
        if matches!(write, Write::Put(_)) {
            removed += u32::from(remove_entry(txn, &entry)?);
        }
    }
    Ok(removed)
}

/// Removes an entry and the dead letter that it leads to; answers `true` if there was one.
fn remove_entry(txn: &mut Txn<'_>, entry: &Bytes) -> Result<bool, StoreError> {
    if txn.get(entry)?.is_none() {
        return Ok(false);
    }
    txn.delete(entry.clone());
    let Ok((app, at, endpoint, seq)) = dead_letter_by_time::decode(entry) else { return Ok(false) };
    let target = EndpointRef { app, endpoint };
    match get(txn, target, seq) {
        Ok(Some(letter)) if letter.at == at => remove(txn, target, seq)?,
        // The entry leads nowhere: the dead letter is gone, or was given up again since and has another entry.
        Ok(_) => return Ok(false),
        Err(StoreError::CorruptRow { .. }) => {
            txn.delete(dead_letter::encode(target, seq));
            count::add(txn, Counted::DeadLetters(target.app), -1)?;
        }
        Err(error) => return Err(error),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::{count, list, put};
    use super::*;
    use crate::tables::testing::{TestStore, letter, target};
    use model::{EndpointId, Seq, UnixMs};

    /// The positions that are left of an endpoint of application 1.
    fn left(store: &TestStore, endpoint: u32) -> Vec<u64> {
        let rows = list(store, target(1, endpoint), None, 10_000, Direction::Forward).unwrap();
        rows.iter().map(|(seq, _)| seq.0).collect()
    }

    #[test]
    fn the_oldest_of_an_application_goes_whichever_endpoint_it_is_of() {
        let store = TestStore::default();
        store.write(|txn| {
            put(txn, target(1, 2), Seq(10), &letter(1))?;
            put(txn, target(1, 1), Seq(11), &letter(2))?;
            put(txn, target(2, 9), Seq(1), &letter(0))?;
            put(txn, target(1, 1), Seq(12), &letter(3))
        });
        store.write(|txn| {
            put(txn, target(1, 1), Seq(9), &letter(4))?;
            assert_eq!(make_room(txn, 3)?, [Evicted { app: AppId(1), count: 1 }]);
            Ok(())
        });
        assert_eq!((left(&store, 1), left(&store, 2)), (vec![9, 11, 12], vec![]));
        assert_eq!((count(&store, AppId(1)).unwrap(), count(&store, AppId(2)).unwrap()), (3, 1));
        assert_eq!(get(&store, target(2, 9), Seq(1)).unwrap(), Some(letter(0)));
    }

    #[test]
    fn more_than_there_may_be_in_one_commit_leaves_its_newest() {
        let store = TestStore::default();
        store.write(|txn| (1..=300).try_for_each(|seq| put(txn, target(1, 1), Seq(seq), &letter(seq))));
        store.write(|txn| {
            // Rows that the same commit has removed are not removed again to make room.
            (1..=280).try_for_each(|seq| remove(txn, target(1, 1), Seq(seq)))?;
            (301..=700).try_for_each(|seq| put(txn, target(1, 1), Seq(seq), &letter(seq)))?;
            assert_eq!(make_room(txn, 300)?, [Evicted { app: AppId(1), count: 120 }]);
            Ok(())
        });
        assert_eq!(left(&store, 1), (401..=700).collect::<Vec<u64>>());
        assert_eq!(count(&store, AppId(1)).unwrap(), 300);
    }

    #[test]
    fn a_lowered_quota_is_reached_little_by_little_and_nothing_goes_without_need() {
        let store = TestStore::default();
        store.write(|txn| (1..=1_000).try_for_each(|seq| put(txn, target(1, 1), Seq(seq), &letter(seq))));
        let mut gone = Vec::new();
        for seq in 1_001..=1_020 {
            store.write(|txn| {
                put(txn, target(1, 1), Seq(seq), &letter(seq))?;
                gone.push(make_room(txn, 100)?.first().map_or(0, |evicted| evicted.count));
                Ok(())
            });
        }
        assert_eq!(gone[..2], [66, 66]);
        assert_eq!((gone[18], gone[19], left(&store, 1).len()), (1, 1, 100));
        store.write(|txn| {
            remove(txn, target(1, 1), Seq(1_000))?;
            assert_eq!(make_room(txn, 100)?, []);
            Ok(())
        });
    }

    #[test]
    fn an_entry_that_leads_nowhere_goes_and_a_damaged_dead_letter_makes_room() {
        let store = TestStore::default();
        store.write(|txn| {
            (1..=3).try_for_each(|seq| put(txn, target(1, 1), Seq(seq), &letter(seq)))?;
            txn.put(dead_letter_by_time::encode(AppId(1), UnixMs(0), EndpointId(1), Seq(9)), Bytes::new());
            txn.put(dead_letter::encode(target(1, 1), Seq(1)), "damaged");
            Ok(())
        });
        store.write(|txn| {
            put(txn, target(1, 1), Seq(4), &letter(4))?;
            assert_eq!(make_room(txn, 2)?, [Evicted { app: AppId(1), count: 2 }]);
            Ok(())
        });
        assert_eq!((left(&store, 1), count(&store, AppId(1)).unwrap()), (vec![3, 4], 2));
        let entries = scan(&store, &dead_letter_by_time::of_app(AppId(1)), 10, Direction::Forward).unwrap();
        assert_eq!(entries.len(), 2);
    }
}
