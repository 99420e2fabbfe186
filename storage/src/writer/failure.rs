//! The reasons why a writer takes nothing more: the end of a partition, as its owner is told of it.

use crate::store::{Store, StoreError};

/// The reason why the writer ended before it was closed. Final: the way on is to open the store again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another owner has taken the store over. Nothing is wrong with the store.
    #[error("another owner has taken the store over")]
    Fenced,
    /// The store failed, or a part that the partition cannot do without; the reason holds no secret.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The failure that `store` stands at, if any: it may have failed where nobody waited for a commit.
    pub fn of(store: &dyn Store) -> Option<Failure> {
        let reason = store.poisoned()?;
        Some(if store.fenced() { Failure::Fenced } else { Failure::Failed(reason) })
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Failure {
        match error {
            StoreError::Fenced => Failure::Fenced,
            other => Failure::Failed(other.to_string()),
        }
    }
}
