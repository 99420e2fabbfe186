//! The connector: **the only place of the engine that opens a socket.**
//!
//! ```text
//! slot ─▶ literal address, or lookup ─▶ guard judges every address ─▶ dial in order ─▶ wire ─▶ TLS ─▶ HTTP/1.1 or HTTP/2
//!                                                                  └▶ egress proxy ─┘
//! ```
//! The addresses that were judged are the addresses that are dialled: nothing resolves a second time in between, which
//! DNS rebinding needs. Of a name with several addresses, those that the guard lets pass are dialled. So `localhost`
//! with `::1` and `127.0.0.1` works where only the second is allowed. The name is refused when none passes. Connections
//! in the pool were judged when they were made.
//!
//! Through an egress proxy (`proxy`) the guard judges the addresses that are known here: literal addresses,
//! `localhost`, and the addresses of a name that Pinion resolves. If the proxy resolves names, the proxy decides which
//! of their addresses to allow. The proxy's own address is the operator's, and is not judged.
//!
//! Connecting has a time limit of its own besides the attempt's deadline, since the pool may finish a connection in the
//! background after its attempt got another one.
//!
//! `pool` decides which attempt may use a connection, and for how long.

mod stream;

pub(super) use stream::VettedStream;

use super::details::{Dialling, Making};
use super::guard::{Guard, GuardError, PortRefused};
use super::http2::{self, Http2, Shunned};
use super::proxy::{Destination, Egress, EgressProxy, ProxyError};
use super::resolve::{Caller, LookupError, Resolver};
use super::target::Target;
use super::tls::{self, ALPN_HTTP2, Connectors};
use super::wire::Wire;
use http::uri::Scheme;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Most addresses of one name that are tried.
const DIALLED_MAX: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// An address of the target is refused. Shows the kind of address only: which address a name of the operator's
    /// own network has is not for tenants to know.
    #[error("the target leads to a refused address: {}", .0.range)]
    Refused(#[from] GuardError),
    /// The operator allowed other ports only.
    #[error(transparent)]
    RefusedPort(#[from] PortRefused),
    #[error("the host name did not resolve: {0}")]
    Dns(#[from] LookupError),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no connection within the time limit for connecting")]
    Timeout,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("TLS failed: {}", tls::words(.0))]
    Tls(io::Error),
    #[error("HTTP/2 failed: {0}")]
    Http2(hyper::Error),
    #[error("no connection: the limit of open connections is reached")]
    TooManyConnections,
    /// Cannot happen with a checked URL.
    #[error("the URL has no host")]
    NoHost,
}

/// The right to one connection; given back when it is dropped.
pub(super) type Slot = OwnedSemaphorePermit;

/// A new connection, by the protocol that the receiver chose.
pub(super) enum Dialled {
    Http1(VettedStream),
    Http2(Http2),
}

/// Opens connections; shared by all attempts of a dispatcher.
pub(super) struct Dialler {
    guard: Arc<Guard>,
    resolver: Resolver,
    /// One permit per open connection.
    slots: Arc<Semaphore>,
    tls: Connectors,
    egress: Option<Egress>,
    http2: http2::Bounds,
    shunned: Shunned,
    connect_timeout: Duration,
}

impl Dialler {
    /// Offers HTTP/2 and HTTP/1.1 over TLS; whatever `tls` names as protocols (ALPN) is replaced.
    pub(super) fn new(
        guard: Arc<Guard>,
        resolver: Resolver,
        slots: Arc<Semaphore>,
        tls: rustls::ClientConfig,
        egress: Option<Egress>,
        http2: http2::Bounds,
        connect_timeout: Duration,
    ) -> Dialler {
        let (tls, shunned) = (Connectors::new(tls), Shunned::default());
        Dialler { guard, resolver, slots, tls, egress, http2, shunned, connect_timeout }
    }

    /// The right to one more connection, if there may be one.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// The same, when a connection ends within `time`.
    pub(super) async fn slot_within(&self, time: Duration) -> Option<Slot> {
        timeout(time, self.slots.clone().acquire_owned()).await.ok()?.ok()
    }

    /// Opens a connection to where `target` is, within the time limit for connecting. Notes in `making` how far it came.
    pub(super) async fn dial(
        &self,
        target: &Target,
        slot: Slot,
        caller: Caller,
        making: Arc<Making>,
    ) -> Result<Dialled, DialError> {
        match timeout(self.connect_timeout, self.dial_untimed(target, slot, caller, making)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(DialError::Timeout),
        }
    }

    async fn dial_untimed(
        &self,
        target: &Target,
        slot: Slot,
        caller: Caller,
        making: Arc<Making>,
    ) -> Result<Dialled, DialError> {
        let uri = target.uri();
        let host = uri.host().ok_or(DialError::NoHost)?;
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        self.guard.check_port(port)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let tcp = self.dial_tcp(host, port, caller, &making).await?;
        tcp.set_nodelay(true).map_err(DialError::Connect)?;
        if !secure {
            return Ok(Dialled::Http1(VettedStream::plain(tcp, making, slot)));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::NoHost)?;
        let is_shunned = self.shunned.contains(target.identity(), Instant::now());
        let connectors = target.own_roots().map_or(&self.tls, |own| &own.connectors);
        let connector = if is_shunned { &connectors.http1 } else { &connectors.all };
        let since = Instant::now();
        let secured = connector.connect(name, Wire::new(tcp)).await;
        making.ended(Dialling::Tls, since);
        let mut secured = secured.map_err(DialError::Tls)?;
        secured.get_mut().0.secured();
        let chosen_http2 = secured.get_ref().1.alpn_protocol() == Some(ALPN_HTTP2);
        let stream = VettedStream::secured(secured, making, slot);
        if chosen_http2 {
            let started = http2::start(stream, &self.http2, target.identity(), &self.shunned).await;
            return started.map(Dialled::Http2).map_err(DialError::Http2);
        }
        Ok(Dialled::Http1(stream))
    }

    /// TCP to a host, or through the egress proxy.
    async fn dial_tcp(&self, host: &str, port: u16, caller: Caller, making: &Making) -> Result<TcpStream, DialError> {
        let mut since = Instant::now();
        if let Some(proxy) = self.egress.as_ref().and_then(|egress| egress.proxy_for(host)) {
            let tcp = self.dial_through(proxy, host, port, caller).await;
            making.ended(Dialling::Connect, since);
            return tcp;
        }
        let addresses = self.vetted(host, port, caller).await;
        if host.parse::<IpAddr>().is_err() {
            making.ended(Dialling::Lookup, since);
            since = Instant::now();
        }
        let tcp = self.dial_in_order(&addresses?, port).await;
        making.ended(Dialling::Connect, since);
        if let Ok(Ok(peer)) = tcp.as_ref().map(TcpStream::peer_addr) {
            making.reached(peer);
        }
        tcp
    }

    /// The addresses of a host that the guard lets pass, at least one.
    async fn vetted(&self, host: &str, port: u16, caller: Caller) -> Result<Vec<IpAddr>, DialError> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => Arc::from([address]),
            Err(_) => self.resolver.lookup(host, caller).await?,
        };
        let mut refused = None;
        let mut allowed = Vec::with_capacity(addresses.len().min(DIALLED_MAX));
        for address in addresses.iter() {
            match self.guard.check(SocketAddr::new(*address, port)) {
                Ok(()) if allowed.len() < DIALLED_MAX => allowed.push(*address),
                Ok(()) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if allowed.is_empty() => Err(error.into()),
            _ => Ok(allowed),
        }
    }

    /// A connection through the egress proxy, on which the target is spoken to.
    async fn dial_through(
        &self,
        proxy: &EgressProxy,
        host: &str,
        port: u16,
        caller: Caller,
    ) -> Result<TcpStream, DialError> {
        let is_address = host.parse::<IpAddr>().is_ok();
        if is_address || !proxy.resolves() {
            let mut last = DialError::Dns(LookupError::NoAddress);
            for address in self.vetted(host, port, caller).await? {
                let mut stream = self.dial_proxy(proxy, caller).await?;
                match proxy.tunnel(&mut stream, Destination::Address(address), port).await {
                    Ok(()) => return Ok(stream),
                    Err(error) if error.is_ours() => return Err(error.into()),
                    Err(error) => last = error.into(),
                }
            }
            return Err(last);
        }
        // RFC 6761, 6.3: to the proxy these names are itself.
        if host == "localhost" || host.ends_with(".localhost") {
            self.guard.check_ip(Ipv4Addr::LOCALHOST.into())?;
        }
        let mut stream = self.dial_proxy(proxy, caller).await?;
        proxy.tunnel(&mut stream, Destination::Name(host), port).await?;
        Ok(stream)
    }

    /// TCP to the proxy. A failure here is no failure of the target.
    async fn dial_proxy(&self, proxy: &EgressProxy, caller: Caller) -> Result<TcpStream, DialError> {
        let failed = |error: io::Error| DialError::Proxy(ProxyError::Failed(error));
        let addresses = match proxy.host.parse::<IpAddr>() {
            Ok(address) => Arc::from([address]),
            Err(_) => match self.resolver.lookup(&proxy.host, caller).await {
                Err(LookupError::Busy) => return Err(LookupError::Busy.into()),
                found => found.map_err(|error| failed(io::Error::other(error)))?,
            },
        };
        let most = addresses.len().min(DIALLED_MAX);
        self.dial_in_order(&addresses[..most], proxy.port).await.map_err(|error| match error {
            DialError::Connect(error) => failed(error),
            _ => failed(io::ErrorKind::TimedOut.into()),
        })
    }

    /// Tries one address after the other, each for its share of the time, so that a dead first one leaves time for
    /// the second.
    async fn dial_in_order(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, DialError> {
        let mut last = DialError::Dns(LookupError::NoAddress);
        let share = self.connect_timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        for address in addresses {
            match timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) => last = DialError::Connect(error),
                Err(_) => last = DialError::Timeout,
            }
        }
        Err(last)
    }
}
