//! Creating: the data directory, its lock, and a store in it.
//!
//! A store is built in `store.new/` and published by one rename, so a crash leaves either no store or a whole one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::format;
use crate::disk::commit::log;
use crate::disk::error::OpenError;
use crate::disk::map;
use crate::disk::sync::{make_private_dir, sync};

/// Builds an empty store beside `home`, makes all of it durable and publishes it there.
pub(crate) fn create(cache_bytes: u64, data_dir: &Path, home: &Path) -> Result<(), OpenError> {
    let building = data_dir.join("store.new");
    remove(&building)?;
    make_private_dir(&building)?;
    map::create(&building, cache_bytes)?;
    make_private_dir(&building.join("values"))?;
    let log_dir = building.join("log");
    make_private_dir(&log_dir)?;
    log::create(&log_dir).map_err(|error| OpenError::io("create", &log_dir, error))?;
    format::write(&building).map_err(|error| OpenError::io("write", &building.join(format::FILE_NAME), error))?;
    sync(&building)?;
    fs::rename(&building, home).map_err(|error| OpenError::io("create", home, error))?;
    sync(data_dir)
}

/// Removes a folder that may not be there.
fn remove(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("remove", folder, error)),
        _ => Ok(()),
    }
}

/// Creates the missing part of the path, each folder private and its name durable in its parent.
pub(crate) fn create_data_dir(data_dir: &Path) -> Result<(), OpenError> {
    let missing: Vec<_> = data_dir.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.into_iter().rev() {
        make_private_dir(path)?;
        if let Some(parent) = path.parent() {
            sync(parent)?;
        }
    }
    Ok(())
}

/// Takes the lock of a data directory.
pub(crate) fn take_lock(data_dir: &Path) -> Result<File, OpenError> {
    let path = data_dir.join("LOCK");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| OpenError::io("open", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: data_dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path, error)),
    }
}
