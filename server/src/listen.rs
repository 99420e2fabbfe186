//! An HTTP listener: accepts connections within bounds and answers requests by a service, until told to stop.
//!
//! HTTP/1.1 with keep-alive and HTTP/2 on one port, in plain text or, with a certificate, over TLS only. Bounds:
//!
//! - connections at once: when there are more, the idle ones of the address that has most make room. A connection in
//!   its handshake is idle;
//! - the time of the handshake;
//! - the bytes and the time of the request head, and the time without a request;
//! - the request target, and concurrent HTTP/2 streams;
//! - the time that a peer may leave an answer unread, and the rest of a body that is read after the answer;
//! - the time that a stop waits.
//!
//! Not bounded here: request bodies and handlers, which are the service's.

mod admission;
mod connection;
mod handshake;
mod places;
mod reload;
mod request_id;
mod serve;
mod timed_io;
mod tls;
mod unread;
mod wrong_keys;

pub(crate) use self::reload::{Certificate, Reloader, first as first_certificate};
pub(crate) use self::tls::{TlsError, TlsFiles};

use self::admission::{Admission, Permit};
use self::request_id::X_REQUEST_ID;
use self::timed_io::TimedIo;
use self::unread::{Unread, Watched};
use crate::api_threads::ApiThreads;
use crate::config::HttpBounds;
use admin_api::{Lasting, LogLine};
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use model::metric;
use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// An HTTP/2 connection is asked for a sign of life this often, and closed when none comes for as long again.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Pause of accepting after the system refused a connection, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address whose connections are not accepted yet.
pub(crate) struct Listener {
    name: &'static str,
    socket: TcpListener,
    address: SocketAddr,
    bounds: HttpBounds,
    certificate: Option<Certificate>,
    threads: Option<ApiThreads>,
}

/// A connection that has a place.
struct Accepted {
    stream: TcpStream,
    permit: Permit,
}

/// Answers requests; each connection has a clone.
pub(crate) trait Handler:
    Service<Request<Watched>, Response = Response, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
}

impl<H> Handler for H where
    H: Service<Request<Watched>, Response = Response, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
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
        Ok(Listener { name, socket, address, bounds, certificate: None, threads: None })
    }

    /// Speaks TLS only, if there is a certificate.
    pub(crate) fn with_certificate(self, certificate: Option<Certificate>) -> Listener {
        Listener { certificate, ..self }
    }

    /// Serves connections on these threads, and not on those of the runtime that accepts them.
    pub(crate) fn on_threads(self, threads: ApiThreads) -> Listener {
        Listener { threads: Some(threads), ..self }
    }

    /// The address that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers by `handler` until `stop` resolves; then lets requests in flight finish, for `drain` at most.
    ///
    /// Returns true if all of them did.
    pub(crate) async fn serve<S>(self, handler: S, stop: impl Future<Output = ()>, drain: Duration) -> bool
    where
        TowerToHyperService<S>: Handler,
    {
        let handler = TowerToHyperService::new(handler);
        let admission = Arc::new(Admission::new(self.name, self.bounds.max_connections));
        let (stopping, _) = watch::channel(());
        let builder = builder(self.bounds);
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.accept(&admission) => accepted,
            };
            let service = service(&accepted.permit, self.bounds, handler.clone());
            self.spawn_connection(accepted, &builder, service, stopping.subscribe());
        }
        drop(self.socket);
        stopping.send_replace(());
        tokio::time::timeout(drain, stopping.closed()).await.is_ok()
    }

    /// The next connection that there is a place for. Never waits for a place: one is made, or the client refused.
    async fn accept(&self, admission: &Arc<Admission>) -> Accepted {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    if let Some(permit) = admission.admit(peer) {
                        return Accepted { stream, permit };
                    }
                }
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "could not accept a connection");
                    // For want of descriptors, say: then an idle connection has one.
                    admission.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn_connection<S>(
        &self,
        accepted: Accepted,
        builder: &auto::Builder<TokioExecutor>,
        service: S,
        stopping: watch::Receiver<()>,
    ) where
        S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        let Accepted { stream, permit } = accepted;
        // An answer is one write: waiting for more to send with it only delays it.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let connection = Arc::clone(permit.connection());
        let limit = Duration::from_millis(self.bounds.header_read_timeout_ms);
        let (name, builder, certificate) = (self.name, builder.clone(), self.certificate.clone());
        let serve = async move |stream, mut stopping| match certificate.map(|certificate| certificate.acceptor()) {
            None => {
                let io = TimedIo::new(TokioIo::new(stream), limit);
                let protocol = builder.serve_connection(io, service).into_owned();
                run(name, protocol, permit, stopping, limit).await;
            }
            Some(acceptor) => match handshake::accept(acceptor, stream, &mut stopping, limit).await {
                Ok(stream) => {
                    let io = TimedIo::new(TokioIo::new(stream), limit);
                    let protocol = builder.serve_connection(io, service).into_owned();
                    run(name, protocol, permit, stopping, limit).await;
                }
                Err(ended) => {
                    if ended.is_late() {
                        permit.count_idle();
                    }
                    tracing::debug!(listener = name, error = %ended, "a handshake failed");
                }
            },
        };
        let task = match &self.threads {
            None => Some(tokio::spawn(serve(stream, stopping)).abort_handle()),
            // Each runtime watches its own sockets.
            Some(threads) => stream.into_std().ok().and_then(|stream| {
                threads.spawn(async move {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        serve(stream, stopping).await;
                    }
                })
            }),
        };
        if let Some(task) = task {
            connection.is_run_by(task);
        }
    }
}

/// Serves a connection and keeps its place until it ends.
async fn run<P: GracefulConnection>(
    name: &'static str,
    protocol: P,
    permit: Permit,
    stopping: watch::Receiver<()>,
    limit: Duration,
) where
    P::Error: Display,
{
    if let Err(error) = serve::serve(protocol, &permit, stopping, limit).await {
        tracing::debug!(listener = name, %error, "a connection ended early");
    }
}

/// The time of a listener's clock: milliseconds since its `epoch`.
fn ms_since(epoch: tokio::time::Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The service that answers the requests of one connection.
fn service<H: Handler>(
    permit: &Permit,
    bounds: HttpBounds,
    handler: H,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Send + use<H> {
    let (connection, unread) = (Arc::clone(permit.connection()), Arc::new(Unread::default()));
    service_fn(move |request: Request<Incoming>| {
        let (in_progress, unread) = (connection.begin(), Arc::clone(&unread));
        let mut request = request.map(|body| unread.watch(body));
        let id = connection.request_id(request.headers());
        request.extensions_mut().insert(connection.arrival(&id));
        let answer = match refused(&request, bounds) {
            Some(refused) => Err(refused),
            None => Ok(handler.call(request)),
        };
        async move {
            let mut response = match answer {
                Ok(handled) => handled.await?,
                Err(refused) => refused,
            };
            if response.status() == StatusCode::UNAUTHORIZED {
                in_progress.note_wrong_key(&id);
            }
            // An answer that lasts is in progress until its body has ended; any other is on its way now.
            if response.extensions().get::<Lasting>().is_some() {
                let held = move |frame| {
                    let _until_dropped = &in_progress;
                    frame
                };
                response = response.map(|body| Body::new(body.map_frame(held)));
            } else {
                drop(in_progress);
            }
            if let Some(line) = response.extensions().get::<LogLine>() {
                line.log(&id);
            }
            response.headers_mut().insert(X_REQUEST_ID, id);
            unread.read_on();
            Ok::<Response, Infallible>(response)
        }
    })
}

/// The answer to a request that no handler is to see.
fn refused(request: &Request<Watched>, bounds: HttpBounds) -> Option<Response> {
    if target_bytes(request) > bounds.max_url_bytes {
        return Some(url_too_long(bounds.max_url_bytes));
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    let is_plain = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if is_plain { None } else { Some(unclear_length()) }
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

fn target_bytes(request: &Request<Watched>) -> usize {
    request.uri().path_and_query().map_or(0, |target| target.as_str().len())
}

/// 400: proxies before us may see another end of such a body, and take the rest of it for a request (RFC 9112, 11.2).
/// The connection ends with it.
fn unclear_length() -> Response {
    let body = r#"{"code":"bad_request","detail":"Transfer-Encoding must be sent once, as chunked."}"#;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CONNECTION, "close")];
    (StatusCode::BAD_REQUEST, headers, Body::from(body)).into_response()
}

/// 414 in the shape of every other error of the API.
fn url_too_long(max_url_bytes: usize) -> Response {
    let body =
        format!(r#"{{"code":"uri_too_long","detail":"The request target is longer than {max_url_bytes} bytes."}}"#);
    (StatusCode::URI_TOO_LONG, [(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

#[cfg(test)]
mod tests;
