//! The customers' side: an HTTP server on a loopback port that plays every endpoint, checks every signature and records
//! every request.
//!
//! Like a customer, it knows a URL and a secret and nothing else of the engine.

use super::ledger::{Ledger, Receipt};
use super::scene::{self, Manner, ROLES};
use super::signature::{self, Signed};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A larger webhook is none of ours.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Connections at once.
const MAX_CONNECTIONS: usize = 2_048;

/// The ledger that everyone writes to, held for moments only.
#[derive(Clone, Debug)]
pub(super) struct Book(Arc<Mutex<Ledger>>);

/// The signing key of each path.
pub(super) type Keys = HashMap<&'static str, Vec<u8>>;

/// The state of the receiver.
struct Receiver {
    book: Book,
    /// The signing key of each path.
    keys: OnceLock<Keys>,
    /// The first push: phases count from here.
    started: OnceLock<Instant>,
}

/// A handle on the running receiver.
pub(super) struct Handle {
    /// The address that it listens on.
    pub(super) address: SocketAddr,
    receiver: Arc<Receiver>,
    task: JoinHandle<()>,
}

// === impl Book ===

impl Book {
    pub(super) fn new() -> Book {
        Book(Arc::new(Mutex::new(Ledger::new())))
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Handle ===

impl Handle {
    /// Tells the receiver the secrets that the endpoints were given.
    pub(super) fn set_keys(&self, keys: Keys) {
        self.receiver.keys.get_or_init(|| keys);
    }

    /// The play begins.
    pub(super) fn begin(&self, at: Instant) {
        self.receiver.started.get_or_init(|| at);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts listening on a free port.
///
/// # Errors
/// When there is none.
pub(super) async fn start(book: Book) -> io::Result<Handle> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    let receiver = Arc::new(Receiver { book, keys: OnceLock::new(), started: OnceLock::new() });
    let task = tokio::spawn(accept(listener, Arc::clone(&receiver)));
    Ok(Handle { address, receiver, task })
}

async fn accept(listener: TcpListener, receiver: Arc<Receiver>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&connections).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let receiver = Arc::clone(&receiver);
                // An error makes the server hang up.
                async move {
                    receiver.answer(request).await.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
                }
            });
            // A connection that ends early is the sender's business.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
            drop(permit);
        });
    }
}

// === impl Receiver ===

impl Receiver {
    /// `None` hangs up.
    async fn answer(&self, request: Request<Incoming>) -> Option<Response<Empty<Bytes>>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().trim_start_matches('/');
        let Some((index, by_backup)) = scene::owner(path) else {
            return Some(with_status(StatusCode::NOT_FOUND));
        };
        let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
            return Some(with_status(StatusCode::PAYLOAD_TOO_LARGE));
        };
        let received_at = since_epoch();
        let is_signed = self.is_signed(path, &head.headers, &body.to_bytes(), received_at.as_secs());
        let role = &ROLES[index];
        let elapsed = self.started.get().map(Instant::elapsed).unwrap_or_default();
        let status = {
            let mut book = self.book.open();
            // A backup is as healthy as can be.
            let status = if by_backup { Some(200) } else { role.status(elapsed, book.progress(index).requests) };
            book.receive(
                index,
                Receipt {
                    message_id: header(&head.headers, "webhook-id"),
                    by_backup,
                    success: status == Some(200),
                    is_signed,
                    at_ms: in_ms(received_at),
                },
            );
            status
        };
        if let Manner::Slow(pause) = role.manner {
            tokio::time::sleep(pause).await;
        }
        status.map(|status| with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::OK)))
    }

    fn is_signed(&self, path: &str, headers: &HeaderMap, body: &[u8], now_s: u64) -> bool {
        let Some(key) = self.keys.get().and_then(|keys| keys.get(path)) else { return false };
        let signed = Signed {
            id: header(headers, "webhook-id"),
            timestamp: header(headers, "webhook-timestamp"),
            signatures: header(headers, "webhook-signature"),
            body,
        };
        signature::is_valid(key, signed, now_s)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn with_status(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// The present, on the clock of the receipts.
pub(super) fn now_ms() -> u64 {
    in_ms(since_epoch())
}

fn in_ms(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
