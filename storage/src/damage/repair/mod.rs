//! `pinion repair`: the rows that a damaged data directory still holds go into a new store, which takes the old one's
//! place.
//!
//! Bottom up: [`salvage`] reads the rows that are left, [`mend`] makes them fit together again,
//! [`swap`] exchanges the folders, [`report`] says the findings in words; here is the order of it. The damaged folder
//! is read and moved, never written.
//!
//! ```text
//! DATA/repair.new/store        the new store, while it is built
//! DATA/repair.new/DONE         it is whole: where the old one goes, and the report
//! DATA/damaged-TIME/store      the damaged store, as it was found, with REPORT beside it
//! ```
//!
//! - *When the process dies here:* before DONE nothing happened, and the next run starts over; after it the next run
//!   ends the exchange, and until then no server starts, see `disk::open`.
//! - *What bounds it:* as much room on the disk again as the rows take; memory for an entry for each page, and the log.

mod mend;
mod report;
pub(crate) mod swap;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use model::UnixMs;

use self::report::Report;
use self::swap::Swap;
use crate::damage::salvage::{self, Finding};
use crate::disk::open::create::take_lock;
use crate::disk::open::format::check_damaged;
use crate::disk::{OpenError, OpenOptions};
use crate::rows;
use crate::store::{Batch, Store, StoreError, Write};

/// Why a data directory could not be repaired. The damaged store is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It is in use, of a newer version, or the new store could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store could not be written.
    #[error("could not write the new store: {0}")]
    Store(#[from] StoreError),
    /// The damaged one could not be read, or the two not exchanged.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder concerned.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is nothing to repair.
    #[error("there is no store in {}", .0.display())]
    NoStore(PathBuf),
}

/// The inputs of a run.
#[derive(Clone, Copy)]
pub struct Repair {
    /// Settings for opening the new store.
    pub options: OpenOptions,
    /// The time.
    pub now: UnixMs,
    /// Times for people.
    pub time_text: fn(UnixMs) -> String,
}

/// Reading the damaged store and writing the new one, whichever failed.
enum CopyError {
    Read(io::Error),
    Write(StoreError),
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Repair {
    /// Repairs the store in `data_dir` and answers the report. Blocks for the disk, about as long as it takes to read
    /// and to write all of it.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub fn run(self, data_dir: &Path) -> Result<String, RepairError> {
        let data_dir = std::path::absolute(data_dir).map_err(|source| at(data_dir, source))?;
        if !data_dir.is_dir() {
            return Err(RepairError::NoStore(data_dir));
        }
        let _lock = take_lock(&data_dir)?;
        let swap = Swap::new(&data_dir);
        if let Some(report) = swap.resume().map_err(|source| at(&data_dir, source))? {
            return Ok(report);
        }
        let home = data_dir.join("store");
        if !home.is_dir() {
            return Err(RepairError::NoStore(data_dir));
        }
        let format_is_readable = check_damaged(&home)?;
        let mut found = salvage::read(&home).map_err(|source| at(&home, source))?;
        if !format_is_readable {
            found.findings.push(Finding::Unreadable("FORMAT".into(), 0, 0));
        }
        let mut report = Report::new(self.time_text, std::mem::take(&mut found.findings));
        {
            let store = self.options.open(swap.building())?;
            copy(&found, &store, &mut report).map_err(|error| match error {
                CopyError::Read(source) => at(&home, source),
                CopyError::Write(error) => error.into(),
            })?;
            if report.has_losses() {
                mend::mend(&store, &mut report, found.lost_bytes_max)?;
            }
        }
        drop(found);
        let kept_in = format!("damaged-{}", (self.time_text)(self.now).replace(':', "-"));
        swap.exchange(&kept_in, &report.text(&kept_in)).map_err(|source| at(&data_dir, source))
    }
}

/// Brings every row that is left to the new store, and counts them.
fn copy(found: &salvage::Found, store: &dyn Store, report: &mut Report) -> Result<(), CopyError> {
    let findings = found.rows(|batch: Batch| {
        for (key, write) in batch.iter() {
            if matches!(write, Write::Put(_)) {
                report.keep(rows::key::kind_of(key));
            }
        }
        store.apply(batch).map_err(CopyError::Write)
    })?;
    report.find(findings);
    Ok(())
}

fn at(path: &Path, source: io::Error) -> RepairError {
    RepairError::Io { path: path.to_owned(), source }
}
