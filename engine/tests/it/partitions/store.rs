//! Stores that fail, or change their owner, when they are told to.

use bytes::Bytes;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use storage::disk::{DiskStore, OpenError, OpenOptions};
use storage::store::memory::FaultOutcome;
use storage::store::{MemoryStore, Poison, Tail};
use storage::{Batch, Direction, SharedStore, Store, StoreError};
use tempfile::TempDir;

/// The time that a store may take to let go of its files.
const LET_GO_WITHIN: Duration = Duration::from_secs(20);

/// The store under one partition.
pub(super) enum Bed {
    Model(Arc<MemoryStore>),
    Disk { folder: TempDir, store: Option<Arc<Switched>> },
}

impl Bed {
    pub(super) fn model() -> Bed {
        Bed::Model(Arc::new(MemoryStore::new()))
    }

    pub(super) fn disk() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(Arc::new(Switched::open(folder.path())));
        Bed::Disk { folder, store }
    }

    pub(super) fn store(&self) -> SharedStore {
        match self {
            Bed::Model(store) => store.clone(),
            Bed::Disk { store, .. } => store.clone().unwrap(),
        }
    }

    /// The next commit fails.
    pub(super) fn fail(&self) {
        match self {
            Bed::Model(store) => store.fail_nth_apply(1, FaultOutcome::Kept),
            Bed::Disk { store, .. } => store.as_ref().unwrap().fails.store(true, Ordering::SeqCst),
        }
    }

    /// Opens the stored rows for the next start. Nobody uses the old store any more.
    pub(super) fn reopen(&mut self) {
        match self {
            Bed::Model(store) => *store = Arc::new(store.restart()),
            Bed::Disk { folder, store } => {
                drop(store.take());
                *store = Some(Arc::new(Switched::open(folder.path())));
            }
        }
    }

    /// Another owner takes the rows, and is given back here. The old one does not know yet.
    pub(super) fn take_over(&mut self) {
        match self {
            Bed::Model(store) => *store = Arc::new(store.take_over()),
            Bed::Disk { .. } => panic!("the embedded store has one owner by its nature"),
        }
    }
}

/// An embedded store whose commits can be made to fail.
pub(super) struct Switched {
    inner: DiskStore,
    fails: AtomicBool,
    poison: Poison,
}

impl Switched {
    fn open(folder: &Path) -> Switched {
        let deadline = Instant::now() + LET_GO_WITHIN;
        let inner = loop {
            match OpenOptions::default().open(folder) {
                Ok(store) => break store,
                Err(OpenError::InUse { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error}"),
            }
        };
        Switched { inner, fails: AtomicBool::new(false), poison: Poison::default() }
    }
}

impl Store for Switched {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.poison.check()?;
        if self.fails.load(Ordering::SeqCst) {
            let source = io::Error::other("injected");
            return Err(self.poison.latch(StoreError::Io { operation: "commit", source }));
        }
        self.inner.apply(batch)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.poison.check()?;
        self.inner.get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.poison.check()?;
        self.inner.get_many(keys)
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.poison.check()?;
        self.inner.scan(start, end, limit, direction)
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.inner.follow(tail)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_on_disk_bytes()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.inner.free_bytes()
    }

    fn poisoned(&self) -> Option<String> {
        self.poison.reason().or_else(|| self.inner.poisoned())
    }
}
