//! From a backup to a store: in a folder beside, and in place by one rename.
//!
//! Every chunk is checked against its name before its rows are used. The store that comes of it is opened and looked
//! through ([`super::check`]) before it is anybody's.
//!
//! - *What bounds it:* a chunk in memory; room on the disk for the store.
//! - *When the process dies here:* there is no store, a server does not start on the data directory, and the next run
//!   begins anew.

use std::path::Path;

use super::chunk::{ChunkError, Kind};
use super::folder::{Folder, FolderError};
use super::manifest::Manifest;
use crate::disk::open::fill::{Filling, Place};
use crate::disk::{DiskStore, OpenError, OpenOptions};
use crate::store::StoreError;

/// Why a backup was not restored. The data directory has no store then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The data directory, or the new store in it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new store.
    #[error("could not write the new store: {0}")]
    Store(#[from] StoreError),
}

/// A data directory that a backup is being restored to, locked. Dropped before [`Restoring::publish`], it leaves the data
/// directory without a store.
pub struct Restoring {
    place: Option<Place>,
    options: OpenOptions,
}

impl Restoring {
    /// Takes a data directory, which has keys in it at most.
    ///
    /// # Errors
    /// When there is more in it, or a process uses it.
    pub fn begin(options: OpenOptions, data_dir: &Path) -> Result<Restoring, OpenError> {
        Ok(Restoring { place: Some(Place::take(data_dir)?), options })
    }

    /// A folder, below the data directory, for what is needed while this lasts.
    #[must_use]
    pub fn scratch(&self) -> std::path::PathBuf {
        self.place.as_ref().map(Place::unfinished).unwrap_or_default()
    }

    /// Makes the store of a backup, and opens it.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn fill(&self, folder: &Folder, manifest: &Manifest) -> Result<DiskStore, RestoreError> {
        fill(self.options, &self.scratch(), folder, manifest)
    }

    /// Puts the store in its place. No handle of it may be open any more.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn publish(mut self) -> Result<(), OpenError> {
        self.place.take().map_or(Ok(()), Place::publish)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if let Some(place) = self.place.take()
            && let Err(error) = place.clear()
        {
            tracing::warn!(%error, "an unfinished restore was left behind");
        }
    }
}

/// Makes the store of a backup in an empty folder, and opens it.
///
/// # Errors
/// See [`RestoreError`].
pub fn fill(
    options: OpenOptions,
    data_dir: &Path,
    folder: &Folder,
    manifest: &Manifest,
) -> Result<DiskStore, RestoreError> {
    let mut filling = Filling::begin(options, data_dir, manifest.commit)?;
    let mut last_key = bytes::Bytes::new();
    let mut next_commit = manifest.from_commit;
    for entry in &manifest.chunks {
        let (path, file) = folder.chunk(entry)?;
        let damaged = |error: ChunkError| FolderError::Chunk { path: path.clone(), reason: error.to_string() };
        match entry.kind {
            Kind::Rows => {
                let rows = entry.rows(file).map_err(damaged)?;
                if rows.first().is_some_and(|(key, _)| *key <= last_key) {
                    return Err(damaged(ChunkError::Malformed).into());
                }
                last_key = rows.last().map(|(key, _)| key.clone()).unwrap_or_default();
                filling.put(&rows)?;
            }
            Kind::Commits => {
                for (commit, rows) in entry.commits(file).map_err(damaged)? {
                    next_commit += 1;
                    if commit != next_commit {
                        return Err(damaged(ChunkError::Malformed).into());
                    }
                    filling.put_over(rows)?;
                }
            }
        }
    }
    filling.finish()?;
    Ok(options.open(data_dir)?)
}
