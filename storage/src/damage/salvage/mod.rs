//! The content of a damaged store folder, read without sled and without changing it.
//!
//! Bottom up: [`message`] is sled's bytes, [`segments`] its file, [`leaves`] the rows in order. Here values that are
//! apart are put in their places, and the redo log is laid over all, as opening would do.
//!
//! | damage | consequence |
//! |---|---|
//! | one flipped bit in any checksummed message or record | put right; nothing is lost |
//! | more, in sled's file behind the last checkpoint that the log still reaches back to | passed over; the log has all of it |
//! | more, in a leaf | the rows of that leaf, named by their keys; those in the log are kept |
//! | more, in one change of a leaf | that change |
//! | more, in a value file | the values that it is in; a file that is missing, all that are in it |
//! | more, in a span that tells nothing | up to a leaf or a change, it cannot be said of what |
//! | in index pages, `conf`, a snapshot | nothing is lost: none of them is needed |
//! | more, in a record of the log | that commit; later ones are kept |
//!
//! Damage that cannot be contained is refused: no data file, or one with no leaf that can be read.

mod leaves;
mod log;
mod lost;
mod message;
mod segments;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;

use self::leaves::{Leaves, Span};
use self::log::Salvaged;
use self::segments::{DataFile, Pages};
use self::values::{Left, ValueFiles};
use crate::disk::commit::log::path;
use crate::disk::commit::table::RowMap;
use crate::disk::commit::watermark::{self, Watermark};
use crate::disk::map::data_file;
use crate::disk::map::layout::Held;
use crate::store::{Batch, INLINE_MAX_BYTES, Write};

/// Rows of the map that are handed over at once, in bytes, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The largest leaf.
const LEAF_MAX_BYTES: u64 = 256 * 1024;

/// A block is at most 8 KiB, and the row that leads to it at least 28 bytes: key, pointer and their lengths. A payload
/// of its own may be longer, but is one event.
const LOST_BYTES_PER_BYTE: u64 = INLINE_MAX_BYTES as u64 / 28 + 1;

/// A file's, below the store's folder.
pub(crate) type Name = Cow<'static, str>;

/// A fault that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// One flipped bit that was put right: file below the store's folder, byte.
    Corrected(Name, u64),
    /// A span that cannot be read: file, byte, length.
    Unreadable(Name, u64, u64),
    /// No row is left with a key from here to before there, but for what the log has; an empty end is the end of all.
    LostKeys(Bytes, Bytes),
    /// So many changes of rows with a key from here to before there are lost: a row may be missing or be an older one.
    OutdatedKeys(Bytes, Bytes, usize),
    /// It cannot be said what a span was of: up to a leaf (about 20 rows with neighbouring keys) may be missing or
    /// older.
    Unknown,
    /// These acknowledged commits are missing, both ends included.
    LostCommits(u64, u64),
    /// A file that should be there is not.
    Missing(Name),
}

/// A store folder that was read.
pub(crate) struct Found {
    file: DataFile,
    pages: Pages,
    leaves: Leaves,
    values: ValueFiles,
    /// The changes that the log makes to the rows.
    rows: RowMap,
    /// The faults that were found, in no order.
    pub(crate) findings: Vec<Finding>,
    /// About how many bytes of rows are lost at most.
    pub(crate) lost_bytes_max: u64,
}

/// Reads the store folder `home`.
///
/// # Errors
/// Reads that fail; [`io::ErrorKind::InvalidData`] when the data file has no leaf that can be read.
pub(crate) fn read(home: &Path) -> io::Result<Found> {
    let mut findings = Vec::new();
    let logs = [read_log(home, 0, &mut findings)?, read_log(home, 1, &mut findings)?];
    let log = log::salvage(&logs);
    let acknowledged = watermark(home, &mut findings)?;
    let mut file = DataFile::open(&data_file(home))?;
    let values = ValueFiles::new(&home.join("values"));
    let newest = log.records.keys().last().copied().max(acknowledged).unwrap_or(0);
    if newest > 0 && (1..=newest).all(|commit| log.records.contains_key(&commit)) {
        // The log goes back to the beginning: whatever the map holds, this is newer.
        let leaves = Leaves::none();
        let mut found =
            Found { file, pages: Pages::default(), leaves, values, rows: RowMap::new(), findings, lost_bytes_max: 0 };
        found.lay_over(&log, newest)?;
        return Ok(found);
    }
    let mut pages = segments::scan(&mut file, 0, i64::MAX)?;
    let mut leaves = None;
    // sled itself would stop at the first hole. If the log goes on from the last checkpoint before it, so do we.
    if let Some(hole) = pages.holes.iter().map(|hole| hole.position).min() {
        let sealed = pages.seals.range(..hole).next_back().map(|(_, commit)| *commit);
        let log_has_the_rest = |sealed| (sealed + 1..=newest).all(|commit| log.records.contains_key(&commit));
        if sealed.is_some_and(log_has_the_rest) {
            let before = segments::scan(&mut file, 0, hole)?;
            let there = leaves::lay_out(&file, &before)?;
            if there.missing_value_file(&values)?.is_none() {
                (pages, leaves) = (before, Some(there));
            }
        }
    }
    let leaves = leaves.map_or_else(|| leaves::lay_out(&file, &pages), Ok)?;
    if pages.pages.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "nothing in it can be read: restore a backup"));
    }
    findings.extend(pages.corrected.keys().map(|byte| Finding::Corrected("sled/db".into(), *byte)));
    let mut found = Found { file, pages, leaves, values, rows: RowMap::new(), findings, lost_bytes_max: 0 };
    found.note_pages();
    found.lay_over(&log, newest)?;
    Ok(found)
}

/// Tells the loss that sled's opening of the folder would cause; `None` when there is none. At the first message that
/// it cannot read, sled takes its log for ended, and writes over the rest. After a crash that is right, for the redo
/// log has the rest; after damage it would cost every row behind it. `from` is a position in its log that its snapshot
/// vouches for.
///
/// Reads no more than sled will, unless something is wrong.
///
/// # Errors
/// Reads that fail.
pub(crate) fn loss_by_opening(home: &Path, from: u64) -> io::Result<Option<String>> {
    let mut file = DataFile::open(&data_file(home))?;
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let mut pages = segments::scan(&mut file, from, i64::MAX)?;
    let Some(stops_at) = pages.stops_at.filter(|stops_at| *stops_at >= from) else { return Ok(None) };
    if pages.seals.range(..stops_at).next().is_none() {
        pages = segments::scan(&mut file, 0, i64::MAX)?;
    }
    let sealed = pages.seals.range(..stops_at).next_back().map_or(0, |(_, commit)| *commit);
    let mut findings = Vec::new();
    let logs = [read_log(home, 0, &mut findings)?, read_log(home, 1, &mut findings)?];
    let log = log::salvage(&logs);
    let newest = log.records.keys().last().copied().max(watermark(home, &mut findings)?).unwrap_or(0);
    if let Some(commit) = (sealed + 1..=newest).find(|commit| !log.records.contains_key(commit)) {
        return Ok(Some(format!("it is damaged behind commit {sealed}, and commit {commit} is not in the log")));
    }
    // A sweep is in no commit: values that it moved since are only behind the damage.
    let before = segments::scan(&mut file, 0, stops_at)?;
    let missing = leaves::own_rows(&file, &before)?.missing_value_file(&ValueFiles::new(&home.join("values")))?;
    Ok(missing.map(|number| format!("it is damaged behind commit {sealed}, and value file {number} of then is gone")))
}

// === impl Found ===

impl Found {
    fn note_pages(&mut self) {
        for hole in &self.pages.holes {
            self.findings.push(Finding::Unreadable("sled/db".into(), hole.offset, hole.bytes as u64));
            if hole.page.is_none() {
                self.findings.push(Finding::Unknown);
            }
            // Rows whose values are apart are short: there may have been several leaves.
            self.lost_bytes_max += LEAF_MAX_BYTES.max(hole.bytes as u64 * LOST_BYTES_PER_BYTE);
        }
        let range = |span: &Span| (span.from.clone(), span.to.clone());
        for (from, to) in self.leaves.lost.iter().map(range) {
            self.findings.push(Finding::LostKeys(from, to));
            self.lost_bytes_max += LEAF_MAX_BYTES;
        }
        for (span, changes) in &self.leaves.outdated {
            let (from, to) = range(span);
            self.findings.push(Finding::OutdatedKeys(from, to, *changes));
            self.lost_bytes_max += LEAF_MAX_BYTES;
        }
    }

    /// Puts the log's commits over the leaves, as far as they are behind the last checkpoint; all of them when that one
    /// is not known, which comes to the same as long as none is missing.
    fn lay_over(&mut self, log: &Salvaged, newest: u64) -> io::Result<()> {
        const FILES: [&str; 2] = ["log/0", "log/1"];
        let first = log.records.keys().next().copied();
        let sealed = self.leaves.sealed.unwrap_or_else(|| first.map_or(newest, |first| first - 1));
        for (file, byte) in &log.corrected {
            self.findings.push(Finding::Corrected(FILES[*file].into(), *byte as u64));
        }
        let missing: BTreeSet<u64> = (sealed + 1..=newest).filter(|commit| !log.records.contains_key(commit)).collect();
        for damaged in &log.damaged {
            self.findings.push(Finding::Unreadable(
                FILES[damaged.file].into(),
                damaged.offset as u64,
                damaged.bytes as u64,
            ));
        }
        if !missing.is_empty() {
            let damaged: usize = log.damaged.iter().map(|damaged| damaged.bytes).sum();
            self.lost_bytes_max += (damaged + log.unfinished_bytes).max(LEAF_MAX_BYTES as usize) as u64;
        }
        let mut run: Option<(u64, u64)> = None;
        for commit in missing {
            run = match run {
                Some((from, to)) if to + 1 == commit => Some((from, commit)),
                other => {
                    self.findings.extend(other.map(|(from, to)| Finding::LostCommits(from, to)));
                    Some((commit, commit))
                }
            };
        }
        self.findings.extend(run.map(|(from, to)| Finding::LostCommits(from, to)));
        for record in log.records.range(sealed + 1..).map(|(_, record)| record) {
            self.rows.extend(record.rows().map_err(io::Error::other)?);
        }
        Ok(())
    }

    /// Hands all rows to `take`, in batches of a few MiB; a value of which nothing is left is empty. Tells the faults
    /// of values that are apart.
    ///
    /// # Errors
    /// Reads that fail, and the errors of `take`.
    pub(crate) fn rows<E: From<io::Error>>(
        &self,
        mut take: impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<Vec<Finding>, E> {
        let mut batch = Batch::new();
        let mut findings = Vec::new();
        self.leaves.rows(&self.file, &self.pages, |rows| -> Result<(), E> {
            for (key, held) in rows.into_iter().filter(|(key, _)| !self.rows.contains_key(key)) {
                let value = self.resolve(&key, held, &mut findings)?;
                batch.put(key, value);
                if batch.bytes() >= BATCH_BYTES {
                    take(std::mem::take(&mut batch))?;
                }
            }
            Ok(())
        })?;
        for (key, write) in &self.rows {
            if let Write::Put(value) = write {
                batch.put(key.clone(), value.clone());
            }
            if batch.bytes() >= BATCH_BYTES {
                take(std::mem::take(&mut batch))?;
            }
        }
        take(batch)?;
        Ok(findings)
    }

    /// The value of a row.
    fn resolve(&self, key: &[u8], held: Bytes, findings: &mut Vec<Finding>) -> io::Result<Bytes> {
        let pointer = match Held::decode(&held) {
            Some(Held::Separated(pointer)) => pointer,
            Some(Held::Inline(_) | Held::Own(_)) | None => return Ok(held.slice(held.len().min(1)..)),
        };
        let ((file, offset), bytes) = (pointer.place(), pointer.entry_bytes(key) as u64);
        let (value, finding) = match self.values.read(key, pointer)? {
            Left::Whole(value) => return Ok(value),
            Left::Corrected(value, byte) => (value, Finding::Corrected(file.into(), byte)),
            Left::Damaged(value) => (value, Finding::Unreadable(file.into(), offset, bytes)),
            Left::Cut => (Bytes::new(), Finding::Unreadable(file.into(), offset, bytes)),
            Left::Missing => (Bytes::new(), Finding::Missing(file.into())),
        };
        // Each value in it is missing too.
        if !matches!(finding, Finding::Missing(_)) || !findings.contains(&finding) {
            findings.push(finding);
        }
        Ok(value)
    }
}

fn read_log(home: &Path, file: usize, findings: &mut Vec<Finding>) -> io::Result<Bytes> {
    match fs::read(path(&home.join("log"), file)) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.push(Finding::Missing(if file == 0 { "log/0" } else { "log/1" }.into()));
            Ok(Bytes::new())
        }
        Err(error) => Err(error),
    }
}

/// The number of the last acknowledged commit, if that can be read.
fn watermark(home: &Path, findings: &mut Vec<Finding>) -> io::Result<Option<u64>> {
    let read = fs::read(home.join(watermark::FILE_NAME));
    let Ok(mut bytes) = read else {
        findings.push(Finding::Missing(watermark::FILE_NAME.into()));
        return Ok(None);
    };
    let (commit, byte) = Watermark::read_corrected(&mut bytes);
    match (commit, byte) {
        (Some(_), Some(byte)) => findings.push(Finding::Corrected(watermark::FILE_NAME.into(), byte as u64)),
        (None, _) => findings.push(Finding::Unreadable(watermark::FILE_NAME.into(), 0, bytes.len() as u64)),
        (Some(_), None) => {}
    }
    Ok(commit)
}
