//! The `WATERMARK` file: the number of the last commit acknowledged, kept outside sled to catch it forgetting.
//!
//! sled recovers a damaged log by stopping at the damage: an overwritten or truncated data file opens as an older, or
//! an empty, store, without an error. To notice, every commit stores its number inside sled behind its batch, and, once
//! durable, writes the same number here. If sled comes back with less than this file says, acknowledged commits are
//! gone and the store is refused.
//!
//! The file is not synced per commit, and need not be: it survives a process kill, and after a power cut it can only be
//! behind, never ahead, because it is written after the commit became durable. It is a detector, not a log.
//!
//! Layout: the number (u64, big endian), then the CRC32C of those 8 bytes (u32, big endian), in place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::damage::flip;

/// The file's name inside the store folder.
pub(crate) const FILE_NAME: &str = "WATERMARK";

const BYTES: usize = 12;

/// The open file.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens the file in `folder`, creating it if there is none, and reads it. A number that cannot be trusted (no
    /// file, or a wrong checksum) reads as `None`: removing the file is how an operator accepts a loss.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Option<u64>)> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = [0u8; BYTES];
        let commit = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        Ok((Self { file }, commit))
    }

    /// The number that a file's bytes hold, also when one bit of them is wrong: then with the byte that it is in.
    pub(crate) fn read_corrected(bytes: &mut [u8]) -> (Option<u64>, Option<usize>) {
        let read = |bytes: &[u8]| decode(*bytes.first_chunk()?);
        if let Some(commit) = read(bytes) {
            return (Some(commit), None);
        }
        match flip::search(bytes, BYTES, |bytes| read(bytes).is_some()) {
            Some((byte, mask)) => {
                bytes[byte] ^= mask;
                (read(bytes), Some(byte))
            }
            None => (None, None),
        }
    }

    /// Records that `commit` and all before it are durable.
    pub(crate) fn write(&self, commit: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(commit), 0)
    }

    /// Makes the file as it stands durable, so that later writes change bytes in place and not the file's length.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn encode(commit: u64) -> [u8; BYTES] {
    let number = commit.to_be_bytes();
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&number);
    bytes[8..].copy_from_slice(&crc32c::crc32c(&number).to_be_bytes());
    bytes
}

fn decode(bytes: [u8; BYTES]) -> Option<u64> {
    let number = u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]);
    (encode(number) == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_and_a_damaged_one_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let (mark, commit) = Watermark::open(folder.path()).unwrap();
        assert_eq!(commit, None);
        mark.write(7).unwrap();
        mark.write(u64::MAX - 1).unwrap();
        mark.sync().unwrap();
        let (mark, commit) = Watermark::open(folder.path()).unwrap();
        assert_eq!(commit, Some(u64::MAX - 1));
        mark.file.write_all_at(&[1], 3).unwrap();
        assert_eq!(Watermark::open(folder.path()).unwrap().1, None);
    }
}
