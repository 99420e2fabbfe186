//! The headers of an endpoint's requests that no message changes: Pinion's own, and those of the tenant.
//!
//! Here an attempt is authorised: by user name and password of the URL, or by an `Authorization` of the tenant's own.
//! A tenant can add to a request but never replace, repeat or split a header of Pinion's. Such names are refused when
//! headers are configured, and once more when a plan is compiled from the stored headers. Pure.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

#[cfg(test)]
mod tests;

/// Most custom headers of one endpoint.
pub const HEADER_COUNT_MAX: usize = 64;
/// Most bytes of all custom headers of one endpoint, names and values: common servers take 8 KiB of headers in all.
pub const HEADERS_LEN_MAX: usize = 6 * 1024;

/// The user agent that receivers see in their logs.
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

/// The reason why custom headers are not accepted. Shows names, never values.
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
        /// The text that was given, cut to 64 characters.
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

/// Checks an endpoint's custom headers: when they are configured, and again when a plan is compiled.
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

/// Checks the name of a header that Pinion sets under a name of the endpoint's choice. Everything that a custom header may
/// not be called is refused, and the names that authorise or that the tenant may set for the request as a whole.
///
/// # Errors
/// When it is no name of a header, or reserved.
pub fn check_header_name(name: &str) -> Result<HeaderName, HeaderError> {
    let shown = || name.chars().take(64).collect::<String>();
    let parsed: HeaderName = name.parse().map_err(|_| HeaderError::Name { name: shown() })?;
    let of_request = [ACCEPT, AUTHORIZATION, COOKIE].contains(&parsed);
    if of_request || is_reserved(parsed.as_str()) {
        return Err(HeaderError::Reserved { name: shown() });
    }
    Ok(parsed)
}

/// True if a name is Pinion's, or reads as one of Pinion's to a receiver behind CGI.
///
/// CGI turns every character that is no letter and no digit into `_`. So `webhook_id` and `webhook.id` are read as
/// `webhook-id` (RFC 3875, 4.1.18).
fn is_reserved(name: &str) -> bool {
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    RESERVED_NAMES.contains(&folded.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| folded.starts_with(prefix))
}

/// True if a name is reserved only because CGI folds it into a reserved one.
fn folds_into_reserved(name: &str) -> bool {
    name.bytes().any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric()) && is_reserved(name)
}

/// Every header of a request that no message changes. A custom `authorization` goes before that of the URL.
///
/// # Errors
/// When [`check_headers`] refuses a custom one.
pub(super) fn fixed_headers<'a>(
    authorization: Option<&HeaderValue>,
    custom: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, HeaderError> {
    // A name that only folds into one of Pinion's may be stored from before such names were refused. It is left out,
    // and messages are still delivered.
    let custom = check_headers(custom.into_iter().filter(|(name, _)| !folds_into_reserved(name)))?;
    let mut headers = HeaderMap::with_capacity(custom.len() + 10);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, AGENT);
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    headers.extend(custom);
    Ok(headers)
}
