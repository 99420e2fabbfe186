//! The steps of every request before and after its handler: bounds, deadline, counting, the last resort.
//!
//! ```text
//! counted ─▶ panic → 500 ─▶ path too long → 422 ─▶ deadline → 503 ─▶ key, its limit → 429 ─▶ too many at once → 503
//!     ─▶ handler (body too slow → 408, no room for it → 503) ─▶ no room for the answer → 503
//! ```
//! They stand around the router's routes, and around [`crate::push`], which needs no router. Requests at once and
//! memory for bodies and answers are shared by key. The engine shares deliveries: it knows the backlogs.

use crate::auth::{self, Way};
use crate::body_room::{BodyTicket, Full};
use crate::error::{ApiError, Failed};
use crate::limits::{REQUEST_URI_BYTES_MAX, SMALL_BODY_BYTES_MAX};
use crate::meters;
use crate::push;
use crate::rate;
use crate::state::ApiState;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::Reach;
use futures_util::FutureExt;
use http::{HeaderValue, Method, StatusCode};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Seconds that a caller is told to wait when there was no room for its request.
pub(crate) const NO_ROOM_RETRY_AFTER_S: u64 = 1;

/// Around every route that needs a key.
pub(crate) async fn guarded(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    counted(Route::of(&request), request, |request| {
        within_bounds(state, request, Way::Routed, |request| next.run(request))
    })
    .await
}

/// Around the routes that need none.
pub(crate) async fn open(request: Request, next: Next) -> Response {
    counted(Route::of(&request), request, |request| next.run(request)).await
}

/// Refuses requests without room or without the right, and gives up on requests that take too long.
pub(crate) async fn within_bounds<F: Future<Output = Response>>(
    state: ApiState,
    request: Request,
    way: Way,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    if request.uri().path_and_query().is_some_and(|uri| uri.as_str().len() > REQUEST_URI_BYTES_MAX) {
        let msg = format!("path and query are longer than {REQUEST_URI_BYTES_MAX} bytes");
        return ApiError::invalid(["path"], msg, "value_error.any_str.max_length").into_response();
    }
    let handled = async {
        let (mut parts, body) = request.into_parts();
        match auth::admit(&state, &mut parts, way).await {
            Ok((reach, standing)) => {
                let Some(_entry) = state.requests.enter(reach) else {
                    return ApiError::Busy { retry_after_s: NO_ROOM_RETRY_AFTER_S }.into_response();
                };
                let mut request = Request::from_parts(parts, body);
                let ticket = BodyTicket::of(&state.body_room, reach, &request);
                if let Some(ticket) = &ticket {
                    request.extensions_mut().insert(ticket.clone());
                }
                let mut response = handle(request).await;
                // The handler is done with the body.
                drop(ticket);
                if let Some(standing) = standing {
                    // A handler that counted more knows better.
                    response.extensions_mut().get_or_insert(standing);
                }
                rate::tell(&state, &mut response);
                let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
                match bytes.filter(|bytes| *bytes > SMALL_BODY_BYTES_MAX) {
                    // In a box: the future of every request has room for this one otherwise.
                    Some(bytes) => Box::pin(counted_answer(&state, reach, response, bytes)).await,
                    None => response,
                }
            }
            Err(refused) => {
                let mut response = refused.into_response();
                rate::tell(&state, &mut response);
                response
            }
        }
    };
    match tokio::time::timeout(state.limits.request_timeout, handled).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// Takes room for a larger answer of so many bytes, held until the client has read it.
async fn counted_answer(state: &ApiState, reach: Reach, response: Response, bytes: usize) -> Response {
    let mut held = state.answer_room.nothing(reach);
    if held.grow_to(bytes) == Err(Full) {
        return ApiError::Busy { retry_after_s: NO_ROOM_RETRY_AFTER_S }.into_response();
    }
    let (parts, body) = response.into_parts();
    // All of it is there: handlers answer whole pages.
    match axum::body::to_bytes(body, bytes).await {
        Ok(bytes) => Response::from_parts(parts, Body::from(held.with(bytes))),
        Err(error) => {
            tracing::error!(%error, "an answer broke off");
            ApiError::Internal.into_response()
        }
    }
}

/// A line to log of a request. It is left with the answer, for the server that accepts connections: that one knows the
/// request's id.
#[derive(Clone, Debug)]
pub struct LogLine {
    method: Method,
    route: Route,
    status: StatusCode,
    took: Duration,
    /// Set when it failed for a reason of ours, which stands in a line of its own.
    failed: Option<Failed>,
}

/// The route of a request, as it was declared.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// The one that the router found, if it found one.
    Matched(Option<MatchedPath>),
    /// That of [`crate::push`].
    Push,
}

/// Counts and times a request by its route, leaves its [`LogLine`], and answers for a handler that panicked.
pub(crate) async fn counted<F: Future<Output = Response>>(
    route: Route,
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Response {
    let method = request.method().clone();
    let started = Instant::now();
    // A panic leaves only the request's own state in disorder.
    let handled = AssertUnwindSafe(async { handle(request).await }).catch_unwind();
    let mut response = handled.await.unwrap_or_else(|cause| panicked(&*cause));
    let (status, took) = (response.status(), started.elapsed());
    meters::count(&method, route.path(), status, took);
    let failed = response.extensions().get::<Failed>().copied();
    if failed.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
        response.extensions_mut().insert(LogLine { method, route, status, took, failed });
    }
    response
}

impl Route {
    fn of(request: &Request) -> Route {
        Route::Matched(request.extensions().get().cloned())
    }

    fn path(&self) -> Option<&str> {
        match self {
            Route::Matched(found) => found.as_ref().map(MatchedPath::as_str),
            Route::Push => Some(push::ROUTE),
        }
    }
}

impl LogLine {
    /// Logs a failed request as an error, and any other at the level `debug`.
    pub fn log(&self, request_id: &HeaderValue) {
        let LogLine { method, route, status, took, failed } = self;
        let (route, status) = (route.path(), status.as_u16());
        let request_id = request_id.to_str().unwrap_or_default();
        match failed {
            Some(Failed(code)) => tracing::error!(request_id, %method, route, status, code, "a request failed"),
            None => tracing::debug!(request_id, %method, route, status, ?took, "a request was answered"),
        }
    }
}

/// The answer to a panic: ours to find in the log, nothing of it for the caller.
fn panicked(cause: &(dyn Any + Send)) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = text, "a request panicked");
    ApiError::Internal.into_response()
}

/// The answer to a path that is no route.
pub(crate) async fn no_route(method: Method) -> Response {
    refused(&method, None, ApiError::NotFound("path"))
}

/// The answer to a method that a route does not have.
pub(crate) async fn no_method(method: Method, path: Option<MatchedPath>) -> Response {
    refused(&method, path.as_ref().map(MatchedPath::as_str), ApiError::MethodNotAllowed)
}

fn refused(method: &Method, path: Option<&str>, error: ApiError) -> Response {
    let response = error.into_response();
    meters::count(method, path, response.status(), Duration::ZERO);
    response
}
