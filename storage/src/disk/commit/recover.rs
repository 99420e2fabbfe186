//! From the bytes of the two log files to the commits that the tree below does not have yet. Pure.
//!
//! States that can be found after a crash, and why each is told apart from damage. *N* is the last commit of the tree.
//! Every commit is synced before the next is written. A file begins a new lap only after a checkpoint of all it holds.
//! So:
//!
//! | found | after | done |
//! |---|---|---|
//! | records N+1 to M, then none | a kill at any other moment | M is the last; that a record behind it was never begun, or is an older lap's, is the same |
//! | a last record that is not whole | power cut while it was written | not acknowledged: left out |
//! | records up to N only, or some of them | kill between a checkpoint and the next lap; kill during a checkpoint, which changes no log | skipped: the tree has them |
//! | a header of an older lap before records of a newer one | power cut while a lap's first record was written | its older records are at or below N, the newer one was not acknowledged: nothing there |
//! | the same, and among the older records one of commit N+1 | a cut tore that record, and after the next opening a second cut came in the second lap | nothing there: it was not acknowledged, and its number was given out again |
//! | a header that is none | torn while a lap was begun | as before |
//! | the header of a new lap, no record | the same | nothing there |
//! | a record that is not whole, later ones of its lap behind it | never | **damage**: it was synced before they were written |
//! | a lap that begins above the last commit so far plus one | never | **damage** of the commits between |
//! | both headers bad | never: one is written at a time | **damage** |
//!
//! The loss of the very last records cannot be seen here: the watermark is for that.
//!
//! All that is recovered goes to the tree before the store opens, and the next commit begins a new lap. So nothing is
//! ever appended behind a torn record. Only the number of a commit that was never acknowledged can be given out a
//! second time. The second record then stands in a lap with another salt, in the lap that comes last.

use bytes::Bytes;

use super::record::{BLOCK_BYTES, Lap, Record, commit_at};
use super::table::RowMap;

/// The commits of the log beyond the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// The rows of the commits beyond the tree's last one. They share the files' memory.
    pub(crate) rows: RowMap,
    /// The last commit there is, in the log or in the tree.
    pub(crate) last_commit: u64,
    /// The file that the newest commits are in. The next lap goes to the other.
    pub(crate) newest: usize,
}

/// A log that cannot have been left by a crash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file concerned: 0 or 1. `None`: both are whole, it is the tree that is too old for them.
    pub(crate) file: Option<usize>,
    /// The offset in the file, in bytes.
    pub(crate) offset: usize,
    /// The finding.
    pub(crate) reason: String,
}

/// A lap as it was found.
struct Found {
    file: usize,
    first_commit: u64,
    /// Whole records, of consecutive commits.
    records: Vec<Record>,
    /// The offset at which the next record would be.
    end: usize,
}

/// Reads both files, given that the tree has all commits up to `checkpointed`.
pub(crate) fn recover(files: &[Bytes; 2], checkpointed: u64) -> Result<Recovered, Damage> {
    let mut laps = Vec::with_capacity(files.len());
    for (file, bytes) in files.iter().enumerate() {
        laps.extend(read_lap(file, bytes, checkpointed)?);
    }
    // Of two laps that begin with the same commit, one was begun in vain.
    laps.sort_by_key(|lap| (lap.first_commit, lap.records.len()));
    let Some(last) = laps.last() else {
        return Err(damage(0, 0, "neither log file has a readable header".to_owned()));
    };
    let newest = last.file;

    let mut rows = RowMap::new();
    let mut last_commit = checkpointed;
    // The place where commits are missing if the next lap begins too late.
    let mut missing_at = ((laps.len() == 1).then_some(1 - newest), 0);
    for lap in &laps {
        if lap.first_commit > last_commit + 1 {
            let (file, offset) = missing_at;
            let (missing, first) = (last_commit + 1, lap.first_commit);
            let reason = format!("commit {missing} is not there, but the log goes on with commit {first}");
            return Err(Damage { file, offset, reason });
        }
        if lap.first_commit <= last_commit && last_commit > checkpointed && !lap.records.is_empty() {
            return Err(damage(lap.file, 0, format!("commit {last_commit} is in both log files")));
        }
        for record in lap.records.iter().filter(|record| record.commit > checkpointed) {
            rows.extend(record.rows().map_err(|error| damage(lap.file, lap.end, error.to_string()))?);
            last_commit = record.commit;
        }
        missing_at = (Some(lap.file), lap.end);
    }
    Ok(Recovered { rows, last_commit, newest })
}

fn read_lap(file: usize, bytes: &Bytes, checkpointed: u64) -> Result<Option<Found>, Damage> {
    let Some(lap) = Lap::decode(bytes) else {
        return headless(file, bytes, checkpointed).map(|()| None);
    };
    let mut found = Found { file, first_commit: lap.first_commit, records: Vec::new(), end: BLOCK_BYTES };
    if lap.first_commit == 0 {
        return Ok(Some(found));
    }
    let mut commit = lap.first_commit;
    while let Some(record) = Record::decode(bytes, found.end, lap.salt, commit) {
        found.end += record.bytes.len().next_multiple_of(BLOCK_BYTES);
        commit += 1;
        found.records.push(record);
    }
    // The tree goes up to the end of a lap, or to where an opening found the log's end. So of a lap that it reaches,
    // the tree has every acknowledged commit; the record behind them, if there is one, is of the commit that a power cut
    // tore, whose number was given out again in the next lap.
    let vouched_for = if lap.first_commit <= checkpointed { checkpointed + 1 } else { checkpointed };
    let later = (found.end + BLOCK_BYTES..bytes.len())
        .step_by(BLOCK_BYTES)
        .filter_map(|offset| commit_at(bytes, offset, lap.salt))
        .find(|later| *later > vouched_for);
    match later {
        None => Ok(Some(found)),
        Some(later) => {
            let reason = format!("commit {commit} is damaged: commit {later} was written after it");
            Err(damage(file, found.end, reason))
        }
    }
}

/// A file without a header holds nothing, unless a record behind it is whole: a lap's header is durable with its first
/// record, and a sector is written whole or not at all, so then the header was damaged later.
fn headless(file: usize, bytes: &Bytes, checkpointed: u64) -> Result<(), Damage> {
    let salt = bytes.get(BLOCK_BYTES..).and_then(|rest| rest.first_chunk().copied());
    let first = salt.and_then(|salt| {
        let commit = commit_at(bytes, BLOCK_BYTES, salt)?;
        Record::decode(bytes, BLOCK_BYTES, salt, commit)
    });
    match first {
        Some(record) if record.commit > checkpointed => {
            Err(damage(file, 0, format!("the header before commit {} is damaged", record.commit)))
        }
        _ => Ok(()),
    }
}

fn damage(file: usize, offset: usize, reason: String) -> Damage {
    Damage { file: Some(file), offset, reason }
}
