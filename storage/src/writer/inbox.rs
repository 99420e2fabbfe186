//! What waits for the writer: requests with someone waiting, and settlements with nobody.
//!
//! One mutex around plain queues, held for a push or a swap and never across an await. Requests are bounded by count
//! and bytes and refused beyond, where a single one may pass the queue's bytes but never [`REQUEST_MAX_BYTES`]; what is
//! being committed counts no more. A change counts as one request of no bytes: what it writes is bounded when it runs.
//! Settlements must not be refused, so their producers are bounded instead: a shard asks [`WriterHandle::settle`] whether
//! it may start more work.
//!
//! Deliberately no fairness between tenants: one commit takes all there is, up to its bound, in order of arrival.

use super::busy::Busy;
use super::ingest::{Ingest, IngestError, IngestOutcome, Marked, NewMessage};
use super::{Failure, WriterConfig};
use crate::store::StoreError;
use crate::txn::{Change, Txn};
use model::{AppId, Event, Settlement, UnixMs};
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Bytes of payloads in one commit, beyond its first request: below the size of a segment of the store underneath.
const COMMIT_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of messages in one request, and of rows that one change writes: what is over is refused. With the other bounds
/// it keeps a commit far below the largest batch.
pub const REQUEST_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of rows that changes write in one commit, beyond the first: the requests after them wait for the next one.
pub(super) const COMMIT_MAX_CHANGED_BYTES: usize = 4 * 1024 * 1024;

/// Settled deliveries in one commit, beyond its first settlement. A report counts as one more: it may hold none.
const COMMIT_MAX_SETTLED: usize = 4 * 1024;

/// Bytes of responses in one commit, beyond its first settlement.
const COMMIT_MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// What [`WriterConfig::settled_high_water`] is but for tests and simulations.
pub const SETTLED_HIGH_WATER: usize = 16 * 1024;

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself said no; nothing was written.
    #[error("{0}")]
    Rejected(E),
    /// It would write more than the store takes; nothing was written.
    #[error("the change was refused: {0}")]
    Refused(StoreError),
    /// Too many requests wait; try again.
    #[error("too many requests are waiting for the store")]
    Busy,
    /// The store failed or the process is stopping; or the change itself panicked, and nothing was written.
    #[error("the store takes no more writes: {0}")]
    Unavailable(String),
}

/// Access to the writer; cheap to clone.
#[derive(Clone)]
pub struct WriterHandle {
    shared: Arc<Shared>,
}

struct Shared {
    config: WriterConfig,
    inbox: Mutex<Inbox>,
    ready: Condvar,
    failure: watch::Sender<Option<Failure>>,
    applications_version: AtomicU64,
    busy: Busy,
}

#[derive(Default)]
struct Inbox {
    requests: VecDeque<Request>,
    request_bytes: usize,
    settlements: Vec<Settlement>,
    settled_count: usize,
    settlements_were_full: bool,
    writer_waits: bool,
    closing: bool,
    ended: bool,
}

impl Inbox {
    fn take_requests(&mut self, max_events: usize) -> VecDeque<Request> {
        let mut requests = VecDeque::with_capacity(self.requests.len());
        let (mut events, mut bytes) = (0, 0);
        while let Some(request) = self.requests.front() {
            events += request.events();
            bytes += request.bytes();
            if !requests.is_empty() && (events > max_events || bytes > COMMIT_MAX_BYTES) {
                break;
            }
            self.request_bytes -= request.bytes();
            requests.extend(self.requests.pop_front());
        }
        requests
    }

    fn take_settlements(&mut self) -> Vec<Settlement> {
        let (mut taken, mut settled, mut bytes) = (0, 0, 0);
        for settlement in &self.settlements {
            let count = count(settlement);
            bytes += response_bytes(settlement);
            if taken > 0 && (settled + count > COMMIT_MAX_SETTLED || bytes > COMMIT_MAX_RESPONSE_BYTES) {
                break;
            }
            settled += count;
            taken += 1;
        }
        self.settled_count -= settled;
        if taken == self.settlements.len() {
            return std::mem::take(&mut self.settlements);
        }
        self.settlements.drain(..taken).collect()
    }
}

/// What a settlement counts for in the bounds above.
fn count(settlement: &Settlement) -> usize {
    1 + settlement.settled.len()
}

fn response_bytes(settlement: &Settlement) -> usize {
    let records = settlement.settled.iter().filter_map(|settled| settled.record.as_ref());
    records.map(|record| record.response.len()).sum()
}

/// What the writer took in one go.
pub(super) struct Taken {
    pub(super) requests: VecDeque<Request>,
    pub(super) settlements: Vec<Settlement>,
    /// A shard was told to hold back and may go on.
    pub(super) settlements_were_full: bool,
}

/// Work that someone waits for.
pub(super) enum Request {
    Ingest {
        app: AppId,
        messages: Vec<Marked>,
        bytes: usize,
        reply: oneshot::Sender<Result<Vec<IngestOutcome>, IngestError>>,
    },
    Change(Box<dyn RunChange>),
}

/// An answer that is sent once the commit is durable. Dropped unsent when it fails: the waiter sees that.
pub(super) enum Waiting {
    Ingest(oneshot::Sender<Result<Vec<IngestOutcome>, IngestError>>, Result<Vec<IngestOutcome>, IngestError>),
    Change(Box<dyn FnOnce() + Send>),
}

impl Waiting {
    pub(super) fn answer(self) {
        match self {
            // A requester that went away does not undo its request.
            Waiting::Ingest(reply, outcome) => drop(reply.send(outcome)),
            Waiting::Change(answer) => answer(),
        }
    }
}

impl Request {
    fn bytes(&self) -> usize {
        if let Request::Ingest { bytes, .. } = self { *bytes } else { 0 }
    }

    fn events(&self) -> usize {
        if let Request::Ingest { messages, .. } = self { messages.len() } else { 0 }
    }

    /// Collects this request's writes.
    pub(super) fn run(
        self,
        txn: &mut Txn<'_>,
        ingest: &mut Ingest,
        now: UnixMs,
        events: &mut Vec<Event>,
    ) -> Result<Waiting, StoreError> {
        match self {
            Request::Ingest { app, messages, reply, .. } => {
                let outcome = ingest.take_in(txn, app, messages, now, events)?;
                Ok(Waiting::Ingest(reply, outcome))
            }
            Request::Change(change) => {
                let told = txn.changes().len();
                let answer = change.run(txn);
                for change in &txn.changes()[told..] {
                    // Messages for it that come later in this very commit are refused.
                    if let Change::ApplicationDeleted(app) = change {
                        ingest.forget(*app);
                    }
                }
                Ok(Waiting::Change(answer))
            }
        }
    }
}

/// A change with its reply, its types erased.
pub(super) trait RunChange: Send {
    fn run(self: Box<Self>, txn: &mut Txn<'_>) -> Box<dyn FnOnce() + Send>;
}

struct ChangeRequest<F, T, E> {
    change: F,
    reply: oneshot::Sender<Result<T, ChangeError<E>>>,
}

impl<F, T, E> RunChange for ChangeRequest<F, T, E>
where
    F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    fn run(self: Box<Self>, txn: &mut Txn<'_>) -> Box<dyn FnOnce() + Send> {
        let ChangeRequest { change, reply } = *self;
        let mut nested = txn.nested();
        // What it leaves in disorder is its own: it owns all that it captured, and what it collected is dropped.
        let run = panic::catch_unwind(AssertUnwindSafe(|| change(&mut nested)));
        let result = match run {
            Ok(Ok(value)) => check_size(&nested).map(|()| value).map_err(ChangeError::Refused),
            Ok(Err(rejected)) => Err(ChangeError::Rejected(rejected)),
            Err(_) => Err(ChangeError::Unavailable("the change panicked; nothing of it was written".to_owned())),
        };
        if result.is_ok() {
            let collected = nested.into_parts();
            txn.merge(collected);
        }
        Box::new(move || drop(reply.send(result)))
    }
}

/// A refusal of the store would fail all that share the commit, so it is found here.
fn check_size(txn: &Txn<'_>) -> Result<(), StoreError> {
    if txn.bytes() > REQUEST_MAX_BYTES {
        return Err(StoreError::BatchTooLarge { bytes: txn.bytes() });
    }
    txn.check_limits()
}

// === impl WriterHandle ===

impl WriterHandle {
    pub(super) fn new(config: WriterConfig) -> WriterHandle {
        let shared = Shared {
            config,
            inbox: Mutex::new(Inbox::default()),
            ready: Condvar::new(),
            failure: watch::Sender::new(None),
            applications_version: AtomicU64::new(0),
            busy: Busy::new(),
        };
        WriterHandle { shared: Arc::new(shared) }
    }

    /// The longest step of the writer's thread since the last call, the one that lasts now included.
    #[must_use]
    pub fn take_longest_step(&self) -> Duration {
        self.shared.busy.take_longest()
    }

    /// Times a step of the writer's.
    pub(super) fn during<T>(&self, step: impl FnOnce() -> T) -> T {
        self.shared.busy.during(step)
    }

    /// Takes messages in. When this returns, each accepted one is on the disk.
    ///
    /// # Errors
    /// [`IngestError::Busy`] and [`IngestError::TooLarge`] at once; the others when the store failed or is closing.
    ///
    /// # Cancel safety
    /// A dropped future leaves the messages in line: they may be accepted without anyone being told.
    pub async fn ingest(&self, app: AppId, messages: Vec<NewMessage>) -> Result<Vec<IngestOutcome>, IngestError> {
        let bytes = messages.iter().map(NewMessage::bytes).sum();
        if bytes > REQUEST_MAX_BYTES || !messages.iter().all(NewMessage::fits_a_block) {
            return Err(IngestError::TooLarge);
        }
        let (reply, answer) = oneshot::channel();
        let messages = messages.into_iter().map(Marked::from).collect();
        self.push(Request::Ingest { app, messages, bytes, reply }).map_err(|refused| match refused {
            Refused::Busy => IngestError::Busy { retry_after_s: 1 },
            Refused::Closing => IngestError::ShuttingDown,
        })?;
        match self.unless_failed(answer).await {
            Ok(outcome) => outcome,
            Err(reason) => Err(IngestError::Store(reason)),
        }
    }

    /// Runs a change on the writer thread. When this returns `Ok`, it is on the disk.
    ///
    /// # Errors
    /// [`ChangeError::Rejected`] with what the change said, in which case nothing was written; else as documented there.
    ///
    /// # Panics
    /// Never. A change that panics is undone and answered as [`ChangeError::Unavailable`]; those that share its commit
    /// do not notice.
    pub async fn change<T, E, F>(&self, change: F) -> Result<T, ChangeError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.push(Request::Change(Box::new(ChangeRequest { change, reply }))).map_err(|refused| match refused {
            Refused::Busy => ChangeError::Busy,
            Refused::Closing => ChangeError::Unavailable(
                self.failed().map_or_else(|| "stopping".to_owned(), |failure| failure.to_string()),
            ),
        })?;
        match self.unless_failed(answer).await {
            Ok(result) => result,
            Err(reason) => Err(ChangeError::Unavailable(reason)),
        }
    }

    /// An answer of the writer, or why there will be none. A store that failed may hold the writer for ever.
    async fn unless_failed<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, String> {
        tokio::select! {
            biased;
            Ok(answer) = answer => Ok(answer),
            failure = self.failure() => Err(failure.to_string()),
        }
    }

    /// Hands settlements over; never blocks, never refuses. Answers whether more work may be started; if not,
    /// [`super::Downstream::settlements_taken`] follows, unless the writer has ended: it then drops them, and all that they
    /// are about is owed again after the next start.
    pub fn settle(&self, settlements: &mut Vec<Settlement>) -> bool {
        let mut inbox = self.lock();
        if inbox.ended {
            settlements.clear();
            return false;
        }
        inbox.settled_count += settlements.iter().map(count).sum::<usize>();
        inbox.settlements.append(settlements);
        let room = inbox.settled_count < self.shared.config.settled_high_water;
        inbox.settlements_were_full |= !room;
        self.wake(&mut inbox);
        room
    }

    /// Changes with every commit that creates, changes or deletes an application, before anyone is told of it. What was
    /// read of applications after this was asked holds while the answer is the same.
    #[must_use]
    pub fn applications_version(&self) -> u64 {
        self.shared.applications_version.load(Ordering::Acquire)
    }

    pub(super) fn applications_changed(&self) {
        self.shared.applications_version.fetch_add(1, Ordering::Release);
    }

    /// Takes no more requests; the thread ends once everything taken in is durable.
    pub fn close(&self) {
        let mut inbox = self.lock();
        inbox.closing = true;
        inbox.writer_waits = true;
        self.wake(&mut inbox);
    }

    /// Resolves when the store fails or was taken over. Never resolves while all is well.
    pub async fn failure(&self) -> Failure {
        let mut watch = self.shared.failure.subscribe();
        loop {
            if let Some(failure) = watch.borrow_and_update().clone() {
                return failure;
            }
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why nothing more is taken, if that came by a failure. The first one counts.
    #[must_use]
    pub fn failed(&self) -> Option<Failure> {
        self.shared.failure.borrow().clone()
    }

    /// Whether anything waits for a commit.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let inbox = self.lock();
        !inbox.requests.is_empty() || !inbox.settlements.is_empty()
    }

    /// Requests that wait, with the bytes of their payloads, and settled deliveries that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize, usize) {
        let inbox = self.lock();
        (inbox.requests.len(), inbox.request_bytes, inbox.settled_count)
    }

    /// Waits for work and takes all of it, up to the bound of a commit. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Taken> {
        // Whoever is about to hand something in goes first. On a busy machine more requests share the commit then, which
        // costs far more than they do; on an idle one this returns at once.
        std::thread::yield_now();
        let mut inbox = self.lock();
        while inbox.requests.is_empty() && inbox.settlements.is_empty() {
            if inbox.closing {
                inbox.ended = true;
                return None;
            }
            inbox.writer_waits = true;
            inbox = self.shared.ready.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.writer_waits = false;
        Some(self.take_from(&mut inbox))
    }

    /// The same without waiting: `None` also when there is nothing.
    pub(super) fn try_take(&self) -> Option<Taken> {
        let mut inbox = self.lock();
        let empty = inbox.requests.is_empty() && inbox.settlements.is_empty();
        (!empty).then(|| self.take_from(&mut inbox))
    }

    fn take_from(&self, inbox: &mut Inbox) -> Taken {
        let requests = inbox.take_requests(self.shared.config.commit_max_events);
        let settlements = inbox.take_settlements();
        // As soon as there is room, not once all is taken: while other shards keep some in line, that may never be.
        let room = inbox.settled_count < self.shared.config.settled_high_water;
        let settlements_were_full = room && std::mem::take(&mut inbox.settlements_were_full);
        Taken { requests, settlements, settlements_were_full }
    }

    /// Puts requests that did not fit the commit back in front.
    pub(super) fn put_back(&self, requests: VecDeque<Request>) {
        let mut inbox = self.lock();
        for request in requests.into_iter().rev() {
            inbox.request_bytes += request.bytes();
            inbox.requests.push_front(request);
        }
    }

    /// Ends everything: who waits is told by its reply being dropped, and then waits for this reason.
    pub fn fail(&self, failure: Failure) {
        // In this order: who knows the reason finds that nothing is taken any more.
        self.closed();
        self.shared.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    pub(super) fn closed(&self) {
        let mut inbox = self.lock();
        inbox.closing = true;
        inbox.ended = true;
        inbox.requests.clear();
        inbox.settlements.clear();
    }

    fn push(&self, request: Request) -> Result<(), Refused> {
        let mut inbox = self.lock();
        if inbox.closing {
            return Err(Refused::Closing);
        }
        let bytes = inbox.request_bytes + request.bytes();
        let full = inbox.requests.len() >= self.shared.config.queue_capacity;
        if full || (bytes > self.shared.config.queue_bytes && !inbox.requests.is_empty()) {
            return Err(Refused::Busy);
        }
        inbox.request_bytes = bytes;
        inbox.requests.push_back(request);
        self.wake(&mut inbox);
        Ok(())
    }

    fn wake(&self, inbox: &mut MutexGuard<'_, Inbox>) {
        if std::mem::take(&mut inbox.writer_waits) {
            self.shared.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nothing panics while it is held; if something did, the queues are still whole.
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Refused {
    Busy,
    Closing,
}
