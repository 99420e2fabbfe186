//! Endpoint URLs: the check when an endpoint is configured, and the form in which they are requested then.
//!
//! The `url` crate reads them, as the WHATWG URL standard has it. International names become A-labels, and letters
//! outside ASCII in a path are percent-encoded. The odd forms of IPv4 that resolvers understand are addresses
//! (`http://2130706433/`, `http://0x7f.1/`). The standard forgives much for the sake of browsers: white space,
//! backslashes, missing slashes, escapes in a host. Where two readers could disagree about the host, a URL is refused
//! before it is read.
//!
//! Nothing is resolved here. Literal addresses are judged so that people hear at once; a name is judged when it is
//! dialled, since it can lead anywhere by then.

mod credentials;

pub use self::credentials::{MASK, UserInfo, join_user_info, masked, split_user_info};

use super::guard::{Guard, GuardError, PortRefused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, ParseError, Url};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// The longest URL taken, in bytes.
pub const URL_LEN_MAX: usize = 8 * 1024;
/// The longest name, in bytes (RFC 1035, without the root's dot).
const NAME_LEN_MAX: usize = 253;
/// The longest label of a name, in bytes.
const LABEL_LEN_MAX: usize = 63;

/// Why a URL is not accepted. Never shows user name or password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Longer than [`URL_LEN_MAX`].
    #[error("the URL is {len} bytes long; the limit is {URL_LEN_MAX}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Holds white space, a control character or a backslash.
    #[error("the URL holds white space, a control character or a backslash, which must be percent-encoded")]
    Character,
    /// Neither `http://` nor `https://`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// `http://` where the operator allows `https://` only.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// No host, or one that is neither a name nor an address.
    #[error("the URL has no valid host")]
    Host,
    /// A port that is not in 1 to 65535.
    #[error("the URL's port is not in 1 to 65535")]
    Port,
    /// User name or password hold an `@` or a broken percent-encoding.
    #[error("the URL's user name or password is not percent-encoded")]
    UserInfo,
    /// The path or query is malformed.
    #[error("the URL's path is malformed")]
    Path,
    /// The host is an address that the guard refuses.
    #[error(transparent)]
    Refused(#[from] GuardError),
    /// The port is one that the operator does not allow.
    #[error(transparent)]
    RefusedPort(#[from] PortRefused),
}

/// A URL that passed [`check_url`], in its normal form: lower-case host in ASCII without a final dot, dotted IPv4, no
/// default port, no user name or password, no fragment.
#[derive(Clone, Debug)]
pub struct CheckedUrl {
    uri: Uri,
    /// From the user name and password; marked as sensitive, so that `Debug` hides it.
    authorization: Option<HeaderValue>,
}

impl CheckedUrl {
    /// The URL as it is requested. Holds no secret but those that the tenant put into path or query.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The `Authorization: Basic` header (RFC 7617) that the URL's user name and password mean.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Host and port, if not the default: what logs and errors show.
    #[must_use]
    pub fn host_and_port(&self) -> &str {
        self.uri.authority().map_or("", http::uri::Authority::as_str)
    }
}

/// Checks and normalises the URL of an endpoint.
///
/// # Errors
/// When it is malformed, of another scheme, or names an address that `guard` refuses. `localhost` counts as one.
pub fn check_url(text: &str, guard: &Guard) -> Result<CheckedUrl, TargetError> {
    if text.len() > URL_LEN_MAX {
        return Err(TargetError::TooLong { len: text.len() });
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(TargetError::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(TargetError::Scheme)?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => ("http", 80),
        "https" => ("https", 443),
        _ => return Err(TargetError::Scheme),
    };
    if !guard.allows_scheme(scheme == "https") {
        return Err(TargetError::NotHttps);
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user_info, host_and_port) = match authority.rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    let (host, port) = split_port(host_and_port)?;
    // The standard would skip the slashes behind an empty host, and decode escapes in one.
    if host.is_empty() || host.contains('%') {
        return Err(TargetError::Host);
    }
    let url = Url::parse(&format!("{scheme}://{host}{tail}")).map_err(|error| match error {
        ParseError::InvalidPort => TargetError::Port,
        _ => TargetError::Host,
    })?;
    let host = normal_host(&url, guard)?;
    guard.check_port(port.unwrap_or(default_port))?;
    let authorization = user_info.map(basic_authorization).transpose()?.flatten();

    let port = port.filter(|port| *port != default_port).map_or_else(String::new, |port| format!(":{port}"));
    let mut uri = format!("{scheme}://{host}{port}{}", url.path());
    if let Some(query) = url.query() {
        uri.extend(["?", query]);
    }
    Ok(CheckedUrl { uri: uri.parse().map_err(|_| TargetError::Path)?, authorization })
}

/// Takes `host`, `host:port` or `[v6]:port` apart. An empty port is none.
fn split_port(text: &str) -> Result<(&str, Option<u16>), TargetError> {
    let host_len = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or(TargetError::Host)? + 2,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(host_len);
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').ok_or(TargetError::Host)?;
    if digits.is_empty() {
        return Ok((host, None));
    }
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetError::Port);
    }
    match digits.parse() {
        Ok(port) if port != 0 => Ok((host, Some(port))),
        _ => Err(TargetError::Port),
    }
}

/// The normal form of a host. Judges it if it is an address.
fn normal_host(url: &Url, guard: &Guard) -> Result<String, TargetError> {
    let host = match url.host().ok_or(TargetError::Host)? {
        Host::Ipv4(address) => {
            guard.check_ip(IpAddr::V4(address))?;
            return Ok(address.to_string());
        }
        Host::Ipv6(address) => {
            guard.check_ip(IpAddr::V6(address))?;
            return Ok(format!("[{address}]"));
        }
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name),
    };
    let label_is_valid = |label: &str| {
        (1..=LABEL_LEN_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > NAME_LEN_MAX || !host.split('.').all(label_is_valid) {
        return Err(TargetError::Host);
    }
    // RFC 6761, 6.3: these names are the loopback address wherever they are asked for.
    if host == "localhost" || host.ends_with(".localhost") {
        guard
            .check_ip(Ipv4Addr::LOCALHOST.into())
            .or_else(|error| guard.check_ip(Ipv6Addr::LOCALHOST.into()).map_err(|_| error))?;
    }
    Ok(host.to_owned())
}

/// `user:password`, percent-decoded, as a Basic authorization. None when both are empty.
fn basic_authorization(user_info: &str) -> Result<Option<HeaderValue>, TargetError> {
    if user_info.contains('@') {
        return Err(TargetError::UserInfo);
    }
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    if user.is_empty() && password.is_empty() {
        return Ok(None);
    }
    let mut credentials = Zeroizing::new(Vec::with_capacity(user_info.len() + 1));
    percent_decode(user, &mut credentials)?;
    credentials.push(b':');
    percent_decode(password, &mut credentials)?;
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials.as_slice())))
        .map_err(|_| TargetError::UserInfo)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// As the `percent-encoding` crate does, except for broken escapes: these are refused, not kept.
pub(super) fn percent_decode(text: &str, out: &mut Vec<u8>) -> Result<(), TargetError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(TargetError::UserInfo) };
                (high << 4 | low) as u8
            }
            other => other,
        });
    }
    Ok(())
}
