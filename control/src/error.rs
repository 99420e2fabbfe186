//! Why a command or a query failed. Surfaces turn it into their own words: an HTTP status, a line on a terminal.
//!
//! Details of a failed store go to the log and into no error.

use engine::{ChangeError, IngestError};
use std::borrow::Cow;
use storage::StoreError;
use storage::writer::REQUEST_MAX_BYTES;

/// Seconds to wait when the writer's queue is full.
const BUSY_RETRY_AFTER_S: u64 = 1;

/// Seconds to wait at the quota of idempotency keys: a pass of retention must remove expired ones first.
const KEYS_RETRY_AFTER_S: u64 = 60;

/// Why a command or a query failed; unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing, or not for this key.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The key does not reach this far: why not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The input is wrong: everything that is.
    #[error("{}", texts(.0))]
    Invalid(Vec<Wrong>),
    /// Something of that name exists, or is not there any more.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// An endpoint has as many secrets that still sign as it may.
    #[error("too many old secrets are still valid")]
    TooManySecrets,
    /// The endpoint is disabled, so nothing can be sent to it.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// The message's payload was expunged, so nothing of it can be sent.
    #[error("the payload of this message was expunged")]
    MissingPayload,
    /// There is as much as there may be.
    #[error("there may be at most {most} {of}")]
    QuotaExceeded {
        /// The name of the quota, as the metric has it.
        quota: &'static str,
        /// The same for people.
        of: &'static str,
        /// The bound.
        most: u32,
        /// Seconds after which to try again, where there will be room without the caller doing anything.
        again_after_s: Option<u64>,
    },
    /// An idempotency key came again with other content.
    #[error("the idempotency key was used with other content")]
    KeyReused,
    /// More than the writer takes in one request.
    #[error("the request is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// More than can be taken now.
    #[error("too busy, try again")]
    Busy {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// The disk is nearly full: no messages are taken until there is room.
    #[error("the disk is nearly full: messages are not taken until there is room")]
    StorageFull,
    /// The store failed: it is unknown whether the change was made until the store was opened again.
    #[error("the store failed; try again with the same idempotency key once it has been started anew")]
    StorageFailed,
    /// The process is stopping.
    #[error("shutting down")]
    ShuttingDown,
    /// A stored row does not decode; the rest works.
    #[error("a stored row of kind {kind} is damaged")]
    Damaged {
        /// The kind of row.
        kind: &'static str,
    },
    /// A flaw of Pinion or of the system; the log says more.
    #[error("internal error")]
    Internal,
}

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The path of the field: names and indexes; empty for the input as a whole.
    pub at: Vec<String>,
    /// For people.
    pub msg: String,
    /// For programs.
    pub kind: &'static str,
}

fn texts(wrong: &[Wrong]) -> String {
    wrong.iter().map(|wrong| wrong.msg.as_str()).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// One thing wrong at a path of field names and indexes.
    pub fn invalid(at: &[&str], msg: impl Into<String>, kind: &'static str) -> Error {
        Error::Invalid(vec![Wrong { at: at.iter().map(|part| (*part).to_owned()).collect(), msg: msg.into(), kind }])
    }

    /// The refusal of one scheduled message too many.
    #[must_use]
    pub fn too_many_scheduled(most: u32) -> Error {
        let of = "scheduled messages of an application";
        Error::QuotaExceeded { quota: "scheduled_messages", of, most, again_after_s: None }
    }

    /// The refusal of a request with one idempotency key too many.
    #[must_use]
    pub fn too_many_keys(most: u32) -> Error {
        let of = "idempotency keys of an application; without a key, the request is taken";
        Error::QuotaExceeded { quota: "idempotency_keys", of, most, again_after_s: Some(KEYS_RETRY_AFTER_S) }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        tracing::error!(%error, "the store failed a request");
        match error {
            StoreError::CorruptRow { kind, .. } => Error::Damaged { kind },
            StoreError::Io { .. } | StoreError::Poisoned { .. } | StoreError::Fenced | StoreError::Corrupt { .. } => {
                Error::StorageFailed
            }
            StoreError::ValueTooLarge { .. }
            | StoreError::KeyLength { .. }
            | StoreError::KeyReserved
            | StoreError::BatchTooLarge { .. } => Error::Internal,
        }
    }
}

impl From<ChangeError<Error>> for Error {
    fn from(error: ChangeError<Error>) -> Error {
        match error {
            ChangeError::Rejected(error) => error,
            ChangeError::Refused(error) => {
                tracing::info!(%error, "a change was larger than the store takes");
                Error::TooLarge { limit_bytes: REQUEST_MAX_BYTES }
            }
            ChangeError::Busy => Error::Busy { retry_after_s: BUSY_RETRY_AFTER_S },
            ChangeError::Unavailable(error) => {
                tracing::error!(%error, "a change was not made");
                Error::ShuttingDown
            }
        }
    }
}

impl From<IngestError> for Error {
    fn from(error: IngestError) -> Error {
        match error {
            IngestError::Busy { retry_after_s } => Error::Busy { retry_after_s },
            IngestError::ShuttingDown => Error::ShuttingDown,
            IngestError::StorageFull => Error::StorageFull,
            IngestError::Damaged { kind } => Error::Damaged { kind },
            IngestError::UnknownApplication => Error::NotFound("application"),
            IngestError::TooLarge => Error::TooLarge { limit_bytes: REQUEST_MAX_BYTES },
            IngestError::Store(error) => {
                tracing::error!(%error, "messages were not taken");
                Error::StorageFailed
            }
        }
    }
}
