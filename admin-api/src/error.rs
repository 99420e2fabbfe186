//! What a request can fail with, and the only file that says which HTTP status that is.
//!
//! Every error body is a JSON object, whoever made the error: `{code, detail}` with text, but for 422, whose `detail`
//! is a list of `{loc, msg, type}` as the clients parse it. Deliberately nothing of the inside in a body: what went
//! wrong in the store goes to the log, the caller learns whether the store is gone (`storage_failed`), full
//! (`storage_full`) or one row is damaged (`data_damaged`).

use axum::Json;
use axum::response::{IntoResponse, Response};
use control::{Changed, Error, Wrong};
use engine::ChangeError;
use http::header::{ACCEPT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;
use storage::StoreError;
use utoipa::ToSchema;

/// Seconds a caller is told to wait when nothing better is known.
const RETRY_AFTER_S: u64 = 1;

/// The same at the quota of idempotency keys: a pass of retention must remove expired ones first.
const KEYS_RETRY_AFTER_S: u64 = 60;

/// The same while the disk is full: room is made by people, or by retention.
const STORAGE_FULL_RETRY_AFTER_S: u64 = 10;

/// The status of a created thing.
pub(crate) const CREATED: StatusCode = StatusCode::CREATED;
/// The status of an answer with a body.
pub(crate) const OK: StatusCode = StatusCode::OK;
/// The status of work that was taken and goes on.
pub(crate) const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
/// The status of success without a body.
pub(crate) const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;

/// The status of a PUT, which creates what is not there.
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
        /// What there is too much of, as the metric names it.
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
    /// No answer within the deadline; what was asked for may still happen.
    #[error("no answer within the deadline")]
    Timeout,
    /// What is stored is not what was written; the rest works.
    #[error("a stored row of kind {kind} is damaged")]
    Damaged {
        /// What kind of row.
        kind: &'static str,
    },
    /// Our fault; the log says more.
    #[error("internal error")]
    Internal,
}

/// The code of an error that is ours to look into, on the answer: the edge logs which request had it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(pub(crate) &'static str);

/// One thing wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ValidationItem {
    /// Where: `body`, `query`, `path` or `header`, then the field's path.
    pub(crate) loc: Vec<String>,
    /// What is wrong, for people.
    pub(crate) msg: String,
    /// What is wrong, for programs.
    #[serde(rename = "type")]
    pub(crate) kind: Cow<'static, str>,
}

impl ValidationItem {
    /// Of a command: its fields come in a body.
    fn in_body(wrong: Wrong) -> ValidationItem {
        let loc = std::iter::once("body".to_owned()).chain(wrong.at).collect();
        ValidationItem { loc, msg: wrong.msg, kind: Cow::Borrowed(wrong.kind) }
    }

    fn cut(&self) -> ValidationItem {
        ValidationItem {
            loc: self.loc.iter().map(|part| cut(part).into_owned()).collect(),
            msg: cut(&self.msg).into_owned(),
            kind: self.kind.clone(),
        }
    }
}

/// Characters of one text of an error: it may quote the input, which may be as long as a body.
const TEXT_CHARS_MAX: usize = 200;
/// How many of them are the end of the text: what was expected in place of the input stands there.
const TEXT_END_CHARS: usize = 60;

/// The text, its middle cut out when it is too long. The one place where input that is shown again is cut.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_CHARS_MAX || text.chars().nth(TEXT_CHARS_MAX).is_none() {
        return Cow::Borrowed(text);
    }
    let end = text.char_indices().rev().nth(TEXT_END_CHARS - 1).map_or(text.len(), |(at, _)| at);
    let mut short: String = text.chars().take(TEXT_CHARS_MAX - TEXT_END_CHARS - 1).collect();
    short.push('…');
    short.push_str(&text[end..]);
    Cow::Owned(short)
}

/// The body of every error but 422.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HttpErrorOut)]
pub(crate) struct HttpErrorOut {
    /// For programs.
    code: &'static str,
    /// For people.
    detail: String,
}

/// The body of a 422.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HTTPValidationError)]
pub(crate) struct HttpValidationError<'a> {
    /// `validation_error`, `idempotency_key_reused` or `quota_exceeded`.
    code: &'static str,
    /// Everything that is wrong.
    #[schema(value_type = Vec<ValidationItem>)]
    detail: &'a [ValidationItem],
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
            ApiError::Forbidden(_) => StatusCode::FORBIDDEN,
            ApiError::QuotaExceeded { again_after_s: Some(_), .. } => StatusCode::TOO_MANY_REQUESTS,
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
            ApiError::Busy { .. } => "busy",
            ApiError::StorageFull => "storage_full",
            ApiError::StorageFailed => "storage_failed",
            ApiError::ShuttingDown => "shutting_down",
            ApiError::Timeout => "timeout",
            ApiError::Damaged { .. } => "data_damaged",
            ApiError::Internal => "internal_error",
        }
    }

    /// Whether the cause is the process or its store, and not the request or how much there is to do.
    fn is_failure(&self) -> bool {
        matches!(self, ApiError::Internal | ApiError::Damaged { .. } | ApiError::StorageFailed | ApiError::ShuttingDown)
    }

    /// What is wrong with the input, if that is what this error is about.
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

    /// The refusal of a request with one idempotency key too many.
    pub(crate) fn too_many_keys(most: u32) -> ApiError {
        let of = "idempotency keys of an application; without a key, the request is taken";
        ApiError::QuotaExceeded { quota: "idempotency_keys", of, most, again_after_s: Some(KEYS_RETRY_AFTER_S) }
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

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let mut response = match self.items() {
            Some(items) => (status, Json(HttpValidationError { code, detail: &items })).into_response(),
            None => (status, Json(HttpErrorOut { code, detail: cut(&self.to_string()).into_owned() })).into_response(),
        };
        self.count_refusal();
        if self.is_failure() {
            response.extensions_mut().insert(Failed(code));
        }
        let retry_after_s = match self {
            ApiError::QuotaExceeded { again_after_s, .. } => again_after_s,
            ApiError::Busy { retry_after_s } => Some(retry_after_s.max(1)),
            ApiError::StorageFailed | ApiError::ShuttingDown | ApiError::Timeout => Some(RETRY_AFTER_S),
            ApiError::StorageFull => Some(STORAGE_FULL_RETRY_AFTER_S),
            _ => None,
        };
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            // RFC 9110, 15.5.16: the codings that would be read.
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
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

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        Error::from(error).into()
    }
}

impl From<ChangeError<ApiError>> for ApiError {
    fn from(error: ChangeError<ApiError>) -> ApiError {
        match error {
            ChangeError::Rejected(error) => error,
            ChangeError::Refused(error) => Error::from(ChangeError::Refused(error)).into(),
            ChangeError::Busy => Error::from(ChangeError::Busy).into(),
            ChangeError::Unavailable(error) => Error::from(ChangeError::Unavailable(error)).into(),
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> ApiError {
        tracing::error!(%error, "a blocking read did not finish");
        ApiError::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn body(error: ApiError) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_422_always_has_a_list_as_its_detail() {
        for error in [ApiError::KeyReused, ApiError::invalid(["body", "url"], "no", "value_error")] {
            let (status, body) = body(error).await;
            assert_eq!(status.as_u16(), 422);
            let item = &body["detail"][0];
            assert!(item["loc"].is_array() && item["msg"].is_string() && item["type"].is_string());
        }
    }

    #[tokio::test]
    async fn any_other_error_has_a_code_and_a_text() {
        let (status, body) = body(ApiError::NotFound("endpoint")).await;
        assert_eq!(status.as_u16(), 404);
        assert_eq!(body, serde_json::json!({"code": "not_found", "detail": "endpoint not found"}));
    }

    #[tokio::test]
    async fn a_request_too_large_for_the_writer_names_the_writers_bound() {
        let (status, body) = body(Error::from(engine::IngestError::TooLarge).into()).await;
        assert_eq!(status.as_u16(), 413);
        assert!(body["detail"].as_str().unwrap().contains("16777216"), "{body}");
    }

    #[tokio::test]
    async fn what_is_shown_again_of_the_input_is_cut_in_its_middle() {
        let long = "ä".repeat(900_000);
        let wrong = ApiError::invalid(["body", &long], format!("{long}, expected a number"), "type_error");
        assert!(wrong.detail().chars().count() < 3 * TEXT_CHARS_MAX);
        for error in [wrong, ApiError::Conflict(format!("{long} exists").into())] {
            let (_, body) = body(error).await;
            assert!(body.to_string().chars().count() < 3 * TEXT_CHARS_MAX, "{body}");
        }
        let text = format!("{long}, expected a number");
        assert_eq!(cut(&text).chars().count(), TEXT_CHARS_MAX);
        assert!(cut(&text).ends_with("ä, expected a number"));
        let short = "ä".repeat(TEXT_CHARS_MAX);
        assert_eq!(cut(&short), short);
    }

    #[test]
    fn busy_says_when_to_come_back() {
        let response = ApiError::Busy { retry_after_s: 3 }.into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }
}
