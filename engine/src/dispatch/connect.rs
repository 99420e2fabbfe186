//! The connector: **the only place of the engine that opens a socket.**
//!
//! ```text
//! slot ─▶ literal address, or lookup ─▶ guard judges every address ─▶ dial in order ─▶ TLS
//! ```
//! The addresses that were judged are the addresses that are dialled: nothing resolves a second time in between. If
//! any one address of a name is refused, the whole name is: a mixed answer is how DNS rebinding begins, and an honest
//! receiver has no private address in public DNS. Connections in the pool were judged when they were made.
//!
//! The whole of it has a time limit of its own besides the attempt's deadline, since the pool may finish a connection
//! in the background after its attempt got another one.

use super::guard::{Guard, GuardError};
use super::resolve::{LookupError, Resolver};
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use std::error::Error as StdError;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tower::Service;

/// Most addresses of one name that are tried. All are judged.
const DIALLED_MAX: usize = 8;

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why there is no connection. Comes out of hyper's client as the typed cause of its error.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// An address of the target is refused. Shows the kind of address only: which address a name of the operator's
    /// own network has is not for tenants to know.
    #[error("the target leads to a refused address: {}", .0.range)]
    Refused(#[from] GuardError),
    #[error("the host name did not resolve: {0}")]
    Dns(#[from] LookupError),
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no connection within the time limit for connecting")]
    Timeout,
    #[error("TLS failed: {0}")]
    Tls(BoxError),
    #[error("no connection: the limit of open connections is reached")]
    TooManyConnections,
    /// Cannot happen with a checked URL.
    #[error("the URL has no host")]
    NoHost,
}

/// What the connector needs, shared by all connections of a dispatcher.
pub(super) struct Dialler {
    pub(super) guard: Arc<Guard>,
    pub(super) resolver: Resolver,
    /// One permit per open connection.
    pub(super) slots: Arc<Semaphore>,
    pub(super) connect_timeout: Duration,
}

impl Dialler {
    /// Opens a vetted TCP connection to the host of `uri`.
    async fn dial(&self, uri: &Uri) -> Result<VettedStream, DialError> {
        let host = uri.host().ok_or(DialError::NoHost)?;
        let default_port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| DialError::TooManyConnections)?;

        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse::<IpAddr>();
        let addresses = match literal {
            Ok(address) => Arc::from([address]),
            Err(_) => self.resolver.lookup(host).await?,
        };
        for address in addresses.iter() {
            self.guard.check(SocketAddr::new(*address, port))?;
        }
        let io = self.dial_in_order(&addresses[..addresses.len().min(DIALLED_MAX)], port).await?;
        io.set_nodelay(true).map_err(DialError::Connect)?;
        Ok(VettedStream { io: TokioIo::new(io), _slot: slot })
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

/// Vetted TCP as the service that hyper-rustls wraps.
#[derive(Clone)]
struct TcpConnector(Arc<Dialler>);

impl Service<Uri> for TcpConnector {
    type Response = VettedStream;
    type Error = DialError;
    type Future = BoxFuture<Result<VettedStream, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.0.clone();
        Box::pin(async move { dialler.dial(&uri).await })
    }
}

/// Vetted TCP, with TLS for `https`, within the time limit. What hyper's client connects by.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<TcpConnector>,
    connect_timeout: Duration,
}

impl Connector {
    /// Offers HTTP/2 and HTTP/1.1 over TLS. `tls` must not name protocols (ALPN) itself.
    pub(super) fn new(dialler: Dialler, tls: rustls::ClientConfig) -> Connector {
        let connect_timeout = dialler.connect_timeout;
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(TcpConnector(Arc::new(dialler)));
        Connector { inner, connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<VettedStream>;
    type Error = DialError;
    type Future = BoxFuture<Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let connect_timeout = self.connect_timeout;
        Box::pin(async move {
            match timeout(connect_timeout, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                // Whatever is not ours comes from TLS.
                Ok(Err(error)) => Err(error.downcast::<DialError>().map_or_else(DialError::Tls, |ours| *ours)),
                Err(_) => Err(DialError::Timeout),
            }
        })
    }
}

/// A connection whose address the guard let pass. Holds its slot until it is closed.
pub(super) struct VettedStream {
    io: TokioIo<TcpStream>,
    _slot: OwnedSemaphorePermit,
}

impl Connection for VettedStream {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl Read for VettedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for VettedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
