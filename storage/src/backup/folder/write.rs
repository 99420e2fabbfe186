//! Writing backups to a folder, and removing old ones. One process at a time.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{BACKUPS, CHUNKS, Folder, FolderError, LOCK, MARK, MARK_TEXT, NEW, chunk_path, manifest_path, read};
use crate::backup::chunk::{Chunk, Name};
use crate::backup::collect::Sink;
use crate::backup::manifest::Manifest;

/// A folder that a backup is being written to.
#[derive(Debug)]
pub struct Writing {
    folder: Folder,
    /// Folders of chunks that have names which are not durable yet.
    unsynced: HashSet<PathBuf>,
    written: u64,
    written_bytes: u64,
}

/// The result of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The backup's number in the folder.
    pub number: u32,
    /// Chunks that were not there before.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
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
