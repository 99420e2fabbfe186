//! The open value files: a bounded number of descriptors, opened again when needed.
//!
//! - *Who owns the state:* the readers, under one short lock; the file that is written to is kept open beside this.
//! - *What bounds it:* [`MAX_OPEN`]. The one used longest ago goes first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::is_out_of_descriptors;

/// Files open for reading at once. 16 MiB each: a backlog that is read goes through one after the other.
const MAX_OPEN: usize = 64;

/// Files by number, the one used last at the end.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    open: Mutex<Vec<(u32, Arc<File>)>>,
}

impl Files {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:010}"))
    }

    /// The file's number, if it has the name of one.
    pub(crate) fn number(name: &str) -> Option<u32> {
        let number = name.parse().ok()?;
        (format!("{number:010}") == name).then_some(number)
    }

    pub(crate) fn get(&self, number: u32) -> io::Result<Arc<File>> {
        if let Some(file) = self.used(number) {
            return Ok(file);
        }
        // Outside of the lock; a second one that opens it too does no harm.
        let file = Arc::new(self.with_descriptor(|| File::open(self.path(number)))?);
        self.put(number, file.clone());
        Ok(file)
    }

    pub(crate) fn put(&self, number: u32, file: Arc<File>) {
        let mut open = self.lock();
        if open.len() >= MAX_OPEN {
            open.remove(0);
        }
        open.push((number, file));
    }

    /// Opens a file. When the process has no descriptor left, the files that are open here give theirs: the process
    /// must not end for want of files that it can do without.
    pub(crate) fn with_descriptor<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match open() {
            Err(error) if is_out_of_descriptors(&error) => {
                tracing::warn!(%error, "no file descriptor is left; value files give theirs");
                self.lock().clear();
                open()
            }
            result => result,
        }
    }

    pub(crate) fn forget(&self, number: u32) {
        self.lock().retain(|(other, _)| *other != number);
    }

    fn used(&self, number: u32) -> Option<Arc<File>> {
        let mut open = self.lock();
        let at = open.iter().rposition(|(other, _)| *other == number)?;
        // Mostly the last one already.
        open[at..].rotate_left(1);
        open.last().map(|(_, file)| file.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u32, Arc<File>)>> {
        // A panic in between leaves it usable: each change is one call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_their_descriptors_when_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned());
        File::create(files.path(1)).unwrap();
        files.get(1).unwrap();
        let open = || if files.lock().is_empty() { Ok(7) } else { Err(io::Error::from_raw_os_error(24)) };
        assert_eq!(files.with_descriptor(open).unwrap(), 7);
        assert!(files.with_descriptor(|| Err::<(), _>(io::Error::from_raw_os_error(2))).is_err());
    }

    #[test]
    fn descriptors_are_bounded_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().to_owned());
        assert_eq!(files.get(7).unwrap_err().kind(), io::ErrorKind::NotFound);
        for number in 0..MAX_OPEN as u32 + 10 {
            File::create(files.path(number)).unwrap();
            files.get(number).unwrap();
            files.get(0).unwrap();
            assert!(files.lock().len() <= MAX_OPEN);
        }
        let open: Vec<_> = files.lock().iter().map(|(number, _)| *number).collect();
        assert_eq!((open.contains(&0), open.contains(&1)), (true, false));
        files.forget(0);
        assert!(files.used(0).is_none());
    }

    #[test]
    fn only_our_own_names_are_numbers() {
        assert_eq!(Files::number("0000000012"), Some(12));
        for name in ["12", "0000000012.new", "", "+000000012", "9999999999"] {
            assert_eq!(Files::number(name), None, "{name}");
        }
    }
}
