//! The embedded store on disk: sled 0.34.7 behind a redo log of our own. No file outside this folder names sled.
//!
//! A commit is durable, and acknowledged, by the log alone ([`super::redo`]): one write and one fdatasync. Its rows are
//! then in memory, in a table that reads look into first. A full table is frozen and written to sled by a thread of its own
//! (`checkpoint`), while commits go on in the other log file with a new table. So sled is the durable ordered map, and
//! waits and threads of its own are no part of an acknowledgement; a row that is rewritten often reaches it once a lap.
//!
//! What we add to sled, each for a reason found in its source or measured:
//!
//! - a real fdatasync at the end of every checkpoint (`barrier`), and at creation fsync of everything sled leaves unsynced
//!   (`open`);
//! - values bounded and segments enlarged so that no leaf spills into `blobs/`, whose files sled never syncs
//!   ([`super::MAX_VALUE_BYTES`], `open`), and a net below should one do so (`spill`);
//! - a number per commit, kept in the log, in sled with each checkpoint, and in a file beside both, so that a log or a map
//!   cut short by damage is noticed (`watermark`);
//! - panics of sled turned into errors without their message (`contain`);
//! - a version of our own, checked before sled touches anything (`format`), and a lock with a clear refusal (`open`).
//!
//! The folder, below the data directory:
//!
//! ```text
//! DATA/LOCK              held for life by the process that has the store open
//! DATA/store/FORMAT      layout version, written last
//! DATA/store/WATERMARK   number of the last acknowledged commit
//! DATA/store/log/0, 1    the redo log
//! DATA/store/values/     large values of events
//! DATA/store/sled/       sled's: conf, db, snap.*, blobs/ (always empty)
//! DATA/store.new/        a creation that did not finish; removed by the next one
//! ```
//!
//! Memory: two tables of [`OpenOptions::log_max_bytes`] and the cache of sled. sled's background thread stays on although
//! we flush ourselves: it alone rewrites pages out of nearly empty segments, and without it the file would never give
//! space back to deleted rows.

mod apart;
mod barrier;
mod base;
mod checkpoint;
mod contain;
#[cfg(test)]
pub(crate) mod crash_tests;
mod create;
mod erase;
#[cfg(test)]
mod erase_tests;
mod format;
mod open;
mod readable;
mod recovery;
pub(crate) mod salvage;
mod spill;
#[cfg(test)]
mod tests;
mod values;
mod watermark;

use std::fs::File;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};

use self::base::Base;
use self::checkpoint::{Checkpointer, Checkpoints};
use self::watermark::Watermark;
use super::redo::log::{self, RedoLog};
use super::redo::merge::{living, overlay};
use super::redo::record::{Malformed, Record};
use super::redo::table::{Layers, ROW_BYTES, Range};
use super::{Batch, Direction, Poison, Store, StoreError, Write};

pub use self::apart::ApartKeys;
pub(crate) use self::create::take_lock as lock;
pub(crate) use self::format::refuse_beyond_repair;
pub use self::open::{OpenError, OpenOptions};
pub(crate) use self::watermark::FILE_NAME as WATERMARK;

/// What a checkpoint makes the map's file grow by, at most, for each byte in the log: sled writes pages again as they fill,
/// and gives the space back later. 3.8 was measured with payloads of 100 KiB.
const MAP_BYTES_PER_LOG_BYTE: u64 = 4;

/// A [`Store`] in a data directory. See [`OpenOptions::open`].
pub struct SledStore {
    // Dropped in this order: the thread ends first, and the lock goes last, when sled has let go of its files.
    _checkpointer: Checkpointer,
    writer: Mutex<Writer>,
    /// One erasure at a time.
    erasing: Mutex<()>,
    shared: Arc<Shared>,
    _lock: File,
}

/// What the writer, the readers and the checkpoint thread share.
struct Shared {
    base: Base,
    layers: Layers,
    checkpoints: Checkpoints,
    poison: Poison,
    log_files: log::Files,
}

/// What only commits touch. Held during one, which also keeps a second writer out.
struct Writer {
    log: RedoLog,
    watermark: Watermark,
    /// The number of the last commit that is durable.
    last_commit: u64,
    /// Where the records of this lap are, and those of the one before: each is used again when the rows in it are gone.
    buffer: BytesMut,
    spare: BytesMut,
    /// Memory of the active table: its records, and its rows beside them.
    record_bytes: usize,
    rows: usize,
    max_bytes: usize,
}

// === impl Shared ===

impl Shared {
    fn check(&self) -> Result<(), StoreError> {
        self.poison.check()?;
        self.base.check().map_err(|error| self.poison.latch(error))
    }

    /// The value of `key`. Its caller has checked that the store is well.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.layers.get(key) {
            Some(Write::Put(value)) => Ok(Some(value)),
            Some(Write::Delete) => Ok(None),
            None => self.base.get(key).map_err(|error| self.poison.latch(error)),
        }
    }
}

// === impl Writer ===

impl Writer {
    fn commit(&mut self, shared: &Shared, batch: &Batch) -> Result<(), StoreError> {
        let commit = self.last_commit + 1;
        if !self.has_room(batch) {
            self.turn(shared)?;
        }
        let record = Record::encode(self.log.salt(), commit, batch, &mut self.buffer);
        // The rows that readers see are those of the very bytes that a recovery would read.
        let rows = record.rows().map_err(|error: Malformed| io("encoding")(std::io::Error::other(error)))?;
        self.log.append(&record.bytes).map_err(io("write of the log"))?;
        self.watermark.write(commit).map_err(io("watermark write"))?;
        self.last_commit = commit;
        self.record_bytes += record.bytes.len();
        self.rows = shared.layers.active().write(rows);
        Ok(())
    }

    /// Ends this lap and begins another.
    fn turn(&mut self, shared: &Shared) -> Result<(), StoreError> {
        shared.checkpoints.hand_over(shared, self.last_commit, self.log.current())?;
        self.begin_lap(self.last_commit + 1).map_err(io("beginning of a lap"))
    }

    fn begin_lap(&mut self, first_commit: u64) -> std::io::Result<()> {
        self.log.begin_lap(first_commit)?;
        (self.record_bytes, self.rows) = (0, 0);
        std::mem::swap(&mut self.buffer, &mut self.spare);
        // Takes back all of it, unless a reader still holds the table that was in it: then it is another.
        self.buffer.reserve(self.max_bytes);
        if self.buffer.capacity() > 2 * self.max_bytes {
            // It had to hold a commit that is larger than a lap.
            self.buffer = BytesMut::with_capacity(self.max_bytes);
        }
        Ok(())
    }

    /// Whether the batch goes into this lap: its record into the file, its rows into memory.
    fn has_room(&self, batch: &Batch) -> bool {
        let record_bytes = Record::bytes_of(batch);
        let memory = self.record_bytes + record_bytes + (self.rows + batch.len()) * ROW_BYTES;
        self.log.is_empty() || (self.log.has_room(record_bytes) && memory <= self.max_bytes)
    }
}

fn io(operation: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    move |source| StoreError::Io { operation, source }
}

impl Store for SledStore {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.shared.check()?;
        batch.check_limits()?;
        if batch.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.lock().map_err(|_| {
            // What it had written by then is not known.
            self.shared.poison.latch(io("commit")(std::io::Error::other("an earlier commit panicked")))
        })?;
        // Again under the lock: a commit that failed while this one waited must be the last.
        self.shared.check()?;
        writer.commit(&self.shared, &batch).map_err(|error| self.shared.poison.latch(error))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.shared.check()?;
        self.shared.get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.shared.check()?;
        keys.iter().map(|key| self.shared.get(key)).collect()
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
        let scanned = self.shared.base.scan(start, end, direction, |base, value| {
            let below = overlay(frozen.into_iter().flatten(), base, direction);
            living(overlay(active, below, direction), value).take(limit).collect()
        });
        scanned.map_err(|error| self.shared.poison.latch(error))
    }

    fn erase(&self) -> Result<(), StoreError> {
        erase::run(self)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        let shared = &self.shared;
        let bytes = shared.base.size_on_disk_bytes().and_then(|base| Ok(base + log::file_bytes(&shared.log_files)?));
        bytes.map_err(io("size query"))
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let shared = &self.shared;
        let owed = |log_bytes: u64| log_bytes.saturating_mul(MAP_BYTES_PER_LOG_BYTE);
        let free = shared.base.free_bytes();
        let room = free.and_then(|free| Ok(free.saturating_sub(owed(log::file_bytes(&shared.log_files)?))));
        room.map(Some).map_err(io("query of the room on the disk"))
    }

    fn poisoned(&self) -> Option<String> {
        // Asked here too, because the writer may be the one waiting for the dead thread.
        self.shared.poison.reason().or_else(|| self.shared.base.dead())
    }
}
