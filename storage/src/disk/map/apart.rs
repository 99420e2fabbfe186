//! The part of the map whose large values are kept apart: a tree of its own that holds small values, and pointers to the
//! others, and the files with those ([`values`](crate::disk::values)).
//!
//! - *Who owns the state:* who owns the map's: the checkpoint thread, and opening before there is one.
//! - *When the process dies here:* as in the map; a pointer that no seal vouches for is written again from the log.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::contain::Contained;
use super::library::inside_sled;
use super::names::{APART_TREE, SWEEP_PREFIX, USAGE_PREFIX, WIPE_PREFIX};
use crate::disk::error::OpenError;
use crate::disk::values::{Held, MIN_BYTES, Pointer, Usage, Values, may_be_wiped};
use crate::store::Write;

/// How often a value is asked for again that was moved between two looks.
const TRIES: u32 = 4;

type Sled<T> = Result<T, ::sled::Error>;

/// Which keys: those whose first byte is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApartKeys {
    /// The lowest first byte.
    pub from: u8,
    /// The lowest one above that is no more among them.
    pub to: u8,
}

/// The tree and the files.
pub(crate) struct Apart {
    tree: Contained<::sled::Tree>,
    values: Values,
}

// === impl ApartKeys ===

impl ApartKeys {
    pub(crate) fn contains(self, key: &[u8]) -> bool {
        key.first().is_some_and(|first| (self.from..self.to).contains(first))
    }

    /// The range of keys `[start, end)`, which is not empty, in three: below ours, ours, and above. A part that is empty
    /// begins where it ends.
    pub(crate) fn split<'a>(&'a self, start: &'a [u8], end: &'a [u8]) -> [(&'a [u8], &'a [u8]); 3] {
        let [from, to] = [std::slice::from_ref(&self.from), std::slice::from_ref(&self.to)];
        let (first, last) = (from.clamp(start, end), to.clamp(start, end));
        [(start, first), (first, last), (last, end)]
    }
}

// === impl Apart ===

impl Apart {
    /// Takes up what is there. `commits` is the tree of commits.
    pub(crate) fn open(db: &::sled::Db, commits: &::sled::Tree, folder: &Path) -> Result<Self, OpenError> {
        let opened = inside_sled(folder, || Ok((db.open_tree(APART_TREE)?, recorded(commits)?)));
        let (tree, recorded) = opened?;
        let values = Values::open(folder, &recorded)?;
        for (key, pointer) in inside_sled(folder, || noted_wipes(commits))? {
            values.noted(key, pointer);
        }
        for number in inside_sled(folder, || unfinished_sweeps(commits))? {
            values.resume_sweep(number);
        }
        Ok(Self { tree: Contained::new(tree), values })
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    pub(crate) fn get(&self, key: &[u8]) -> Sled<Option<Bytes>> {
        match self.tree.get(key)? {
            Some(held) => self.resolve(key, held),
            None => Ok(None),
        }
    }

    /// The rows with keys in `[start, end)`, as they are held.
    pub(crate) fn range(&self, start: &[u8], end: &[u8]) -> ::sled::Iter {
        self.tree.range(start..end)
    }

    /// The value of a row that holds this.
    pub(crate) fn resolve(&self, key: &[u8], held: ::sled::IVec) -> Sled<Option<Bytes>> {
        let mut held = held;
        for _ in 0..TRIES {
            let pointer = match decode(&held)? {
                Held::Inline(value) => return Ok(Some(Bytes::copy_from_slice(value))),
                Held::Apart(pointer) => pointer,
            };
            let value = self.values.read(key, pointer)?;
            if let Some(value) = value.as_ref().filter(|value| !may_be_wiped(value)) {
                return Ok(Some(value.clone()));
            }
            // Moved meanwhile, replaced and wiped, or deleted.
            match self.tree.get(key)? {
                Some(now) if now == held && value.is_some() => return Ok(value),
                Some(now) => held = now,
                None => return Ok(None),
            }
        }
        Err(damaged("a value is not where the map says"))
    }

    /// Does to the tree and the files what these rows say.
    pub(crate) fn write(&self, rows: &[(&Bytes, &Write)]) -> Sled<()> {
        let mut pointers = Vec::with_capacity(rows.len());
        for (key, write) in rows {
            pointers.push(match write {
                Write::Put(value) if value.len() >= MIN_BYTES => Some(self.values.append(key, value)?),
                _ => None,
            });
        }
        // Before the map leads anybody there.
        self.values.write_out()?;
        for ((key, write), pointer) in rows.iter().zip(pointers) {
            let before = match (write, pointer) {
                (_, Some(pointer)) => self.tree.insert(key, &pointer.encode())?,
                (Write::Put(value), None) => self.tree.insert(key, Held::inline(value))?,
                (Write::Delete, None) => self.tree.remove(key)?,
            };
            match write {
                Write::Put(_) => self.replaced(key, before)?,
                Write::Delete => self.forget(key, before)?,
            }
        }
        Ok(())
    }

    /// Makes what the files have durable, and notes in `commits` what the map is to know of them.
    pub(crate) fn before_seal(&self, commits: &::sled::Tree) -> Sled<()> {
        self.values.sync()?;
        for (number, usage) in self.values.changed() {
            let key = [USAGE_PREFIX, &number.to_be_bytes()].concat();
            match usage {
                Some(usage) => commits.insert(key, &usage.encode())?,
                None => {
                    commits.remove([SWEEP_PREFIX, &number.to_be_bytes()].concat())?;
                    commits.remove(key)?
                }
            };
        }
        let notes = self.values.wipe_notes();
        for pointer in notes.made {
            commits.remove([WIPE_PREFIX, &pointer.note_name()].concat())?;
        }
        for (pointer, key) in notes.due {
            commits.insert([WIPE_PREFIX, &pointer.note_name()].concat(), pointer.note(&key))?;
        }
        Ok(())
    }

    /// Brings a bounded number of values out of a file that is mostly dead. Says whether there may be more to do.
    pub(crate) fn sweep(&self, commits: &::sled::Tree) -> Sled<bool> {
        // Before the first value is moved: what is left of it behind is then never forgotten.
        if let Some(number) = self.values.begin_sweep() {
            commits.insert([SWEEP_PREFIX, &number.to_be_bytes()].concat(), &[])?;
        }
        let Some(step) = self.values.sweep(|key, pointer| self.leads_to(key, pointer))? else { return Ok(false) };
        for (key, pointer) in &step.moved {
            let before = self.tree.insert(key, &pointer.encode())?;
            self.forget(key, before)?;
        }
        self.values.swept(&step);
        Ok(true)
    }

    /// Wipes what a process that died wrote behind the last seal and nothing leads to.
    pub(crate) fn wipe_unsealed(&self) -> Sled<()> {
        self.values.wipe_unsealed(|key, pointer| self.leads_to(key, pointer))
    }

    fn leads_to(&self, key: &[u8], pointer: Pointer) -> Sled<bool> {
        Ok(self.tree.get(key)?.is_some_and(|held| held == pointer.encode()))
    }

    fn replaced(&self, key: &[u8], held: Option<::sled::IVec>) -> Sled<()> {
        if let Some(held) = held
            && let Held::Apart(pointer) = decode(&held)?
        {
            self.values.replaced(key, pointer);
        }
        Ok(())
    }

    fn forget(&self, key: &[u8], held: Option<::sled::IVec>) -> Sled<()> {
        if let Some(held) = held
            && let Held::Apart(pointer) = decode(&held)?
        {
            self.values.forget(key, pointer);
        }
        Ok(())
    }
}

fn damaged(what: &'static str) -> ::sled::Error {
    ::sled::Error::Io(io::Error::new(io::ErrorKind::InvalidData, what))
}

fn decode(held: &::sled::IVec) -> Sled<Held<'_>> {
    Held::decode(held).ok_or_else(|| damaged("a row of the map is neither a value nor a pointer to one"))
}

fn unfinished_sweeps(commits: &::sled::Tree) -> Sled<Vec<u32>> {
    let number = |row: Sled<(::sled::IVec, ::sled::IVec)>| {
        let (key, _) = row?;
        let number = key[SWEEP_PREFIX.len()..].try_into().ok().map(u32::from_be_bytes);
        number.ok_or_else(|| damaged("the note of a value file that is swept is malformed"))
    };
    commits.scan_prefix(SWEEP_PREFIX).map(number).collect()
}

fn noted_wipes(commits: &::sled::Tree) -> Sled<Vec<(Vec<u8>, Pointer)>> {
    let row = |row: Sled<(::sled::IVec, ::sled::IVec)>| {
        Pointer::of_note(&row?.1).ok_or_else(|| damaged("the note of a value that is to be wiped is malformed"))
    };
    commits.scan_prefix(WIPE_PREFIX).map(row).collect()
}

fn recorded(commits: &::sled::Tree) -> Sled<BTreeMap<u32, Usage>> {
    let row = |row: Sled<(::sled::IVec, ::sled::IVec)>| {
        let (key, usage) = row?;
        let number = key[USAGE_PREFIX.len()..].try_into().ok().map(u32::from_be_bytes);
        number.zip(Usage::decode(&usage)).ok_or_else(|| damaged("what the map knows of a value file is malformed"))
    };
    commits.scan_prefix(USAGE_PREFIX).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_falls_into_three() {
        let keys = ApartKeys { from: 3, to: 5 };
        let split =
            |start: &'static [u8], end: &'static [u8]| keys.split(start, end).map(|(a, b)| (a.to_vec(), b.to_vec()));
        let part = |a: &[u8], b: &[u8]| (a.to_vec(), b.to_vec());
        assert_eq!(split(&[1], &[9]), [part(&[1], &[3]), part(&[3], &[5]), part(&[5], &[9])]);
        assert_eq!(split(&[3, 1], &[4, 2]), [part(&[3, 1], &[3, 1]), part(&[3, 1], &[4, 2]), part(&[4, 2], &[4, 2])]);
        assert_eq!(split(&[1], &[2]), [part(&[1], &[2]), part(&[2], &[2]), part(&[2], &[2])]);
        assert_eq!(split(&[5], &[6]), [part(&[5], &[5]), part(&[5], &[5]), part(&[5], &[6])]);
        assert!(keys.contains(&[3]) && keys.contains(&[4, 255]) && !keys.contains(&[5]) && !keys.contains(&[]));
    }
}
