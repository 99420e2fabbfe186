//! Endpoint URLs: what is accepted when an endpoint is configured, and its one normal form.
//!
//! Written out rather than taken from the `url` crate: that crate brings the Unicode tables of idna and icu for the
//! sake of international names, which can be given in their `xn--` form, and hyper wants an `http::Uri` in the end
//! anyway. What matters for safety is read as the WHATWG URL standard has it: the odd forms of IPv4 that resolvers
//! understand too (`http://2130706433/`, `http://0x7f.1/`).
//!
//! Deliberately resolves nothing. Literal addresses are judged here so that people hear at once; a name is judged when
//! it is dialled, since it can lead anywhere by then.

use super::guard::{Guard, GuardError, PortRefused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// The longest URL taken, in bytes: what common servers and proxies accept as a request line with room to spare.
pub const URL_LEN_MAX: usize = 2048;
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
    /// Holds white space, a control character, a backslash or a letter outside ASCII.
    #[error("the URL holds a character that must be percent-encoded (in a host name: written in its xn-- form)")]
    Character,
    /// Neither `http://` nor `https://`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
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

/// A URL that passed [`check_url`], in its normal form: lower-case host without a final dot, dotted IPv4, no default
/// port, no user name or password, no fragment.
#[derive(Clone, Debug)]
pub struct CheckedUrl {
    uri: Uri,
    /// From the user name and password; marked as sensitive, so that `Debug` hides it.
    authorization: Option<HeaderValue>,
}

impl CheckedUrl {
    /// What is requested; holds no secret but what the tenant put into path or query.
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
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(TargetError::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(TargetError::Scheme)?;
    let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => ("http", 80),
        "https" => ("https", 443),
        _ => return Err(TargetError::Scheme),
    };
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user_info, host_and_port) = match authority.rsplit_once('@') {
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    let (host, port) = split_port(host_and_port)?;
    let host = normal_host(host, guard)?;
    guard.check_port(port.unwrap_or(default_port))?;
    let authorization = user_info.map(basic_authorization).transpose()?.flatten();

    let port = port.filter(|port| *port != default_port).map_or_else(String::new, |port| format!(":{port}"));
    let slash = if path_and_query.starts_with('/') { "" } else { "/" };
    let uri = format!("{scheme}://{host}{port}{slash}{path_and_query}").parse().map_err(|_| TargetError::Path)?;
    Ok(CheckedUrl { uri, authorization })
}

/// Takes `host`, `host:port` or `[v6]:port` apart.
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
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TargetError::Port);
    }
    match digits.parse() {
        Ok(port) if port != 0 => Ok((host, Some(port))),
        _ => Err(TargetError::Port),
    }
}

/// The normal form of a host. Judges it if it is an address.
fn normal_host(host: &str, guard: &Guard) -> Result<String, TargetError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // Refuses zone ids (`%eth0`) by the way: they only mean something for link-local addresses.
        let address: Ipv6Addr = inner.parse().map_err(|_| TargetError::Host)?;
        guard.check_ip(IpAddr::V6(address))?;
        return Ok(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if ends_in_number(&host) {
        let address = parse_ipv4(&host).ok_or(TargetError::Host)?;
        guard.check_ip(IpAddr::V4(address))?;
        return Ok(address.to_string());
    }
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
    Ok(host)
}

/// Whether a host is to be read as IPv4 (WHATWG URL, "ends in a number checker").
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) || ipv4_number(last).is_some()
}

/// Reads IPv4 as the WHATWG URL standard and `inet_aton` do: one to four numbers, decimal, octal (`0`) or hexadecimal
/// (`0x`), the last of which fills all remaining bytes.
fn parse_ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').take(5).collect();
    if parts.len() > 4 {
        return None;
    }
    let (last, firsts) = parts.split_last()?;
    let mut bits: u32 = 0;
    for (index, part) in firsts.iter().enumerate() {
        let byte = u8::try_from(ipv4_number(part)?).ok()?;
        bits |= u32::from(byte) << (24 - 8 * index);
    }
    let last = u32::try_from(ipv4_number(last)?).ok()?;
    let room = u32::MAX.checked_shr(8 * u32::try_from(firsts.len()).ok()?)?;
    (last <= room).then(|| Ipv4Addr::from_bits(bits | last))
}

/// One number of an IPv4 address. `0x` alone is zero, as the standard has it.
fn ipv4_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // `from_str_radix` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, radix).ok())?
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

fn percent_decode(text: &str, out: &mut Vec<u8>) -> Result<(), TargetError> {
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
