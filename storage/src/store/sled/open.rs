//! Opening: everything that must hold before the first row is read.
//!
//! A store folder that exists is never created into, but for the log that a folder of version 1 does not have yet: a
//! missing file there is damage, where sled would start afresh.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;

use super::apart::{Apart, ApartKeys};
use super::barrier::{Barrier, sync_path};
use super::base::Base;
use super::checkpoint::{self, Checkpointer, Checkpoints};
use super::contain::{Contained, Panicked, contain, watched};
use super::create::{self, create_data_dir, take_lock};
use super::recovery::{read_last_commit, refuse_loss, remove_unfinished_snapshots};
use super::spill::Spill;
use super::watermark::{self, Watermark};
use super::{Shared, SledStore, Writer, format, readable, salvage};
use crate::repair::swap;
use crate::rows::KeyKind;
use crate::store::redo::{self, log, recover};
use crate::store::{Poison, StoreError};

/// How often sled's background thread flushes and looks for segments to clean; it may spend half of it on cleaning.
const BACKGROUND_EVERY_MS: u64 = 500;

/// sled's unit of allocation; a page over a quarter of it spills into `blobs/`. A leaf splits when it is next visited with
/// more than 16 rows, so it reaches 17, and merging adds up to 3 at a time: 20 rows of the largest size are 184 KB, too
/// many for sled's own 512 KiB. Four times that leaves room for the largest leaf, and more than twice over. Stored in
/// `conf`: another number does not open a store made with this one.
pub(super) const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// A store dropped in this process lets go of its files a moment later: sled's threads hold them a little longer.
const LINGER_TRIES: u32 = 200;
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// Why a store did not open. Every message names the path concerned.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another handle in this one) has the data directory open.
    #[error("{} is in use by another process: one data directory serves one process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The data was written by a newer version of this program.
    #[error(
        "{} says storage format {found}, this program reads up to {supported}: it was written by a newer version",
        path.display()
    )]
    FormatTooNew {
        /// The format file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The files do not say what they must. Nothing was changed by us.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file or folder concerned.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The operating system refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Memory for cached pages, in bytes.
    pub cache_bytes: u64,
    /// Size of each of the two files of the redo log, in bytes; as much memory again, twice, holds the rows in them. A
    /// larger one makes checkpoints rarer. One commit always fits.
    pub log_max_bytes: usize,
    /// The keys whose large values are kept in files of their own. Not another one for a store that exists.
    pub apart: ApartKeys,
}

impl Default for OpenOptions {
    fn default() -> Self {
        // Small on purpose: what is delivered is read once, and memory must not grow with a backlog.
        let apart = ApartKeys { from: KeyKind::Event as u8, to: KeyKind::Chunk as u8 + 1 };
        Self { cache_bytes: 32 * 1024 * 1024, log_max_bytes: redo::MAX_BYTES, apart }
    }
}

impl OpenOptions {
    /// Opens the store in `data_dir`, creating both (mode 0700) if they are not there. What it shows is durable.
    ///
    /// Blocks for the disk; the time grows with what was written since the last opening, a few seconds for 20 GB.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A store that is in use, too new or damaged is refused, not repaired.
    pub fn open(self, data_dir: &Path) -> Result<SledStore, OpenError> {
        let data_dir = std::path::absolute(data_dir).map_err(|error| OpenError::io("resolve", data_dir, error))?;
        create_data_dir(&data_dir)?;
        let lock = take_lock(&data_dir)?;
        let home = data_dir.join("store");
        if swap::is_under_way(&data_dir) {
            let reason = "a repair was interrupted here: run `pinion repair` again".to_owned();
            return Err(OpenError::Corrupt { path: data_dir.join(swap::BUILDING), reason });
        }
        if !exists(&home)? {
            create::create(self, &data_dir, &home)?;
        }
        let version = format::check(&home)?;
        self.open_home(&home, version, lock)
    }

    fn open_home(self, home: &Path, version: u32, lock: File) -> Result<SledStore, OpenError> {
        let sled_dir = home.join("sled");
        let data_file = sled_dir.join("db");
        for needed in [&data_file, &sled_dir.join("conf"), &sled_dir.join("blobs")] {
            if !exists(needed)? {
                return Err(OpenError::Corrupt { path: needed.clone(), reason: "it is missing".to_owned() });
            }
        }
        remove_unfinished_snapshots(&sled_dir)?;
        let vouched_for = readable::check(&sled_dir)?;
        if version >= format::WITH_LOG {
            let loss = salvage::loss_by_opening(home, vouched_for, self.apart);
            if let Some(reason) = loss.map_err(|error| OpenError::io("read", &data_file, error))? {
                return Err(OpenError::Corrupt { path: data_file, reason });
            }
        }
        let (watermark, acknowledged) =
            Watermark::open(home).map_err(|error| OpenError::io("read", &home.join(watermark::FILE_NAME), error))?;
        if version < format::VERSION {
            create::add_values(home)?;
        }
        let (base, checkpointed) = self.open_base(home)?;
        if version < format::WITH_LOG {
            refuse_loss(home, &data_file, checkpointed, acknowledged)?;
            create::add_log(home)?;
        }
        if version < format::VERSION {
            create::set_version(home)?;
        }
        let (log_files, recovered) = read_log(&home.join("log"), checkpointed, &data_file)?;
        refuse_loss(home, &log::path(&home.join("log"), recovered.newest), recovered.last_commit, acknowledged)?;

        // Recovery may have read from the page cache what a killed process wrote but never synced. From here on it
        // counts as durable, so it must be. What was found in the log goes to sled first: then both log files are free.
        let unsealed = |error| open_error(&data_file, error);
        base.move_apart().map_err(unsealed)?;
        checkpoint::write_all(&base, &recovered.rows, || Ok(true)).map_err(unsealed)?;
        base.wipe_unsealed().map_err(unsealed)?;
        base.finish_sweeps().map_err(unsealed)?;
        base.seal(recovered.last_commit).map_err(unsealed)?;
        sync(&sled_dir)?;
        watermark
            .write(recovered.last_commit)
            .and_then(|()| watermark.sync())
            .map_err(|error| OpenError::io("write", &home.join(watermark::FILE_NAME), error))?;
        sync(home)?;

        let writer = self.writer(log_files.clone(), &recovered, watermark);
        let writer = writer.map_err(|error| OpenError::io("draw a salt for", &home.join("log"), error))?;
        let shared = Arc::new(Shared {
            base,
            layers: Default::default(),
            checkpoints: Checkpoints::default(),
            poison: Poison::default(),
            log_files,
        });
        let checkpointer = Checkpointer::spawn(shared.clone())
            .map_err(|error| OpenError::io("start the checkpoint thread of", home, error))?;
        Ok(SledStore {
            _checkpointer: checkpointer,
            writer: Mutex::new(writer),
            erasing: Mutex::new(()),
            shared,
            _lock: lock,
        })
    }

    fn writer(self, files: log::Files, recovered: &recover::Recovered, watermark: Watermark) -> io::Result<Writer> {
        let last_commit = recovered.last_commit;
        let log = log::RedoLog::new(files, self.log_max_bytes, recovered.newest, last_commit + 1)?;
        Ok(Writer {
            log,
            watermark,
            last_commit,
            // Touched, and so backed by memory, as far as it is used.
            buffer: BytesMut::with_capacity(self.log_max_bytes),
            spare: BytesMut::new(),
            record_bytes: 0,
            rows: 0,
            max_bytes: self.log_max_bytes,
        })
    }

    /// Opens sled and reads the number of the last commit in it.
    fn open_base(self, home: &Path) -> Result<(Base, u64), OpenError> {
        let sled_dir = &home.join("sled");
        let data_file = sled_dir.join("db");
        let opened = self.open_sled(sled_dir)?;
        let (commits, last_commit) = read_last_commit(&opened.db, &data_file)?;
        let apart = Apart::open(&opened.db, &commits, &home.join("values"))?;
        let spill = Spill::new(&sled_dir.join("blobs"));
        let other_files_bytes = other_files_bytes(sled_dir).map_err(|error| OpenError::io("list", sled_dir, error))?;
        let apart = (apart, self.apart);
        Ok((Base::new(opened, commits, apart, sled_dir, spill, other_files_bytes), last_commit))
    }

    pub(super) fn open_sled(self, sled_dir: &Path) -> Result<Opened, OpenError> {
        let data_file = sled_dir.join("db");
        // Before sled writes anything: an error that one of its threads is told, and swallows, is told to every descriptor
        // of the file that is open by then, and to none that is opened later.
        let barrier = Barrier::open(&data_file).map_err(|error| OpenError::io("open", &data_file, error))?;
        let mut tries = 0;
        loop {
            // A fresh Config each time: sled seals the one it has opened.
            let config = ::sled::Config::new()
                .path(sled_dir)
                .cache_capacity(self.cache_bytes)
                .segment_size(SEGMENT_BYTES)
                .flush_every_ms(Some(BACKGROUND_EVERY_MS));
            let opening = config.clone();
            match outcome(sled_dir, watched(&config, move || opening.open())) {
                // We hold LOCK, so whoever still has the file is a store of this process on its way out.
                Err(OpenError::Io { source, .. })
                    if tries < LINGER_TRIES && source.to_string().contains("could not acquire lock") =>
                {
                    tries += 1;
                    std::thread::sleep(LINGER_PAUSE);
                }
                result => return result.map(|db| Opened { db: Contained::new(db), config, barrier }),
            }
        }
    }
}

/// sled, open.
pub(super) struct Opened {
    pub(super) db: Contained<::sled::Db>,
    /// With what: that is where sled tells of errors in its own threads.
    pub(super) config: ::sled::Config,
    /// Older than the first write.
    pub(super) barrier: Barrier,
}

/// Runs `call` in sled and gives its failure, or its panic, a path.
pub(super) fn inside_sled<T>(sled_dir: &Path, call: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, OpenError> {
    outcome(sled_dir, contain(call))
}

/// Gives a failure of sled, or its panic, a path.
pub(super) fn outcome<T>(sled_dir: &Path, result: Result<Result<T, ::sled::Error>, Panicked>) -> Result<T, OpenError> {
    let corrupt = |reason| OpenError::Corrupt { path: sled_dir.to_owned(), reason };
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(::sled::Error::Io(source))) => Err(OpenError::io("open", sled_dir, source)),
        Ok(Err(other)) => Err(corrupt(describe(&other))),
        Err(panicked) => Err(corrupt(panicked.reason())),
    }
}

/// What sled reports, without the bytes it may quote.
pub(super) fn describe(error: &::sled::Error) -> String {
    match error {
        ::sled::Error::Corruption { at: Some(at), .. } => {
            format!("the embedded store found damage at {at:?}")
        }
        ::sled::Error::Corruption { at: None, .. } => "the embedded store found damage".to_owned(),
        ::sled::Error::Io(source) => source.to_string(),
        ::sled::Error::Unsupported(what) => format!("the embedded store cannot read it: {what}"),
        ::sled::Error::ReportableBug(_) => "the embedded store found a state it does not know".to_owned(),
        ::sled::Error::CollectionNotFound(_) => "the embedded store misses a tree".to_owned(),
    }
}

fn other_files_bytes(sled_dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(sled_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "db" {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn read_log(folder: &Path, checkpointed: u64, data_file: &Path) -> Result<(log::Files, recover::Recovered), OpenError> {
    let read = |file| {
        let path = log::path(folder, file);
        log::open(folder, file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Corrupt { path, reason: "it is missing".to_owned() },
            _ => OpenError::io("open", &path, error),
        })
    };
    let ((first, first_bytes), (second, second_bytes)) = (read(0)?, read(1)?);
    let recovered = recover::recover(&[first_bytes, second_bytes], checkpointed).map_err(|damage| {
        let (path, at) = match damage.file {
            Some(file) => (log::path(folder, file), format!(" (at byte {})", damage.offset)),
            None => (data_file.to_owned(), String::new()),
        };
        OpenError::Corrupt { path, reason: format!("{}{at}", damage.reason) }
    })?;
    Ok((Arc::new([first, second]), recovered))
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

pub(super) fn sync(path: &Path) -> Result<(), OpenError> {
    sync_path(path).map_err(|error| OpenError::io("sync", path, error))
}
