//! The rows of one lap in memory, and the two such tables that reads go through before they reach the disk.
//!
//! - *Who owns the state:* the writer fills the active table; the frozen one does not change and is dropped when the
//!   checkpoint says so.
//! - *What bounds it:* a table shares the memory of its lap's records, so it holds no more than they do, plus
//!   [`ROW_BYTES`] a row. The writer turns to the next lap before either passes the limit of a log file.
//! - *What a reader may hold up:* locks are held for work in memory only, a bounded number of rows at a time. Nobody
//!   waits here for a disk.
//!
//! Reads return copies: a caller that keeps a row would otherwise keep the whole commit that it came with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;

use super::row_key::RowKey;
use crate::store::rows::Rows;
use crate::store::{Direction, Write};

/// Memory of a row beside its bytes, which are the record's: two handles of 32 bytes and the beginning of the key, in a
/// tree whose nodes are at least half full.
pub(crate) const ROW_BYTES: usize = 160;

/// Rows written, or read, under one hold of a table's lock.
const ROWS_AT_ONCE: usize = 128;

/// Rows by key.
pub(crate) type RowMap = BTreeMap<Bytes, Write>;

/// The rows of one lap.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: RwLock<BTreeMap<RowKey, Write>>,
}

/// A table that is on its way to the disk.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    /// Its rows; they do not change any more.
    pub(crate) table: Arc<Table>,
    /// The last commit in it.
    pub(crate) last_commit: u64,
}

#[derive(Debug, Default)]
struct Both {
    active: Arc<Table>,
    frozen: Option<Frozen>,
}

/// The active table and, while a checkpoint runs, the frozen one.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    both: RwLock<Both>,
}

// === impl Table ===

impl Table {
    /// Sets these rows and says how many there are now. A reader may see a part of them before this returns.
    pub(crate) fn write(&self, rows: Rows) -> usize {
        let mut rows = rows.into_iter();
        loop {
            let mut table = self.rows.write().unwrap_or_else(PoisonError::into_inner);
            table.extend(rows.by_ref().take(ROWS_AT_ONCE).map(|(key, write)| (RowKey::from(key), write)));
            if rows.len() == 0 {
                return table.len();
            }
        }
    }

    /// The last write to `key`, if it was in this table's lap.
    fn get(&self, key: &RowKey) -> Option<Write> {
        self.rows().get(key).map(copy)
    }

    /// All rows, held still.
    pub(crate) fn rows(&self) -> RwLockReadGuard<'_, BTreeMap<RowKey, Write>> {
        // A panic of a writer cannot leave the map in disorder: BTreeMap is safe, and the store stops then.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn copy(write: &Write) -> Write {
    match write {
        Write::Put(value) => Write::Put(Bytes::copy_from_slice(value)),
        Write::Delete => Write::Delete,
    }
}

// === impl Layers ===

impl Layers {
    /// The answer of the two tables for `key`; `None`: ask the disk.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Write> {
        let key = RowKey::from(key);
        let both = self.read();
        both.active.get(&key).or_else(|| both.frozen.as_ref()?.table.get(&key))
    }

    /// The active table and the frozen one, as they are at one moment. Take them before reading the disk: a table that
    /// goes meanwhile is on the disk by then.
    pub(crate) fn now(&self) -> (Arc<Table>, Option<Arc<Table>>) {
        let both = self.read();
        (both.active.clone(), both.frozen.as_ref().map(|frozen| frozen.table.clone()))
    }

    /// The table to fill. Only the writer changes which one that is.
    pub(crate) fn active(&self) -> Arc<Table> {
        self.read().active.clone()
    }

    /// Makes the active table, which ends with `last_commit`, the frozen one, and an empty one the active one. There
    /// must be no frozen one.
    pub(crate) fn freeze(&self, last_commit: u64) -> Frozen {
        let mut both = self.both.write().unwrap_or_else(PoisonError::into_inner);
        assert!(both.frozen.is_none(), "a lap begins only after the checkpoint of the one before the last");
        let frozen = Frozen { table: std::mem::take(&mut both.active), last_commit };
        both.frozen = Some(frozen.clone());
        frozen
    }

    /// Lets go of the frozen table: the disk has its rows.
    pub(crate) fn thaw(&self) {
        let frozen = self.both.write().unwrap_or_else(PoisonError::into_inner).frozen.take();
        // Freed here, after the lock: it is many rows.
        drop(frozen);
    }

    fn read(&self) -> RwLockReadGuard<'_, Both> {
        self.both.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of a table with keys in `[start, end)`, read a few at a time, so that the writer gets in between.
pub(crate) struct Range {
    table: Arc<Table>,
    from: Bound<RowKey>,
    to: Bound<RowKey>,
    direction: Direction,
    read: std::vec::IntoIter<(RowKey, Write)>,
    rows_at_once: usize,
    ended: bool,
}

impl Range {
    /// `start` must be below `end`. `expected` is how many rows are likely to be taken.
    pub(crate) fn new(table: Arc<Table>, start: &[u8], end: &[u8], expected: usize, direction: Direction) -> Self {
        Self {
            table,
            from: Bound::Included(RowKey::from(start)),
            to: Bound::Excluded(RowKey::from(end)),
            direction,
            read: Vec::new().into_iter(),
            rows_at_once: expected.clamp(1, ROWS_AT_ONCE),
            ended: false,
        }
    }

    fn read_on(&mut self) {
        let rows: Vec<_> = {
            let table = self.table.rows();
            let range = table.range((self.from.as_ref(), self.to.as_ref()));
            let handles = |(key, write): (&RowKey, &Write)| (key.clone(), write.clone());
            match self.direction {
                Direction::Forward => range.take(self.rows_at_once).map(handles).collect(),
                Direction::Reverse => range.rev().take(self.rows_at_once).map(handles).collect(),
            }
        };
        self.ended = rows.len() < self.rows_at_once;
        self.rows_at_once = ROWS_AT_ONCE;
        if let Some((last, _)) = rows.last() {
            let reached = Bound::Excluded(last.clone());
            match self.direction {
                Direction::Forward => self.from = reached,
                Direction::Reverse => self.to = reached,
            }
        }
        self.read = rows.into_iter();
    }
}

impl Iterator for Range {
    type Item = (Bytes, Write);

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.len() == 0 && !self.ended {
            self.read_on();
        }
        self.read.next().map(|(key, write)| (Bytes::copy_from_slice(key.bytes()), copy(&write)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: impl Iterator<Item = u32>) -> Rows {
        keys.map(|key| (Bytes::from(key.to_be_bytes().to_vec()), Write::Put(Bytes::from(vec![key as u8])))).collect()
    }

    #[test]
    fn a_range_is_whole_whatever_is_read_at_once() {
        let table = Arc::new(Table::default());
        assert_eq!(table.write(rows(0..1000)), 1000);
        let (start, end) = (5u32.to_be_bytes(), 905u32.to_be_bytes());
        for expected in [0, 1, 7, ROWS_AT_ONCE, 900, usize::MAX] {
            for direction in [Direction::Forward, Direction::Reverse] {
                let mut found: Rows = Range::new(table.clone(), &start, &end, expected, direction).collect();
                if direction == Direction::Reverse {
                    found.reverse();
                }
                assert_eq!(found, rows(5..905), "{expected} {direction:?}");
            }
        }
    }

    #[test]
    fn the_active_table_hides_the_frozen_one_until_that_goes() {
        let layers = Layers::default();
        let row = |write| vec![(Bytes::from("k"), write)];
        layers.active().write(row(Write::Put("old".into())));
        assert_eq!(layers.freeze(3).last_commit, 3);
        assert_eq!(layers.get(b"k"), Some(Write::Put("old".into())));
        layers.active().write(row(Write::Delete));
        assert_eq!(layers.get(b"k"), Some(Write::Delete));
        assert_eq!(layers.get(b"other"), None);
        let (active, frozen) = layers.now();
        layers.thaw();
        assert!(layers.now().1.is_none());
        assert_eq!((active.rows().len(), frozen.unwrap().rows().len()), (1, 1), "who reads keeps what it reads");
    }
}
