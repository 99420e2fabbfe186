//! A trial read of all that sled reads when it opens.
//!
//! sled takes a read that fails for the end of its log: it recovers the part before and writes over the rest. So one
//! error of the disk, which may be gone a second later, would cost all that the store holds. Read here first, it
//! refuses the opening, and nothing was touched; the bytes that were read are in memory when sled asks.
//!
//! That is: the header of every segment, and all of those that its last snapshot does not vouch for. No
//! judgement of the bytes: that is `salvage`'s, sled's, and `recovery`'s.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::library::SEGMENT_BYTES;
use crate::disk::error::OpenError;

/// A segment begins with a checksum (u32) and its position in the log (i64, inverted but for the sign), little endian.
const HEADER_BYTES: usize = 20;

/// Reads under way at once: the headers are far apart, each is a wait for the disk.
const THREADS: u64 = 8;

/// Reads it all. Answers the position in sled's log that its snapshot vouches for.
///
/// # Errors
/// The first read that fails.
pub(crate) fn check(sled_dir: &Path) -> Result<u64, OpenError> {
    let data_file = sled_dir.join("db");
    let failed = |error| OpenError::io("read", &data_file, error);
    let vouched_for = last_snapshot(sled_dir).map_err(|error| OpenError::io("list", sled_dir, error))?;
    let file = File::open(&data_file).map_err(failed)?;
    let segments = file.metadata().map_err(failed)?.len().div_ceil(SEGMENT_BYTES as u64);
    std::thread::scope(|scope| {
        let file = &file;
        let read = |first| {
            move || (first..segments).step_by(THREADS as usize).try_for_each(|at| segment(file, at, vouched_for))
        };
        let threads: Vec<_> = (0..THREADS.min(segments)).map(|first| scope.spawn(read(first))).collect();
        let panicked = |_| Err(io::Error::other("the reading thread panicked"));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(panicked))
    })
    .map_err(failed)?;
    Ok(vouched_for)
}

/// The position up to which the newest snapshot speaks, the beginning of its segment; 0 without one.
fn last_snapshot(sled_dir: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(sled_dir)? {
        let name = entry?.file_name();
        let position = name.to_str().and_then(|name| name.strip_prefix("snap."));
        newest = newest.max(position.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0));
    }
    Ok(newest / SEGMENT_BYTES as u64 * SEGMENT_BYTES as u64)
}

/// Reads the header of a segment, and the rest unless it is vouched for.
fn segment(file: &File, index: u64, vouched_for: u64) -> io::Result<()> {
    let start = index * SEGMENT_BYTES as u64;
    let mut header = [0; HEADER_BYTES];
    let read = fill(file, &mut header, start)?;
    let position = u64::from_le_bytes([4, 5, 6, 7, 8, 9, 10, 11].map(|at| header[at])) ^ 0x7FFF_FFFF_FFFF_FFFF;
    if read < HEADER_BYTES || position < vouched_for {
        return Ok(());
    }
    let mut rest = vec![0; SEGMENT_BYTES];
    fill(file, &mut rest, start)?;
    Ok(())
}

/// Reads until `bytes` is full or the file ends; how many.
fn fill(file: &File, bytes: &mut [u8], start: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], start + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(position: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[4..12].copy_from_slice(&(position ^ 0x7FFF_FFFF_FFFF_FFFF).to_le_bytes());
        header
    }

    #[test]
    fn the_newest_snapshot_counts_from_the_beginning_of_its_segment() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(last_snapshot(folder.path()).unwrap(), 0);
        for name in ["snap.0000000000200005", "snap.0000000000000007", "snap.0000000000900000.generating", "db"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(last_snapshot(folder.path()).unwrap(), 0x20_0000);
    }

    #[test]
    fn files_of_any_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        for length in [0, 7, HEADER_BYTES, SEGMENT_BYTES, SEGMENT_BYTES + 19, 3 * SEGMENT_BYTES - 1] {
            let mut content = vec![0; length];
            let begin = header(0);
            content[..length.min(HEADER_BYTES)].copy_from_slice(&begin[..length.min(HEADER_BYTES)]);
            fs::write(&path, content).unwrap();
            check(folder.path()).unwrap();
        }
    }
}
