//! A commit: one record in the log, and its rows in memory.

use std::sync::Weak;

use bytes::BytesMut;

use super::commit::log::RedoLog;
use super::commit::record::{Malformed, Record};
use super::commit::table::ROW_BYTES;
use super::commit::watermark::Watermark;
use super::shared::Shared;
use crate::store::{Batch, StoreError, Tail};

/// State that only commits touch. Held during one, which also keeps a second writer out.
pub(crate) struct Writer {
    pub(crate) log: RedoLog,
    watermark: Watermark,
    /// The number of the last commit that is durable.
    pub(crate) last_commit: u64,
    /// Memory of this lap's records, and of those of the one before: each is used again when the rows in it are gone.
    buffer: BytesMut,
    spare: BytesMut,
    /// Memory of the active table: its records, and its rows beside them.
    record_bytes: usize,
    rows: usize,
    max_bytes: usize,
    tail: Weak<Tail>,
}

// === impl Writer ===

impl Writer {
    /// Goes on behind `last_commit`, in `log`.
    pub(crate) fn new(log: RedoLog, watermark: Watermark, last_commit: u64, max_bytes: usize) -> Self {
        // Touched, and so backed by memory, as far as it is used.
        let (buffer, spare) = (BytesMut::with_capacity(max_bytes), BytesMut::new());
        Self { log, watermark, last_commit, buffer, spare, record_bytes: 0, rows: 0, max_bytes, tail: Weak::new() }
    }

    /// Writes `batch` and returns once it is durable.
    pub(crate) fn commit(&mut self, shared: &Shared, batch: &Batch) -> Result<(), StoreError> {
        let commit = self.last_commit + 1;
        if !self.has_room(batch) {
            self.turn(shared)?;
        }
        let record = Record::encode(self.log.salt(), commit, batch, &mut self.buffer);
        // The rows that readers see are those of the very bytes that a recovery would read.
        let rows =
            record.rows().map_err(|error: Malformed| StoreError::io("encoding")(std::io::Error::other(error)))?;
        self.log.append(&record.bytes).map_err(StoreError::io("write of the log"))?;
        self.watermark.write(commit).map_err(StoreError::io("watermark write"))?;
        self.last_commit = commit;
        if let Some(tail) = self.tail.upgrade() {
            tail.note(commit, &record.encoded_rows());
        }
        self.record_bytes += record.bytes.len();
        self.rows = shared.layers.active().write(rows);
        Ok(())
    }

    /// Notes the commits from the next one on in `tail`, and answers the number of the last one.
    pub(crate) fn follow(&mut self, tail: Weak<Tail>) -> u64 {
        self.tail = tail;
        self.last_commit
    }

    /// Ends this lap and begins another.
    pub(crate) fn turn(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let freeze = || shared.layers.freeze(self.last_commit);
        shared.checkpoints.hand_over(self.log.current(), || shared.check(), freeze)?;
        self.begin_lap(self.last_commit + 1).map_err(StoreError::io("beginning of a lap"))
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

    /// True if the batch goes into this lap: its record into the file, its rows into memory.
    fn has_room(&self, batch: &Batch) -> bool {
        let record_bytes = Record::bytes_of(batch);
        let memory = self.record_bytes + record_bytes + (self.rows + batch.len()) * ROW_BYTES;
        self.log.is_empty() || (self.log.has_room(record_bytes) && memory <= self.max_bytes)
    }
}
