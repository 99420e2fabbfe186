//! Creating: the data directory, its lock, and a store in it.
//!
//! A store is built in `store.new/` and published by one rename, so a crash leaves either no store or a whole one.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::base::{COMMITS_KEY, COMMITS_TREE};
use super::contain::watched;
use super::format;
use super::open::{OpenError, OpenOptions, Opened, outcome, sync};
use crate::store::redo::log;

/// Builds an empty store beside `home`, makes all of it durable and publishes it there.
pub(super) fn create(options: OpenOptions, data_dir: &Path, home: &Path) -> Result<(), OpenError> {
    let building = data_dir.join("store.new");
    remove(&building)?;
    let sled_dir = building.join("sled");
    make_private_dir(&building)?;
    make_private_dir(&sled_dir)?;
    {
        let Opened { db, config, barrier } = options.open_sled(&sled_dir)?;
        let written = (*db).clone();
        let result = watched(&config, move || {
            written.open_tree(COMMITS_TREE)?.insert(COMMITS_KEY, &0u64.to_be_bytes())?;
            written.flush()
        });
        outcome(&sled_dir, result)?;
        // It syncs when it goes, and tells nobody whether that went well; the barrier is told.
        drop(db);
        let data_file = sled_dir.join("db");
        barrier.wait().map_err(|error| OpenError::io("sync", &data_file, error))?;
    }
    // sled syncs none of these at creation. A cut soon after would leave a store that does not open.
    for path in [sled_dir.join("conf"), sled_dir.join("db"), sled_dir.join("blobs"), sled_dir] {
        sync(&path)?;
    }
    add_values(&building)?;
    add_log(&building)?;
    set_version(&building)?;
    fs::rename(&building, home).map_err(|error| OpenError::io("create", home, error))?;
    sync(data_dir)
}

/// Gives the store in `home` a folder for value files, unless it has one.
pub(super) fn add_values(home: &Path) -> Result<(), OpenError> {
    let folder = home.join("values");
    if !folder.is_dir() {
        make_private_dir(&folder)?;
    }
    sync(home)
}

/// Gives the store in `home` an empty log. What is there of one was never used: the version that promises it was not
/// written.
pub(super) fn add_log(home: &Path) -> Result<(), OpenError> {
    let folder = home.join("log");
    remove(&folder)?;
    make_private_dir(&folder)?;
    log::create(&folder).map_err(|error| OpenError::io("create", &folder, error))?;
    // The log's name before the version that promises it.
    sync(home)
}

/// Writes that `home` has what the newest version promises.
pub(super) fn set_version(home: &Path) -> Result<(), OpenError> {
    format::write(home).map_err(|error| OpenError::io("write", &home.join(format::FILE_NAME), error))?;
    sync(home)
}

/// Removes a folder that may not be there.
fn remove(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io("remove", folder, error)),
        _ => Ok(()),
    }
}

/// Creates the missing part of the path, each folder private and its name durable in its parent.
pub(super) fn create_data_dir(data_dir: &Path) -> Result<(), OpenError> {
    let missing: Vec<_> = data_dir.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.into_iter().rev() {
        make_private_dir(path)?;
        if let Some(parent) = path.parent() {
            sync(parent)?;
        }
    }
    Ok(())
}

fn make_private_dir(path: &Path) -> Result<(), OpenError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| OpenError::io("create", path, error))
}

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
