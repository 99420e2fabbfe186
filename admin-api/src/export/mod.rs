//! Exports: any list as NDJSON or CSV, streamed.
//!
//! `?format=ndjson|csv`, or an `Accept` that asks for one of them first. An export asks the routes for one page after the other,
//! as its caller could: each page is a request of its own, with its key, its turn to read, its deadline and its count. So what
//! bounds reads bounds exports.
//!
//! - *Who owns the state:* the body of the answer. It holds one page, whose room ([`crate::body_room`]) it keeps until the client
//!   has taken its lines; the next page is asked for then.
//! - *What bounds it:* [`ROWS_MAX`] and [`PAGES_MAX`]; exports at once by the connections.
//! - *When it ends early* (a bound, or a page that was refused), its last line has the iterator to go on from.
//! - *When the process dies:* the connection breaks off before the last chunk.

mod columns;
mod page;

pub(crate) use columns::Lists;

use crate::error::{ApiError, OK};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use control::query::bounds::PAGE_MAX;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use page::{Format, Page};
use std::convert::Infallible;
use std::time::Duration;
use tower_service::Service as _;

/// Items of one export.
const ROWS_MAX: usize = 100_000;
/// Pages of one export: one whose filter keeps nothing has short ones.
const PAGES_MAX: usize = 2_000;
/// How often a page that finds the server busy is asked for, and the pause between.
const TRIES_MAX: usize = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });

/// An export that was asked for.
pub(crate) struct Asked {
    format: Format,
    columns: Vec<String>,
    /// The parameters of the list but for those of a page.
    filter: String,
    iterator: Option<String>,
    rows: usize,
    problem: Option<ApiError>,
}

/// The rest of an export.
struct Rest {
    router: Router,
    parts: Parts,
    asked: Asked,
    /// Pages that may still be asked for.
    pages: usize,
    /// The lines that were not handed over, with the page that they are of.
    ready: Option<Bytes>,
    ended: bool,
}

/// Lines, and the page whose room they hold.
struct Held {
    lines: String,
    _page: Bytes,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.lines.as_bytes()
    }
}

// === impl Lists ===

impl Lists {
    /// The export that a request asks for, if it does. An ordinary request costs a look at its query and `Accept`.
    pub(crate) fn asked<B>(&self, request: &Request<B>) -> Option<Asked> {
        if request.method() != Method::GET {
            return None;
        }
        let query = request.uri().query().unwrap_or_default();
        let named = query.contains("format=");
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !named && !accept.contains("csv") && !accept.contains("ndjson") {
            return None;
        }
        let list = self.at(request.uri().path())?;
        let mut format = Format::of_accept(accept);
        let mut filter = form_urlencoded::Serializer::new(String::new());
        let (mut iterator, mut rows, mut problem) = (None, ROWS_MAX, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                // Any other name of a format is the route's to refuse.
                "format" => format = Some(Format::of_name(&value)?),
                "iterator" if value.starts_with('-') => {
                    problem = Some(wrong("iterator", "an export goes forward only"))
                }
                "iterator" => iterator = Some(value.into_owned()).filter(|text| !text.is_empty()),
                "limit" => match value.parse() {
                    Ok(limit) if (1..=ROWS_MAX).contains(&limit) => rows = limit,
                    _ => problem = Some(wrong("limit", &format!("must be between 1 and {ROWS_MAX}"))),
                },
                _ => drop(filter.append_pair(&name, &value)),
            }
        }
        let (format, filter) = (format?, filter.finish());
        Some(Asked { format, columns: list.columns.clone(), filter, iterator, rows, problem })
    }
}

fn wrong(parameter: &'static str, words: &str) -> ApiError {
    ApiError::invalid(["query", parameter], words.to_owned(), "value_error")
}

/// Answers with an export, or with what its first page was refused with.
pub(crate) async fn answer(router: Router, mut asked: Asked, request: Request<Body>) -> Result<Response, Infallible> {
    let (mut parts, _) = request.into_parts();
    for name in [ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    let problem = asked.problem.take();
    let head = asked.format.head(&asked.columns);
    let content_type = HeaderValue::from_static(asked.format.content_type());
    let mut rest = Rest { router, parts, asked, pages: PAGES_MAX, ready: None, ended: false };
    let first = rest.page().await;
    if first.status() != OK {
        return Ok(first);
    }
    // Only a caller who may read the list hears what is wrong with the export.
    if let Some(problem) = problem {
        return Ok(problem.into_response());
    }
    let (mut parts, body) = first.into_parts();
    if !rest.take(&head, body).await {
        return Ok(ApiError::Internal.into_response());
    }
    set_type(&mut parts.headers, content_type);
    let chunks = stream::unfold(rest, |mut rest| async move {
        let chunk = rest.next().await?;
        Some((Ok::<Bytes, Infallible>(chunk), rest))
    });
    Ok(Response::from_parts(parts, Body::from_stream(chunks)))
}

fn set_type(headers: &mut HeaderMap, content_type: HeaderValue) {
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, content_type);
}

// === impl Rest ===

impl Rest {
    /// Asks the routes for the next page.
    async fn page(&mut self) -> Response {
        let Ok(uri) = self.next_uri().parse::<Uri>() else { return ApiError::Internal.into_response() };
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        *request.headers_mut() = self.parts.headers.clone();
        *request.extensions_mut() = self.parts.extensions.clone();
        self.pages = self.pages.saturating_sub(1);
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn next_uri(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(self.asked.filter.clone());
        query.append_pair("limit", &self.asked.rows.min(PAGE_MAX).to_string());
        if let Some(iterator) = &self.asked.iterator {
            query.append_pair("iterator", iterator);
        }
        format!("{}?{}", self.parts.uri.path(), query.finish())
    }

    /// Makes lines of a page. `false` when it is none.
    async fn take(&mut self, head: &str, body: Body) -> bool {
        // All of it is there: routes answer whole pages.
        let Ok(text) = axum::body::to_bytes(body, usize::MAX).await else { return false };
        let Ok(page) = serde_json::from_slice::<Page<'_>>(&text) else { return false };
        let Ok(lines) = self.asked.format.lines(&page.data, &self.asked.columns) else { return false };
        let mut lines = head.to_owned() + &lines;
        self.asked.rows = self.asked.rows.saturating_sub(page.data.len());
        let moved = page.iterator.is_some() && page.iterator != self.asked.iterator;
        self.asked.iterator = page.iterator.or(self.asked.iterator.take());
        // A page that does not move on would be asked for again and again.
        let is_last = page.done || self.asked.rows == 0 || self.pages == 0 || !moved;
        if is_last && !page.done {
            lines.push_str(&self.goes_on());
        }
        self.ended = is_last;
        self.ready = Some(Bytes::from_owner(Held { lines, _page: text }));
        true
    }

    /// The next lines to hand over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.take().filter(|lines| !lines.is_empty()) {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            let mut page = self.page().await;
            let busy = ApiError::Busy { retry_after_s: 0 }.status();
            for _ in 1..TRIES_MAX {
                if page.status() != busy || self.pages == 0 {
                    break;
                }
                tokio::time::sleep(BUSY_PAUSE).await;
                page = self.page().await;
            }
            let is_page = page.status() == OK;
            if !is_page || !self.take("", page.into_body()).await {
                self.ended = true;
                return Some(Bytes::from(self.goes_on()));
            }
        }
    }

    fn goes_on(&self) -> String {
        self.asked.format.goes_on(self.asked.iterator.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
