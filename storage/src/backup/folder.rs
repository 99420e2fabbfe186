//! Backups in a folder.
//!
//! ```text
//! DIR/PINION-BACKUP           the version of this layout; no folder without it is written to unless it is empty
//! DIR/LOCK                    held while a backup is written, and shared while one is read
//! DIR/chunks/ab/abcd…         a chunk, named by its SHA-256
//! DIR/backups/00000001        a manifest: it makes a backup of chunks
//! DIR/new/                    files that are being written
//! ```
//! - *When the process dies here:* a file moves to its name once all of it is durable, and a manifest once all of its
//!   chunks are. So a name that is there is whole, and chunks of a backup that did not end serve the next one.
//! - *When it is full:* the error names the file; earlier backups stay whole.
//! - *What bounds it:* nothing here; [`Writing::keep`] removes old backups.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::chunk::{Chunk, Entry, Name};
use super::collect::Sink;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};

/// The name and the content of the file that marks such a folder.
pub const MARK: &str = "PINION-BACKUP";
/// See [`MARK`].
pub const MARK_TEXT: &str = "pinion-backup\n1\n";

const LOCK: &str = "LOCK";
const CHUNKS: &str = "chunks";
const BACKUPS: &str = "backups";
const NEW: &str = "new";

/// Why a folder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is something else in it, or another version wrote it.
    #[error("{} is no folder of backups, and not empty", .0.display())]
    Foreign(PathBuf),
    /// Another process writes to it.
    #[error("{} is in use by another backup or restore", .0.display())]
    InUse(PathBuf),
    /// It has no backup.
    #[error("there is no backup in {}", .0.display())]
    Empty(PathBuf),
    /// A manifest.
    #[error("the backup {} is damaged: {source}", path.display())]
    Manifest {
        /// Its file.
        path: PathBuf,
        /// The finding.
        source: ManifestError,
    },
    /// A chunk.
    #[error("the chunk {} is damaged: {reason}", path.display())]
    Chunk {
        /// Its file.
        path: PathBuf,
        /// The finding.
        reason: String,
    },
    /// The folder is of another server.
    #[error(
        "{} has backups of a server with another master key: back this one up to a folder of its own",
        .0.display()
    )]
    AnotherServer(PathBuf),
}

impl FolderError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
        move |source| FolderError::Io { action, path: path.to_owned(), source }
    }
}

/// A folder that is read. Others may read it too.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: Option<File>,
}

/// A folder that a backup is being written to.
#[derive(Debug)]
pub struct Writing {
    folder: Folder,
    /// Folders of chunks that have names which are not durable yet.
    unsynced: HashSet<PathBuf>,
    written: u64,
    written_bytes: u64,
}

/// What a backup wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The backup's number in the folder.
    pub number: u32,
    /// Chunks that were not there before.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The path of a chunk below the folder.
#[must_use]
pub fn chunk_path(name: Name) -> String {
    let name = name.to_string();
    format!("{CHUNKS}/{}/{name}", &name[..2])
}

/// The path of a manifest below the folder.
#[must_use]
pub fn manifest_path(number: u32) -> String {
    format!("{BACKUPS}/{number:08}")
}

// === impl Folder ===

impl Folder {
    /// Opens a folder to read it. Works on a medium that cannot be written to.
    ///
    /// # Errors
    /// When it is none, or a backup is being written to it.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        let path = std::path::absolute(path).map_err(FolderError::io("resolve", path))?;
        let mark = path.join(MARK);
        match fs::read_to_string(&mark) {
            Ok(text) if text == MARK_TEXT => {}
            Ok(_) => return Err(FolderError::Foreign(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FolderError::Empty(path)),
            Err(error) => return Err(FolderError::io("read", &mark)(error)),
        }
        // A copy of the folder need not have the file, and nothing writes to a copy.
        let lock = match File::open(path.join(LOCK)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(FolderError::io("open", &path.join(LOCK))(error)),
        };
        match lock.as_ref().map(File::try_lock_shared) {
            None | Some(Ok(())) => Ok(Folder { path, _lock: lock }),
            Some(Err(TryLockError::WouldBlock)) => Err(FolderError::InUse(path)),
            // Some media have no locks; nothing writes to those.
            Some(Err(TryLockError::Error(_))) => Ok(Folder { path, _lock: None }),
        }
    }

    /// The numbers of the backups, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn numbers(&self) -> Result<Vec<u32>, FolderError> {
        let backups = self.path.join(BACKUPS);
        let failed = |error| FolderError::io("list", &backups)(error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&backups).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            numbers.extend(number.filter(|number| manifest_path(*number).ends_with(&*name.to_string_lossy())));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A backup: that of a number, or the newest.
    ///
    /// # Errors
    /// When there is none, or its manifest is damaged.
    pub fn manifest(&self, number: Option<u32>) -> Result<(u32, Manifest), FolderError> {
        let newest = || Ok(self.numbers()?.last().copied());
        let number = match number {
            Some(number) => number,
            None => newest()?.ok_or_else(|| FolderError::Empty(self.path.clone()))?,
        };
        let path = self.path.join(manifest_path(number));
        let text = read(&path, MANIFEST_BYTES_MAX).map_err(FolderError::io("read", &path))?;
        let text = String::from_utf8(text).map_err(|_| ManifestError::Sum);
        match text.and_then(|text| text.parse()) {
            Ok(manifest) => Ok((number, manifest)),
            Err(source) => Err(FolderError::Manifest { path, source }),
        }
    }

    /// The file of a chunk, which is not checked yet, and its path.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub(super) fn chunk(&self, entry: &Entry) -> Result<(PathBuf, Bytes), FolderError> {
        let path = self.path.join(chunk_path(entry.name));
        match read(&path, entry.bytes) {
            Ok(bytes) => Ok((path, bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FolderError::Chunk { path, reason: "it is missing".to_owned() })
            }
            Err(error) => Err(FolderError::io("read", &path)(error)),
        }
    }

    /// Checks the sum of every chunk of a backup.
    ///
    /// # Errors
    /// The first chunk that is missing or was changed.
    pub fn check_sums(&self, manifest: &Manifest) -> Result<(), FolderError> {
        manifest.chunks.iter().try_for_each(|entry| {
            let (path, bytes) = self.chunk(entry)?;
            if Name::of(&bytes) == entry.name {
                return Ok(());
            }
            Err(FolderError::Chunk { path, reason: super::chunk::ChunkError::Changed.to_string() })
        })
    }
}

/// A file, and one byte more than it should have at most.
fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most_bytes + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

// === impl Writing ===

impl Writing {
    /// Opens a folder to write a backup to it, and makes it if it is not there.
    ///
    /// # Errors
    /// When it is something else, in use, or cannot be written to.
    pub fn open(path: &Path) -> Result<Writing, FolderError> {
        let path = std::path::absolute(path).map_err(FolderError::io("resolve", path))?;
        fs::create_dir_all(&path).map_err(FolderError::io("create", &path))?;
        let mark = path.join(MARK);
        let is_new = match fs::read_to_string(&mark) {
            Ok(text) if text == MARK_TEXT => false,
            Ok(_) => return Err(FolderError::Foreign(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(FolderError::io("read", &mark)(error)),
        };
        let listed = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let there = listed.map_err(FolderError::io("list", &path))?;
        // These are there when an earlier run died before the mark.
        let known = [LOCK, NEW, CHUNKS, BACKUPS, "lost+found"];
        if is_new && there.iter().any(|entry| !known.iter().any(|name| entry.file_name() == *name)) {
            return Err(FolderError::Foreign(path));
        }
        let lock = path.join(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(FolderError::io("open", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(FolderError::io("lock", &lock)(error)),
        }
        let folder = Folder { path, _lock: Some(file) };
        let writing = Writing { folder, unsynced: HashSet::new(), written: 0, written_bytes: 0 };
        writing.prepare(is_new)?;
        Ok(writing)
    }

    fn prepare(&self, is_new: bool) -> Result<(), FolderError> {
        let path = self.path();
        let unfinished = path.join(NEW);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FolderError::io("remove", &unfinished)(error));
            }
            _ => {}
        }
        [NEW, CHUNKS, BACKUPS].iter().try_for_each(|name| make_dir(&path.join(name)))?;
        if is_new {
            self.put(MARK, MARK_TEXT.as_bytes())?;
        }
        sync(path)
    }

    fn path(&self) -> &Path {
        &self.folder.path
    }

    /// Reads the backups that are there.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Writes a file whole or not at all. Its name is durable once its folder is.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let (beside, path) = (self.path().join(NEW).join("file"), self.path().join(name));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(FolderError::io("write", &path))?;
        fs::rename(&beside, &path).map_err(FolderError::io("name", &path))
    }

    /// Takes the file of a chunk, if its bytes fit its name: says so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, name: Name, bytes: Bytes) -> Result<bool, FolderError> {
        if Name::of(&bytes) != name {
            return Ok(false);
        }
        self.put_chunk(name, &bytes).map(|()| true)
    }

    /// Writes a chunk and reads it back. One that is there is read and compared too, so that damage does not live on in
    /// later backups.
    fn put_chunk(&mut self, name: Name, bytes: &Bytes) -> Result<(), FolderError> {
        let path = self.path().join(chunk_path(name));
        let is_there = || read(&path, bytes.len() as u64).is_ok_and(|there| there == *bytes);
        if is_there() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(&path).to_owned();
        make_dir(&parent)?;
        self.put(&chunk_path(name), bytes)?;
        self.unsynced.insert(parent);
        self.written += 1;
        self.written_bytes += bytes.len() as u64;
        if is_there() {
            return Ok(());
        }
        Err(FolderError::Chunk { path, reason: "it does not read back as it was written".to_owned() })
    }

    /// Ends a backup whose chunks are all here.
    ///
    /// # Errors
    /// When it is of another server than the newest one, a chunk that was written does not read back, or the folder cannot
    /// be written to: it is no backup then.
    pub fn publish(&mut self, manifest: &Manifest) -> Result<Written, FolderError> {
        let newest = self.folder.numbers()?.last().copied();
        if let Some(number) = newest {
            let (_, before) = self.folder.manifest(Some(number))?;
            if before.master_key_check != manifest.master_key_check {
                return Err(FolderError::AnotherServer(self.path().to_owned()));
            }
        }
        for folder in self.unsynced.drain() {
            sync(&folder)?;
        }
        sync(&self.path().join(CHUNKS))?;
        let number = newest.unwrap_or(0) + 1;
        self.put(&manifest_path(number), manifest.to_text().as_bytes())?;
        sync(&self.path().join(BACKUPS))?;
        Ok(Written { number, chunks: self.written, bytes: self.written_bytes })
    }

    /// Removes all but the newest `count` backups, and the chunks that none of the others needs. Answers how many of both.
    ///
    /// # Errors
    /// When a backup that stays cannot be read: no chunk goes then.
    pub fn keep(&self, count: usize) -> Result<(usize, usize), FolderError> {
        let numbers = self.folder.numbers()?;
        let (old, kept) = numbers.split_at(numbers.len().saturating_sub(count.max(1)));
        let mut needed = HashSet::new();
        for number in kept {
            needed.extend(self.folder.manifest(Some(*number))?.1.chunks.iter().map(|entry| entry.name));
        }
        for number in old {
            let path = self.path().join(manifest_path(*number));
            fs::remove_file(&path).map_err(FolderError::io("remove", &path))?;
        }
        // No manifest may name a chunk that is gone, whatever a crash leaves.
        sync(&self.path().join(BACKUPS))?;
        let mut removed = 0;
        for folder in list(&self.path().join(CHUNKS))? {
            for chunk in list(&folder)? {
                let name = chunk.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Name>().ok());
                // Anything that is no chunk was not put here by a backup.
                if name.is_some_and(|name| !needed.contains(&name)) {
                    fs::remove_file(&chunk).map_err(FolderError::io("remove", &chunk))?;
                    removed += 1;
                }
            }
        }
        Ok((old.len(), removed))
    }
}

impl Sink for Writing {
    type Error = FolderError;

    fn take(&mut self, chunk: &Chunk) -> Result<(), FolderError> {
        self.put_chunk(chunk.entry.name, &chunk.bytes)
    }
}

fn make_dir(path: &Path) -> Result<(), FolderError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(FolderError::io("create", path)(error)),
        _ => Ok(()),
    }
}

fn list(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(FolderError::io("list", path))
}

fn sync(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FolderError::io("sync", path))
}
