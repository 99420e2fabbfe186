//! The state of one connection, which its task and the listener share.

use super::ms_since;
use super::places::Standing;
use super::request_id::RequestIds;
use super::wrong_keys::WrongKeys;
use admin_api::Arrival;
use http::{HeaderMap, HeaderValue};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// One connection.
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

    /// The last answer, or the beginning, of a connection without a request in progress.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle_since_ms().map(|since_ms| self.epoch + Duration::from_millis(since_ms))
    }

    /// The arrival of a request on it, for the record of what the request changes.
    pub(super) fn arrival(&self, request_id: &HeaderValue) -> Arrival {
        Arrival { peer: self.peer.ip(), request_id: request_id.clone() }
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
