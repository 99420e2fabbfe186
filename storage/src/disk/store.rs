//! The open store: commits go to the log, reads go through the rows in memory to the map.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::checkpoint::Checkpointer;
use super::commit::log;
use super::commit::merge::{living, overlay};
use super::commit::table::Range;
use super::erase;
use super::shared::Shared;
use super::writer::Writer;
use crate::store::{Batch, Direction, Store, StoreError, Tail, Write};

/// The most that a checkpoint makes the map's file grow, in bytes for each byte in the log. sled writes pages again as
/// they fill, and gives the space back later. 3.8 was measured with payloads of 100 KiB.
const MAP_BYTES_PER_LOG_BYTE: u64 = 4;

/// A [`Store`] in a data directory. See [`OpenOptions::open`](super::OpenOptions::open).
pub struct DiskStore {
    // Dropped in this order: the thread ends first, and the lock goes last, when sled has let go of its files.
    _checkpointer: Checkpointer,
    pub(crate) writer: Mutex<Writer>,
    /// One erasure at a time.
    erasing: Mutex<()>,
    pub(crate) shared: Arc<Shared>,
    _lock: File,
}

impl DiskStore {
    pub(crate) fn new(checkpointer: Checkpointer, writer: Writer, shared: Arc<Shared>, lock: File) -> Self {
        Self { _checkpointer: checkpointer, writer: Mutex::new(writer), erasing: Mutex::new(()), shared, _lock: lock }
    }

    fn lock_writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        self.writer.lock().map_err(|_| {
            // It is not known how much the earlier commit had written by then.
            self.shared.poison.latch(StoreError::io("commit")(std::io::Error::other("an earlier commit panicked")))
        })
    }

    /// The value of `key`. The caller has checked that the store is well.
    fn get_unchecked(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.shared.layers.get(key) {
            Some(Write::Put(value)) => Ok(Some(value)),
            Some(Write::Delete) => Ok(None),
            None => self.shared.map.get(key).map_err(|error| self.shared.poison.latch(error)),
        }
    }
}

impl Store for DiskStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.shared.check()?;
        batch.check_limits()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut writer = self.lock_writer()?;
        // Again under the lock: a commit that failed while this one waited must be the last.
        self.shared.check()?;
        writer.commit(&self.shared, &batch).map_err(|error| self.shared.poison.latch(error))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.shared.check()?;
        self.get_unchecked(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.shared.check()?;
        keys.iter().map(|key| self.get_unchecked(key)).collect()
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.shared.check()?;
        if start >= end {
            return Ok(Vec::new());
        }
        let (active, frozen) = self.shared.layers.now();
        let range = |table| Range::new(table, start, end, limit, direction);
        let (active, frozen) = (range(active), frozen.map(range));
        let scanned = self.shared.map.scan(start, end, direction, |base, value| {
            let below = overlay(frozen.into_iter().flatten(), base, direction);
            living(overlay(active, below, direction), value).take(limit).collect()
        });
        scanned.map_err(|error| self.shared.poison.latch(error))
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.shared.check()?;
        let mut writer = self.lock_writer()?;
        Ok(writer.follow(tail))
    }

    fn erase(&self) -> Result<(), StoreError> {
        let _one = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        erase::run(&self.shared, &self.writer)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        let shared = &self.shared;
        let bytes = shared.map.size_on_disk_bytes().and_then(|base| Ok(base + log::file_bytes(&shared.log_files)?));
        bytes.map_err(StoreError::io("size query"))
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let shared = &self.shared;
        let owed = |log_bytes: u64| log_bytes.saturating_mul(MAP_BYTES_PER_LOG_BYTE);
        let free = shared.map.free_bytes();
        let room = free.and_then(|free| Ok(free.saturating_sub(owed(log::file_bytes(&shared.log_files)?))));
        room.map(Some).map_err(StoreError::io("query of the room on the disk"))
    }

    fn work_lasts(&self) -> Duration {
        self.shared.checkpoint_busy.lasts()
    }

    fn poisoned(&self) -> Option<String> {
        // Asked here too, because the writer may be the one waiting for the dead thread.
        self.shared.poison.reason().or_else(|| self.shared.map.dead())
    }
}
