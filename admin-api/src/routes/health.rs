//! Tells if the API takes requests: 204, without a key.
//!
//! Deliberately no look at the store: a process whose store failed ends, and liveness has a port of its own.

use crate::error::NO_CONTENT;
use http::StatusCode;

/// Answers while the API takes requests.
#[utoipa::path(get, path = "/api/v1/health", tag = "Health", operation_id = "v1.health.get",
    responses((status = 204, description = "The API takes requests")))]
pub(crate) async fn get() -> StatusCode {
    NO_CONTENT
}

/// Answers while the API takes requests.
#[utoipa::path(head, path = "/api/v1/health", tag = "Health", operation_id = "v1.health.head",
    responses((status = 204, description = "The API takes requests")))]
pub(crate) async fn head() -> StatusCode {
    NO_CONTENT
}

/// Answers while the API takes requests.
#[utoipa::path(get, path = "/api/v1/health/ping", tag = "Health", operation_id = "v1.health.ping",
    responses((status = 204, description = "The API takes requests")))]
pub(crate) async fn ping() -> StatusCode {
    NO_CONTENT
}

/// Answers while the API takes requests.
#[utoipa::path(head, path = "/api/v1/health/ping", tag = "Health", operation_id = "v1.health.ping-head",
    responses((status = 204, description = "The API takes requests")))]
pub(crate) async fn ping_head() -> StatusCode {
    NO_CONTENT
}
