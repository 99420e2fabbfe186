//! Calls from browsers (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>): which pages may read our answers.
//!
//! Off unless the operator lists origins; then nothing of this is in the way of a request. A page of a listed origin
//! may call with a bearer key in `Authorization`. Cookies and other credentials of the browser are never allowed, and
//! there are none. A preflight is answered here, before any key is asked for: a browser sends none with it.
//!
//! A page of another origin gets our answer without the headers that let it read it. Its request is refused for want of
//! a key, as ever: keys protect the API, and CORS does not.

use crate::meters;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Origins that may be listed.
pub const CORS_ORIGINS_MAX: usize = 100;

/// Bytes of an origin.
const ORIGIN_BYTES_MAX: usize = 512;

/// The methods that the routes have.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The headers that clients send: `*` would not include `Authorization`.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, accept, idempotency-key, x-request-id, svix-req-id");
/// The headers of answers that a page may read, besides those that every page may.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "retry-after, x-request-id, www-authenticate, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
);
/// Seconds for which a browser may keep the answer to a preflight: two hours, which is as long as Chromium keeps one.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ANY: &str = "*";

/// An origin that may be listed: `scheme://host[:port]`, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// A text is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an origin such as https://dashboard.example.com, without a path, or *")]
pub struct NotAnOrigin;

/// The pages that may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cors {
    /// None for any.
    origins: Option<Vec<Origin>>,
}

// === impl Origin ===

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Origin, NotAnOrigin> {
        let text = text.trim();
        if text == ANY {
            return Ok(Origin(ANY.to_owned()));
        }
        let (scheme, host) = text.split_once("://").ok_or(NotAnOrigin)?;
        let is_plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ',']);
        let is_uri = text.len() <= ORIGIN_BYTES_MAX && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
        if scheme.is_empty() || !is_plain || !is_uri {
            return Err(NotAnOrigin);
        }
        // A browser sends both in lower case.
        Ok(Origin(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Cors ===

impl Cors {
    /// With these origins; none when there are none, which switches it off.
    pub(crate) fn new(origins: Vec<Origin>) -> Option<Cors> {
        if origins.is_empty() {
            return None;
        }
        let any = origins.iter().any(|origin| origin.0 == ANY);
        Some(Cors { origins: (!any).then_some(origins) })
    }

    /// Adds to an answer the headers that let a page of this origin read it, if it may.
    fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let Some(origins) = &self.origins else {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static(ANY));
            return;
        };
        // Also on answers to others: a cache must not give one page the answer that was for another.
        answer.append(header::VARY, HeaderValue::from_static("origin"));
        let listed = origin.filter(|origin| origins.iter().any(|known| known.0.as_bytes() == origin.as_bytes()));
        if let Some(origin) = listed {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// True if a request is a preflight: the browser's question before the page's own request.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    let has = |name: HeaderName| headers.contains_key(name);
    method == Method::OPTIONS && has(header::ORIGIN) && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Around everything, when it is on.
pub(crate) async fn around(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if is_preflight(request.method(), request.headers()) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        cors.allow(origin.as_ref(), headers);
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        meters::count(request.method(), path, response.status(), Duration::ZERO);
        return response;
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    cors.allow(origin.as_ref(), headers);
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Option<Cors> {
        Cors::new(origins.iter().map(|text| text.parse().unwrap()).collect())
    }

    /// The origin that an answer names for a page of this one, and whether the answer depends on the page.
    fn allowed(origins: &[&str], origin: &str) -> (Option<String>, bool) {
        let mut headers = HeaderMap::new();
        cors(origins).unwrap().allow(Some(&origin.parse().unwrap()), &mut headers);
        let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        (allowed.map(|value| value.to_str().unwrap().to_owned()), headers.contains_key(header::VARY))
    }

    #[test]
    fn only_listed_origins_are_let_in_by_their_whole_text() {
        let listed = ["https://a.example", "http://localhost:3000"];
        assert_eq!(allowed(&listed, "https://a.example"), (Some("https://a.example".to_owned()), true));
        for other in
            ["https://a.example.evil", "http://a.example", "https://a.example:8443", "null", "http://localhost"]
        {
            assert_eq!(allowed(&listed, other), (None, true), "{other}");
        }
        assert_eq!(allowed(&["*"], "https://b.example"), (Some("*".to_owned()), false));
        assert!(cors(&[]).is_none(), "without origins it is off");
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host_and_no_more() {
        for text in ["https://a.example", " http://127.0.0.1:8080 ", "https://[::1]:3000", "*"] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        let long = format!("https://{}", "a".repeat(600));
        for text in
            ["", "a.example", "https://", "https://a.example/", "https://*.example", "https://u@a", "null", &long]
        {
            assert_eq!(text.parse::<Origin>(), Err(NotAnOrigin), "{text}");
        }
        assert_eq!("HTTPS://A.example".parse::<Origin>().unwrap().to_string(), "https://a.example");
    }
}
