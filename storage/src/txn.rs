//! A transaction: writes collected on the writer thread, seen by its own reads, made durable all at once.
//!
//! Only the writer thread makes one, so there is nothing to isolate: requests run one after the other and their writes
//! share one commit. Deliberately no rollback of a part: a request collects into a transaction of its own
//! ([`Txn::nested`]) that is merged only when it succeeded.

use crate::read::Read;
use crate::rows::KeyRange;
use crate::store::{Batch, Direction, Store, StoreError, Write};
use bytes::Bytes;
use model::{AppId, Endpoint, EndpointRef, Seq};

/// What the engine must be told once a commit is durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// An endpoint was created or changed: its row and the number of its URL, as the transaction leaves them. All that its
    /// shard needs to know: nobody reads the row again.
    EndpointPut(Box<Endpoint>, u32),
    /// An endpoint was deleted.
    EndpointDeleted(EndpointRef),
    /// An application was created or changed.
    ApplicationPut(AppId),
    /// An application may be sent so many deliveries a second now, all its endpoints together; none for no bound.
    ApplicationPaced(AppId, Option<u32>),
    /// An application was deleted, its endpoints with it.
    ApplicationDeleted(AppId),
    /// Deliveries of this endpoint were put back in line by hand.
    Requeued(EndpointRef),
    /// A job was created.
    JobStarted,
    /// An event's payload was removed: no attempt of it is to start from a copy in memory.
    Expunged(AppId, Seq),
}

/// How much more (or less) of what is retained a transaction leaves, in bytes of keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Events: blocks, chunks, their names.
    pub events: i64,
    /// Attempts.
    pub attempts: i64,
}

impl Growth {
    /// Bytes of events only.
    #[must_use]
    pub fn events(bytes: i64) -> Growth {
        Growth { events: bytes, attempts: 0 }
    }

    /// Bytes of attempts only.
    #[must_use]
    pub fn attempts(bytes: i64) -> Growth {
        Growth { events: 0, attempts: bytes }
    }

    fn add(&mut self, other: Growth) {
        self.events += other.events;
        self.attempts += other.attempts;
    }
}

/// What a transaction collected: its writes, what to tell, and by how much what is retained grows.
pub type Collected = (Batch, Vec<Change>, Growth);

/// Collected writes over a store.
pub struct Txn<'a> {
    store: &'a dyn Store,
    outer: Option<&'a Txn<'a>>,
    batch: Batch,
    changes: Vec<Change>,
    growth: Growth,
}

impl<'a> Txn<'a> {
    /// Starts empty.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Txn<'a> {
        Txn { store, outer: None, batch: Batch::default(), changes: Vec::new(), growth: Growth::default() }
    }

    /// One request's own transaction, which sees what this one holds.
    #[must_use]
    pub fn nested(&self) -> Txn<'_> {
        Txn {
            store: self.store,
            outer: Some(self),
            batch: Batch::default(),
            changes: Vec::new(),
            growth: Growth::default(),
        }
    }

    /// Takes over what a nested one collected.
    pub fn merge(&mut self, collected: Collected) {
        self.batch.append(collected.0);
        self.changes.extend(collected.1);
        self.growth.add(collected.2);
    }

    /// Bytes of the rows collected here, not counting an outer transaction's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// Whether the store would take what was collected here, were it all.
    ///
    /// # Errors
    /// The refusal that the store would answer: see [`StoreError::is_refusal`].
    pub fn check_limits(&self) -> Result<(), StoreError> {
        self.batch.check_limits()
    }

    /// The collected writes, what to tell, and the growth.
    #[must_use]
    pub fn into_parts(self) -> Collected {
        (self.batch, self.changes, self.growth)
    }

    /// Notes that rows of what is retained came or went. Who writes them says so; the writer keeps the sum.
    pub fn grow(&mut self, growth: Growth) {
        self.growth.add(growth);
    }

    /// By how much what is retained grows, as far as collected here.
    #[must_use]
    pub fn growth(&self) -> Growth {
        self.growth
    }

    /// Sets a row.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.batch.put(key, value);
    }

    /// Removes a row, if it exists.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.batch.delete(key);
    }

    /// Notes what the engine must be told.
    pub fn tell(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What the engine must be told, as far as collected here.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The last row of a range as this transaction sees it, rows included that it has collected itself: a scan shows only
    /// what is committed. Should it have removed the last one that is, it may miss those before.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn last_in(&self, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let mut keys: Vec<Bytes> = Vec::new();
        let mut level = Some(self);
        while let Some(txn) = level {
            keys.extend(txn.batch.range(&range.start, &range.end).map(|(key, _)| key.clone()));
            level = txn.outer;
        }
        let committed = Read::scan(self, &range.start, &range.end, 1, Direction::Reverse)?;
        keys.extend(committed.into_iter().map(|(key, _)| key));
        keys.sort_unstable();
        for key in keys.into_iter().rev() {
            if let Some(value) = Read::get(self, &key)? {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// What this level has written in a range so far, in the order of the keys.
    pub(crate) fn written(&self, range: &KeyRange) -> Vec<(Bytes, Write)> {
        self.batch.range(&range.start, &range.end).map(|(key, write)| (key.clone(), write.clone())).collect()
    }

    /// Reads what is committed, and nothing of what this transaction holds.
    pub(crate) fn before(&self) -> &dyn Store {
        self.store
    }

    /// A row as it was before this transaction.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub(crate) fn committed(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Store::get(self.store, key)
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

impl Read for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match (self.batch.get(key), self.outer) {
            (Some(Write::Put(value)), _) => Ok(Some(value.clone())),
            (Some(Write::Delete), _) => Ok(None),
            (None, Some(outer)) => outer.get(key),
            (None, None) => Store::get(self.store, key),
        }
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Store::scan(self.store, start, end, limit, direction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn reads_see_every_level_and_a_dropped_level_leaves_nothing() {
        let store = MemoryStore::new();
        let mut stored = Batch::new();
        stored.put("a", "stored");
        stored.put("b", "stored");
        store.apply(stored).unwrap();

        let mut outer = Txn::new(&store);
        outer.put("a", "outer");
        outer.put("c", "outer");
        let mut middle = outer.nested();
        middle.delete("b");
        let inner = middle.nested();
        let get = |txn: &Txn<'_>, key: &str| txn.get(key.as_bytes()).unwrap();
        assert_eq!(get(&inner, "a").as_deref(), Some(&b"outer"[..]), "two levels up");
        assert_eq!(get(&inner, "b"), None, "deleted one level up");
        let collected = middle.into_parts();
        assert_eq!(get(&outer, "b").as_deref(), Some(&b"stored"[..]), "not merged");
        outer.merge(collected);
        assert_eq!(get(&outer, "b"), None);
        assert_eq!(outer.bytes(), "a".len() + "c".len() + 2 * "outer".len() + "b".len());
    }

    #[test]
    fn the_last_row_of_a_range_is_found_wherever_it_was_written() {
        let store = MemoryStore::new();
        let mut stored = Batch::new();
        stored.put("k2", "stored");
        stored.put("l", "beyond");
        store.apply(stored).unwrap();
        let range = KeyRange::prefix(b"k".to_vec());
        let last = |txn: &Txn<'_>| txn.last_in(&range).unwrap();
        let row = |key: &'static str, value: &'static str| Some((Bytes::from(key), Bytes::from(value)));
        let mut outer = Txn::new(&store);
        assert_eq!(last(&outer), row("k2", "stored"));
        outer.put("k1", "outer");
        assert_eq!(last(&outer), row("k2", "stored"));
        outer.put("k3", "outer");
        let mut inner = outer.nested();
        assert_eq!(last(&inner), row("k3", "outer"));
        inner.delete("k3");
        inner.put("k2", "inner");
        assert_eq!(last(&inner), row("k2", "inner"));
        inner.delete("k2");
        assert_eq!(last(&inner), row("k1", "outer"));
    }

    #[test]
    fn rows_over_a_limit_are_noticed_before_the_store_refuses_them() {
        let store = MemoryStore::new();
        let mut txn = Txn::new(&store);
        txn.put("k", vec![0; crate::store::MAX_VALUE_BYTES]);
        assert!(txn.check_limits().is_ok());
        txn.put("", "v");
        assert!(txn.check_limits().unwrap_err().is_refusal());
    }
}
