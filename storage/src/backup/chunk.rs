//! A file of a backup: some of its rows, or some of its commits. Pure.
//!
//! ```text
//! magic "pinchunk" 8 | layout u32 (1) | 1: rows, 2: commits u32 | these, as `frame` has them
//! ```
//! Its name is the SHA-256 of all of it, in hex, so equal chunks of two backups are one file, and a chunk that was changed
//! does not fit its name.

use std::fmt;
use std::str::FromStr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::hex;
use sha2::{Digest, Sha256};

use super::frame::{BODY_BYTES_MAX, split_commits};
use crate::store::Write;
use crate::store::rows::{self, Rows};

const MAGIC: [u8; 8] = *b"pinchunk";
const LAYOUT: u32 = 1;

/// Bytes before the content.
const HEAD_BYTES: usize = 16;

/// No chunk is longer: it has one commit, or rows up to the bound of [`super::cut`].
pub const CHUNK_BYTES_MAX: u64 = (HEAD_BYTES + BODY_BYTES_MAX) as u64;

/// The content of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows.
    Rows,
    /// Commits.
    Commits,
}

/// The name of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name([u8; 32]);

/// A chunk as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The content.
    pub kind: Kind,
    /// The name.
    pub name: Name,
    /// The length of the file in bytes.
    pub bytes: u64,
    /// The number of rows, or of commits.
    pub count: u64,
}

/// A chunk that is being filled, or was.
#[derive(Debug)]
pub(super) struct Filling {
    kind: Kind,
    pub(super) bytes: BytesMut,
    pub(super) count: u64,
}

/// A chunk.
#[derive(Debug)]
pub struct Chunk {
    /// As a manifest lists it.
    pub entry: Entry,
    /// The file.
    pub bytes: Bytes,
}

/// The bytes of a file are not those of the chunk that they should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The sum.
    #[error("its content does not fit its name: it was changed, or is not whole")]
    Changed,
    /// The content, though the sum is right.
    #[error("its content is no chunk of this version of pinion")]
    Malformed,
}

// === impl Kind ===

impl Kind {
    fn number(self) -> u32 {
        match self {
            Kind::Rows => 1,
            Kind::Commits => 2,
        }
    }
}

// === impl Name ===

impl Name {
    /// Of a file with these bytes.
    #[must_use]
    pub fn of(file: &[u8]) -> Name {
        Name(Sha256::digest(file).into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Name, ()> {
        let mut name = [0; 32];
        let digit = |at: usize| match text.as_bytes().get(at) {
            Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
            Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
            _ => Err(()),
        };
        for (at, byte) in name.iter_mut().enumerate() {
            *byte = digit(2 * at)? << 4 | digit(2 * at + 1)?;
        }
        if text.len() == 64 { Ok(Name(name)) } else { Err(()) }
    }
}

// === impl Filling ===

impl Filling {
    pub(super) fn new(kind: Kind) -> Filling {
        let mut bytes = BytesMut::new();
        bytes.put_slice(&MAGIC);
        bytes.put_u32_le(LAYOUT);
        bytes.put_u32_le(kind.number());
        Filling { kind, bytes, count: 0 }
    }

    /// Bytes of its content.
    pub(super) fn content_bytes(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    /// The chunk, unless it is empty; it begins another.
    pub(super) fn end(&mut self) -> Option<Chunk> {
        if self.count == 0 {
            return None;
        }
        let Filling { kind, bytes, count } = std::mem::replace(self, Filling::new(self.kind));
        let bytes = bytes.freeze();
        let entry = Entry { kind, name: Name::of(&bytes), bytes: bytes.len() as u64, count };
        Some(Chunk { entry, bytes })
    }
}

// === impl Entry ===

impl Entry {
    /// The content of the chunk's file, if it is this chunk.
    ///
    /// # Errors
    /// See [`ChunkError`].
    fn content(&self, file: Bytes) -> Result<Bytes, ChunkError> {
        if file.len() as u64 != self.bytes || Name::of(&file) != self.name {
            return Err(ChunkError::Changed);
        }
        let mut content = file;
        let head = content.split_to_checked(HEAD_BYTES).ok_or(ChunkError::Malformed)?;
        let known = head.starts_with(&MAGIC) && (&head[8..12]).get_u32_le() == LAYOUT;
        if known && (&head[12..]).get_u32_le() == self.kind.number() { Ok(content) } else { Err(ChunkError::Malformed) }
    }

    /// The rows of this chunk's file, in the order of their keys.
    pub(super) fn rows(&self, file: Bytes) -> Result<Rows, ChunkError> {
        let rows = split(self.content(file)?)?;
        let ascending = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let living = rows.iter().all(|(_, write)| *write != Write::Delete);
        if ascending && living && rows.len() as u64 == self.count { Ok(rows) } else { Err(ChunkError::Malformed) }
    }

    /// The commits of this chunk's file: the number and the rows of each.
    pub(super) fn commits(&self, file: Bytes) -> Result<Vec<(u64, Rows)>, ChunkError> {
        let commits = split_commits(self.content(file)?).ok_or(ChunkError::Malformed)?;
        if commits.len() as u64 != self.count {
            return Err(ChunkError::Malformed);
        }
        commits.into_iter().map(|noted| Ok((noted.commit, split(noted.rows)?))).collect()
    }
}

/// Rows of a tenant's or of ours: those whose keys begin with 0 are the map's own, and in no backup.
fn split(bytes: Bytes) -> Result<Rows, ChunkError> {
    let rows = rows::split(bytes).filter(|rows| rows.iter().all(|(key, _)| key[0] != 0));
    rows.ok_or(ChunkError::Malformed)
}

/// `split_to` of bytes that may be too short.
trait SplitToChecked: Sized {
    fn split_to_checked(&mut self, at: usize) -> Option<Self>;
}

impl SplitToChecked for Bytes {
    fn split_to_checked(&mut self, at: usize) -> Option<Bytes> {
        (at <= self.len()).then(|| self.split_to(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_64_digits_of_hex() {
        let name = Name::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((name.to_string(), text.parse()), (text.to_owned(), Ok(name)));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace('b', "g")] {
            assert_eq!(wrong.parse::<Name>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_chunk_that_was_changed_or_is_of_something_else_is_refused() {
        let mut filling = Filling::new(Kind::Rows);
        assert!(filling.end().is_none());
        rows::put(b"key", &Write::Put(Bytes::from("value")), &mut filling.bytes);
        filling.count = 1;
        let Chunk { entry, bytes } = filling.end().unwrap();
        assert_eq!(entry.rows(bytes.clone()).unwrap().len(), 1);
        let mut flipped = bytes.to_vec();
        flipped[20] ^= 1;
        assert_eq!(entry.rows(flipped.into()), Err(ChunkError::Changed));
        assert_eq!(entry.rows(bytes.slice(..bytes.len() - 1)), Err(ChunkError::Changed));
        assert_eq!(Entry { kind: Kind::Commits, ..entry.clone() }.commits(bytes.clone()), Err(ChunkError::Malformed));
        assert_eq!(Entry { count: 2, ..entry }.rows(bytes), Err(ChunkError::Malformed));
        // As nobody can write by the API.
        rows::put(b"\0last", &Write::Put(Bytes::from("value")), &mut filling.bytes);
        filling.count = 1;
        let Chunk { entry, bytes } = filling.end().unwrap();
        assert_eq!(entry.rows(bytes), Err(ChunkError::Malformed));
        let named = |bytes: &'static [u8]| Entry {
            kind: Kind::Rows,
            name: Name::of(bytes),
            bytes: bytes.len() as u64,
            count: 0,
        };
        assert_eq!(named(b"short").rows(Bytes::from("short")), Err(ChunkError::Malformed));
    }
}
