//! A value file read from one end to the other.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::entry::{self, Pointer};

/// Reads at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// The entries of a file from some offset on.
pub(crate) struct Entries {
    reader: BufReader<File>,
    number: u32,
    /// The offset at which the next entry begins.
    offset: u64,
    entry: Vec<u8>,
}

/// The next thing in a file.
pub(crate) enum Next<'a> {
    /// An entry, and where it is.
    Entry {
        key: &'a [u8],
        value: &'a [u8],
        at: Pointer,
    },
    /// Bytes that are no entry: damaged, or never written to the end.
    Broken,
    End,
}

impl Entries {
    pub(crate) fn open(path: &Path, number: u32, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { reader: BufReader::with_capacity(BUFFER_BYTES, file), number, offset, entry: Vec::new() })
    }

    /// The offset at which the next entry begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        self.entry.clear();
        match self.take(entry::HEAD_BYTES)? {
            0 => return Ok(Next::End),
            entry::HEAD_BYTES => {}
            _ => return Ok(Next::Broken),
        }
        let Some(rest) = entry::head(&self.entry).map(|head| head.key_bytes + head.value_bytes) else {
            return Ok(Next::Broken);
        };
        self.take(rest)?;
        let Some((key, value)) = entry::decode(&self.entry) else { return Ok(Next::Broken) };
        let at = Pointer { file: self.number, offset: self.offset as u32, value_bytes: value.len() as u32 };
        self.offset += self.entry.len() as u64;
        Ok(Next::Entry { key, value, at })
    }

    fn take(&mut self, bytes: usize) -> io::Result<usize> {
        self.reader.by_ref().take(bytes as u64).read_to_end(&mut self.entry)
    }
}

/// The end of the last entry of the file that is whole with all before it, from `offset` on.
pub(crate) fn whole_until(path: &Path, number: u32, offset: u64) -> io::Result<u64> {
    let mut entries = Entries::open(path, number, offset)?;
    while let Next::Entry { .. } = entries.next()? {}
    Ok(entries.offset())
}
