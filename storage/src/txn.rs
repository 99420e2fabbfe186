//! A transaction: writes collected on the writer thread, seen by its own reads, made durable all at once.
//!
//! Only the writer thread makes one, so there is nothing to isolate: requests run one after the other and their writes
//! share one commit. Deliberately no rollback of a part: a request collects into a transaction of its own
//! ([`Txn::nested`]) that is merged only when it succeeded.

use crate::read::Read;
use crate::store::{Batch, Direction, Store, StoreError, Write};
use bytes::Bytes;
use model::{AppId, Endpoint, EndpointRef};

/// What the engine must be told once a commit is durable.
#[derive(Clone, Debug)]
pub enum Change {
    /// An endpoint was created or changed.
    EndpointPut(Box<Endpoint>),
    /// An endpoint was deleted.
    EndpointDeleted(EndpointRef),
    /// An application was deleted, its endpoints with it.
    ApplicationDeleted(AppId),
    /// Deliveries of this endpoint were put back in line by hand.
    Requeued(EndpointRef),
    /// A job was created.
    JobStarted,
}

/// Collected writes over a store.
pub struct Txn<'a> {
    store: &'a dyn Store,
    outer: Option<&'a Batch>,
    batch: Batch,
    changes: Vec<Change>,
}

impl<'a> Txn<'a> {
    /// Starts empty.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Txn<'a> {
        Txn { store, outer: None, batch: Batch::default(), changes: Vec::new() }
    }

    /// One request's own transaction, which sees what this one holds.
    #[must_use]
    pub fn nested(&self) -> Txn<'_> {
        Txn { store: self.store, outer: Some(&self.batch), batch: Batch::default(), changes: Vec::new() }
    }

    /// Takes over what a nested one collected.
    pub fn merge(&mut self, collected: (Batch, Vec<Change>)) {
        self.batch.append(collected.0);
        self.changes.extend(collected.1);
    }

    /// The collected writes and what to tell.
    #[must_use]
    pub fn into_parts(self) -> (Batch, Vec<Change>) {
        (self.batch, self.changes)
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

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

impl Read for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let collected = self.batch.get(key).or_else(|| self.outer.and_then(|outer| outer.get(key)));
        match collected {
            Some(Write::Put(value)) => Ok(Some(value.clone())),
            Some(Write::Delete) => Ok(None),
            None => Store::get(self.store, key),
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
