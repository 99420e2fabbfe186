//! Root certificates of the operator's own: files of PEM, read once at the start.
//!
//! They are trusted for targets besides Mozilla's and never replace verification. Without `--ca-file`, the file that
//! `SSL_CERT_FILE` names is read, as other programs do.

use engine::dispatch::{RootsError, read_roots};
use std::io;
use std::path::{Path, PathBuf};

/// The variable that other programs take such a file from.
const FALLBACK_VARIABLE: &str = "SSL_CERT_FILE";
/// A larger file is not a bundle of certificates: the whole of Mozilla's is 230 KB.
const MAX_BYTES: u64 = 16 << 20;

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaFileError {
    /// It could not be read.
    #[error("could not read the root certificates in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It holds none.
    #[error("{} gives no root certificates: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        source: RootsError,
    },
}

/// The certificates of all `files`; of the file in the environment when there are none.
///
/// # Errors
/// The first file that cannot be read or holds no certificate.
pub(crate) fn read(
    files: &[PathBuf],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Vec<engine::dispatch::RootCertificate>, CaFileError> {
    let fallback = environment(FALLBACK_VARIABLE).filter(|path| files.is_empty() && !path.is_empty());
    let mut roots = Vec::new();
    for path in files.iter().map(PathBuf::as_path).chain(fallback.as_deref().map(Path::new)) {
        let text = read_file(path).map_err(|source| CaFileError::Read { path: path.to_owned(), source })?;
        roots.extend(read_roots(&text).map_err(|source| CaFileError::Content { path: path.to_owned(), source })?);
    }
    Ok(roots)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is over {MAX_BYTES} bytes")));
    }
    std::fs::read(path)
}
