//! Values read for a repair: from files of which nothing is expected.
//!
//! The map, which has checksums of its own, says which key a value is of, where it is and how long; so of an entry only
//! the checksum and the value can be in doubt, and one flipped bit in them is put right. An entry that nothing in the
//! map leads to is left alone: it may have been removed.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use crate::damage::flip::{self, Flip};
use crate::disk::values::entry::{self, HEAD_BYTES, Pointer};
use crate::disk::values::files::Files;

/// The value files of a store that may be damaged.
pub(crate) struct ValueFiles(Files);

/// The remains of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Whole(Bytes),
    /// A bit near this byte of the file was another one.
    Corrected(Bytes, u64),
    /// The bytes that are there. By the entry's own checksum they are not the ones that were written.
    Damaged(Bytes),
    /// The file ends before.
    Cut,
    /// There is no such file.
    Missing,
}

// === impl ValueFiles ===

impl ValueFiles {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(Files::new(folder.to_owned()))
    }

    /// True if the file is there.
    pub(crate) fn has(&self, number: u32) -> io::Result<bool> {
        self.0.path(number).try_exists()
    }

    /// The remains of the value of `key`.
    ///
    /// # Errors
    /// Reads that fail, but for the end of the file.
    pub(crate) fn read(&self, key: &[u8], pointer: Pointer) -> io::Result<Left> {
        let file = match self.0.get(pointer.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::Missing),
            file => file?,
        };
        let mut bytes = vec![0; pointer.entry_bytes(key)];
        match file.read_exact_at(&mut bytes, pointer.offset.into()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Left::Cut),
            read => read?,
        }
        Ok(judge(key, pointer, bytes))
    }
}

fn judge(key: &[u8], pointer: Pointer, mut bytes: Vec<u8>) -> Left {
    let value_from = HEAD_BYTES + key.len();
    let value = |bytes: Vec<u8>| Bytes::from(bytes).slice(value_from..);
    let at = |byte: usize| u64::from(pointer.offset) + byte as u64;
    if entry::decode(&bytes).is_some_and(|(found, _)| found == key) {
        return Left::Whole(value(bytes));
    }
    // All in front of the value but the sum is known.
    let mut expected = Vec::with_capacity(bytes.len());
    entry::encode(key, &bytes[value_from..], &mut expected);
    let sum = |bytes: &[u8]| bytes.first_chunk().map_or(0, |sum| u32::from_le_bytes(*sum));
    let difference = sum(&expected) ^ sum(&bytes);
    if difference == 0 {
        return Left::Corrected(value(bytes), at(4));
    }
    match flip::find(flip::CRC32C, difference, bytes.len() - 4) {
        Some(Flip::Sum) => Left::Corrected(value(bytes), at(difference.trailing_zeros() as usize / 8)),
        Some(Flip::Message(byte, mask)) if 4 + byte >= value_from => {
            bytes[4 + byte] ^= mask;
            Left::Corrected(value(bytes), at(4 + byte))
        }
        _ => Left::Damaged(value(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: [u8; 300] = [7; 300];

    fn left(change: impl FnOnce(&mut Vec<u8>)) -> Left {
        let folder = tempfile::tempdir().unwrap();
        let mut file = b"before".to_vec();
        entry::encode(b"key", &VALUE, &mut file);
        change(&mut file);
        let files = ValueFiles::new(folder.path());
        std::fs::write(files.0.path(3), file).unwrap();
        files.read(b"key", Pointer { file: 3, offset: 6, value_bytes: 300 }).unwrap()
    }

    #[test]
    fn one_flipped_bit_anywhere_in_an_entry_is_put_right() {
        let whole = Bytes::from_static(&VALUE);
        assert_eq!(left(|_| {}), Left::Whole(whole.clone()));
        for bit in 6 * 8..(6 + HEAD_BYTES + 3 + VALUE.len()) * 8 {
            match left(|file| file[bit / 8] ^= 1 << (bit % 8)) {
                Left::Corrected(value, at) => {
                    assert_eq!(value, whole, "bit {bit}");
                    assert!(
                        at.abs_diff(bit as u64 / 8) <= (HEAD_BYTES + 3) as u64,
                        "bit {bit} is said to be near {at}"
                    );
                }
                other => panic!("bit {bit}: {other:?}"),
            }
        }
    }

    #[test]
    fn more_damage_is_told_and_what_is_in_front_of_the_value_does_not_matter() {
        assert_eq!(left(|file| file[10..17].fill(0xee)), Left::Corrected(Bytes::from_static(&VALUE), 10));
        assert!(matches!(left(|file| file[40..44].fill(0xee)), Left::Damaged(value) if value.len() == 300));
        assert_eq!(left(|file| file.truncate(100)), Left::Cut);
        assert_eq!(
            ValueFiles::new(Path::new("/nowhere"))
                .read(b"key", Pointer { file: 3, offset: 6, value_bytes: 300 })
                .unwrap(),
            Left::Missing
        );
    }
}
