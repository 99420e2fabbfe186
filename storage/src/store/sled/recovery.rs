//! What we ask of sled's recovery beyond what it asks of itself. It finds losses and names them; it repairs nothing.

use std::fs;
use std::path::Path;

use super::base::{COMMITS_KEY, COMMITS_TREE};
use super::open::{OpenError, inside_sled};
use super::watermark;

/// sled writes a snapshot at opening under a temporary name, but takes that name for a finished one at the next opening:
/// killed in between, it would refuse its own half-written file. A snapshot is only a shortcut; the log is the truth.
pub(super) fn remove_unfinished_snapshots(sled_dir: &Path) -> Result<(), OpenError> {
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
pub(super) fn read_last_commit(db: &::sled::Db, data_file: &Path) -> Result<(::sled::Tree, u64), OpenError> {
    let corrupt = |reason: &str| OpenError::Corrupt { path: data_file.to_owned(), reason: reason.to_owned() };
    let (commits, row) = inside_sled(data_file, || {
        if !db.tree_names().iter().any(|name| name == COMMITS_TREE.as_bytes()) {
            return Ok(None);
        }
        let commits = db.open_tree(COMMITS_TREE)?;
        let row = commits.get(COMMITS_KEY)?;
        Ok(row.map(|row| (commits, row)))
    })?
    .ok_or_else(|| corrupt("none of what was written could be recovered"))?;
    let number = row.as_ref().try_into().map_err(|_| corrupt("the commit number is malformed"))?;
    Ok((commits, u64::from_be_bytes(number)))
}

/// Refuses a store that ends before the last commit that was acknowledged. `file` is where that commit should be.
pub(super) fn refuse_loss(
    home: &Path,
    file: &Path,
    last_commit: u64,
    acknowledged: Option<u64>,
) -> Result<(), OpenError> {
    let mark = home.join(watermark::FILE_NAME);
    match acknowledged {
        Some(acknowledged) if acknowledged > last_commit => Err(OpenError::Corrupt {
            path: file.to_owned(),
            reason: format!(
                "it ends at commit {last_commit}, but commit {acknowledged} was acknowledged; restore a backup, or \
                 remove {} to go on without what is lost",
                mark.display()
            ),
        }),
        Some(_) => Ok(()),
        None => {
            if last_commit > 0 {
                tracing::warn!(path = %mark.display(), "no readable watermark: a loss would go unnoticed this time");
            }
            Ok(())
        }
    }
}
