//! `pinion backup`: the data of a running server, to a folder or as a tar stream; and the check of such a folder.
//!
//! ```text
//! server ─▶ POST /api/v1/backup ─▶ [`stream`] ─▶ chunks ─▶ DIR, or [`archive`] on standard output
//! ```
//! *When it is killed or fails:* the folder has no backup more than before, and the chunks that it has got serve the next.

pub(crate) mod archive;
mod stream;
pub(crate) mod text;

use crate::cli::STANDARD_STREAM;
use crate::config::Loaded;
use crate::data_dir;
use crate::key_command::url::ApiUrl;
use crate::keys::{self, API_KEY_VARIABLE, Environment, KeyError};
use archive::{ArchiveError, TarSink};
use http::StatusCode;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use storage::backup::check;
use storage::backup::collect::CollectError;
use storage::backup::folder::{Folder, FolderError, Writing};
use storage::backup::restore::{self, RestoreError};

/// Why there is no backup, or a check of one failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// No key.
    #[error(
        "a backup needs a key for everything: set {API_KEY_VARIABLE}, or name the root key by --root-key-file or --data-dir"
    )]
    NoKey,
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody said where the server is.
    #[error("the server's address is not known (`listen` is {0}): name it by --url")]
    NoAddress(SocketAddr),
    /// Nothing answers.
    #[error("no Pinion answers at {url}: {reason}")]
    NoAnswer {
        /// The URL that was asked.
        url: ApiUrl,
        /// The reason.
        reason: String,
    },
    /// The server refused.
    #[error("the server at {url} refused with {status}: {detail}")]
    Refused {
        /// The server.
        url: ApiUrl,
        /// The HTTP status.
        status: StatusCode,
        /// The text of the answer.
        detail: String,
    },
    /// The stream ended without its end.
    #[error("the backup broke off: {0}")]
    BrokenOff(String),
    /// Writing to a folder.
    #[error(transparent)]
    ToFolder(#[from] CollectError<FolderError>),
    /// Writing to standard output.
    #[error(transparent)]
    ToStream(#[from] CollectError<ArchiveError>),
    /// Ending the tar stream.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store that was made to check a backup.
    #[error("the backup could not be opened: {0}")]
    Restore(#[from] RestoreError),
    /// Rows of the backup are not as they must be.
    #[error("{0}the backup was read whole, and rows of it are damaged")]
    Faulty(String),
    /// The system.
    #[error("could not set up the process: {0}")]
    Setup(#[from] io::Error),
}

/// A backup that is to be made.
#[derive(Debug)]
pub(crate) struct Order {
    /// The folder, or [`STANDARD_STREAM`].
    pub(crate) to: PathBuf,
    /// The server, if it was named.
    pub(crate) url: Option<ApiUrl>,
    /// The backups that stay in the folder.
    pub(crate) keep: Option<u32>,
    /// The check that follows.
    pub(crate) verify: bool,
}

/// Makes a backup. Answers the report; with a tar stream that is for standard error.
///
/// # Errors
/// See [`BackupError`].
pub(crate) fn run(loaded: &Loaded, environment: Environment<'_>, order: Order) -> Result<String, BackupError> {
    let key = keys::api_key(loaded, environment)?.ok_or(BackupError::NoKey)?;
    let of_listener = || ApiUrl::of_listener(loaded.config.listen);
    let url = order.url.or_else(of_listener).ok_or(BackupError::NoAddress(loaded.config.listen))?;
    let server = stream::Server::new(url, &key);
    if order.to == Path::new(STANDARD_STREAM) {
        let mut sink = TarSink::new(io::stdout().lock())?;
        let manifest = server.back_up(&mut sink)?;
        sink.finish(&manifest)?;
        return Ok(text::made(&manifest, None, None));
    }
    let mut writing = Writing::open(&order.to)?;
    let manifest = server.back_up(&mut writing)?;
    let written = writing.publish(&manifest)?;
    let removed = order.keep.map(|count| writing.keep(count as usize)).transpose()?;
    drop(writing);
    let mut report = text::made(&manifest, Some(written), removed);
    if order.verify {
        report.push_str(&verify(loaded, &order.to, Some(written.number), None)?);
    }
    Ok(report)
}

/// Restores a backup to a temporary store, opens it and reads every row. `scratch` is a folder with room for it.
///
/// # Errors
/// See [`BackupError`].
pub(crate) fn verify(
    loaded: &Loaded,
    folder: &Path,
    number: Option<u32>,
    scratch: Option<&Path>,
) -> Result<String, BackupError> {
    let folder = Folder::open(folder)?;
    let (number, manifest) = folder.manifest(number)?;
    let mut place = tempfile::Builder::new();
    place.prefix("pinion-verify-");
    let place = scratch.map_or_else(|| place.tempdir(), |scratch| place.tempdir_in(scratch))?;
    let store = restore::fill(data_dir::options(loaded), place.path(), &folder, &manifest)?;
    let found = check::check(&store).map_err(RestoreError::from)?;
    drop(store);
    let report = text::verified(number, &manifest, &found);
    if found.faulty == 0 { Ok(report) } else { Err(BackupError::Faulty(report)) }
}
