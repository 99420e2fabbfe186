//! Why a store did not open.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store did not open. Every message names the path concerned.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process (or another handle in this one) has the data directory open.
    #[error("{} is in use by another process: one data directory serves one process", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// A store is to be restored into this data directory, and there is something in it.
    #[error("{} is not empty: it has `{name}`; restore into a new or empty data directory", path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// One of the things in it.
        name: String,
    },
    /// A restore did not end: there is no store yet.
    #[error(
        "a restore was interrupted in {}: run `pinion restore` again, or remove that folder to begin with an empty store",
        path.display()
    )]
    Unfinished {
        /// The folder in which the store was made.
        path: PathBuf,
    },
    /// The data was written by a newer version of this program.
    #[error(
        "{} says storage format {found}, this program reads up to {supported}: it was written by a newer version",
        path.display()
    )]
    FormatTooNew {
        /// The format file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The newest version this program reads.
        supported: u32,
    },
    /// The data was written by a version of this program that was never released.
    #[error(
        "{} says storage format {found}, this program reads {supported}: an older version wrote it, and no version reads \
         both; start with an empty data directory",
        path.display()
    )]
    FormatTooOld {
        /// The format file.
        path: PathBuf,
        /// The version it names.
        found: u32,
        /// The version this program reads.
        supported: u32,
    },
    /// The files do not say what they must. Nothing was changed by us.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file or folder concerned.
        path: PathBuf,
        /// The finding.
        reason: String,
    },
    /// The operating system refused.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
