//! Checks of ours beyond sled's own recovery. They find losses and name them; they repair nothing.

use std::fs;
use std::path::Path;

use super::layout::Held;
use super::library::inside_sled;
use super::names::LAST_COMMIT;
use crate::disk::error::OpenError;

/// sled writes a snapshot at opening under a temporary name, but takes that name for a finished one at the next
/// opening: killed in between, it would refuse its own half-written file. A snapshot is only a shortcut; the log is the
/// truth.
pub(crate) fn remove_unfinished_snapshots(sled_dir: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(sled_dir).map_err(|error| OpenError::io("list", sled_dir, error))?;
    for entry in entries {
        let path = entry.map_err(|error| OpenError::io("list", sled_dir, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path).map_err(|error| OpenError::io("remove", &path, error))?;
        }
    }
    Ok(())
}

/// The number of the last commit sled recovered. A store without one was not recovered at all: sled takes a data file
/// that is empty or unreadable from its start for a new one.
pub(super) fn read_last_commit(db: &::sled::Db, data_file: &Path) -> Result<u64, OpenError> {
    let corrupt = |reason: &str| OpenError::Corrupt { path: data_file.to_owned(), reason: reason.to_owned() };
    let held = inside_sled(data_file, || db.get(LAST_COMMIT))?;
    let held = held.ok_or_else(|| corrupt("none of what was written could be recovered"))?;
    Held::commit(&held).ok_or_else(|| corrupt("the commit number is malformed"))
}
