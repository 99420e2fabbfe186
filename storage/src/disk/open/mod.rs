//! Opening: everything that must hold before the first row is read.
//!
//! A store folder that exists is never created into: a missing file there is damage, where sled would start afresh.

pub(crate) mod create;
pub(crate) mod fill;
pub(crate) mod format;
mod log;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use self::create::{create_data_dir, take_lock};
use super::checkpoint::{self, Checkpointer, Checkpoints};
use super::commit;
use super::commit::log::{RedoLog, path};
use super::commit::watermark::{self, Watermark};
use super::error::OpenError;
use super::map::{self, Map, SeparatedKeys};
use super::shared::Shared;
use super::store::DiskStore;
use super::sync::sync;
use super::writer::Writer;
use crate::damage::repair::swap;
use crate::damage::salvage;
use crate::rows::KeyKind;
use crate::store::busy::Busy;
use crate::store::{Poison, StoreError};

/// Settings for opening a store.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Memory for cached pages, in bytes.
    pub cache_bytes: u64,
    /// Size of each of the two files of the redo log, in bytes; as much memory again, twice, holds the rows in them. A
    /// larger one makes checkpoints rarer. One commit always fits.
    pub log_max_bytes: usize,
    /// The keys whose large values are kept in files of their own. Not another one for a store that exists.
    pub separated: SeparatedKeys,
}

impl Default for OpenOptions {
    fn default() -> Self {
        // Small on purpose: a delivered event is read once, and memory must not grow with a backlog.
        let separated = SeparatedKeys { from: KeyKind::Event as u8, to: KeyKind::Payload as u8 + 1 };
        Self { cache_bytes: 32 * 1024 * 1024, log_max_bytes: commit::MAX_BYTES, separated }
    }
}

impl OpenOptions {
    /// Opens the store in `data_dir`, creating both (mode 0700) if they are not there. All rows that it shows are
    /// durable.
    ///
    /// Blocks for the disk; the time grows with the writes since the last opening, a few seconds for 20 GB.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A store that is in use, too new or damaged is refused, not repaired.
    pub fn open(self, data_dir: &Path) -> Result<DiskStore, OpenError> {
        let data_dir = std::path::absolute(data_dir).map_err(|error| OpenError::io("resolve", data_dir, error))?;
        create_data_dir(&data_dir)?;
        let lock = take_lock(&data_dir)?;
        let home = data_dir.join("store");
        if swap::is_under_way(&data_dir) {
            let reason = "a repair was interrupted here: run `pinion repair` again".to_owned();
            return Err(OpenError::Corrupt { path: data_dir.join(swap::BUILDING), reason });
        }
        fill::refuse_unfinished(&data_dir, &home)?;
        if !exists(&home)? {
            create::create(self.cache_bytes, &data_dir, &home)?;
        }
        format::check(&home)?;
        self.open_home(&home, lock)
    }

    fn open_home(self, home: &Path, lock: File) -> Result<DiskStore, OpenError> {
        let data_file = map::data_file(home);
        let vouched_for = map::check(home)?;
        let loss = salvage::loss_by_opening(home, vouched_for);
        if let Some(reason) = loss.map_err(|error| OpenError::io("read", &data_file, error))? {
            return Err(OpenError::Corrupt { path: data_file, reason });
        }
        let (watermark, acknowledged) =
            Watermark::open(home).map_err(|error| OpenError::io("read", &home.join(watermark::FILE_NAME), error))?;
        let (map, checkpointed) = Map::open(home, self.cache_bytes, self.separated)?;
        let (log_files, recovered) = log::read(&home.join("log"), checkpointed, &data_file)?;
        log::refuse_loss(home, &path(&home.join("log"), recovered.newest), recovered.last_commit, acknowledged)?;

        // Recovery may have read from the page cache bytes that a killed process wrote but never synced. From here on
        // it counts as durable, so it must be. The rows found in the log go to sled first: then both log files are
        // free.
        let unsealed = |error| open_error(&data_file, error);
        checkpoint::write_all(&map, recovered.rows.iter(), || Ok(true)).map_err(unsealed)?;
        map.wipe_unsealed().map_err(unsealed)?;
        map.finish_sweeps().map_err(unsealed)?;
        map.seal(recovered.last_commit).map_err(unsealed)?;
        sync(&home.join(map::FOLDER))?;
        watermark
            .write(recovered.last_commit)
            .and_then(|()| watermark.sync())
            .map_err(|error| OpenError::io("write", &home.join(watermark::FILE_NAME), error))?;
        sync(home)?;

        let log = RedoLog::new(log_files.clone(), self.log_max_bytes, recovered.newest, recovered.last_commit + 1);
        let writer = log.map(|log| Writer::new(log, watermark, recovered.last_commit, self.log_max_bytes));
        let writer = writer.map_err(|error| OpenError::io("draw a salt for", &home.join("log"), error))?;
        let shared = Arc::new(Shared {
            map,
            layers: Default::default(),
            checkpoints: Checkpoints::default(),
            checkpoint_busy: Busy::new(),
            poison: Poison::default(),
            log_files,
        });
        let checkpointer = Checkpointer::spawn(shared.clone())
            .map_err(|error| OpenError::io("start the checkpoint thread of", home, error))?;
        Ok(DiskStore::new(checkpointer, writer, shared, lock))
    }
}

fn open_error(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Io { source, .. } => OpenError::io("write", path, source),
        other => OpenError::Corrupt { path: path.to_owned(), reason: other.to_string() },
    }
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(|error| OpenError::io("find", path, error))
}
