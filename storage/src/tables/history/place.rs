//! Cuts through a history that no list has handed out: above everything, and beside one attempt.

use super::streams::{Firsts, Laters};
use super::{HistoryPosition, find_first};
use crate::read::Read;
use crate::store::{Direction, StoreError};
use model::{EndpointRef, Seq, UnixMs};

/// The cut just above all attempts that there are: later attempts lie above it.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn newest(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<HistoryPosition, StoreError> {
    let mut cut = HistoryPosition::OLDEST;
    if let Some(first) = Firsts::new(read, target, HistoryPosition::NEWEST.first_below, Direction::Reverse).peek()? {
        cut.first_below = first.seq.next();
    }
    if let Some(later) = Laters::new(read, target, HistoryPosition::NEWEST, Direction::Reverse).peek()? {
        cut.later_before = (later.started_at, later.seq.next());
    }
    Ok(cut)
}

/// The cut beside one attempt, below it or above it: for a caller that knows an attempt and no position. Attempts that
/// started out of the order of their events may lie on the other side of it than in a list that passed them.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn position_at(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    (seq, started_at): (Seq, UnixMs),
    is_above: bool,
) -> Result<HistoryPosition, StoreError> {
    let side = |seq: Seq| if is_above { seq.next() } else { seq };
    if find_first(read, target, seq)?.is_some_and(|(_, first)| first.started_at == started_at) {
        // A further attempt of the same millisecond counts as the newer.
        return Ok(HistoryPosition { first_below: side(seq), later_before: (started_at, Seq::ZERO) });
    }
    Ok(HistoryPosition {
        first_below: first_started_after(read, target, started_at)?,
        later_before: (started_at, side(seq)),
    })
}

/// The position of the first of the first attempts that started after `at`, by halving: they are nearly in order of
/// time.
fn first_started_after(read: &(impl Read + ?Sized), target: EndpointRef, at: UnixMs) -> Result<Seq, StoreError> {
    let newest = Firsts::new(read, target, HistoryPosition::NEWEST.first_below, Direction::Reverse).peek()?.cloned();
    let Some(newest) = newest else { return Ok(Seq::ZERO) };
    let (mut low, mut high) = (0, newest.seq.0 + 1);
    // Everything below `low` started at `at` or before; everything from `high` on started after it.
    while low < high {
        let middle = low + (high - low) / 2;
        match Firsts::new(read, target, Seq(middle), Direction::Forward).peek()? {
            Some(first) if first.started_at <= at => low = first.seq.0 + 1,
            _ => high = middle,
        }
    }
    Ok(Seq(low))
}

#[cfg(test)]
mod tests {
    use super::super::{LastRuns, list_from, put_first, put_later};
    use super::*;
    use crate::rows::attempt_first::run::tests::record;
    use crate::tables::testing::{TestStore, target};

    const HERE: (u32, u32) = (1, 1);

    /// First attempts 1 to 5 at 10, 20, …; further ones of 2 and 4 at 25 and 60.
    fn store() -> TestStore {
        let store = TestStore::default();
        store.write(|txn| {
            let firsts = (1..=5).map(|seq| record(seq, 10 * seq)).collect();
            put_first(txn, &mut LastRuns::default(), target(HERE.0, HERE.1), firsts)?;
            put_later(txn, target(HERE.0, HERE.1), record(2, 25))?;
            put_later(txn, target(HERE.0, HERE.1), record(4, 60))
        });
        store
    }

    fn starts(store: &TestStore, cut: HistoryPosition, direction: Direction) -> Vec<u64> {
        let listed = list_from(store, target(HERE.0, HERE.1), cut, 100, direction).unwrap();
        assert!(listed.is_end);
        listed.records.iter().map(|record| record.started_at.0).collect()
    }

    #[test]
    fn what_comes_after_the_newest_cut_lies_above_it_and_nothing_else() {
        let store = store();
        let cut = newest(&store, target(HERE.0, HERE.1)).unwrap();
        assert_eq!(starts(&store, cut, Direction::Reverse), [60, 50, 40, 30, 25, 20, 10]);
        assert_eq!(starts(&store, cut, Direction::Forward), [0; 0]);
        store.write(|txn| {
            put_first(txn, &mut LastRuns::default(), target(HERE.0, HERE.1), vec![record(6, 70)])?;
            put_later(txn, target(HERE.0, HERE.1), record(1, 80))
        });
        assert_eq!(starts(&store, cut, Direction::Forward), [70, 80]);
        assert_eq!(newest(&TestStore::default(), target(HERE.0, HERE.1)).unwrap(), HistoryPosition::OLDEST);
    }

    #[test]
    fn a_cut_beside_an_attempt_has_the_older_below_and_the_newer_above() {
        let store = store();
        let all = [60, 50, 40, 30, 25, 20, 10];
        for (index, (seq, start)) in [(4, 60), (5, 50), (4, 40), (3, 30), (2, 25), (2, 20), (1, 10)].iter().enumerate()
        {
            let place = (Seq(*seq), UnixMs(*start));
            let below = position_at(&store, target(HERE.0, HERE.1), place, false).unwrap();
            assert_eq!(starts(&store, below, Direction::Reverse), all[index + 1..], "{start}");
            let above = position_at(&store, target(HERE.0, HERE.1), place, true).unwrap();
            let mut newer = all[..index].to_vec();
            newer.reverse();
            assert_eq!(starts(&store, above, Direction::Forward), newer, "{start}");
        }
    }
}
