//! `pinion restore`: a new data directory from a backup.
//!
//! *When it is killed:* there is no store, no server starts there, and running it again works: see `storage::backup`.

use crate::backup_command::archive::{self, ArchiveError};
use crate::backup_command::text::restored;
use crate::cli::STANDARD_STREAM;
use crate::config::Loaded;
use crate::data_dir;
use crate::keys::{self, Environment, KeyError};
use control::Rules;
use control::command::store::Restore;
use control::control::apply_alone;
use engine::clock::wall_now;
use std::io;
use std::path::Path;
use storage::backup::folder::{Folder, FolderError};
use storage::backup::manifest::Manifest;
use storage::backup::restore::{RestoreError, Restoring};
use storage::disk::OpenError;
use storage::tables::audit::verify::hash_from_hex;

/// Why nothing was restored. The data directory has no store then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreCommandError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The backup.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The backup as a tar stream.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The new store.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The record of it.
    #[error("the restore could not be noted: {0}")]
    Record(#[from] control::Error),
    /// The master key that is there is another one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The folder that a tar stream was unpacked in.
    #[error("could not remove the unpacked backup: {0}")]
    Tidy(io::Error),
}

/// Restores a backup to the data directory, the newest one of the folder unless another is named, and answers the report.
///
/// # Errors
/// See [`RestoreCommandError`].
pub(crate) fn run(
    loaded: &Loaded,
    environment: Environment<'_>,
    from: &Path,
    number: Option<u32>,
) -> Result<String, RestoreCommandError> {
    let data_dir = &loaded.config.data_dir;
    let restoring = Restoring::begin(data_dir::options(loaded), data_dir)?;
    let unpacked = restoring.scratch().join("backup");
    let folder = if from == Path::new(STANDARD_STREAM) {
        archive::unpack(io::stdin().lock(), &unpacked)?;
        Folder::open(&unpacked)?
    } else {
        Folder::open(from)?
    };
    let (number, manifest) = folder.manifest(number)?;
    let has_key = check_master_key(loaded, environment, &manifest)?;
    let store = restoring.fill(&folder, &manifest)?;
    apply_alone(&store, &Rules::default(), wall_now(), Restore { commit: manifest.commit, taken: manifest.ended })?;
    drop((store, folder));
    match std::fs::remove_dir_all(&unpacked) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(RestoreCommandError::Tidy(error)),
        _ => {}
    }
    restoring.publish()?;
    Ok(restored(number, &manifest, &data_dir.display().to_string(), has_key))
}

/// Refuses a master key that is not the one of the backup. False if there is none yet.
fn check_master_key(loaded: &Loaded, environment: Environment<'_>, manifest: &Manifest) -> Result<bool, KeyError> {
    let Some(check) = manifest.master_key_check.as_deref().and_then(hash_from_hex) else { return Ok(true) };
    match keys::master_key(loaded, environment, Some(&check)) {
        Ok(_) => Ok(true),
        Err(KeyError::MasterKeyLost { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
