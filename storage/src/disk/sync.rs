//! New folders, and fsync of new files and of the folders that name them.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::error::OpenError;

/// Makes a file, or the entries of a folder, durable.
pub(crate) fn sync_path(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The same while a store is opened.
pub(crate) fn sync(path: &Path) -> Result<(), OpenError> {
    sync_path(path).map_err(|error| OpenError::io("sync", path, error))
}

/// Makes a folder that only its owner may look into.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), OpenError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| OpenError::io("create", path, error))
}
