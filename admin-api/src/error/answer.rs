//! The answer that an error becomes.
//!
//! Every error body is a JSON object, wherever the error was made: `{code, detail}` with text. The `detail` of a 422 is
//! a list of `{loc, msg, type}` instead, as the clients parse it.

use super::wrong::cut;
use super::{ApiError, ValidationItem, shown};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds a caller is told to wait when nothing better is known.
const RETRY_AFTER_S: u64 = 1;

/// The same while the disk is full: room is made by people, or by retention.
const STORAGE_FULL_RETRY_AFTER_S: u64 = 10;

/// The code of an error that is ours to look into, on the answer: the edge logs which request had it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(pub(crate) &'static str);

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

/// The body of an error, within an answer that has other parts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ErrorBody {
    /// Of a 422.
    Invalid {
        /// As of [`HttpValidationError`].
        code: &'static str,
        /// Everything that is wrong.
        detail: Vec<ValidationItem>,
    },
    /// Of any other.
    Other(HttpErrorOut),
}

impl ApiError {
    /// The body that it is answered with.
    pub(crate) fn body(&self) -> ErrorBody {
        let code = self.code();
        match self.items() {
            Some(items) => ErrorBody::Invalid { code, detail: items.into_owned() },
            None => ErrorBody::Other(HttpErrorOut { code, detail: cut(&self.to_string()).into_owned() }),
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
            ApiError::Busy { retry_after_s } | ApiError::RateLimited { retry_after_s, .. } => {
                Some(retry_after_s.max(1))
            }
            ApiError::StorageFailed | ApiError::ShuttingDown | ApiError::Timeout => Some(RETRY_AFTER_S),
            ApiError::StorageFull => Some(STORAGE_FULL_RETRY_AFTER_S),
            _ => None,
        };
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, ApiError::UnsupportedCoding) {
            // RFC 9110, 15.5.16: the codings that would be read.
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let ApiError::RateLimited { standing, .. } = self {
            response.extensions_mut().insert(standing);
        }
        let challenge = match self {
            ApiError::Unauthenticated => Some(HeaderValue::from_static("Bearer")),
            // RFC 6750, 3.1. Scopes are words of letters.
            ApiError::InsufficientScope { needed } => {
                HeaderValue::try_from(format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", shown(needed))).ok()
            }
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::Error;
    use http::StatusCode;
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
    async fn what_is_shown_again_of_the_input_is_cut() {
        let long = "ä".repeat(900_000);
        let wrong = ApiError::invalid(["body", &long], format!("{long}, expected a number"), "type_error");
        assert!(wrong.detail().chars().count() < 600);
        for error in [wrong, ApiError::Conflict(format!("{long} exists").into())] {
            let (_, body) = body(error).await;
            assert!(body.to_string().chars().count() < 600, "{body}");
        }
    }

    #[test]
    fn busy_says_when_to_come_back() {
        let response = ApiError::Busy { retry_after_s: 3 }.into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }
}
