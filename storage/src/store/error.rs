//! Errors at the seam, and the latch that makes the first real failure the last word.
//!
//! No error text carries a key or a value: those are the tenants' and end up in logs.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::{MAX_BATCH_BYTES, MAX_KEY_BYTES};

/// True if the process, or the system, has no descriptor left: "too many open files". That error has no kind of its
/// own; the numbers (ENFILE, EMFILE) are the same on every Unix.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Why a call on a [`Store`](super::Store) failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused a read, a write or a sync.
    #[error("storage {operation} failed: {source}")]
    Io {
        /// The operation that failed, as a noun.
        operation: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An earlier error stopped this store for good.
    #[error("storage stopped after an earlier failure: {reason}")]
    Poisoned {
        /// The first failure.
        reason: String,
    },
    /// Another owner has taken the store over: nothing of this batch is there, and this handle writes nothing more.
    /// Final, and no damage. A store with one owner at a time by its nature, as the embedded one, never answers it.
    #[error("another owner has taken the store over")]
    Fenced,
    /// The files do not say what they must.
    #[error("storage is damaged at {}: {reason}", path.display())]
    Corrupt {
        /// The file or folder concerned.
        path: PathBuf,
        /// The finding.
        reason: String,
    },
    /// A row does not say what it must: its bytes were changed, or another version wrote them.
    #[error("a row of kind {kind} is damaged: {detail}")]
    CorruptRow {
        /// The kind of the row.
        kind: &'static str,
        /// The finding; never the row's content.
        detail: String,
    },
    /// A value is longer than [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES), or than rows of its kind may be.
    #[error("a value of {bytes} bytes is over the limit of {most}")]
    ValueTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A key is empty or longer than [`MAX_KEY_BYTES`].
    #[error("a key of {bytes} bytes is outside 1 to {MAX_KEY_BYTES}")]
    KeyLength {
        /// Its length.
        bytes: usize,
    },
    /// A key begins with 0, as the store's own rows do.
    #[error("a key begins with 0, which is kept for the store")]
    KeyReserved,
    /// A batch holds more than [`MAX_BATCH_BYTES`].
    #[error("a batch of {bytes} bytes is over the limit of {MAX_BATCH_BYTES}")]
    BatchTooLarge {
        /// The sum of its keys and values.
        bytes: usize,
    },
}

impl StoreError {
    /// An error of the operating system in `operation`, a noun.
    pub(crate) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }

    /// True if the call was refused as it stood: nothing changed, and the store goes on working.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::ValueTooLarge { .. } | Self::KeyLength { .. } | Self::KeyReserved | Self::BatchTooLarge { .. } => {
                true
            }
            Self::Io { .. } | Self::Poisoned { .. } | Self::Fenced | Self::Corrupt { .. } | Self::CorruptRow { .. } => {
                false
            }
        }
    }
}

/// A latch that remembers the first failure and refuses everything after it. Every implementation holds one.
#[derive(Debug, Default)]
pub struct Poison(OnceLock<String>);

impl Poison {
    /// Passes while nothing has failed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Poisoned`] with the first failure.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
        }
    }

    /// Remembers `error` unless a failure is remembered already, and hands it back to be returned.
    pub fn latch(&self, error: StoreError) -> StoreError {
        self.0.get_or_init(|| error.to_string());
        error
    }

    /// The first failure, if there was one.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_the_one_remembered() {
        let poison = Poison::default();
        assert!(poison.check().is_ok());
        let io = |operation| StoreError::Io { operation, source: io::Error::other("disk on fire") };
        assert!(matches!(poison.latch(io("fdatasync")), StoreError::Io { .. }));
        let _ = poison.latch(io("read"));
        assert_eq!(poison.reason().as_deref(), Some("storage fdatasync failed: disk on fire"));
        assert!(matches!(poison.check(), Err(StoreError::Poisoned { .. })));
    }
}
