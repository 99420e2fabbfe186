//! The `FORMAT` file: which layout of the store folder, and which meaning of its rows, this folder holds.
//!
//! Two lines of text, written when all that they promise is there, and read before anything else is touched:
//!
//! ```text
//! pinion-store
//! 4
//! ```
//!
//! Any other version is refused: a later one because this program cannot read it, and 1 to 3 because none of them was
//! ever released.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::disk::error::OpenError;

/// The version this build reads and writes.
pub(crate) const VERSION: u32 = 4;

/// The file's name inside the store folder.
pub(crate) const FILE_NAME: &str = "FORMAT";

const MAGIC: &str = "pinion-store";

/// Far more than a valid file holds.
const MAX_BYTES: u64 = 64;

/// Writes the file into `folder`, over an older one if there is one, whole or not at all, and makes it durable but for
/// its name: the caller makes the folder durable.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let beside = folder.join("FORMAT.new");
    let mut file = File::create(&beside)?;
    write!(file, "{MAGIC}\n{VERSION}\n")?;
    file.sync_all()?;
    fs::rename(beside, folder.join(FILE_NAME))
}

/// Refuses a `folder` that this build cannot read.
pub(crate) fn check(folder: &Path) -> Result<(), OpenError> {
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
        Some(found) if found < VERSION => Err(OpenError::FormatTooOld { path, found, supported: VERSION }),
        Some(_) => Ok(()),
    }
}

/// The same for a repair, to which a version that cannot be told is no reason; says whether it can be told.
pub(crate) fn check_damaged(folder: &Path) -> Result<bool, OpenError> {
    match check(folder) {
        Ok(()) => Ok(true),
        // The version is this build's, in all likelihood.
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
