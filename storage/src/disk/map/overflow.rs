//! The net under the rule that no page overflows into `blobs/`: should one do so anyway, it is made durable before the
//! commit is acknowledged. sled writes these files without ever syncing them.
//!
//! With our limits none is ever seen, so the usual case costs one `stat` per commit and needs no free descriptor.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::disk::sync::sync_path;

/// File systems stamp a folder with a clock that ticks every few milliseconds, so a change soon after another may leave
/// the same time. Only a time this long past is trusted to stand for the last change.
const CLOCK_TICK: Duration = Duration::from_secs(1);

/// Watches one folder for new files.
#[derive(Debug)]
pub(crate) struct Overflow {
    folder: PathBuf,
    /// The folder's modification time when it was last synced, once that is a time to trust.
    synced_as_of: Mutex<Option<SystemTime>>,
}

impl Overflow {
    /// Watches `folder`, which must exist.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), synced_as_of: Mutex::new(None) }
    }

    /// Returns once every file in the folder is durable; says how many it had to look at.
    pub(crate) fn sync_new(&self) -> io::Result<usize> {
        let mut synced_as_of = self.synced_as_of.lock().unwrap_or_else(PoisonError::into_inner);
        let modified = fs::metadata(&self.folder)?.modified()?;
        if *synced_as_of == Some(modified) {
            return Ok(0);
        }
        let mut files = 0;
        for entry in fs::read_dir(&self.folder)? {
            match sync_path(&entry?.path()) {
                Ok(()) => files += 1,
                // Removed meanwhile: its page was rewritten.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if files > 0 {
            sync_path(&self.folder)?;
            tracing::warn!(files, "pages of the store have overflowed into files of their own; synced them");
        }
        // A clock set back makes the age unknown, which only means looking again.
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        *synced_as_of = (age > CLOCK_TICK).then_some(modified);
        Ok(files)
    }

    /// True if nothing has overflowed. Only asked in debug builds and tests.
    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn new_files_are_found_however_the_folder_is_stamped() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = |age| File::open(folder.path()).unwrap().set_modified(SystemTime::now() - age).unwrap();
        let overflow = Overflow::new(folder.path());
        assert_eq!(overflow.sync_new().unwrap(), 0);
        assert!(overflow.is_empty());

        fs::write(folder.path().join("1"), "x").unwrap();
        assert_eq!(overflow.sync_new().unwrap(), 1);
        assert!(!overflow.is_empty());
        assert_eq!(overflow.sync_new().unwrap(), 1, "the stamp is too young to trust");

        stamp(2 * CLOCK_TICK);
        assert_eq!(overflow.sync_new().unwrap(), 1);
        assert_eq!(overflow.sync_new().unwrap(), 0, "nothing changed since");
        fs::write(folder.path().join("2"), "x").unwrap();
        assert_eq!(overflow.sync_new().unwrap(), 2);
    }
}
