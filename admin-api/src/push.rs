//! The short way of the request that Pinion is for: the push of one message.
//!
//! `POST /api/v1/app/{app_id}/msg` is answered before routing. The steps are those of every request ([`crate::edge`])
//! and the handler is that of the route. This saves the router's allocations and moves for each request, which are a
//! sixth of the API's work for a push. A path that the router would have to decode goes the long way, to the same end.

use crate::auth::{Pusher, Way};
use crate::edge::{self, Route};
use crate::error::ApiError;
use crate::extract::{IdempotencyKey, QueryParams, RawBody};
use crate::json::JsonBytes;
use crate::routes::message::{self, ContentQuery};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{FromRequest as _, FromRequestParts as _, Request};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, Uri};

/// The route as it is declared, for metrics.
pub(crate) const ROUTE: &str = "/api/v1/app/{app_id}/msg";

/// True if a request may go this way.
pub(crate) fn is_push<B>(request: &http::Request<B>) -> bool {
    request.method() == Method::POST && app_text(request.uri()).is_some()
}

/// The application that the path of a push names.
pub(crate) fn app_text(uri: &Uri) -> Option<&str> {
    let text = uri.path().strip_prefix("/api/v1/app/")?.strip_suffix("/msg")?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii() && byte != b'/' && byte != b'%');
    is_plain.then_some(text)
}

/// Answers a push.
pub(crate) async fn answer(state: ApiState, request: Request) -> Response {
    let shared = state.clone();
    let handle = async move |request| handle(&state, request).await.into_response();
    edge::counted(Route::Push, request, |request| edge::within_bounds(shared, request, Way::Push, handle)).await
}

async fn handle(state: &ApiState, request: Request) -> Result<(StatusCode, JsonBytes), ApiError> {
    let (mut parts, body) = request.into_parts();
    let by = Pusher::from_request_parts(&mut parts, state).await?;
    let QueryParams(query) = QueryParams::<ContentQuery>::from_request_parts(&mut parts, state).await?;
    let IdempotencyKey(key) = IdempotencyKey::from_request_parts(&mut parts, state).await?;
    let uri = parts.uri.clone();
    let RawBody(body) = RawBody::from_request(Request::<Body>::from_parts(parts, body), state).await?;
    let app = app_text(&uri).ok_or(ApiError::NotFound("path"))?;
    message::push(state, &by, app, &query, key, &body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_path_of_a_push_goes_the_short_way() {
        let table = [
            ("/api/v1/app/app_1/msg", Some("app_1")),
            ("/api/v1/app/app_1/msg?with_content=false", Some("app_1")),
            ("/api/v1/app/../msg", Some("..")),
            ("/api/v1/app//msg", None),
            ("/api/v1/app/msg", None),
            ("/api/v1/app/a/b/msg", None),
            ("/api/v1/app/a%2Fb/msg", None),
            ("/api/v1/app/app_1/msg/", None),
            ("/api/v1/app/app_1/msg/batch", None),
            ("/api/v2/app/app_1/msg", None),
        ];
        for (text, expected) in table {
            let uri: Uri = text.parse().unwrap();
            assert_eq!(app_text(&uri), expected, "{text}");
            for method in [Method::GET, Method::HEAD, Method::PUT] {
                let request = http::Request::builder().method(method).uri(uri.clone()).body(()).unwrap();
                assert!(!is_push(&request), "{text}");
            }
        }
    }
}
