//! A transaction: writes collected on the writer thread, seen by its own reads, made durable all at once.
//!
//! Only the writer thread makes one, so there is nothing to isolate: requests run one after the other and their writes
//! share one commit. Deliberately no rollback of a part: a request collects into a transaction of its own
//! ([`Txn::nested`]) that is merged only when it succeeded.

use crate::read::Read;
use crate::rows::KeyRange;
use crate::store::{Batch, Direction, Store, StoreError, Write};
use bytes::Bytes;
use foldhash::{HashMap, HashSet};
use model::{AppId, AppSettings, AuditEntry, Endpoint, EndpointRef, Seq, UnixMs};
use std::sync::Arc;

/// A change that the engine must be told of once a commit is durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// An endpoint was created or changed: its row and the number of its URL, as the transaction leaves them. All that
    /// its shard needs to know: nobody reads the row again.
    EndpointPut(Box<Endpoint>, u32),
    /// An endpoint was deleted.
    EndpointDeleted(EndpointRef),
    /// An application was created or changed.
    ApplicationPut(AppId),
    /// An application has other settings that its endpoints' lanes keep to.
    ApplicationChanged(AppId, Arc<AppSettings>),
    /// An application was paused, or is sent to again.
    ApplicationPaused(AppId, bool),
    /// An application was deleted, its endpoints with it.
    ApplicationDeleted(AppId),
    /// Deliveries of this endpoint were put back in line by hand.
    Requeued(EndpointRef),
    /// A message of this application was taken that is to be delivered at this time.
    Scheduled(AppId, UnixMs),
    /// A job was created.
    JobStarted,
    /// An event's payload was removed: no attempt of it is to start from a copy in memory.
    Expunged(AppId, Seq),
}

/// The growth of the retained rows by a transaction, in bytes of keys and values; negative when they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Events: blocks, payloads, their names.
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

/// The content of a transaction.
#[derive(Debug, Default)]
pub struct Collected {
    /// Its writes.
    pub batch: Batch,
    /// The changes to tell.
    pub changes: Vec<Change>,
    /// The growth of the retained rows.
    pub growth: Growth,
    /// Entries for the audit log.
    pub audit: Vec<AuditEntry>,
}

/// Keys whose rows will be read, for [`Txn::fetch`]. A key that is asked for twice is fetched once.
#[derive(Debug, Default)]
pub struct Wanted(HashSet<Vec<u8>>);

impl Wanted {
    /// Notes that the row of this key will be read.
    pub fn add(&mut self, key: Vec<u8>) {
        self.0.insert(key);
    }

    /// Adds all keys of `others`.
    pub(crate) fn add_all(&mut self, others: &Wanted) {
        self.0.extend(others.0.iter().cloned());
    }
}

/// Collected writes over a store.
pub struct Txn<'a> {
    store: &'a dyn Store,
    outer: Option<&'a Txn<'a>>,
    /// Rows as the store has them, absent ones included. They stay right: only the holder of a transaction writes to
    /// the store.
    fetched: HashMap<Vec<u8>, Option<Bytes>>,
    collected: Collected,
}

impl<'a> Txn<'a> {
    /// Starts empty.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Txn<'a> {
        Txn::over(store, None)
    }

    fn over(store: &'a dyn Store, outer: Option<&'a Txn<'a>>) -> Txn<'a> {
        Txn { store, outer, fetched: HashMap::default(), collected: Collected::default() }
    }

    /// One request's own transaction, which sees the writes that this one holds.
    #[must_use]
    pub fn nested(&self) -> Txn<'_> {
        Txn::over(self.store, Some(self))
    }

    /// Reads the rows of these keys in one call of the store and keeps them. A later read of one of them through this
    /// transaction, or one nested in it, asks the store no more. This is a hint: a row that nobody announced is read
    /// when it is needed.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn fetch(&mut self, wanted: Wanted) -> Result<(), StoreError> {
        if wanted.0.is_empty() {
            return Ok(());
        }
        let keys: Vec<Vec<u8>> = wanted.0.into_iter().collect();
        let values = self.store.get_many(&keys)?;
        self.fetched.extend(keys.into_iter().zip(values));
        Ok(())
    }

    /// Does all of `deed` or nothing, in a transaction nested in this one: what it has written when it fails is dropped.
    ///
    /// # Errors
    /// Those of `deed`.
    pub fn whole<T, E>(&mut self, deed: impl FnOnce(&mut Txn<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut own = self.nested();
        let done = deed(&mut own)?;
        let collected = own.into_parts();
        self.merge(collected);
        Ok(done)
    }

    /// Takes over all that a nested one collected.
    pub fn merge(&mut self, collected: Collected) {
        self.collected.batch.append(collected.batch);
        self.collected.changes.extend(collected.changes);
        self.collected.growth.add(collected.growth);
        self.collected.audit.extend(collected.audit);
    }

    /// Bytes of the rows collected here, not counting an outer transaction's.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.collected.batch.bytes()
    }

    /// Checks that the store would take the writes collected here, if they were all.
    ///
    /// # Errors
    /// The refusal that the store would answer: see [`StoreError::is_refusal`].
    pub fn check_limits(&self) -> Result<(), StoreError> {
        self.collected.batch.check_limits()
    }

    /// Everything that it collected.
    #[must_use]
    pub fn into_parts(self) -> Collected {
        self.collected
    }

    /// Notes a change for the audit log, whose record is to be in the same commit.
    pub fn audit(&mut self, entry: AuditEntry) {
        self.collected.audit.push(entry);
    }

    /// Takes what was noted for the audit log.
    pub(crate) fn take_audit(&mut self) -> Vec<AuditEntry> {
        std::mem::take(&mut self.collected.audit)
    }

    /// Notes that retained rows came or went. The code that writes them calls this; the writer keeps the sum.
    pub fn grow(&mut self, growth: Growth) {
        self.collected.growth.add(growth);
    }

    /// The growth of the retained rows, as far as collected here.
    #[must_use]
    pub fn growth(&self) -> Growth {
        self.collected.growth
    }

    /// Sets a row.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.collected.batch.put(key, value);
    }

    /// Removes a row, if it exists.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.collected.batch.delete(key);
    }

    /// Notes a change that the engine must be told of.
    pub fn tell(&mut self, change: Change) {
        self.collected.changes.push(change);
    }

    /// The changes that the engine must be told of, as far as collected here.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.collected.changes
    }

    /// The last row of a range as this transaction sees it, with the rows that it has collected itself: a scan shows
    /// only committed rows. If the transaction removed the last committed row, this may miss those before.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn last_in(&self, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let mut keys: Vec<Bytes> = Vec::new();
        let mut level = Some(self);
        while let Some(txn) = level {
            keys.extend(txn.collected.batch.range(&range.start, &range.end).map(|(key, _)| key.clone()));
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

    /// The writes of this level in a range so far, in the order of the keys.
    pub(crate) fn written(&self, range: &KeyRange) -> Vec<(Bytes, Write)> {
        self.collected.batch.range(&range.start, &range.end).map(|(key, write)| (key.clone(), write.clone())).collect()
    }

    /// Reads committed rows, and nothing that this transaction holds.
    pub(crate) fn before(&self) -> &dyn Store {
        self.store
    }

    /// A row as it was before this transaction.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub(crate) fn committed(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut levels = std::iter::successors(Some(self), |txn| txn.outer);
        match levels.find_map(|txn| txn.fetched.get(key)) {
            Some(value) => Ok(value.clone()),
            None => Store::get(self.store, key),
        }
    }

    /// The value of a row that a scan of the store found, as this transaction sees it: none when it has removed the
    /// row.
    pub(crate) fn seen(&self, key: &[u8], found: &Bytes) -> Option<Bytes> {
        match self.own(key) {
            Some(Write::Put(value)) => Some(value.clone()),
            Some(Write::Delete) => None,
            None => Some(found.clone()),
        }
    }

    /// The last write to a key that was collected here, or in a transaction that this one is nested in.
    fn own(&self, key: &[u8]) -> Option<&Write> {
        std::iter::successors(Some(self), |txn| txn.outer).find_map(|txn| txn.collected.batch.get(key))
    }

    /// True if nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.collected.batch.is_empty()
    }
}

impl Read for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.own(key) {
            Some(Write::Put(value)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            None => self.committed(key),
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
        txn.put("k", vec![0; crate::store::INLINE_MAX_BYTES]);
        assert!(txn.check_limits().is_ok());
        txn.put("", "v");
        assert!(txn.check_limits().unwrap_err().is_refusal());
    }
}
