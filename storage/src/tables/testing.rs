//! A store in memory and other helpers that tests of tables share.

use crate::store::{Batch, Direction, MemoryStore, Store, StoreError, Tail};
use crate::txn::{Change, Collected, Txn};
use bytes::Bytes;
use model::{AppId, DeadLetter, DeadLetterReason, Endpoint, EndpointId, EndpointRef, UnixMs};
use std::sync::Weak;

/// A store in memory that tests write to by transactions.
#[derive(Default)]
pub(crate) struct TestStore(MemoryStore);

impl TestStore {
    /// Runs `work` in one transaction and applies it; gives the changes that it asked to tell.
    pub(crate) fn write(&self, work: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Vec<Change> {
        let mut txn = Txn::new(self);
        work(&mut txn).unwrap();
        let Collected { batch, changes, .. } = txn.into_parts();
        Store::apply(self, batch).unwrap();
        changes
    }

    pub(crate) fn row_count(&self) -> usize {
        Store::scan(self, &[0], &[0xff], usize::MAX, Direction::Forward).unwrap().len()
    }
}

impl Store for TestStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.0.apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Store::get(&self.0, key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.0.get_many(keys)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Store::scan(&self.0, start, end, limit, direction)
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.0.follow(tail)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        self.0.size_on_disk_bytes()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.0.free_bytes()
    }

    fn poisoned(&self) -> Option<String> {
        self.0.poisoned()
    }
}

pub(crate) fn target(app: u32, endpoint: u32) -> EndpointRef {
    EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
}

/// An endpoint that wants everything and has nothing of its own.
pub(crate) fn plain_endpoint(target: EndpointRef) -> Endpoint {
    Endpoint {
        salt: 7,
        url: "https://example.com/hook".to_owned(),
        updated_at: UnixMs(2),
        ..Endpoint::plain(target, UnixMs(1))
    }
}

/// A dead letter of a delivery that was given up at that time.
pub(crate) fn letter(at: u64) -> DeadLetter {
    DeadLetter { at: UnixMs(at), attempts: 1, reason: DeadLetterReason::Rejected, last_outcome: None, last_status: 400 }
}
