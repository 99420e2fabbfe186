//! The one tree of the map, and the files with the values that are kept apart from it
//! ([`values`](crate::disk::values)).
//!
//! - *Who owns the state:* the owner of the map's: the checkpoint thread, and opening before there is one.
//! - *When the process dies here:* as in the map; a pointer that no seal vouches for is written again from the log.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::contain::Contained;
use super::layout::Held;
use super::library::inside_sled;
use super::names::{LAST_COMMIT, SWEEP_PREFIX, USAGE_PREFIX, WIPE_PREFIX};
use crate::disk::error::OpenError;
use crate::disk::values::{Pointer, Usage, Values, may_be_wiped};
use crate::store::{INLINE_MAX_BYTES, Write};

/// The number of tries to read a value that is moved between two looks.
const TRIES: u32 = 4;

type Sled<T> = Result<T, ::sled::Error>;

/// Keys whose values are kept apart however short they are, unless they are empty: those whose first byte is one of
/// these. The map has no way to overwrite what it held, and the value files have. Of the others, values are apart that
/// are longer than [`INLINE_MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeparatedKeys {
    /// The lowest first byte.
    pub from: u8,
    /// The upper bound of the first byte, exclusive.
    pub to: u8,
}

/// The tree and the files.
pub(super) struct Rows {
    pub(super) db: Contained<::sled::Db>,
    pub(super) values: Values,
    separated: SeparatedKeys,
}

// === impl SeparatedKeys ===

impl SeparatedKeys {
    pub(crate) fn contains(self, key: &[u8]) -> bool {
        key.first().is_some_and(|first| (self.from..self.to).contains(first))
    }
}

// === impl Rows ===

impl Rows {
    /// Opens the value files and takes up the map's notes about them.
    pub(super) fn open(db: Contained<::sled::Db>, folder: &Path, separated: SeparatedKeys) -> Result<Self, OpenError> {
        let values = Values::open(folder, &inside_sled(folder, || recorded(&db))?)?;
        for (key, pointer) in inside_sled(folder, || noted_wipes(&db))? {
            values.noted(key, pointer);
        }
        for number in inside_sled(folder, || unfinished_sweeps(&db))? {
            values.resume_sweep(number);
        }
        Ok(Self { db, values, separated })
    }

    pub(super) fn get(&self, key: &[u8]) -> Sled<Option<Bytes>> {
        match self.db.get(key)? {
            Some(held) => self.resolve(key, held),
            None => Ok(None),
        }
    }

    /// The value of a row that holds this.
    pub(super) fn resolve(&self, key: &[u8], held: ::sled::IVec) -> Sled<Option<Bytes>> {
        let mut held = held;
        for _ in 0..TRIES {
            let pointer = match decode(&held)? {
                Held::Inline(value) => return Ok(Some(Bytes::copy_from_slice(value))),
                Held::Separated(pointer) => pointer,
                Held::Own(_) => return Ok(None),
            };
            let value = self.values.read(key, pointer)?;
            if let Some(value) = value.as_ref().filter(|value| !may_be_wiped(value)) {
                return Ok(Some(value.clone()));
            }
            // Moved meanwhile, replaced and wiped, or deleted.
            match self.db.get(key)? {
                Some(now) if now == held && value.is_some() => return Ok(value),
                Some(now) => held = now,
                None => return Ok(None),
            }
        }
        Err(damaged("a value is not where the map says"))
    }

    /// Applies these rows to the tree and the files.
    pub(super) fn write(&self, rows: &[(&Bytes, &Write)]) -> Sled<()> {
        let mut pointers = Vec::with_capacity(rows.len());
        for (key, write) in rows {
            pointers.push(match write {
                Write::Put(value) if self.is_separated(key, value) => Some(self.values.append(key, value)?),
                _ => None,
            });
        }
        // Before the map leads a reader there.
        self.values.write_out()?;
        let mut held = Vec::new();
        for ((key, write), pointer) in rows.iter().zip(pointers) {
            let before = match (write, pointer) {
                (_, Some(pointer)) => self.db.insert(key, Held::Separated(pointer).encode(&mut held))?,
                (Write::Put(value), None) => self.db.insert(key, Held::Inline(value).encode(&mut held))?,
                (Write::Delete, None) => self.db.remove(key)?,
            };
            let Some(Held::Separated(before)) = before.as_ref().map(decode).transpose()? else { continue };
            match write {
                Write::Put(_) => self.values.replaced(key, before),
                Write::Delete => self.values.forget(key, before),
            }
        }
        Ok(())
    }

    /// Makes the files' entries durable, and notes in the map their usage and wipes, and last that it has all up to
    /// `commit`.
    pub(super) fn note_seal(&self, commit: u64) -> Sled<()> {
        self.values.sync()?;
        for (number, usage) in self.values.changed() {
            match usage {
                Some(usage) => self.put_own(&file_row(USAGE_PREFIX, number), &usage.encode())?,
                None => {
                    self.db.remove(file_row(SWEEP_PREFIX, number))?;
                    self.db.remove(file_row(USAGE_PREFIX, number))?;
                }
            }
        }
        let notes = self.values.wipe_notes();
        for pointer in notes.made {
            self.db.remove([WIPE_PREFIX, &pointer.note_name()].concat())?;
        }
        for (pointer, key) in notes.due {
            self.put_own(&[WIPE_PREFIX, &pointer.note_name()].concat(), &pointer.note(&key))?;
        }
        put_last_commit(&self.db, commit)
    }

    /// Brings a bounded number of values out of a file that is mostly dead. True if there may be more to do.
    pub(super) fn sweep(&self) -> Sled<bool> {
        // Before the first value is moved: its remains are then never forgotten.
        if let Some(number) = self.values.begin_sweep() {
            self.put_own(&file_row(SWEEP_PREFIX, number), &[])?;
        }
        let Some(step) = self.values.sweep(|key, pointer| self.leads_to(key, pointer))? else { return Ok(false) };
        for (key, pointer) in &step.moved {
            let before = self.db.insert(key, Held::Separated(*pointer).encode(&mut Vec::new()))?;
            if let Some(Held::Separated(before)) = before.as_ref().map(decode).transpose()? {
                self.values.forget(key, before);
            }
        }
        self.values.swept(&step);
        Ok(true)
    }

    /// Wipes values that a process that died wrote behind the last seal and nothing leads to.
    pub(super) fn wipe_unsealed(&self) -> Sled<()> {
        self.values.wipe_unsealed(|key, pointer| self.leads_to(key, pointer))
    }

    fn is_separated(&self, key: &[u8], value: &[u8]) -> bool {
        value.len() > INLINE_MAX_BYTES || (self.separated.contains(key) && !value.is_empty())
    }

    fn leads_to(&self, key: &[u8], pointer: Pointer) -> Sled<bool> {
        Ok(self.db.get(key)?.is_some_and(|held| Held::decode(&held) == Some(Held::Separated(pointer))))
    }

    fn put_own(&self, key: &[u8], value: &[u8]) -> Sled<()> {
        self.db.insert(key, Held::Own(value).encode(&mut Vec::new())).map(drop)
    }
}

/// Notes the number of the last commit that is in the map.
pub(super) fn put_last_commit(db: &::sled::Db, commit: u64) -> Sled<()> {
    db.insert(LAST_COMMIT, Held::Own(&commit.to_be_bytes()).encode(&mut Vec::new())).map(drop)
}

fn damaged(what: &'static str) -> ::sled::Error {
    ::sled::Error::Io(io::Error::new(io::ErrorKind::InvalidData, what))
}

fn decode(held: &::sled::IVec) -> Sled<Held<'_>> {
    Held::decode(held).ok_or_else(|| damaged("a row of the map holds neither a value nor a pointer to one"))
}

/// The key of the note about a value file.
fn file_row(prefix: &[u8], number: u32) -> Vec<u8> {
    [prefix, &number.to_be_bytes()].concat()
}

/// The map's own rows that begin so, each as `read` reads the rest of its key and its content.
fn own<T>(db: &::sled::Db, prefix: &[u8], read: impl Fn(&[u8], &[u8]) -> Option<T>) -> Sled<Vec<T>> {
    let row = |row: Sled<(::sled::IVec, ::sled::IVec)>| {
        let (key, held) = row?;
        let read = match decode(&held)? {
            Held::Own(value) => read(&key[prefix.len()..], value),
            Held::Inline(_) | Held::Separated(_) => None,
        };
        read.ok_or_else(|| damaged("what the map notes of a value file is malformed"))
    };
    db.scan_prefix(prefix).map(row).collect()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn unfinished_sweeps(db: &::sled::Db) -> Sled<Vec<u32>> {
    own(db, SWEEP_PREFIX, |name, _| number(name))
}

fn noted_wipes(db: &::sled::Db) -> Sled<Vec<(Vec<u8>, Pointer)>> {
    own(db, WIPE_PREFIX, |_, note| Pointer::of_note(note))
}

fn recorded(db: &::sled::Db) -> Sled<BTreeMap<u32, Usage>> {
    Ok(own(db, USAGE_PREFIX, |name, usage| number(name).zip(Usage::decode(usage)))?.into_iter().collect())
}
