//! The wipe: a value that another one of its key replaced is overwritten where it stands, with zeros.
//!
//! A value of an event is written once; the only thing that replaces one is that a payload is expunged. So whatever is
//! replaced must be gone, and retention, which deletes, costs nothing more. An entry that was wiped is still one, of
//! the same key and length and with a right checksum: a sweep passes over it as over any that is dead.
//!
//! - *When the process dies here:* the map notes each wipe with the seal that makes it due, and forgets it with a later
//!   one. An opening makes those that are noted once more, so a torn one is mended.
//! - *What bounds it:* the values that were expunged between two checkpoints.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

use super::Values;
use super::entries::{Entries, Next};
use super::entry::{self, Pointer};

/// A value that is to be overwritten.
#[derive(Debug, Default)]
pub(crate) struct Wipes {
    /// Replaced since the last seal: key and place.
    replaced: Vec<(Vec<u8>, Pointer)>,
    /// Noted in the map with the seal under way, or by an earlier process.
    due: Vec<(Vec<u8>, Pointer)>,
    /// Made; the map still has a note of them.
    made: Vec<Pointer>,
}

/// The wipes that a seal notes in the map.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Notes to put: place and key.
    pub(crate) due: Vec<(Pointer, Vec<u8>)>,
    /// Notes to remove.
    pub(crate) made: Vec<Pointer>,
}

impl Values {
    /// As [`Values::forget`], of a value that another one replaced.
    pub(crate) fn replaced(&self, key: &[u8], pointer: Pointer) {
        self.forget(key, pointer);
        let mut writing = self.writing();
        // Rows that an opening writes again replace values behind the last seal: `wipe_unsealed` looks through those
        // besides.
        if writing.unsealed.get(&pointer.file).is_none_or(|from| u64::from(pointer.offset) < *from) {
            writing.wipes.replaced.push((key.to_vec(), pointer));
        }
    }

    /// A wipe that an earlier process noted and did not live to make, or to say so.
    pub(crate) fn noted(&self, key: Vec<u8>, pointer: Pointer) {
        self.writing().wipes.due.push((key, pointer));
    }

    /// The notes that the map is to make with the seal that follows.
    pub(crate) fn wipe_notes(&self) -> Notes {
        let mut writing = self.writing();
        let replaced = std::mem::take(&mut writing.wipes.replaced);
        let due = replaced.iter().map(|(key, pointer)| (*pointer, key.clone())).collect();
        writing.wipes.due.extend(replaced);
        Notes { due, made: std::mem::take(&mut writing.wipes.made) }
    }

    /// Makes the wipes that are due. Returns once they are durable.
    pub(crate) fn wipe_replaced(&self) -> io::Result<()> {
        let mut due = std::mem::take(&mut self.writing().wipes.due);
        due.sort_unstable_by_key(|(_, pointer)| (pointer.file, pointer.offset));
        for of_file in due.chunk_by(|(_, a), (_, b)| a.file == b.file) {
            self.overwrite(of_file[0].1.file, of_file)?;
        }
        self.writing().wipes.made.extend(due.iter().map(|(_, pointer)| *pointer));
        Ok(())
    }

    /// Wipes values that a process that died left behind the last seal and nothing leads to. They are values that the
    /// log had, and that are written again elsewhere. `alive` says whether the map refers to a value. Call it when all
    /// of the log is in the map.
    pub(crate) fn wipe_unsealed<E: From<io::Error>>(
        &self,
        mut alive: impl FnMut(&[u8], Pointer) -> Result<bool, E>,
    ) -> Result<(), E> {
        let unsealed = self.writing().unsealed.clone();
        for (number, from) in unsealed {
            let (mut entries, mut dead) = (Entries::open(&self.files.path(number), number, from)?, Vec::new());
            while let Next::Entry { key, at, .. } = entries.next()? {
                if !alive(key, at)? {
                    dead.push((key.to_vec(), at));
                }
            }
            self.overwrite(number, &dead)?;
        }
        self.writing().unsealed.clear();
        Ok(())
    }

    /// Overwrites values of one file. A file that is gone has none.
    fn overwrite(&self, number: u32, values: &[(Vec<u8>, Pointer)]) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let path = self.files.path(number);
        let file = match self.files.with_descriptor(|| OpenOptions::new().write(true).open(&path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        for (key, pointer) in values {
            let mut blank = Vec::with_capacity(pointer.entry_bytes(key));
            entry::encode(key, &vec![0; pointer.value_bytes as usize], &mut blank);
            file.write_all_at(&blank, pointer.offset.into())?;
        }
        file.sync_data()
    }
}

/// True if a value may have been wiped. No event's is all zeros: it begins with a checksum of bytes that are not all
/// zeros.
pub(crate) fn may_be_wiped(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == 0)
}

impl Pointer {
    /// The name of the note of a wipe, behind its prefix.
    pub(crate) fn note_name(self) -> [u8; 8] {
        let mut name = [0; 8];
        name[..4].copy_from_slice(&self.file.to_be_bytes());
        name[4..].copy_from_slice(&self.offset.to_be_bytes());
        name
    }

    /// The content of the note: the pointer as the map had it, and the key.
    pub(crate) fn note(self, key: &[u8]) -> Vec<u8> {
        [&self.encode()[..], key].concat()
    }

    /// A note read back; `None` when it is none.
    pub(crate) fn of_note(note: &[u8]) -> Option<(Vec<u8>, Pointer)> {
        let (pointer, key) = note.split_at_checked(entry::POINTER_BYTES)?;
        Some((key.to_vec(), Pointer::decode(pointer)?))
    }
}
