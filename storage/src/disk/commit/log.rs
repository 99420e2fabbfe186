//! The two log files, written in turns: where a commit becomes durable.
//!
//! - *Who owns the state:* the writer; opening reads the files once before.
//! - *What bounds it:* a file is as long as its limit, or as one commit if that is longer. It is never shortened and is
//!   written again from its beginning, so from the second lap on an fdatasync finds no metadata to write.
//! - *When a file is full:* the writer begins a lap in the other one, once a checkpoint has made that one's rows
//!   durable in the map.
//! - *When the process dies here:* see [`recover`](super::recover).
//!
//! Ignorant of rows, tables and checkpoints.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::record::{BLOCK_BYTES, Lap, Salt};

/// Bytes wiped before they are synced: a commit that comes behind waits for no more.
const WIPED_AT_ONCE: usize = 256 * 1024;

/// The two open files.
pub(crate) type Files = Arc<[File; 2]>;

/// The writing end.
#[derive(Debug)]
pub(crate) struct RedoLog {
    files: Files,
    max_bytes: usize,
    current: usize,
    lap: Lap,
    /// The offset of the next record in the current file; 0 before the lap's first.
    offset: usize,
    #[cfg(test)]
    pub(crate) fail_next_sync: bool,
}

/// The path of file 0 or 1 of the log in `folder`.
pub(crate) fn path(folder: &Path, file: usize) -> PathBuf {
    folder.join(file.to_string())
}

/// Makes a log in `folder`, which must be empty: two files that were never used. Durable when it returns, but for the
/// folder's own name.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    for file in [0, 1] {
        let unused = Lap { salt: draw_salt()?, first_commit: 0 };
        let file = File::create_new(path(folder, file))?;
        file.write_all_at(&unused.encode(), 0)?;
        file.sync_all()?;
    }
    File::open(folder)?.sync_all()
}

/// Opens file 0 or 1 of the log in `folder` and reads all of it. Takes memory for a whole file.
pub(crate) fn open(folder: &Path, file: usize) -> io::Result<(File, Bytes)> {
    let path = path(folder, file);
    let bytes = fs::read(&path)?;
    Ok((File::options().read(true).write(true).open(path)?, Bytes::from(bytes)))
}

/// Bytes that nobody can guess.
pub(crate) fn draw_salt() -> io::Result<Salt> {
    let mut salt = Salt::default();
    getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(salt)
}

// === impl RedoLog ===

impl RedoLog {
    /// Goes on after recovery with commit `first_commit`, in a lap of its own in the file that is not `newest`.
    pub(crate) fn new(files: Files, max_bytes: usize, newest: usize, first_commit: u64) -> io::Result<Self> {
        Ok(Self {
            files,
            max_bytes,
            current: 1 - newest,
            lap: Lap { salt: draw_salt()?, first_commit },
            offset: 0,
            #[cfg(test)]
            fail_next_sync: false,
        })
    }

    /// The salt that opens the records of this lap.
    pub(crate) fn salt(&self) -> Salt {
        self.lap.salt
    }

    /// True if a record of this many bytes goes into this lap. The first one always does.
    pub(crate) fn has_room(&self, record_bytes: usize) -> bool {
        self.is_empty() || self.offset + record_bytes <= self.max_bytes
    }

    /// The file of this lap: 0 or 1.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// True if this lap has no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.offset == 0
    }

    /// Turns to the other file. All that it holds must be durable elsewhere. Nothing is written yet: the lap's header
    /// goes with its first record.
    pub(crate) fn begin_lap(&mut self, first_commit: u64) -> io::Result<()> {
        self.lap = Lap { salt: draw_salt()?, first_commit };
        self.current = 1 - self.current;
        self.offset = 0;
        Ok(())
    }

    /// Writes a record, whole blocks of it, and returns once it is durable. An error is final: the content of the
    /// file is not known then.
    pub(crate) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let file = &self.files[self.current];
        if self.offset == 0 {
            file.write_all_at(&self.lap.encode(), 0)?;
            self.offset = BLOCK_BYTES;
        }
        file.write_all_at(record, self.offset as u64)?;
        #[cfg(test)]
        if std::mem::take(&mut self.fail_next_sync) {
            return Err(io::Error::other("injected fault"));
        }
        let started = Instant::now();
        file.sync_data()?;
        metrics::histogram!(model::metric::FDATASYNC_SECONDS).record(started.elapsed().as_secs_f64());
        self.offset += record.len();
        Ok(())
    }
}

/// Overwrites all that a file holds with zeros, so that nothing of its rows is left, as long as `go_on` says so. All of
/// them must be durable elsewhere, and no thread writes to the file meanwhile. It is a file that was never used
/// afterwards, and before anything else: whatever part of this reaches the disk, no record is missed.
pub(crate) fn wipe(file: &File, mut go_on: impl FnMut() -> bool) -> io::Result<()> {
    let unused = Lap { salt: draw_salt()?, first_commit: 0 };
    file.write_all_at(&unused.encode(), 0)?;
    file.sync_data()?;
    let (mut offset, mut held) = (BLOCK_BYTES as u64, vec![0; WIPED_AT_ONCE]);
    let zeros = vec![0; WIPED_AT_ONCE];
    while go_on() {
        let bytes = read_upto(file, &mut held, offset)?;
        if bytes == 0 {
            break;
        }
        // Most of it was wiped before, where commits are few.
        if held[..bytes].iter().any(|byte| *byte != 0) {
            file.write_all_at(&zeros[..bytes], offset)?;
            file.sync_data()?;
        }
        offset += bytes as u64;
    }
    Ok(())
}

/// Fills `buffer` from `offset` on, or as far as the file goes.
fn read_upto(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The length of both files in bytes.
pub(crate) fn file_bytes(files: &[File; 2]) -> io::Result<u64> {
    Ok(files[0].metadata()?.len() + files[1].metadata()?.len())
}
