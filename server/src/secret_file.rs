//! Files with a key in them: read with care, created whole or not at all. An existing file is never overwritten, as a lost
//! key cannot be made again.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key is longer.
const MAX_BYTES: u64 = 4_096;

/// Why a key file could not be read or created.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}: {source}", path.display())]
pub(crate) struct SecretFileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The text of a key file without the white space around it; `None` if there is no such file.
///
/// Warns when others than its owner may read it.
pub(crate) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, SecretFileError> {
    let failed = |source| SecretFileError { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "a key file is open to others");
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(Zeroizing::new(text.trim().to_owned())))
}

/// Creates a key file, mode 0600. It is written beside, synced and renamed, and the folder is synced, so that a crash
/// leaves the whole file or none.
///
/// The caller holds the data directory, so nobody else creates the same file at the same time.
pub(crate) fn create(path: &Path, text: &str) -> Result<(), SecretFileError> {
    let failed = |action| move |source| SecretFileError { action, path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = path.with_extension("key.new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace the unfinished")(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed("create"))?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed("write"))?;
    file.sync_all().map_err(failed("sync"))?;
    std::fs::rename(&beside, path).map_err(failed("name"))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_reads_back_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        assert!(read(&path).unwrap().is_none());
        // A crash may have left an unfinished one.
        std::fs::write(folder.path().join("root.key.new"), "half").unwrap();
        create(&path, "secret").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_file() {
        let error = create(Path::new("/nonexistent/root.key"), "secret").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/root.key") && !error.contains("secret"), "{error}");
    }
}
