//! Durability of sled's data file: a fdatasync of our own.
//!
//! sled's `flush()` ends in `sync_file_range` on Linux, which writes no metadata and does not empty the drive's cache
//! (man 2 sync_file_range). So every checkpoint ends here, through a descriptor of our own. Our own matters twice:
//! Linux reports a write-back error once to each open file description, and sled's background thread logs and swallows
//! the errors that its descriptor is told. Ours still hears of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
#[cfg(test)]
use std::sync::atomic::{AtomicBool, Ordering};

/// A descriptor on the data file whose only use is to make it durable.
#[derive(Debug)]
pub(crate) struct Barrier {
    file: File,
    #[cfg(test)]
    fail_next: AtomicBool,
}

impl Barrier {
    /// Opens the data file at `path`, which is created empty if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self {
            file,
            #[cfg(test)]
            fail_next: AtomicBool::new(false),
        })
    }

    /// Returns once everything written to the data file before is durable. An error is final: see the contract of
    /// [`Store`](crate::store::Store).
    pub(crate) fn wait(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.fail_next.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("injected fault"));
        }
        self.file.sync_data()
    }

    /// The length of the data file in bytes.
    pub(crate) fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(test)]
    pub(crate) fn fail_next(&self) {
        self.fail_next.store(true, Ordering::SeqCst);
    }
}
