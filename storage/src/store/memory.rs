//! The model: a `BTreeMap` behind a lock, with faults on order. It powers tests and simulation, and says by being short
//! what the real store must do. It keeps nothing beyond its process.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use bytes::Bytes;

use super::{Batch, Direction, Poison, Store, StoreError, Tail, Write, rows};

type Rows = BTreeMap<Bytes, Bytes>;

/// The fate of a batch whose `apply` failed, as the next start finds it. Both happen in the field, so both are worth a
/// test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The batch did not reach the disk.
    Lost,
    /// The batch reached the disk, only its acknowledgement was lost.
    Kept,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    applies_before: u64,
    outcome: FaultOutcome,
}

#[derive(Debug, Default)]
struct State {
    rows: Rows,
    fault: Option<Fault>,
    /// Another owner has the rows: nothing is written here any more.
    fenced: bool,
    last_commit: u64,
    tail: Weak<Tail>,
}

/// A [`Store`] in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: RwLock<State>,
    poison: Poison,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `nth` non-empty `apply` from now fail as a dying disk would (1 is the next one; 0 counts as 1). The
    /// store is poisoned from then on.
    pub fn fail_nth_apply(&self, nth: u64, outcome: FaultOutcome) {
        self.write().fault = Some(Fault { applies_before: nth.saturating_sub(1), outcome });
    }

    /// Another owner takes the rows over: what it finds is the answer, and each `apply` here answers
    /// [`StoreError::Fenced`] from now on.
    #[must_use]
    pub fn take_over(&self) -> Self {
        let mut state = self.write();
        state.fenced = true;
        Self { state: RwLock::new(state.taken_up()), poison: Poison::default() }
    }

    /// The store that a process started after this one would find: the same rows, no poison, no fault waiting.
    #[must_use]
    pub fn restart(&self) -> Self {
        Self { state: RwLock::new(self.read().taken_up()), poison: Poison::default() }
    }

    // A panic while the lock is held cannot leave the map half written in a way that matters to a test.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// As another process finds it.
    fn taken_up(&self) -> State {
        State { rows: self.rows.clone(), last_commit: self.last_commit, ..State::default() }
    }

    /// The fault this apply must suffer, counting it down.
    fn take_fault(&mut self) -> Option<FaultOutcome> {
        let fault = self.fault.as_mut()?;
        if fault.applies_before > 0 {
            fault.applies_before -= 1;
            return None;
        }
        self.fault.take().map(|fault| fault.outcome)
    }

    fn put_all(&mut self, batch: Batch) {
        self.last_commit += 1;
        if let Some(tail) = self.tail.upgrade() {
            tail.note(self.last_commit, &rows::of_batch(&batch));
        }
        for (key, write) in batch {
            match write {
                Write::Put(value) => self.rows.insert(key, value),
                Write::Delete => self.rows.remove(&key),
            };
        }
    }
}

impl Store for MemoryStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.poison.check()?;
        batch.check_limits()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut state = self.write();
        if state.fenced {
            return Err(self.poison.latch(StoreError::Fenced));
        }
        let fault = state.take_fault();
        if fault != Some(FaultOutcome::Lost) {
            state.put_all(batch);
        }
        match fault {
            None => Ok(()),
            Some(_) => Err(self
                .poison
                .latch(StoreError::Io { operation: "commit", source: io::Error::other("injected fault") })),
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.poison.check()?;
        Ok(self.read().rows.get(key).cloned())
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.poison.check()?;
        let state = self.read();
        Ok(keys.iter().map(|key| state.rows.get(key.as_slice()).cloned()).collect())
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.poison.check()?;
        // BTreeMap::range panics on a range that is upside down.
        if start >= end {
            return Ok(Vec::new());
        }
        let state = self.read();
        let range = state.rows.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)));
        let owned = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
        Ok(match direction {
            Direction::Forward => range.take(limit).map(owned).collect(),
            Direction::Reverse => range.rev().take(limit).map(owned).collect(),
        })
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.poison.check()?;
        let mut state = self.write();
        state.tail = tail;
        Ok(state.last_commit)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        let bytes: usize = self.read().rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        Ok(bytes as u64)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn poisoned(&self) -> Option<String> {
        self.poison.reason()
    }

    fn fenced(&self) -> bool {
        self.poison.reason().is_some() && self.read().fenced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{self, Subject};

    impl Subject for MemoryStore {
        fn store(&self) -> &dyn Store {
            self
        }

        fn reopen(self: Box<Self>) -> Box<dyn Subject> {
            Box::new(self.restart())
        }
    }

    #[test]
    fn the_model_conforms() {
        conformance::run(|| Box::new(MemoryStore::new()));
    }

    fn one(key: &'static str) -> Batch {
        let mut batch = Batch::new();
        batch.put(key, "value");
        batch
    }

    #[test]
    fn a_fault_strikes_the_nth_apply_and_everything_after_it() {
        for (outcome, survives) in [(FaultOutcome::Lost, false), (FaultOutcome::Kept, true)] {
            let store = MemoryStore::new();
            store.fail_nth_apply(2, outcome);
            store.apply(one("first")).unwrap();
            store.apply(Batch::new()).unwrap();
            assert!(matches!(store.apply(one("second")), Err(StoreError::Io { .. })));
            assert!(matches!(store.apply(one("third")), Err(StoreError::Poisoned { .. })));
            assert!(matches!(store.get(b"first"), Err(StoreError::Poisoned { .. })));
            assert!(matches!(store.get_many(&[]), Err(StoreError::Poisoned { .. })));
            assert!(store.poisoned().unwrap().contains("injected"));

            let store = store.restart();
            assert!(store.poisoned().is_none());
            assert!(store.get(b"first").unwrap().is_some());
            assert_eq!(store.get(b"second").unwrap().is_some(), survives);
            assert!(store.get(b"third").unwrap().is_none());
        }
    }

    #[test]
    fn a_store_that_was_taken_over_writes_nothing_more() {
        let old = MemoryStore::new();
        old.apply(one("before")).unwrap();
        let new = old.take_over();
        assert!(old.get(b"before").unwrap().is_some() && !old.fenced(), "it has not found out");
        assert!(matches!(old.apply(one("after")), Err(StoreError::Fenced)));
        assert!(matches!(old.apply(one("after")), Err(StoreError::Poisoned { .. })) && old.fenced());
        assert!(new.get(b"before").unwrap().is_some() && new.get(b"after").unwrap().is_none() && !new.fenced());
        new.apply(one("after")).unwrap();
    }
}
