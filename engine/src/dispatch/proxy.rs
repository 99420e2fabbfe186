//! The egress proxy: how a connection to a target is made through it (ADR 14).
//!
//! | scheme of the proxy | speaks | who resolves the target's name |
//! |---|---|---|
//! | `http` | CONNECT (RFC 9110, 9.3.6), for `http` targets too | the proxy |
//! | `socks5h` | SOCKS 5 (RFC 1928, 1929) | the proxy |
//! | `socks5` | the same | Pinion, whose guard judges every address |
//!
//! What is sent through the tunnel is the target's alone: the proxy sees host and port, and of `http` targets the bytes, but
//! is asked for nothing that depends on them. Works on any stream; it opens none, and has no deadline: its caller drops
//! it.

use super::url::{masked, split_user_info};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::{Host, Url};
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

/// Bytes of a proxy's answer to CONNECT.
const ANSWER_LEN_MAX: usize = 8 * 1024;
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

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The proxy is not there, or does not do what it is there for.
    #[error("the egress proxy failed: {0}")]
    Failed(io::Error),
    #[error("the egress proxy does not accept Pinion's user name and password")]
    Credentials,
    #[error("the egress proxy does not speak its protocol")]
    Protocol,
    /// It refused this target, or could not reach it.
    #[error("the egress proxy made no connection: it answered {0}")]
    Refused(String),
}

impl ProxyError {
    /// Whether this lies with the proxy, and not with the target.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self, ProxyError::Refused(_))
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> ProxyError {
        ProxyError::Failed(error)
    }
}

/// Where a tunnel leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Destination<'a> {
    Name(&'a str),
    Address(IpAddr),
}

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

    /// Whether the proxy resolves the names of targets.
    pub(super) fn resolves(&self) -> bool {
        self.kind != Kind::Socks5 { resolves: false }
    }

    /// Has the proxy, on a fresh connection to it, connect to a target.
    pub(super) async fn tunnel<S>(&self, stream: &mut S, to: Destination<'_>, port: u16) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.kind {
            Kind::Connect => self.connect(stream, to, port).await,
            Kind::Socks5 { .. } => self.socks5(stream, to, port).await,
        }
    }

    async fn connect<S>(&self, stream: &mut S, to: Destination<'_>, port: u16) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = match to {
            Destination::Name(name) => name.to_owned(),
            Destination::Address(IpAddr::V4(address)) => address.to_string(),
            Destination::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let mut request = Zeroizing::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"));
        if !self.user.is_empty() || !self.password.is_empty() {
            let both = Zeroizing::new([self.user.as_slice(), b":", &self.password].concat());
            request.push_str("Proxy-Authorization: Basic ");
            STANDARD.encode_string(both.as_slice(), &mut request);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        // Byte by byte: what comes behind the head is the target's. Buffers of the system make that cheap enough for a
        // few lines once a connection.
        let mut head = Vec::with_capacity(256);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= ANSWER_LEN_MAX {
                return Err(ProxyError::Protocol);
            }
            head.push(stream.read_u8().await?);
        }
        match status_of(&head).ok_or(ProxyError::Protocol)? {
            200..=299 => Ok(()),
            407 => Err(ProxyError::Credentials),
            status => Err(ProxyError::Refused(status.to_string())),
        }
    }

    async fn socks5<S>(&self, stream: &mut S, to: Destination<'_>, port: u16) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        const VERSION: u8 = 5;
        const WITH_PASSWORD: u8 = 2;
        let has_user = !self.user.is_empty() || !self.password.is_empty();
        let greeting: &[u8] = if has_user { &[VERSION, 1, WITH_PASSWORD] } else { &[VERSION, 1, 0] };
        stream.write_all(greeting).await?;
        stream.flush().await?;
        let mut chosen = [0; 2];
        stream.read_exact(&mut chosen).await?;
        match chosen {
            [VERSION, method] if method == greeting[2] => {}
            [VERSION, 0xff] => return Err(ProxyError::Credentials),
            _ => return Err(ProxyError::Protocol),
        }
        if has_user {
            // Lengths were checked to fit.
            let mut request = Zeroizing::new(vec![1, self.user.len() as u8]);
            request.extend_from_slice(&self.user);
            request.push(self.password.len() as u8);
            request.extend_from_slice(&self.password);
            stream.write_all(&request).await?;
            stream.flush().await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await?;
            if answer[1] != 0 {
                return Err(ProxyError::Credentials);
            }
        }
        stream.write_all(&socks5_request(to, port)?).await?;
        stream.flush().await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        let [VERSION, reply, _, address_kind] = answer else { return Err(ProxyError::Protocol) };
        if reply != 0 {
            return Err(ProxyError::Refused(socks5_words(reply)));
        }
        // Where the proxy connects from: read past.
        let rest = match address_kind {
            1 => 4,
            3 => usize::from(stream.read_u8().await?),
            4 => 16,
            _ => return Err(ProxyError::Protocol),
        };
        let mut bound = [0; 255 + 2];
        stream.read_exact(&mut bound[..rest + 2]).await?;
        Ok(())
    }
}

fn socks5_request(to: Destination<'_>, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![5, 1, 0];
    match to {
        Destination::Address(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&Ipv4Addr::octets(&address));
        }
        Destination::Address(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&Ipv6Addr::octets(&address));
        }
        Destination::Name(name) => {
            request.extend([3, u8::try_from(name.len()).map_err(|_| ProxyError::Protocol)?]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// The reply of a SOCKS proxy in words (RFC 1928, 6).
fn socks5_words(reply: u8) -> String {
    match reply {
        2 => "that its rules do not allow it".to_owned(),
        3 => "network unreachable".to_owned(),
        4 => "host unreachable".to_owned(),
        5 => "connection refused".to_owned(),
        6 => "that its time has expired".to_owned(),
        other => format!("error {other}"),
    }
}

/// The status of an answer to CONNECT.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
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
    /// Whether it covers a target's host, in its normal form.
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
