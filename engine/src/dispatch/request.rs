//! One request, as each version of HTTP writes it: a target's unchanging headers with what one message adds.
//!
//! Pure. Nothing is signed here: a request comes signed from `prepare`, over the very bytes that are sent.

use super::target::Target;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use model::AppId;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Line by which every head says that the payload is JSON, unless the message names another type. Only that line can
/// match: a tenant's headers have other names, and nothing in front of it ends a line.
const JSON_LINE: &str = "content-type: application/json\r\n";
/// Bytes of a head beside a target's own and the stamps: names of headers, and the length of the body.
const NAMES_LEN: usize = 192;

/// One attempt to make. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AttemptRequest {
    /// For which application: lookups are shared by it.
    pub app: AppId,
    /// The receiver, and the headers that no message changes.
    pub target: Arc<Target>,
    /// Id, timestamp and signature.
    pub stamp: Stamp,
    /// The type of the body; none for JSON.
    pub content_type: Option<HeaderValue>,
    /// The body. Shared with the event that it came from.
    pub body: Bytes,
    /// The deadline over everything: lookup, connecting, TLS, sending, and the whole answer.
    pub timeout_ms: u32,
}

/// Id, time of signing and signature of one message, which identify and authenticate it; in one piece of memory.
#[derive(Clone, Debug)]
pub struct Stamp {
    text: String,
    timestamp_at: usize,
    signature_at: usize,
    /// Further headers of this message alone; none for most endpoints.
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Stamp {
    /// Of `text`, in which the timestamp begins at one place and the signature at a later one. All of it must be
    /// printable ASCII.
    #[must_use]
    pub fn new(text: String, timestamp_at: usize, signature_at: usize) -> Stamp {
        debug_assert!(timestamp_at <= signature_at && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        Stamp { text, timestamp_at, signature_at, more: Vec::new() }
    }

    /// The same with a header more, if there is a name for one. The target must have no header of this name.
    #[must_use]
    pub fn with_header(mut self, name: Option<&HeaderName>, value: &str) -> Stamp {
        self.more.extend(name.map(|name| (name.clone(), header_value(value))));
        self
    }

    /// The headers that were added, in that order.
    pub fn more(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.more.iter().map(|(name, value)| (name, value))
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[..self.timestamp_at]
    }

    /// The time of signing, in seconds.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        &self.text[self.timestamp_at..self.signature_at]
    }

    /// One signature per key, separated by spaces.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.text[self.signature_at..]
    }
}

/// The request over HTTP/2. The body is shared, not copied. `Content-Length` is the connection's to add.
#[must_use]
pub(super) fn build(request: &AttemptRequest) -> Request<Full<Bytes>> {
    let (target, stamp) = (&request.target, &request.stamp);
    let mut built = Request::new(Full::new(request.body.clone()));
    *built.method_mut() = Method::POST;
    *built.uri_mut() = target.uri().clone();
    *built.headers_mut() = target.headers.clone();
    if let Some(content_type) = &request.content_type {
        built.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    }
    let values = [header_value(stamp.id()), header_value(stamp.timestamp()), header_value(stamp.signature())];
    for family in target.families {
        for (name, value) in family.iter().zip(&values).take(target.names_sent) {
            built.headers_mut().insert(*name, value.clone());
        }
    }
    built.headers_mut().extend(stamp.more.iter().cloned());
    built
}

/// The value of a header. ASCII by construction; a stand-in would fail verification, not slip through.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The head of the same request over HTTP/1.1, as it is written, appended to `out`.
pub(super) fn write_head(request: &AttemptRequest, out: &mut String) {
    let AttemptRequest { target, stamp, .. } = request;
    out.reserve(target.head.len() + target.families.len() * (stamp.text.len() + NAMES_LEN));
    match request.content_type.as_ref().and_then(|value| std::str::from_utf8(value.as_bytes()).ok()) {
        None => out.push_str(&target.head),
        Some(content_type) => {
            out.push_str(&target.head.replacen(JSON_LINE, &format!("{CONTENT_TYPE}: {content_type}\r\n"), 1))
        }
    }
    // The target's head ends with the first name.
    out.push_str(stamp.id());
    let values = [stamp.id(), stamp.timestamp(), stamp.signature()];
    let all = target.families.iter().flat_map(|family| family.iter().zip(values).take(target.names_sent));
    for (name, value) in all.skip(1) {
        push_header(name, value, out);
    }
    for (name, value) in &stamp.more {
        push_header(name.as_str(), value.to_str().unwrap_or_default(), out);
    }
    push_header(CONTENT_LENGTH.as_str(), itoa::Buffer::new().format(request.body.len()), out);
    out.push_str("\r\n\r\n");
}

/// Ends the line before and writes another.
fn push_header(name: &str, value: &str, out: &mut String) {
    for text in ["\r\n", name, ": ", value] {
        out.push_str(text);
    }
}
