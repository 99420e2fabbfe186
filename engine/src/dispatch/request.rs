//! What one attempt sends: the request of a delivery, built from its endpoint and event.
//!
//! Everything about an endpoint that does not change from message to message is worked out once, in a [`Target`].
//! A tenant's own headers can add to a request but never replace, repeat or split one of ours: names of ours are
//! refused when headers are configured, and once more when a target is built from what is stored.
//!
//! Pure. Deliberately nothing about connections; that is `http`.

use super::sign::{self, SigningKey};
use super::tls::OwnRoots;
use super::url::CheckedUrl;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use model::{Event, UnixMs};
use std::fmt;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Most custom headers of one endpoint.
pub const HEADER_COUNT_MAX: usize = 64;
/// Most bytes of all custom headers of one endpoint, names and values: common servers take 8 KiB of headers in all.
pub const HEADERS_LEN_MAX: usize = 6 * 1024;

/// Names of the headers with id, timestamp and signature: those of the Standard Webhooks specification, and those that
/// Svix's receivers know, whose hand-written verification reads no others.
const FAMILIES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];
/// Bytes of a head that differ from message to message, but for signatures, and the names of their headers: at most, for
/// each family.
const EACH_LEN: usize = 192;
/// How every head says that the payload is JSON, but for a message that names another type. Only that line can be it: a
/// tenant's headers have other names, and nothing in front of it ends a line.
const JSON_LINE: &str = "content-type: application/json\r\n";
/// What receivers see in their logs.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("Pinion/", env!("CARGO_PKG_VERSION")));

/// Names that belong to us, to the connection, or to how the body is read.
const RESERVED_NAMES: [&str; 20] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
/// Families of names that belong to us: receivers trust them to be signed.
const RESERVED_PREFIXES: [&str; 3] = ["webhook-", "svix-", "pinion-"];

/// Under which names id, timestamp and signature are sent (ADR 13). The values are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureHeaders {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Webhook,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// All six.
    #[default]
    Both,
}

impl SignatureHeaders {
    fn families(self) -> &'static [[&'static str; 3]] {
        match self {
            SignatureHeaders::Webhook => &FAMILIES[..1],
            SignatureHeaders::Svix => &FAMILIES[1..],
            SignatureHeaders::Both => &FAMILIES,
        }
    }
}

/// Why custom headers are not accepted. Shows names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More than [`HEADER_COUNT_MAX`].
    #[error("there are more than {HEADER_COUNT_MAX} headers")]
    TooMany,
    /// Together longer than [`HEADERS_LEN_MAX`].
    #[error("the headers are longer than {HEADERS_LEN_MAX} bytes together")]
    TooLong,
    /// Not a header name.
    #[error("{name:?} is not a header name")]
    Name {
        /// What was given.
        name: String,
    },
    /// A name that is not the tenant's to set.
    #[error("the header {name:?} cannot be set")]
    Reserved {
        /// The name.
        name: String,
    },
    /// The same name twice, in whatever case.
    #[error("the header {name:?} is there twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A value with a control character, a letter outside ASCII, or white space around it.
    #[error("the value of the header {name:?} must be printable ASCII without white space around it")]
    Value {
        /// The header's name.
        name: String,
    },
}

/// Checks an endpoint's custom headers: when they are configured, and again when a target is built.
///
/// # Errors
/// At the first header that is not acceptable.
pub fn check_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap, HeaderError> {
    let mut checked = HeaderMap::new();
    let mut len = 0;
    for (name, value) in headers {
        len += name.len() + value.len();
        if len > HEADERS_LEN_MAX {
            return Err(HeaderError::TooLong);
        }
        if checked.len() == HEADER_COUNT_MAX {
            return Err(HeaderError::TooMany);
        }
        let shown = || name.chars().take(64).collect::<String>();
        let parsed: HeaderName = name.parse().map_err(|_| HeaderError::Name { name: shown() })?;
        if is_reserved(parsed.as_str()) {
            return Err(HeaderError::Reserved { name: shown() });
        }
        let printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
        if !printable || value.trim() != value {
            return Err(HeaderError::Value { name: shown() });
        }
        let mut value: HeaderValue = value.parse().map_err(|_| HeaderError::Value { name: shown() })?;
        // They often carry credentials: hidden from `Debug`, never indexed by HTTP/2's header compression.
        value.set_sensitive(true);
        if checked.insert(parsed, value).is_some() {
            return Err(HeaderError::Duplicate { name: shown() });
        }
    }
    Ok(checked)
}

/// Whether a name is ours, or is one of ours to a receiver behind CGI: there every character that is no letter and no
/// digit becomes `_`, so that `webhook_id` and `webhook.id` are read as `webhook-id` (RFC 3875, 4.1.18).
fn is_reserved(name: &str) -> bool {
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    RESERVED_NAMES.contains(&folded.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
}

/// Whether a name is reserved only for what CGI makes of it.
fn folds_into_reserved(name: &str) -> bool {
    name.bytes().any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric()) && is_reserved(name)
}

/// Why no target can be made of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildTargetError {
    /// Nothing is ever sent unsigned.
    #[error("there is no key to sign with")]
    NoKey,
    /// A stored header is not acceptable.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// An endpoint as dispatch sees it, ready for any number of attempts: where to, with which headers, signed by which
/// keys. Built anew when the endpoint changes or one of its secrets expires.
pub struct Target {
    uri: Uri,
    /// Scheme, host and port, and which roots of its own it has: what connections are shared by.
    origin: Arc<str>,
    /// Every header of a request, those of a single message with a stand-in value: a clone only replaces values.
    headers: HeaderMap,
    /// The same for HTTP/1.1, as it is written: everything up to the value of the id, which is the first of those that
    /// differ from message to message. May hold credentials.
    head: String,
    families: &'static [[&'static str; 3]],
    keys: Vec<SigningKey>,
    own_roots: Option<OwnRoots>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { uri, headers, keys, .. } = self;
        f.debug_struct("Target").field("uri", uri).field("headers", headers).field("keys", keys).finish_non_exhaustive()
    }
}

impl Target {
    /// Builds it once. A custom `authorization` header goes before user name and password of the URL.
    ///
    /// # Errors
    /// Without a key, or with a header that [`check_headers`] refuses.
    pub fn new<'a>(
        url: &CheckedUrl,
        custom: impl IntoIterator<Item = (&'a str, &'a str)>,
        keys: Vec<SigningKey>,
        signature_headers: SignatureHeaders,
    ) -> Result<Target, BuildTargetError> {
        if keys.is_empty() {
            return Err(BuildTargetError::NoKey);
        }
        // One that only folds into a name of ours may be stored from before it was refused: it is left out, and the rest
        // goes on being delivered.
        let custom = check_headers(custom.into_iter().filter(|(name, _)| !folds_into_reserved(name)))?;
        let mut headers = HeaderMap::with_capacity(custom.len() + 8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, AGENT);
        if let Some(authorization) = url.authorization() {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.extend(custom);
        let families = signature_headers.families();
        let head = head_of(url.uri(), &headers, families)?;
        for name in families.iter().flatten() {
            headers.insert(*name, HeaderValue::from_static(""));
        }
        let scheme = url.uri().scheme_str().unwrap_or_default();
        let origin = format!("{scheme}://{}", url.host_and_port()).into();
        Ok(Target { uri: url.uri().clone(), origin, headers, head, families, keys, own_roots: None })
    }

    /// The same, whose receiver's certificate may lead to roots of its own too. Its connections are shared with no target
    /// that has other roots.
    #[must_use]
    pub fn with_own_roots(self, own_roots: OwnRoots) -> Target {
        let origin = format!("{} {}", self.origin, own_roots.digest).into();
        Target { origin, own_roots: Some(own_roots), ..self }
    }

    pub(super) fn own_roots(&self) -> Option<&OwnRoots> {
        self.own_roots.as_ref()
    }

    /// What is requested. May hold secrets in its path or query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host and port, if not the default: what logs and errors show.
    #[must_use]
    pub fn host_and_port(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }

    /// What connections are shared by.
    pub(super) fn origin(&self) -> &Arc<str> {
        &self.origin
    }
}

/// Request line and headers up to the value of the first id.
fn head_of(uri: &Uri, headers: &HeaderMap, families: &[[&str; 3]]) -> Result<String, HeaderError> {
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let mut head = format!("POST {path} HTTP/1.1\r\n{HOST}: {host}\r\n");
    for (name, value) in headers {
        // Checked to be ASCII without control characters.
        let value = value.to_str().map_err(|_| HeaderError::Value { name: name.as_str().to_owned() })?;
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    head.extend([families[0][0], ": "]);
    Ok(head)
}

/// The request of one attempt over HTTP/2. The signature covers `now`, so every attempt is signed anew; the id stays.
/// The payload is shared, not copied. `Content-Length` is the connection's to add.
#[must_use]
pub(super) fn build(target: &Target, event: &Event, now: UnixMs) -> Request<Full<Bytes>> {
    let id = event.message_id();
    let signature = sign::sign(&target.keys, &id, now.seconds(), &event.payload);
    let mut request = Request::new(Full::new(event.payload.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri.clone();
    *request.headers_mut() = target.headers.clone();
    if let Some(content_type) = event.content_type().and_then(|text| HeaderValue::try_from(text).ok()) {
        request.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    // Ids and signatures are ASCII by construction; a stand-in would fail verification, not slip through.
    let text = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    let values = [text(id), HeaderValue::from(now.seconds()), text(signature)];
    for family in target.families {
        for (name, value) in family.iter().zip(&values) {
            request.headers_mut().insert(*name, value.clone());
        }
    }
    request
}

/// The head of the same request over HTTP/1.1, as it is written, appended to `out`. Signed once: a second family of names
/// gets copies of what the first was given.
pub(super) fn write_head(target: &Target, event: &Event, now: UnixMs, out: &mut String) {
    let mut digits = itoa::Buffer::new();
    let [first, further @ ..] = target.families else { return };
    let each_len = target.keys.len() * sign::SIGNATURE_TEXT_LEN + EACH_LEN;
    out.reserve(target.head.len() + target.families.len() * each_len);
    match event.content_type().filter(|text| HeaderValue::try_from(*text).is_ok()) {
        None => out.push_str(&target.head),
        Some(content_type) => {
            out.push_str(&target.head.replacen(JSON_LINE, &format!("{CONTENT_TYPE}: {content_type}\r\n"), 1))
        }
    }
    let id_at = out.len();
    event.append_message_id(out);
    let id = id_at..out.len();
    let signed = sign::signed_prefix(&out[id.clone()], now.seconds());
    push_name(first[1], out);
    let timestamp_at = out.len();
    out.push_str(digits.format(now.seconds()));
    let timestamp = timestamp_at..out.len();
    push_name(first[2], out);
    let signature_at = out.len();
    sign::append_signatures(&target.keys, &signed, &event.payload, out);
    let signature = signature_at..out.len();
    for family in further {
        for (name, value) in family.iter().zip([&id, &timestamp, &signature]) {
            push_name(name, out);
            out.extend_from_within(value.clone());
        }
    }
    push_name(CONTENT_LENGTH.as_str(), out);
    for text in [digits.format(event.payload.len()), "\r\n\r\n"] {
        out.push_str(text);
    }
}

/// Ends a header and begins the next.
fn push_name(name: &str, out: &mut String) {
    for text in ["\r\n", name, ": "] {
        out.push_str(text);
    }
}
