//! What happens to every request before and after its handler: bounds, deadline, counting, the last resort.
//!
//! ```text
//! panic → 500 ─▶ counted ─▶ path too long → 404 ─▶ too many at once → 503 ─▶ deadline → 503 ─▶ key ─▶ handler
//! ```
//! Deliberately no bound by caller: fairness between tenants is for the engine, which knows their backlog.

use crate::error::ApiError;
use crate::limits::REQUEST_URI_BYTES_MAX;
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::metric;
use std::any::Any;
use std::time::Instant;

/// Seconds that a caller who found no room is told to wait.
const NO_ROOM_RETRY_AFTER_S: u64 = 1;

/// Refuses what there is no room for, and gives up on what takes too long.
pub(crate) async fn within_bounds(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > REQUEST_URI_BYTES_MAX) {
        let msg = format!("path and query are longer than {REQUEST_URI_BYTES_MAX} bytes");
        return ApiError::invalid(["path"], msg, "value_error.any_str.max_length").into_response();
    }
    let Ok(_permit) = state.permits.try_acquire() else {
        return ApiError::Busy { retry_after_s: NO_ROOM_RETRY_AFTER_S }.into_response();
    };
    match tokio::time::timeout(state.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// Counts and times requests by route: a path as it was declared, never as it was called.
pub(crate) async fn counted(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let started = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!(metric::API_SECONDS, "route" => route.clone(), "method" => method)
        .record(started.elapsed().as_secs_f64());
    metrics::counter!(metric::API_REQUESTS, "route" => route, "method" => method, "status" => status).increment(1);
    response
}

/// The method as a label; callers may invent methods, labels may not.
fn method_label(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::HEAD => "HEAD",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// The answer to a panic: ours to find in the log, nothing of it for the caller.
pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = text, "a request panicked");
    ApiError::Internal.into_response()
}

/// The answer to a path that is no route.
pub(crate) async fn no_route() -> ApiError {
    ApiError::NotFound("path")
}

/// The answer to a method that a route does not have.
pub(crate) async fn no_method() -> ApiError {
    ApiError::MethodNotAllowed
}
