//! Opening and creating: everything that must hold before the first row is read.
//!
//! Creation happens in `store.new/` and is published by one rename, so a crash leaves either no store or a whole one.
//! A store folder that exists is never created into: a missing file there is damage, where sled would start afresh.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::barrier::{Barrier, sync_path};
use super::contain::{Contained, contain, io_thread_panicked};
use super::recovery::{read_last_commit, refuse_loss, remove_unfinished_snapshots};
use super::spill::Spill;
use super::watermark::{self, Watermark};
use super::{COMMITS_KEY, COMMITS_TREE, IO_THREAD_REASON, SledStore, format};
use crate::store::Poison;

/// How often sled's background thread flushes and looks for segments to clean; it may spend half of it on cleaning.
const BACKGROUND_EVERY_MS: u64 = 500;

/// sled's unit of allocation; a page over a quarter of it spills into `blobs/`. A leaf splits when it is next visited with
/// more than 16 rows, so it reaches 17, and merging adds up to 3 at a time: 20 rows of the largest size are 184 KB, too
/// many for sled's own 512 KiB. Four times that leaves room for the largest leaf, and more than twice over. Stored in
/// `conf`: another number does not open a store made with this one.
const SEGMENT_BYTES: usize = 2 * 1024 * 1024;

/// A store dropped in this process lets go of its files a moment later: sled's threads hold them a little longer.
const LINGER_TRIES: u32 = 200;
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// How long a failure inside sled is left to come out by itself.
const WATCH_PERIOD: Duration = Duration::from_millis(200);

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
}

impl Default for OpenOptions {
    fn default() -> Self {
        // Small on purpose: what is delivered is read once, and memory must not grow with a backlog.
        Self { cache_bytes: 32 * 1024 * 1024 }
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
        if !home.try_exists().map_err(|error| OpenError::io("find", &home, error))? {
            self.create(&data_dir, &home)?;
        }
        format::check(&home)?;
        self.open_home(&home, lock)
    }

    fn open_home(self, home: &Path, lock: File) -> Result<SledStore, OpenError> {
        let sled_dir = home.join("sled");
        let data_file = sled_dir.join("db");
        for needed in [&data_file, &sled_dir.join("conf"), &sled_dir.join("blobs")] {
            if !needed.try_exists().map_err(|error| OpenError::io("find", needed, error))? {
                return Err(OpenError::Corrupt { path: needed.clone(), reason: "it is missing".to_owned() });
            }
        }
        remove_unfinished_snapshots(&sled_dir)?;
        let (watermark, acknowledged) =
            Watermark::open(home).map_err(|error| OpenError::io("read", &home.join(watermark::FILE_NAME), error))?;
        let Opened { db, config, barrier } = self.open_sled(&sled_dir)?;
        let (commits, last_commit) = read_last_commit(&db, &data_file)?;
        refuse_loss(home, &data_file, last_commit, acknowledged)?;

        // Recovery may have read from the page cache what a killed process wrote but never synced. From here on it
        // counts as durable, so it must be.
        let spill = Spill::new(&sled_dir.join("blobs"));
        spill.sync_new().map_err(|error| OpenError::io("sync", &sled_dir.join("blobs"), error))?;
        barrier.wait().map_err(|error| OpenError::io("sync", &data_file, error))?;
        sync(&sled_dir)?;
        watermark
            .write(last_commit)
            .and_then(|()| watermark.sync())
            .map_err(|error| OpenError::io("write", &home.join(watermark::FILE_NAME), error))?;
        sync(home)?;

        let other_files_bytes =
            other_files_bytes(&sled_dir).map_err(|error| OpenError::io("list", &sled_dir, error))?;
        Ok(SledStore {
            commits: Contained::new(commits),
            db,
            spill,
            barrier,
            watermark,
            last_commit: Mutex::new(last_commit),
            poison: Poison::default(),
            panicked: AtomicBool::new(false),
            config,
            sled_dir,
            other_files_bytes,
            _lock: lock,
        })
    }

    /// Builds an empty store beside `home`, makes all of it durable and publishes it there.
    fn create(self, data_dir: &Path, home: &Path) -> Result<(), OpenError> {
        let building = data_dir.join("store.new");
        match fs::remove_dir_all(&building) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::io("remove", &building, error));
            }
            _ => {}
        }
        let sled_dir = building.join("sled");
        make_private_dir(&building)?;
        make_private_dir(&sled_dir)?;
        {
            let Opened { db, config, barrier } = self.open_sled(&sled_dir)?;
            let written = (*db).clone();
            watched(&sled_dir, config, move |_| {
                written.open_tree(COMMITS_TREE)?.insert(COMMITS_KEY, &0u64.to_be_bytes())?;
                written.flush()
            })?;
            // It syncs when it goes, and tells nobody whether that went well; the barrier is told.
            drop(db);
            let data_file = sled_dir.join("db");
            barrier.wait().map_err(|error| OpenError::io("sync", &data_file, error))?;
        }
        // sled syncs none of these at creation. A cut soon after would leave a store that does not open.
        for path in [sled_dir.join("conf"), sled_dir.join("db"), sled_dir.join("blobs"), sled_dir] {
            sync(&path)?;
        }
        format::write(&building).map_err(|error| OpenError::io("write", &building.join(format::FILE_NAME), error))?;
        sync(&building)?;
        fs::rename(&building, home).map_err(|error| OpenError::io("create", home, error))?;
        sync(data_dir)
    }

    fn open_sled(self, sled_dir: &Path) -> Result<Opened, OpenError> {
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
            match watched(sled_dir, config.clone(), |config| config.open()) {
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

/// Runs `call` in sled, on a thread that is left behind when one of sled's own has failed: sled does not always wake who
/// waits for what that one was writing.
fn watched<T: Send + 'static>(
    sled_dir: &Path,
    config: ::sled::Config,
    call: impl FnOnce(&::sled::Config) -> Result<T, ::sled::Error> + Send + 'static,
) -> Result<T, OpenError> {
    let (done, result) = mpsc::channel();
    let (folder, called) = (sled_dir.to_owned(), config.clone());
    std::thread::Builder::new()
        .name("pinion-opening".to_owned())
        .spawn(move || drop(done.send(inside_sled(&folder, || call(&called)))))
        .map_err(|error| OpenError::io("start a thread to open", sled_dir, error))?;
    let corrupt = |reason| Err(OpenError::Corrupt { path: sled_dir.to_owned(), reason });
    loop {
        // Before the wait, so that a result that came in time counts.
        let failed = config.global_error().err();
        match (result.recv_timeout(WATCH_PERIOD), failed) {
            (Ok(result), _) => return result,
            (Err(RecvTimeoutError::Disconnected), _) => return corrupt("opening it panicked".to_owned()),
            (Err(RecvTimeoutError::Timeout), Some(error)) => return corrupt(describe(&error)),
            (Err(RecvTimeoutError::Timeout), None) if io_thread_panicked() => {
                return corrupt(IO_THREAD_REASON.to_owned());
            }
            (Err(RecvTimeoutError::Timeout), None) => {}
        }
    }
}

/// sled, open.
struct Opened {
    db: Contained<::sled::Db>,
    /// With what: that is where sled tells of errors in its own threads.
    config: ::sled::Config,
    barrier: Barrier,
}

/// Runs `call` in sled and gives its failure, or its panic, a path.
pub(super) fn inside_sled<T>(sled_dir: &Path, call: impl FnOnce() -> Result<T, ::sled::Error>) -> Result<T, OpenError> {
    let corrupt = |reason| OpenError::Corrupt { path: sled_dir.to_owned(), reason };
    match contain(call) {
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

/// Creates the missing part of the path, each folder private and its name durable in its parent.
fn create_data_dir(data_dir: &Path) -> Result<(), OpenError> {
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

fn take_lock(data_dir: &Path) -> Result<File, OpenError> {
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

fn sync(path: &Path) -> Result<(), OpenError> {
    sync_path(path).map_err(|error| OpenError::io("sync", path, error))
}
