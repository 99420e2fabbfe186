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
