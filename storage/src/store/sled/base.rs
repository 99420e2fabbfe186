//! The ordered map below the log, and the only file that reads and writes it: sled 0.34.7, used the way it is safe.
//!
//! - *Who owns the state:* sled; rows are written by the checkpoint thread, and by opening before there is one.
//! - *What bounds it:* retention, above. Its memory is the cache it was opened with.
//! - *When the process dies here:* sled comes back with some of the rows that were being written and an older commit
//!   number; the log has them all, and writing them again is the same. The number is written last, and sled recovers a
//!   prefix of its own log, so a number that is found vouches for every row up to it.
//!
//! Deliberately without a poison latch: who calls decides what an error means.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::barrier::Barrier;
use super::spill::Spill;
use super::{contain, open};
use crate::store::{Direction, StoreError, Write};

/// The tree, apart from the rows, whose single row is the number of the last commit.
pub(super) const COMMITS_TREE: &str = "pinion.commits";
pub(super) const COMMITS_KEY: &[u8] = b"last";

const IO_THREAD_REASON: &str = "a writing thread of the embedded store died";

/// A row of sled as the layers above see rows.
pub(super) type BaseRow = Result<(Bytes, Write), ::sled::Error>;

/// The open map.
pub(super) struct Base {
    commits: ::sled::Tree,
    db: ::sled::Db,
    spill: Spill,
    barrier: Barrier,
    panicked: AtomicBool,
    data_file: PathBuf,
    /// Files beside the data file; they do not change while the store is open.
    other_files_bytes: u64,
}

// === impl Base ===

impl Base {
    pub(super) fn new(
        db: ::sled::Db,
        commits: ::sled::Tree,
        sled_dir: &Path,
        spill: Spill,
        barrier: Barrier,
        other_files_bytes: u64,
    ) -> Self {
        let data_file = sled_dir.join("db");
        Self { commits, db, spill, barrier, panicked: AtomicBool::new(false), data_file, other_files_bytes }
    }

    /// Says when one of sled's own threads has died: whoever then waits for sled waits for ever.
    pub(super) fn dead() -> Option<&'static str> {
        contain::io_thread_panicked().then_some(IO_THREAD_REASON)
    }

    /// The same as an error.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        Self::dead().map_or(Ok(()), |reason| Err(self.corrupt(reason.to_owned())))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.guarded("read", || Ok(self.db.get(key)?.map(|value| Bytes::copy_from_slice(&value))))
    }

    /// Hands the rows with keys in `[start, end)`, which are read as they are asked for, to `take`.
    pub(super) fn scan<T>(
        &self,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        take: impl FnOnce(&mut dyn Iterator<Item = BaseRow>) -> Result<T, ::sled::Error>,
    ) -> Result<T, StoreError> {
        let owned = |row: Result<(::sled::IVec, ::sled::IVec), ::sled::Error>| {
            row.map(|(key, value)| (Bytes::copy_from_slice(&key), Write::Put(Bytes::copy_from_slice(&value))))
        };
        self.guarded("read", || {
            let rows = self.db.range(start..end);
            match direction {
                Direction::Forward => take(&mut rows.map(owned)),
                Direction::Reverse => take(&mut rows.rev().map(owned)),
            }
        })
    }

    /// Does to the map what these rows say. Row by row: nothing vouches for any before [`Base::seal`], and sled makes
    /// readers wait for a batch.
    pub(super) fn write<'a>(&self, rows: impl Iterator<Item = (&'a Bytes, &'a Write)>) -> Result<(), StoreError> {
        self.guarded("write", || {
            for (key, write) in rows {
                match write {
                    Write::Put(value) => self.db.insert(key, value.as_ref())?,
                    Write::Delete => self.db.remove(key)?,
                };
            }
            Ok(())
        })
    }

    /// Hands what was written to the kernel, and returns once it took it: this bounds what sled buffers.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.guarded("write", || self.db.flush().map(drop))
    }

    /// Returns once all that was written is durable, and with it that it goes up to `commit`.
    pub(super) fn seal(&self, commit: u64) -> Result<(), StoreError> {
        self.guarded("write", || {
            self.commits.insert(COMMITS_KEY, &commit.to_be_bytes())?;
            self.db.flush()
        })?;
        self.spill.sync_new().map_err(|source| StoreError::Io { operation: "sync of spilled pages", source })?;
        self.barrier.wait().map_err(|source| StoreError::Io { operation: "fdatasync", source })?;
        debug_assert!(self.spill.is_empty(), "a leaf outgrew its segment: it is in blobs/, which is never synced");
        Ok(())
    }

    /// Bytes of sled's files.
    pub(super) fn size_on_disk_bytes(&self) -> std::io::Result<u64> {
        // Through the open descriptor: the answer must not depend on there being a free one.
        Ok(self.barrier.file_bytes()? + self.other_files_bytes)
    }

    #[cfg(test)]
    pub(super) fn fail_next_sync(&self) {
        self.barrier.fail_next();
    }

    #[cfg(test)]
    pub(super) fn nothing_spilled(&self) -> bool {
        self.spill.is_empty()
    }

    /// Runs `call` in sled.
    fn guarded<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, ::sled::Error>,
    ) -> Result<T, StoreError> {
        match contain::contain(call) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(::sled::Error::Io(source))) => Err(StoreError::Io { operation, source }),
            Ok(Err(other)) => Err(self.corrupt(open::describe(&other))),
            Err(panicked) => {
                self.panicked.store(true, Ordering::Release);
                Err(self.corrupt(panicked.reason()))
            }
        }
    }

    fn corrupt(&self, reason: String) -> StoreError {
        StoreError::Corrupt { path: self.data_file.clone(), reason }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // sled flushes when its last handle goes. After a panic inside it that may wait for ever, so it is left alone:
        // the process is about to end anyway.
        if self.panicked.load(Ordering::Acquire) || contain::io_thread_panicked() {
            std::mem::forget(self.db.clone());
            std::mem::forget(self.commits.clone());
        }
    }
}
