//! Values kept apart from the map, in files that are only ever appended to: the bulk of events is written once more
//! after the log, and not again each time a page of the map is.
//!
//! - *Who owns the state:* the checkpoint thread writes and sweeps, and opening before there is one. Anybody reads.
//! - *What bounds it:* a file has at most [`FILE_BYTES`], or one value; one whose values are a third dead is swept, so
//!   that all of them together take about half as much again as the living values.
//! - *When the process dies here:* the map vouches for a value only with the next commit number that is sealed in it,
//!   and every value is durable before. A value appended behind the last seal is written again from the log, and
//!   stands there dead until it is swept. A file is removed only after a seal that nothing in the map refers to it
//!   with.
//! - *When a bit flips:* a read gives the bytes that are there and says so in the log. Values carry a checksum of their
//!   own, by which the caller finds out, so the damage is that of one value.
//!
//! Ignorant of the map: whether a value is alive is asked of the caller.

mod entries;
pub(crate) mod entry;
pub(crate) mod files;
mod sweep;
#[cfg(test)]
mod tests;
mod wipe;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::files::Files;
use super::error::OpenError;
use super::sync::sync_path;

pub(crate) use self::entry::Pointer;
pub(crate) use self::wipe::may_be_wiped;

/// The length at which a file ends, but for one value that is longer. Each opening begins one more file, too.
const FILE_BYTES: u64 = if cfg!(test) { 64 * 1024 } else { 16 * 1024 * 1024 };

/// The known usage of a file's bytes. A hint: a sweep goes by the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Bytes of its entries.
    pub(crate) total: u64,
    /// Of those, bytes of entries that nothing refers to any more.
    pub(crate) dead: u64,
}

/// The value files of a store.
#[derive(Debug)]
pub(crate) struct Values {
    files: Files,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    current: Option<Current>,
    next_number: u32,
    /// Entries on their way to the current file.
    buffer: Vec<u8>,
    /// Files that are full and not durable yet.
    unsynced: Vec<Arc<File>>,
    usage: BTreeMap<u32, Usage>,
    /// Files whose usage differs from the one in the map.
    changed: BTreeSet<u32>,
    /// Files whose sweep an earlier process began.
    unfinished: Vec<u32>,
    /// The file that is being swept, and how far.
    sweeping: Option<(u32, u64)>,
    /// Files that are damaged, and never swept.
    kept: BTreeSet<u32>,
    /// Files that were swept: they go after the next seal.
    condemned: Vec<u32>,
    /// By file, the offset behind which no seal vouched for the bytes at the opening. Empty once those bytes were
    /// looked through.
    unsealed: BTreeMap<u32, u64>,
    wipes: wipe::Wipes,
    #[cfg(test)]
    fail_next_sync: bool,
}

/// The file that is appended to.
#[derive(Debug)]
struct Current {
    number: u32,
    file: Arc<File>,
    /// Its length in bytes, without those in the buffer.
    bytes: u64,
    dirty: bool,
}

// === impl Usage ===

impl Usage {
    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.total.to_be_bytes());
        bytes[8..].copy_from_slice(&self.dead.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (total, dead) = bytes.split_first_chunk()?;
        Some(Self { total: u64::from_be_bytes(*total), dead: u64::from_be_bytes(dead.try_into().ok()?) })
    }
}

// === impl Values ===

impl Values {
    /// Takes up the files in `folder`, of which `recorded` were there at the last seal, with so much in them.
    ///
    /// # Errors
    /// A recorded file that is missing, or shorter than it was.
    pub(crate) fn open(folder: &Path, recorded: &BTreeMap<u32, Usage>) -> Result<Self, OpenError> {
        let files = Files::new(folder.to_owned());
        let found = found(folder).map_err(|error| OpenError::io("list", folder, error))?;
        let mut writing = Writing::default();
        for (number, usage) in recorded {
            let reason = match found.get(number) {
                None => "it is missing".to_owned(),
                Some(bytes) if *bytes < usage.total => format!("it has {bytes} bytes, and had {}", usage.total),
                Some(_) => continue,
            };
            return Err(OpenError::Corrupt { path: files.path(*number), reason });
        }
        for (number, bytes) in found {
            let usage = recorded.get(&number).copied().unwrap_or_default();
            let cut = |error| OpenError::io("cut", &files.path(number), error);
            let unsealed = cut_off(&files, number, usage, bytes).map_err(cut)?;
            if unsealed > 0 {
                writing.changed.insert(number);
                writing.unsealed.insert(number, usage.total);
            }
            // Written again from the log, elsewhere.
            writing.usage.insert(number, Usage { total: usage.total + unsealed, dead: usage.dead + unsealed });
            writing.next_number = number.saturating_add(1);
        }
        Ok(Self { files, writing: Mutex::new(writing) })
    }

    /// Appends a value. It can be read after [`Values::write_out`].
    pub(crate) fn append(&self, key: &[u8], value: &[u8]) -> io::Result<Pointer> {
        let mut writing = self.writing();
        let bytes = entry::entry_bytes(key.len(), value.len()) as u64;
        let end = writing.current.as_ref().map(|current| current.bytes + writing.buffer.len() as u64);
        let offset = match end {
            Some(end) if end + bytes <= FILE_BYTES => end,
            _ => self.begin(&mut writing)?,
        };
        entry::encode(key, value, &mut writing.buffer);
        let file = writing.next_number - 1;
        writing.usage.entry(file).or_default().total += bytes;
        writing.changed.insert(file);
        Ok(Pointer { file, offset: offset as u32, value_bytes: value.len() as u32 })
    }

    /// Begins a file, whose name is durable when this returns, and says where its first entry goes.
    fn begin(&self, writing: &mut Writing) -> io::Result<u64> {
        writing.write_out()?;
        let number = writing.next_number;
        let path = self.files.path(number);
        let create = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = self.files.with_descriptor(create)?;
        self.files.with_descriptor(|| sync_path(self.files.folder()))?;
        writing.next_number = number.checked_add(1).ok_or_else(|| io::Error::other("there are no numbers left"))?;
        let file = Arc::new(file);
        self.files.put(number, file.clone());
        let full = writing.current.replace(Current { number, file, bytes: 0, dirty: false });
        writing.unsynced.extend(full.filter(|full| full.dirty).map(|full| full.file));
        Ok(0)
    }

    /// Hands the appended entries to the kernel.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        self.writing().write_out()
    }

    /// Returns once all that was appended is durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.writing().sync()
    }

    /// Nothing refers to the value of `key` that was there any more.
    pub(crate) fn forget(&self, key: &[u8], pointer: Pointer) {
        let mut writing = self.writing();
        if let Some(usage) = writing.usage.get_mut(&pointer.file) {
            usage.dead += pointer.entry_bytes(key) as u64;
            writing.changed.insert(pointer.file);
        }
    }

    /// The value of `key` that is there, damaged or not. `None` when there is no such file, or not as much in it: it
    /// was swept, unless the map still refers to it.
    pub(crate) fn read(&self, key: &[u8], pointer: Pointer) -> io::Result<Option<Bytes>> {
        let file = match self.files.get(pointer.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| self.named(pointer.file, &error))?,
        };
        let mut bytes = vec![0; pointer.entry_bytes(key)];
        match file.read_exact_at(&mut bytes, pointer.offset.into()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|error| self.named(pointer.file, &error))?,
        }
        if entry::decode(&bytes).is_none_or(|(found, _)| found != key) {
            let path = self.files.path(pointer.file);
            tracing::error!(path = %path.display(), offset = pointer.offset, "a value is damaged");
        }
        let from = bytes.len() - pointer.value_bytes as usize;
        Ok(Some(Bytes::from(bytes).slice(from..)))
    }

    /// The usage of files that the map does not know yet; `None` for a file that goes with the next seal. Told once.
    pub(crate) fn changed(&self) -> Vec<(u32, Option<Usage>)> {
        let mut writing = self.writing();
        let changed = std::mem::take(&mut writing.changed);
        changed.into_iter().map(|number| (number, writing.usage.get(&number).copied())).collect()
    }

    /// The seal of all changes that were told is durable. Removes the files that nothing refers to since, and wipes the
    /// replaced values.
    pub(crate) fn sealed(&self) -> io::Result<()> {
        let condemned = std::mem::take(&mut self.writing().condemned);
        for number in condemned {
            self.files.forget(number);
            fs::remove_file(self.files.path(number))?;
        }
        self.wipe_replaced()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.writing().usage.values().map(|usage| usage.total).sum()
    }

    /// The error with the path of the file concerned.
    fn named(&self, number: u32, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.files.path(number).display()))
    }

    #[cfg(test)]
    pub(crate) fn fail_next_sync(&self) {
        self.writing().fail_next_sync = true;
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // Of a writer that panicked the store is told otherwise, and writes nothing any more.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Writing ===

impl Writing {
    fn write_out(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_mut().filter(|_| !self.buffer.is_empty()) {
            current.file.write_all_at(&self.buffer, current.bytes)?;
            current.bytes += self.buffer.len() as u64;
            current.dirty = true;
            self.buffer.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.write_out()?;
        #[cfg(test)]
        if std::mem::take(&mut self.fail_next_sync) {
            return Err(io::Error::other("injected fault"));
        }
        for file in self.unsynced.drain(..) {
            file.sync_data()?;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.dirty) {
            current.file.sync_data()?;
            current.dirty = false;
        }
        Ok(())
    }
}

/// Cuts off the bytes behind the file's last whole entry, and says how many bytes of entries it has that are not among
/// those of `sealed`. A process that died left them, with the last one half written; they may be in memory alone, and
/// the next seal is to say that they are there, so the kept entries are made durable.
fn cut_off(files: &Files, number: u32, sealed: Usage, bytes: u64) -> io::Result<u64> {
    if bytes <= sealed.total {
        return Ok(0);
    }
    let path = files.path(number);
    let whole = entries::whole_until(&path, number, sealed.total)?;
    let file = OpenOptions::new().write(true).open(path)?;
    if whole < bytes {
        file.set_len(whole)?;
    }
    file.sync_all()?;
    Ok(whole - sealed.total)
}

/// The files in `folder` and their lengths.
fn found(folder: &Path) -> io::Result<BTreeMap<u32, u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(Files::number) {
            found.insert(number, entry.metadata()?.len());
        }
    }
    Ok(found)
}
