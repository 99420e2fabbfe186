//! The ordered map below the log: sled 0.34.7, used the way it is safe. No file outside this folder names it.
//!
//! - *Who owns the state:* sled; rows are written by the checkpoint thread, and by opening before there is one.
//! - *What bounds it:* retention, above. Its memory is the cache it was opened with.
//! - *When the process dies here:* sled comes back with some of the rows that were being written and an older commit
//!   number; the log has them all, and writing them again is the same. The number is written last, and sled recovers a
//!   prefix of its own log, so a number that is found vouches for every row up to it.
//!
//! Deliberately without a poison latch: the caller decides how to treat an error.

mod barrier;
mod contain;
pub(crate) mod layout;
mod library;
pub(crate) mod names;
mod overflow;
mod readable;
mod recovery;
mod rows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use self::barrier::Barrier;
use self::contain::{Panicked, watched};
use self::library::{Opened, outcome};
use self::names::ROWS_FROM;
use self::overflow::Overflow;
use self::rows::{Rows, put_last_commit};
use super::commit::merge::written;
use super::error::OpenError;
use super::sync::{make_private_dir, sync};
use crate::store::{Direction, StoreError, Write};

pub(crate) use self::library::SEGMENT_BYTES;
pub use self::rows::SeparatedKeys;

const IO_THREAD_REASON: &str = "a writing thread of the embedded store died";

/// sled's folder below the store's.
pub(crate) const FOLDER: &str = "sled";

/// The content of a row: the write above, or the bytes that sled has in its place.
pub(crate) enum Row {
    Written(Write),
    Held(::sled::IVec),
}

/// A row of sled as the layers above see rows.
pub(crate) type MapRow = Result<(Bytes, Row), ::sled::Error>;

/// The value of a row, if there is one.
pub(crate) type MapValue = Result<Option<Bytes>, ::sled::Error>;

/// The open map.
pub(crate) struct Map {
    rows: Rows,
    /// The configuration of the open database; knows of errors in sled's own threads.
    config: ::sled::Config,
    overflow: Overflow,
    barrier: Barrier,
    panicked: AtomicBool,
    data_file: PathBuf,
    /// Files beside the data file; they do not change while the store is open.
    other_files_bytes: u64,
}

// === impl Row ===

impl From<Write> for Row {
    fn from(write: Write) -> Self {
        Self::Written(write)
    }
}

// === impl Map ===

impl Map {
    /// Opens the map of the store in `home`, and says which commit is the last one in it.
    pub(crate) fn open(home: &Path, cache_bytes: u64, separated: SeparatedKeys) -> Result<(Self, u64), OpenError> {
        let sled_dir = home.join(FOLDER);
        let data_file = data_file(home);
        let Opened { db, config, barrier } = Opened::open(&sled_dir, cache_bytes)?;
        let last_commit = recovery::read_last_commit(&db, &data_file)?;
        let rows = Rows::open(db, &home.join("values"), separated)?;
        let overflow = Overflow::new(&sled_dir.join("blobs"));
        let other_files_bytes =
            other_files_bytes(&sled_dir).map_err(|error| OpenError::io("list", &sled_dir, error))?;
        let panicked = AtomicBool::new(false);
        let map = Self { rows, config, overflow, barrier, panicked, data_file, other_files_bytes };
        Ok((map, last_commit))
    }

    /// Why sled will not answer any more, once one of its own threads has died or failed: a thread that waits for
    /// that one's buffer waits for ever, as sled does not always wake them.
    pub(crate) fn dead(&self) -> Option<String> {
        if contain::io_thread_panicked() {
            return Some(IO_THREAD_REASON.to_owned());
        }
        self.config.global_error().err().map(|error| library::describe(&error))
    }

    /// The same as an error.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.dead().map_or(Ok(()), |reason| Err(self.corrupt(reason)))
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.guarded("read", || self.rows.get(key))
    }

    /// Hands the rows with keys in `[start, end)`, which are read as they are asked for, to `take`, and with them what
    /// tells their values.
    pub(crate) fn scan<T>(
        &self,
        start: &[u8],
        end: &[u8],
        direction: Direction,
        take: impl FnOnce(&mut dyn Iterator<Item = MapRow>, &dyn Fn(&Bytes, Row) -> MapValue) -> Result<T, ::sled::Error>,
    ) -> Result<T, StoreError> {
        let value = |key: &Bytes, row| match row {
            Row::Written(write) => Ok(written(write)),
            Row::Held(held) => self.rows.resolve(key, held),
        };
        let held = |row: Result<(::sled::IVec, ::sled::IVec), ::sled::Error>| {
            row.map(|(key, held)| (Bytes::copy_from_slice(&key), Row::Held(held)))
        };
        // Not the map's own.
        let start = start.max(ROWS_FROM);
        self.guarded("read", || {
            let rows = self.rows.db.range(start..end.max(start)).map(held);
            match direction {
                Direction::Forward => take(&mut { rows }, &value),
                Direction::Reverse => take(&mut rows.rev(), &value),
            }
        })
    }

    /// Applies these rows to the map. Row by row: nothing vouches for any before [`Map::seal`], and sled makes
    /// readers wait for a batch.
    pub(crate) fn write(&self, rows: &[(&Bytes, &Write)]) -> Result<(), StoreError> {
        self.guarded("write", || self.rows.write(rows))
    }

    /// Hands the written rows to the kernel, and values to the disk, and returns once they took it: this bounds the
    /// buffers.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.guarded("write", || {
            self.rows.values.sync()?;
            self.rows.db.flush().map(drop)
        })
    }

    /// Returns once all that was written is durable, and with it that it goes up to `commit`.
    pub(crate) fn seal(&self, commit: u64) -> Result<(), StoreError> {
        self.guarded("write", || self.rows.note_seal(commit))?;
        let db = (*self.rows.db).clone();
        self.outcome("write", watched(&self.config, move || db.flush()))?;
        self.overflow.sync_new().map_err(|source| StoreError::Io { operation: "sync of overflowed pages", source })?;
        self.barrier.wait().map_err(|source| StoreError::Io { operation: "fdatasync", source })?;
        debug_assert!(self.overflow.is_empty(), "a leaf outgrew its segment: it is in blobs/, which is never synced");
        self.rows.values.sealed().map_err(|source| StoreError::Io { operation: "removal of a value file", source })
    }

    /// Brings a bounded number of values out of a file that is mostly dead. True if there may be more to do.
    pub(crate) fn sweep(&self) -> Result<bool, StoreError> {
        self.guarded("write", || self.rows.sweep())
    }

    /// Ends sweeps that are under way: values that they moved are in two places until then. A bounded number of files.
    pub(crate) fn finish_sweeps(&self) -> Result<(), StoreError> {
        while self.rows.values.is_sweeping() {
            self.sweep()?;
        }
        Ok(())
    }

    /// Wipes values that a process that died left where nothing leads to them. For opening, once all of the log is
    /// here.
    pub(crate) fn wipe_unsealed(&self) -> Result<(), StoreError> {
        self.guarded("write", || self.rows.wipe_unsealed())
    }

    /// Room on the disk of sled's files.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(self.data_file.parent().unwrap_or(&self.data_file))?;
        // The room that is left to others than the superuser.
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Bytes of sled's files.
    pub(crate) fn size_on_disk_bytes(&self) -> io::Result<u64> {
        // Through the open descriptor: the answer must not depend on there being a free one.
        Ok(self.barrier.file_bytes()? + self.rows.values.bytes() + self.other_files_bytes)
    }

    #[cfg(test)]
    pub(crate) fn fail_next_sync(&self) {
        self.barrier.fail_next();
    }

    #[cfg(test)]
    pub(crate) fn nothing_overflowed(&self) -> bool {
        self.overflow.is_empty()
    }

    /// Runs `call` in sled.
    fn guarded<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, ::sled::Error>,
    ) -> Result<T, StoreError> {
        self.outcome(operation, contain::contain(call))
    }

    fn outcome<T>(
        &self,
        operation: &'static str,
        result: Result<Result<T, ::sled::Error>, Panicked>,
    ) -> Result<T, StoreError> {
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(::sled::Error::Io(source))) => Err(StoreError::Io { operation, source }),
            Ok(Err(other)) => Err(self.corrupt(library::describe(&other))),
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

impl Drop for Map {
    fn drop(&mut self) {
        // sled flushes when its last handle goes. After a panic or an error inside it that may wait for ever, so it is
        // left alone: the process is about to end anyway.
        if self.panicked.load(Ordering::Acquire) || self.dead().is_some() {
            std::mem::forget((*self.rows.db).clone());
        }
    }
}

/// The path of the file in which sled keeps all rows of the store in `home`.
pub(crate) fn data_file(home: &Path) -> PathBuf {
    home.join(FOLDER).join("db")
}

/// Checks that the map in `home` is all there, and can be read. Answers the position in sled's log that its snapshot
/// vouches for.
pub(crate) fn check(home: &Path) -> Result<u64, OpenError> {
    let sled_dir = home.join(FOLDER);
    for needed in ["db", "conf", "blobs"].map(|name| sled_dir.join(name)) {
        if !needed.try_exists().map_err(|error| OpenError::io("find", &needed, error))? {
            return Err(OpenError::Corrupt { path: needed, reason: "it is missing".to_owned() });
        }
    }
    recovery::remove_unfinished_snapshots(&sled_dir)?;
    readable::check(&sled_dir)
}

/// Makes an empty map in `home`, durable but for its folder's own name.
pub(crate) fn create(home: &Path, cache_bytes: u64) -> Result<(), OpenError> {
    let sled_dir = home.join(FOLDER);
    make_private_dir(&sled_dir)?;
    {
        let Opened { db, config, barrier } = Opened::open(&sled_dir, cache_bytes)?;
        let written = (*db).clone();
        let result = watched(&config, move || {
            put_last_commit(&written, 0)?;
            written.flush()
        });
        outcome(&sled_dir, result)?;
        // It syncs when it goes, and tells no caller whether that went well; the barrier is told.
        drop(db);
        let data_file = data_file(home);
        barrier.wait().map_err(|error| OpenError::io("sync", &data_file, error))?;
    }
    // sled syncs none of these at creation. A cut soon after would leave a store that does not open.
    for path in [sled_dir.join("conf"), sled_dir.join("db"), sled_dir.join("blobs"), sled_dir] {
        sync(&path)?;
    }
    Ok(())
}

fn other_files_bytes(sled_dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(sled_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "db" {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}
