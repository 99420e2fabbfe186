//! The egress proxy: how a connection to a target is made through it (ADR 14).
//!
//! | scheme of the proxy | speaks | who resolves the target's name |
//! |---|---|---|
//! | `http` | CONNECT (RFC 9110, 9.3.6), for `http` targets too | the proxy |
//! | `socks5h` | SOCKS 5 (RFC 1928, 1929) | the proxy |
//! | `socks5` | the same | Pinion, whose guard judges every address |
//!
//! The bytes sent through the tunnel are for the target alone. The proxy sees host and port, and of `http` targets the
//! bytes, but is asked for nothing that depends on them. This file holds what an operator configures; [`tunnel`] speaks
//! to the proxy.

mod tunnel;

pub(super) use tunnel::{Destination, ProxyError};

use super::url::{masked, split_user_info};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use url::{Host, Url};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of a user name or a password (RFC 1929).
const CREDENTIAL_LEN_MAX: usize = 255;

/// Why a text is no egress proxy. Shows no user name and no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Not a URL of a scheme that is known.
    #[error("expected http://, socks5:// or socks5h://, a host, and a port")]
    Malformed,
    /// A path, query or fragment.
    #[error("a proxy's URL ends with its port")]
    Path,
    /// A user name or password that does not fit, or is badly encoded.
    #[error("user name and password must be percent-encoded, of at most {CREDENTIAL_LEN_MAX} bytes each")]
    Credentials,
}

/// The protocol of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Socks5 { resolves: bool },
}

/// An egress proxy. Hidden from `Debug` is its password.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    kind: Kind,
    /// A name or an address.
    pub(super) host: String,
    pub(super) port: u16,
    user: Zeroizing<Vec<u8>>,
    password: Zeroizing<Vec<u8>>,
    /// As it was given.
    text: Zeroizing<String>,
}

/// The way out: a proxy, and what does not go through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The proxy.
    pub proxy: EgressProxy,
    /// Targets that are dialled directly.
    pub except: Vec<ProxyException>,
}

impl Egress {
    /// The proxy for a target's host, in its normal form; none when it is dialled directly.
    pub(super) fn proxy_for(&self, host: &str) -> Option<&EgressProxy> {
        let is_direct = self.except.iter().any(|exception| exception.covers(host));
        (!is_direct).then_some(&self.proxy)
    }
}

/// Targets that are called without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyException {
    /// Targets that are given as an address in this range. Names are not resolved for it.
    Net(IpNet),
    /// This name and all below it.
    Name(String),
}

/// Why a text is no exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a range such as 10.0.0.0/8, an address, or a host name such as example.internal")]
pub struct ProxyExceptionError;

// === impl EgressProxy ===

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EgressProxy({})", self.shown())
    }
}

impl FromStr for EgressProxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<EgressProxy, ProxyUrlError> {
        let (_, user_info) = split_user_info(text);
        let url = Url::parse(text).map_err(|_| ProxyUrlError::Malformed)?;
        let (kind, default_port) = match url.scheme() {
            "http" => (Kind::Connect, 80),
            "socks5" => (Kind::Socks5 { resolves: false }, 1080),
            "socks5h" => (Kind::Socks5 { resolves: true }, 1080),
            _ => return Err(ProxyUrlError::Malformed),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyUrlError::Path);
        }
        // For schemes that the standard does not know, a host is left as it was written.
        let host = match url.host().ok_or(ProxyUrlError::Malformed)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let (user, password) = match &user_info {
            Some(user_info) => user_info.split_once(':').unwrap_or((user_info.as_str(), "")),
            None => ("", ""),
        };
        let credential = |text: &str| {
            let mut bytes = Zeroizing::new(Vec::new());
            super::url::percent_decode(text, &mut bytes).map_err(|_| ProxyUrlError::Credentials)?;
            if bytes.len() > CREDENTIAL_LEN_MAX { Err(ProxyUrlError::Credentials) } else { Ok(bytes) }
        };
        let (user, password) = (credential(user)?, credential(password)?);
        let port = url.port().unwrap_or(default_port);
        if host.is_empty() || port == 0 {
            return Err(ProxyUrlError::Malformed);
        }
        Ok(EgressProxy { kind, host, port, user, password, text: Zeroizing::new(text.to_owned()) })
    }
}

impl EgressProxy {
    /// Its URL, user name and password hidden.
    #[must_use]
    pub fn shown(&self) -> String {
        masked(&self.text).into_owned()
    }

    /// True if the proxy resolves the names of targets.
    pub(super) fn resolves(&self) -> bool {
        self.kind != Kind::Socks5 { resolves: false }
    }
}

// === impl ProxyException ===

impl FromStr for ProxyException {
    type Err = ProxyExceptionError;

    fn from_str(text: &str) -> Result<ProxyException, ProxyExceptionError> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(ProxyException::Net(net));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(ProxyException::Net(address.into()));
        }
        let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
        let is_name = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if is_name { Ok(ProxyException::Name(name)) } else { Err(ProxyExceptionError) }
    }
}

impl fmt::Display for ProxyException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyException::Net(net) => net.fmt(f),
            ProxyException::Name(name) => name.fmt(f),
        }
    }
}

impl ProxyException {
    /// True if it covers a target's host, in its normal form.
    pub(super) fn covers(&self, host: &str) -> bool {
        match self {
            ProxyException::Net(net) => {
                host.parse::<IpAddr>().is_ok_and(|address| net.contains(&address.to_canonical()))
            }
            ProxyException::Name(name) => {
                host.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    }
}
