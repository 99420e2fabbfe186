//! The embedded store on disk: sled 0.34.7, used the way it is safe. No file outside this folder names sled.
//!
//! What we add to sled, each for a reason found in its source or measured:
//!
//! - a real fdatasync after every commit (`barrier`), and at creation fsync of everything sled leaves unsynced (`open`);
//! - values bounded and segments enlarged so that no leaf spills into `blobs/`, whose files sled never syncs
//!   ([`super::MAX_VALUE_BYTES`], `open`), and a net below should one do so (`spill`);
//! - a number per commit, kept inside and outside sled, so that a log cut short by damage is noticed (`watermark`);
//! - panics of sled turned into errors without their message (`contain`);
//! - a version of our own, checked before sled touches anything (`format`), and a lock with a clear refusal (`open`).
//!
//! The folder, below the data directory:
//!
//! ```text
//! DATA/LOCK              held for life by the process that has the store open
//! DATA/store/FORMAT      layout version, written once
//! DATA/store/WATERMARK   number of the last acknowledged commit
//! DATA/store/sled/       sled's: conf, db, snap.*, blobs/ (always empty)
//! DATA/store.new/        a creation that did not finish; removed by the next one
//! ```
//!
//! sled's background thread stays on although we flush ourselves: it alone rewrites pages out of nearly empty segments,
//! and without it the file would never give space back to deleted rows.

mod barrier;
mod contain;
mod format;
mod open;
mod recovery;
mod spill;
#[cfg(test)]
mod tests;
mod watermark;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use self::barrier::Barrier;
use self::contain::Contained;
use self::spill::Spill;
use self::watermark::Watermark;
use super::{Batch, Direction, Poison, Store, StoreError, Write};

pub use self::open::{OpenError, OpenOptions};

/// The tree, apart from the rows, whose single row is the number of the last commit.
const COMMITS_TREE: &str = "pinion.commits";
const COMMITS_KEY: &[u8] = b"last";

const IO_THREAD_REASON: &str = "a writing thread of the embedded store died";

/// A [`Store`] in a data directory. See [`OpenOptions::open`].
pub struct SledStore {
    // Dropped in this order: the lock goes last, when sled has let go of its files.
    commits: Contained<::sled::Tree>,
    db: Contained<::sled::Db>,
    spill: Spill,
    barrier: Barrier,
    watermark: Watermark,
    /// The number of the last commit that is durable. Held during a commit, which also keeps a second writer out.
    last_commit: Mutex<u64>,
    poison: Poison,
    panicked: AtomicBool,
    /// What the store was opened with; knows of errors in sled's own threads.
    config: ::sled::Config,
    sled_dir: PathBuf,
    /// Files beside the data file; they do not change while the store is open.
    other_files_bytes: u64,
    _lock: File,
}

// === impl SledStore ===

impl SledStore {
    fn check(&self) -> Result<(), StoreError> {
        self.poison.check()?;
        match self.dead() {
            Some(reason) => Err(self.poison.latch(self.corrupt(reason))),
            None => Ok(()),
        }
    }

    /// Why sled will never answer again, once one of its own threads has died or failed: whoever waits for what that thread
    /// was writing waits for ever, as sled does not always wake them.
    fn dead(&self) -> Option<String> {
        if contain::io_thread_panicked() {
            return Some(IO_THREAD_REASON.to_owned());
        }
        self.config.global_error().err().map(|error| open::describe(&error))
    }

    /// Runs `call` in sled. Whatever goes wrong in there poisons the store.
    fn guarded<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, ::sled::Error>,
    ) -> Result<T, StoreError> {
        let error = match contain::contain(call) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(::sled::Error::Io(source))) => StoreError::Io { operation, source },
            Ok(Err(other)) => self.corrupt(open::describe(&other)),
            Err(panicked) => {
                self.panicked.store(true, Ordering::Release);
                self.corrupt(panicked.reason())
            }
        };
        Err(self.poison.latch(error))
    }

    fn corrupt(&self, reason: String) -> StoreError {
        StoreError::Corrupt { path: self.sled_dir.join("db"), reason }
    }

    /// Puts the batch and its number into sled's log, in this order: sled recovers a prefix of its log, so a number that
    /// is found vouches for its batch and all before it.
    fn write(&self, batch: Batch, commit: u64) -> Result<(), ::sled::Error> {
        let mut writes = ::sled::Batch::default();
        for (key, write) in batch {
            match write {
                Write::Put(value) => writes.insert(key.as_ref(), value.as_ref()),
                Write::Delete => writes.remove(key.as_ref()),
            }
        }
        self.db.apply_batch(writes)?;
        self.commits.insert(COMMITS_KEY, &commit.to_be_bytes())?;
        self.db.flush()?;
        Ok(())
    }
}

impl Store for SledStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.check()?;
        batch.check_limits()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut last_commit = self.last_commit.lock().unwrap_or_else(PoisonError::into_inner);
        // Again under the lock: a commit that failed while this one waited must be the last.
        self.check()?;
        let commit = *last_commit + 1;
        self.guarded("write", || self.write(batch, commit))?;
        // What sled has in memory now is no longer ours to take back: from here an error is final.
        let io = |operation| move |source| self.poison.latch(StoreError::Io { operation, source });
        self.spill.sync_new().map_err(io("sync of spilled pages"))?;
        self.barrier.wait().map_err(io("fdatasync"))?;
        self.watermark.write(commit).map_err(io("watermark write"))?;
        *last_commit = commit;
        debug_assert!(self.spill.is_empty(), "a leaf outgrew its segment: it is in blobs/, which is never synced");
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.check()?;
        self.guarded("read", || Ok(self.db.get(key)?.map(|value| Bytes::copy_from_slice(&value))))
    }

    fn scan(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.check()?;
        if start >= end {
            return Ok(Vec::new());
        }
        let owned = |row: Result<(::sled::IVec, ::sled::IVec), ::sled::Error>| {
            row.map(|(key, value)| (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        };
        self.guarded("read", || {
            let range = self.db.range(start..end);
            match direction {
                Direction::Forward => range.take(limit).map(owned).collect(),
                Direction::Reverse => range.rev().take(limit).map(owned).collect(),
            }
        })
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        // Through the open descriptor: the answer must not depend on there being a free one.
        let data_file_bytes =
            self.barrier.file_bytes().map_err(|source| StoreError::Io { operation: "size query", source })?;
        Ok(data_file_bytes + self.other_files_bytes)
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let free = fs2::available_space(&self.sled_dir);
        free.map(Some).map_err(|source| StoreError::Io { operation: "query of the room on the disk", source })
    }

    fn poisoned(&self) -> Option<String> {
        // Asked here too, because the writer may be the one waiting for the dead thread.
        self.poison.reason().or_else(|| self.dead())
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // sled flushes when its last handle goes. After a panic or an error inside it that may wait for ever, so it is left alone:
        // the process is about to end anyway.
        if self.panicked.load(Ordering::Acquire) || self.dead().is_some() {
            std::mem::forget((*self.db).clone());
            std::mem::forget((*self.commits).clone());
        }
    }
}
