//! An HTTP listener: accepts connections within bounds and serves a router on each, until told to stop.
//!
//! HTTP/1.1 with keep-alive and HTTP/2 on one port. What is bounded: connections at once (more wait in the kernel's
//! backlog), the request head in bytes and in time, the request target, concurrent HTTP/2 streams, how long a peer may
//! leave an answer unread, and how long a stop waits. Deliberately not bounded here: request bodies and handlers, which are the router's.

mod patience;

use self::patience::Patience;
use crate::config::HttpBounds;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use model::metric;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// An HTTP/2 connection is asked for a sign of life this often, and closed when none comes for as long again.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long accepting pauses after the system refused a connection, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address whose connections are not accepted yet.
pub(crate) struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
    bounds: HttpBounds,
}

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address} for {name}: {source}")]
pub(crate) struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: io::Error,
}

// === impl Listener ===

impl Listener {
    /// Takes `address`; port 0 takes a free one. `name` is the listener's label in metrics and logs.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    pub(crate) async fn bind(
        name: &'static str,
        address: SocketAddr,
        bounds: HttpBounds,
    ) -> Result<Listener, BindError> {
        let failed = |source| BindError { name, address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        metrics::gauge!(metric::CONNECTIONS_LIMIT, "listener" => name).set(bounds.max_connections as f64);
        Ok(Listener { name, socket, address, bounds })
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop` resolves; then lets requests in flight finish, for `drain` at most.
    ///
    /// Returns whether all of them did.
    pub(crate) async fn serve(self, router: Router, stop: impl Future<Output = ()>, drain: Duration) -> bool {
        let connections = Arc::new(Semaphore::new(self.bounds.max_connections));
        let graceful = GracefulShutdown::new();
        let builder = builder(self.bounds);
        tokio::pin!(stop);
        loop {
            let (stream, permit) = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept(&connections) => accepted,
            };
            self.spawn_connection(stream, permit, &builder, router.clone(), &graceful);
        }
        drop(self.socket);
        tokio::time::timeout(drain, graceful.shutdown()).await.is_ok()
    }

    /// The next connection, as soon as there is room for one.
    async fn accept(&self, connections: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = Arc::clone(connections).acquire_owned().await else {
                // Nobody closes the semaphore.
                return std::future::pending().await;
            };
            match self.socket.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn_connection(
        &self,
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        builder: &auto::Builder<TokioExecutor>,
        router: Router,
        graceful: &GracefulShutdown,
    ) {
        // An answer is one write: waiting for more to send with it only delays it.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let max_url_bytes = self.bounds.max_url_bytes;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = if target_bytes(&request) > max_url_bytes {
                Err(url_too_long(max_url_bytes))
            } else {
                Ok(router.call(request))
            };
            async move {
                match answer {
                    Ok(handled) => handled.await,
                    Err(refused) => Ok::<Response, Infallible>(refused),
                }
            }
        });
        let io = Patience::new(TokioIo::new(stream), Duration::from_millis(self.bounds.header_read_timeout_ms));
        let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
        let name = self.name;
        tokio::spawn(async move {
            let open = metrics::gauge!(metric::CONNECTIONS, "listener" => name);
            metrics::counter!(metric::CONNECTIONS_ACCEPTED, "listener" => name).increment(1);
            open.increment(1.0);
            if let Err(error) = connection.await {
                tracing::debug!(listener = name, %error, "a connection ended early");
            }
            open.decrement(1.0);
            drop(permit);
        });
    }
}

/// The protocol settings of every connection.
fn builder(bounds: HttpBounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(bounds.header_read_timeout_ms))
        .max_buf_size(bounds.max_header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(bounds.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

fn target_bytes(request: &Request<Incoming>) -> usize {
    request.uri().path_and_query().map_or(0, |target| target.as_str().len())
}

/// 414 in the shape of every other error of the API.
fn url_too_long(max_url_bytes: usize) -> Response {
    let body =
        format!(r#"{{"code":"uri_too_long","detail":"The request target is longer than {max_url_bytes} bytes."}}"#);
    (StatusCode::URI_TOO_LONG, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

#[cfg(test)]
mod tests;
