//! One connection: how it stands, and what ends it besides its peer.
//!
//! hyper limits the time for the head of an HTTP/1.1 request, and asks an HTTP/2 peer for signs of life. A peer that gives
//! those and asks for nothing, or that sends a head of HTTP/2 byte by byte, would stay for ever. So a connection without
//! a request in progress is told to end after the idle limit, and closed after as long again: what was answered last
//! must be read by then.

use super::admission::Permit;
use super::places::Standing;
use super::request_id::RequestIds;
use super::wrong_keys::WrongKeys;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use hyper_util::server::graceful::GracefulConnection;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

/// How a connection stands; its task and the listener share it.
#[derive(Debug)]
pub(super) struct Connection {
    /// The zero of the clock.
    epoch: Instant,
    peer: SocketAddr,
    /// Of the listener. Here, because a request has the connection anyway: a count that all requests share is slower.
    wrong_keys: Arc<WrongKeys>,
    request_ids: RequestIds,
    /// Requests in progress.
    requests: AtomicU32,
    /// When the last of them was answered.
    idle_since_ms: AtomicU64,
    task: OnceLock<AbortHandle>,
}

/// A request in progress.
#[derive(Debug)]
pub(super) struct InProgress(Arc<Connection>);

// === impl Connection ===

impl Connection {
    /// One that was just accepted.
    pub(super) fn new(
        epoch: Instant,
        peer: SocketAddr,
        wrong_keys: Arc<WrongKeys>,
        request_ids: RequestIds,
    ) -> Connection {
        let now_ms = AtomicU64::new(ms_since(epoch));
        let (requests, task) = (AtomicU32::new(0), OnceLock::new());
        Connection { epoch, peer, wrong_keys, request_ids, requests, idle_since_ms: now_ms, task }
    }

    /// The id of the next request, which has these headers.
    pub(super) fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        self.request_ids.take_or_make(headers)
    }

    /// Tells which task [`Connection::close`] is to end.
    pub(super) fn is_run_by(&self, task: AbortHandle) {
        // It is told once.
        let _same = self.task.set(task);
    }

    /// Closes it now.
    pub(super) fn close(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// From now until the value is dropped a request is in progress.
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        self.requests.fetch_add(1, Ordering::AcqRel);
        InProgress(Arc::clone(self))
    }
}

// === impl InProgress ===

impl InProgress {
    /// It came without a key that is known.
    pub(super) fn note_wrong_key(&self, request_id: &HeaderValue) {
        self.0.wrong_keys.note(self.0.peer, request_id);
    }
}

impl Standing for Connection {
    fn idle_since_ms(&self) -> Option<u64> {
        let is_idle = self.requests.load(Ordering::Acquire) == 0;
        is_idle.then(|| self.idle_since_ms.load(Ordering::Acquire))
    }
}

impl Standing for Arc<Connection> {
    fn idle_since_ms(&self) -> Option<u64> {
        (**self).idle_since_ms()
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.idle_since_ms.store(ms_since(self.0.epoch), Ordering::Release);
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time of the listener's clock.
pub(super) fn ms_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The two things that end a connection from outside.
struct Outside {
    stopping: watch::Receiver<()>,
    is_stopping: bool,
    timer: Pin<Box<Sleep>>,
}

/// One of them.
enum Call {
    /// The listener stops.
    Stop,
    /// It is time to look how long the connection has been idle.
    Look,
}

impl Outside {
    async fn next(mut self) -> (Outside, Call) {
        let call = tokio::select! {
            _ = self.stopping.changed(), if !self.is_stopping => Call::Stop,
            () = &mut self.timer => Call::Look,
        };
        self.is_stopping |= matches!(call, Call::Stop);
        (self, call)
    }
}

/// Serves a connection until it ends, or is idle for `limit`, or the listener stops and its requests are answered.
pub(super) async fn serve<P: GracefulConnection>(
    protocol: P,
    permit: &Permit,
    stopping: watch::Receiver<()>,
    limit: Duration,
) -> Result<(), P::Error> {
    let connection = permit.connection();
    tokio::pin!(protocol);
    let outside = Outside { stopping, is_stopping: false, timer: Box::pin(tokio::time::sleep(limit)) };
    // A set of one: its member is asked only when it was woken itself. Each request wakes this task several times, and a
    // timer and a channel that are asked each time are a noticeable part of what a request costs.
    let mut calls: FuturesUnordered<_> = std::iter::once(outside.next()).collect();
    let mut is_ending = false;
    loop {
        let (mut outside, call) = tokio::select! {
            biased;
            result = &mut protocol => return result,
            Some(called) = calls.next() => called,
        };
        match call {
            Call::Stop => protocol.as_mut().graceful_shutdown(),
            Call::Look => {
                let next = match connection.idle_since_ms() {
                    None => Instant::now() + limit,
                    Some(since_ms) => connection.epoch + Duration::from_millis(since_ms) + limit,
                };
                let is_over = next <= Instant::now();
                if is_over && is_ending {
                    return Ok(());
                }
                if is_over {
                    is_ending = true;
                    permit.count_idle();
                    protocol.as_mut().graceful_shutdown();
                }
                outside.timer.as_mut().reset(if is_over { Instant::now() + limit } else { next });
            }
        }
        calls.push(outside.next());
    }
}
