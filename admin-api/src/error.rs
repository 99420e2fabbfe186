//! The errors of requests, and the only file that says which HTTP status each has.
//!
//! A body shows nothing of the inside. The details of a failed store go to the log; the caller learns whether the store
//! is gone (`storage_failed`), full (`storage_full`) or one row is damaged (`data_damaged`).

mod answer;
mod wrong;

pub(crate) use answer::{ErrorBody, Failed, HttpErrorOut, HttpValidationError};
pub(crate) use wrong::ValidationItem;

use control::rate::Standing;
use control::{Changed, Error};
use http::StatusCode;
use model::{KeyScope, KeyScopes};
use std::borrow::Cow;
use wrong::cut;

/// The status of a created thing.
pub(crate) const CREATED: StatusCode = StatusCode::CREATED;
/// The status of an answer with a body.
pub(crate) const OK: StatusCode = StatusCode::OK;
/// The status of work that was taken and goes on.
pub(crate) const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
/// The status of success without a body.
pub(crate) const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

/// The status of a PUT, which creates a thing that is not there.
pub(crate) fn put_status<T>(changed: &Changed<T>) -> StatusCode {
    if changed.is_new() { CREATED } else { OK }
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No such thing, or not for this key.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The route exists, not with this method.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// No key, or one that is not known.
    #[error("authentication failed")]
    Unauthenticated,
    /// The key does not reach this far: why not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The key is not for this.
    #[error("this key may not do that: it has none of the scopes {}", shown(*needed))]
    InsufficientScope {
        /// The scopes of which one would do.
        needed: KeyScopes,
    },
    /// The input is wrong; nothing was changed.
    #[error("invalid input")]
    Invalid(Vec<ValidationItem>),
    /// Something of that name exists.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// An endpoint has as many secrets that still sign as it may.
    #[error("too many old secrets are still valid")]
    TooManySecrets,
    /// The endpoint is disabled, so nothing can be sent to it.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// The application to be made has no uid, or another one than the path.
    #[error("must be the uid of the application that the path names")]
    ApplicationMismatch,
    /// The body has a content coding that is not read here.
    #[error("the content encoding is not supported: send the body as it is")]
    UnsupportedCoding,
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
    /// An `Idempotency-Key` came again with other content.
    #[error("the idempotency key was used with other content")]
    KeyReused,
    /// The body is larger than allowed.
    #[error("the body is larger than {limit_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The body broke off.
    #[error("the body did not arrive whole")]
    BodyBroken,
    /// The body came too slowly.
    #[error("the body came slower than {bytes_per_s} bytes per second")]
    BodyTooSlow {
        /// The limit.
        bytes_per_s: usize,
    },
    /// The caller makes more requests than its limit allows.
    #[error("too many requests: the limit is {}, and there is room again in {retry_after_s} s", standing.limit)]
    RateLimited {
        /// The rest of the limit.
        standing: Standing,
        /// Seconds to wait.
        retry_after_s: u64,
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
    /// The store failed while it took this: whether it did is unknown until it was opened again.
    #[error("the store failed; try again with the same idempotency key once it has been started anew")]
    StorageFailed,
    /// The process is stopping.
    #[error("shutting down")]
    ShuttingDown,
    /// No answer within the deadline; the requested change may still happen.
    #[error("no answer within the deadline")]
    Timeout,
    /// A stored row is not as it was written; the rest works.
    #[error("a stored row of kind {kind} is damaged")]
    Damaged {
        /// The kind of row.
        kind: &'static str,
    },
    /// Our fault; the log says more.
    #[error("internal error")]
    Internal,
}

/// Scopes, with a space between two.
pub(crate) fn shown(scopes: KeyScopes) -> String {
    scopes.iter().map(KeyScope::as_str).collect::<Vec<_>>().join(" ")
}

impl ApiError {
    /// One thing wrong at `loc`.
    pub(crate) fn invalid<const N: usize>(loc: [&str; N], msg: impl Into<String>, kind: &'static str) -> ApiError {
        ApiError::Invalid(vec![ValidationItem {
            loc: loc.into_iter().map(str::to_owned).collect(),
            msg: msg.into(),
            kind: Cow::Borrowed(kind),
        }])
    }

    /// The status of this error.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Unauthenticated => StatusCode::UNAUTHORIZED,
            ApiError::Forbidden(_) | ApiError::InsufficientScope { .. } => StatusCode::FORBIDDEN,
            ApiError::QuotaExceeded { again_after_s: Some(_), .. } | ApiError::RateLimited { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            ApiError::Invalid(_) | ApiError::KeyReused | ApiError::QuotaExceeded { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            ApiError::Conflict(_) | ApiError::EndpointDisabled => StatusCode::CONFLICT,
            ApiError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::ApplicationMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::UnsupportedCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::BodyBroken | ApiError::TooManySecrets | ApiError::MissingPayload => StatusCode::BAD_REQUEST,
            ApiError::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            // 503, not 429: the clients try again after a 5xx and after nothing else.
            ApiError::Busy { .. } | ApiError::StorageFailed | ApiError::ShuttingDown | ApiError::Timeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiError::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            ApiError::Damaged { .. } | ApiError::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code of this error, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            ApiError::NotFound(_) => "not_found",
            ApiError::MethodNotAllowed => "method_not_allowed",
            ApiError::Unauthenticated => "authentication_failed",
            ApiError::Forbidden(_) => "permission_denied",
            ApiError::InsufficientScope { .. } => "insufficient_scope",
            ApiError::Invalid(_) => "validation_error",
            ApiError::Conflict(_) => "conflict",
            ApiError::TooManySecrets => "limit_reached",
            ApiError::EndpointDisabled => "endpoint_disabled",
            ApiError::MissingPayload => "missing_payload",
            ApiError::ApplicationMismatch => "application_uid_mismatch",
            ApiError::UnsupportedCoding => "unsupported_content_encoding",
            ApiError::KeyReused => "idempotency_key_reused",
            ApiError::QuotaExceeded { .. } => "quota_exceeded",
            ApiError::BodyTooLarge { .. } => "payload_too_large",
            ApiError::BodyBroken => "body_incomplete",
            ApiError::BodyTooSlow { .. } => "body_too_slow",
            ApiError::RateLimited { .. } => "rate_limited",
            ApiError::Busy { .. } => "busy",
            ApiError::StorageFull => "storage_full",
            ApiError::StorageFailed => "storage_failed",
            ApiError::ShuttingDown => "shutting_down",
            ApiError::Timeout => "timeout",
            ApiError::Damaged { .. } => "data_damaged",
            ApiError::Internal => "internal_error",
        }
    }

    /// True if the cause is the process or its store, and not the request or the load.
    fn is_failure(&self) -> bool {
        matches!(self, ApiError::Internal | ApiError::Damaged { .. } | ApiError::StorageFailed | ApiError::ShuttingDown)
    }

    /// The list of errors in the input; none for an error that is not about the input.
    pub(crate) fn items(&self) -> Option<Cow<'_, [ValidationItem]>> {
        match self {
            ApiError::Invalid(items) => Some(Cow::Owned(items.iter().map(ValidationItem::cut).collect())),
            ApiError::KeyReused => Some(Cow::Owned(vec![ValidationItem {
                loc: vec!["header".to_owned(), "idempotency-key".to_owned()],
                msg: self.to_string(),
                kind: Cow::Borrowed("value_error.idempotency_key_reused"),
            }])),
            ApiError::ApplicationMismatch => Some(Cow::Owned(vec![ValidationItem {
                loc: ["body", "application", "uid"].map(str::to_owned).to_vec(),
                msg: self.to_string(),
                kind: Cow::Borrowed("application_uid_mismatch"),
            }])),
            ApiError::QuotaExceeded { again_after_s: None, .. } => Some(Cow::Owned(vec![ValidationItem {
                loc: vec!["body".to_owned()],
                msg: self.to_string(),
                kind: Cow::Borrowed("value_error.quota_exceeded"),
            }])),
            _ => None,
        }
    }

    /// Counts a refusal by a quota. Call it once for each answer, and for each result in a batch.
    pub(crate) fn count_refusal(&self) {
        if let ApiError::QuotaExceeded { quota, .. } = self {
            metrics::counter!(model::metric::QUOTA_REFUSALS, "quota" => *quota).increment(1);
        }
    }

    /// The error in one line, for results of a batch.
    pub(crate) fn detail(&self) -> String {
        match self.items().as_deref() {
            Some([first, ..]) => format!("{}: {}", first.loc.join("."), first.msg),
            _ => cut(&self.to_string()).into_owned(),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        match error {
            Error::NotFound(what) => ApiError::NotFound(what),
            Error::Forbidden(why) => ApiError::Forbidden(why),
            Error::Invalid(wrong) => ApiError::Invalid(wrong.into_iter().map(ValidationItem::in_body).collect()),
            Error::Conflict(why) => ApiError::Conflict(why),
            Error::TooManySecrets => ApiError::TooManySecrets,
            Error::EndpointDisabled => ApiError::EndpointDisabled,
            Error::MissingPayload => ApiError::MissingPayload,
            Error::QuotaExceeded { quota, of, most, again_after_s } => {
                ApiError::QuotaExceeded { quota, of, most, again_after_s }
            }
            Error::KeyReused => ApiError::KeyReused,
            Error::TooLarge { limit_bytes } => ApiError::BodyTooLarge { limit_bytes },
            Error::Busy { retry_after_s } => ApiError::Busy { retry_after_s },
            Error::StorageFull => ApiError::StorageFull,
            Error::StorageFailed => ApiError::StorageFailed,
            Error::ShuttingDown => ApiError::ShuttingDown,
            Error::Damaged { kind } => ApiError::Damaged { kind },
            Error::Internal => ApiError::Internal,
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> ApiError {
        tracing::error!(%error, "a blocking read did not finish");
        ApiError::Internal
    }
}
