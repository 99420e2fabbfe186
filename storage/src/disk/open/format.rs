//! The `FORMAT` file: which layout of the store folder, and which meaning of its rows, this folder holds.
//!
//! Two lines of text, written when all that they promise is there, and read before anything else is touched:
//!
//! ```text
//! pinion-store
//! 3
//! ```
//!
//! | version | what it has |
//! |---|---|
//! | 1 | sled alone: every commit is in it |
//! | 2 | the redo log too: sled may be behind it |
//! | 3 | the values of events in files of their own; rows that an older version left in the tree are moved |
//!
//! A version we do not know is refused. What an older one lacks is made in `open`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::disk::error::OpenError;

/// The version this build writes and the newest it reads.
pub(crate) const VERSION: u32 = 3;

/// The first version with a redo log.
pub(crate) const WITH_LOG: u32 = 2;

/// The file's name inside the store folder.
pub(crate) const FILE_NAME: &str = "FORMAT";

const MAGIC: &str = "pinion-store";

/// Far more than a valid file holds.
const MAX_BYTES: u64 = 64;

/// Writes the file into `folder`, over an older one if there is one, whole or not at all, and makes it durable but for its
/// name: the caller makes the folder durable.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let beside = folder.join("FORMAT.new");
    let mut file = File::create(&beside)?;
    write!(file, "{MAGIC}\n{VERSION}\n")?;
    file.sync_all()?;
    fs::rename(beside, folder.join(FILE_NAME))
}

/// The version of `folder`, if this build can read it.
pub(crate) fn check(folder: &Path) -> Result<u32, OpenError> {
    let path = folder.join(FILE_NAME);
    let corrupt = |reason: &str| OpenError::Corrupt { path: path.clone(), reason: reason.to_owned() };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(corrupt("the file is missing"));
        }
        Err(error) => return Err(OpenError::io("open", &path, error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| OpenError::io("read", &path, error))?;
    match parse(&bytes) {
        None => Err(corrupt("it does not hold a format version")),
        Some(found) if found > VERSION => Err(OpenError::FormatTooNew { path, found, supported: VERSION }),
        Some(found) => Ok(found),
    }
}

/// The newest version that `salvage` can read: one with more trees or files needs more of it.
const SALVAGED_UP_TO: u32 = 3;

/// Refuses a `folder` that a repair cannot read; says whether its version can be told.
pub(crate) fn refuse_beyond_repair(folder: &Path) -> Result<bool, OpenError> {
    match check(folder) {
        Ok(found) if found > SALVAGED_UP_TO => {
            let path = folder.join(FILE_NAME);
            Err(OpenError::FormatTooNew { path, found, supported: SALVAGED_UP_TO })
        }
        Ok(_) => Ok(true),
        // What this build writes, in all likelihood.
        Err(OpenError::Corrupt { path, reason }) if VERSION > SALVAGED_UP_TO => {
            Err(OpenError::Corrupt { path, reason })
        }
        Err(OpenError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let version = text.strip_prefix(MAGIC)?.strip_prefix('\n')?.strip_suffix('\n')?;
    // `parse` alone would also take a sign or leading zeros.
    let version = version.parse::<u32>().ok().filter(|number| number.to_string() == version)?;
    (version >= 1).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_is_a_version() {
        assert_eq!(parse(b"pinion-store\n1\n"), Some(1));
        assert_eq!(parse(b"pinion-store\n4294967295\n"), Some(u32::MAX));
        for bad in ["", "pinion-store", "pinion-store\n", "pinion-store\n1", "pinion-store\n+1\n", "pinion-store\n0\n"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse(b"pinion-store\n1\n\n"), None);
        assert_eq!(parse(&[0xff; 20]), None);
    }
}
