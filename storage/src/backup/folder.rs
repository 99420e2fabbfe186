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

mod write;

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::chunk::{Entry, Name};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError};

pub use self::write::{Writing, Written};

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
