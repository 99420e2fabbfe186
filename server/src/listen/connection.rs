//! One connection: how it stands, and what ends it besides its peer.
//!
//! hyper limits the time for the head of an HTTP/1.1 request, and asks an HTTP/2 peer for signs of life. A peer that gives
//! those and asks for nothing, or that sends a head of HTTP/2 byte by byte, would stay for ever. So a connection without
//! a request in progress is told to end after the idle limit, and closed after as long again: what was answered last
//! must be read by then.

use super::door::Seat;
use super::places::Standing;
use hyper_util::server::graceful::GracefulConnection;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How a connection stands; its task and the listener share it.
#[derive(Debug)]
pub(super) struct Connection {
    /// The zero of the clock.
    epoch: Instant,
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
    pub(super) fn new(epoch: Instant) -> Connection {
        let now_ms = AtomicU64::new(ms_since(epoch));
        Connection { epoch, requests: AtomicU32::new(0), idle_since_ms: now_ms, task: OnceLock::new() }
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

/// Serves a connection until it ends, or is idle for `limit`, or the listener stops and its requests are answered.
pub(super) async fn serve<P: GracefulConnection>(
    protocol: P,
    seat: &Seat,
    mut stopping: watch::Receiver<()>,
    limit: Duration,
) -> Result<(), P::Error> {
    let connection = seat.connection();
    tokio::pin!(protocol);
    let timer = tokio::time::sleep(limit);
    tokio::pin!(timer);
    let (mut is_stopping, mut is_ending) = (false, false);
    loop {
        tokio::select! {
            biased;
            result = &mut protocol => return result,
            _ = stopping.changed(), if !is_stopping => {
                is_stopping = true;
                protocol.as_mut().graceful_shutdown();
            }
            () = &mut timer => {
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
                    seat.count_idle();
                    protocol.as_mut().graceful_shutdown();
                }
                timer.as_mut().reset(if is_over { Instant::now() + limit } else { next });
            }
        }
    }
}
