//! A tunnel through a proxy: CONNECT or SOCKS 5, spoken on a fresh connection to it.
//!
//! Works on any stream; it opens none, and has no deadline: its caller drops it.

use super::{EgressProxy, Kind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// Bytes of a proxy's answer to CONNECT.
const ANSWER_LEN_MAX: usize = 8 * 1024;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(in crate::dispatch) enum ProxyError {
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
    /// True if the fault lies with the proxy, and not with the target.
    pub(in crate::dispatch) fn is_ours(&self) -> bool {
        !matches!(self, ProxyError::Refused(_))
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> ProxyError {
        ProxyError::Failed(error)
    }
}

/// The target that a tunnel leads to.
#[derive(Clone, Copy, Debug)]
pub(in crate::dispatch) enum Destination<'a> {
    Name(&'a str),
    Address(IpAddr),
}

impl EgressProxy {
    /// Has the proxy, on a fresh connection to it, connect to a target.
    pub(in crate::dispatch) async fn tunnel<S>(
        &self,
        stream: &mut S,
        to: Destination<'_>,
        port: u16,
    ) -> Result<(), ProxyError>
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
        // Byte by byte: the bytes behind the head are the target's. Buffers of the system make that cheap enough for a
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
        // The address that the proxy connects from: read past.
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
