//! Access to the writer for callers that have something to write, and the lock around the work that waits for it.
//!
//! One mutex around plain queues, held for a push or a swap and never across an await.

use super::change::{ChangeError, ChangeRequest};
use super::inbox::{Inbox, Refused, Request, Taken};
use super::ingest::{IngestError, IngestOutcome, Marked, NewMessage};
use super::replies;
use super::{Failure, REQUEST_MAX_BYTES, WriterConfig};
use crate::store::busy::Busy;
use crate::txn::{Txn, Wanted};
use model::{AppId, Settlement};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

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

    /// How long the step of the writer's thread lasts that runs now.
    #[must_use]
    pub fn step_lasts(&self) -> Duration {
        self.shared.busy.lasts()
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
        let messages = messages.into_iter().map(|message| Marked::new(app, message)).collect();
        self.push(Request::Ingest { app, messages, bytes, reply, queue: replies::here() }).map_err(|refused| {
            match refused {
                Refused::Busy => IngestError::Busy { retry_after_s: 1 },
                Refused::Closing => IngestError::ShuttingDown,
            }
        })?;
        match self.unless_failed(answer).await {
            Ok(outcome) => outcome,
            Err(reason) => Err(IngestError::Store(reason)),
        }
    }

    /// Runs a change on the writer thread. When this returns `Ok`, it is on the disk. It reads its rows one by one: one
    /// that reads many names them, see [`WriterHandle::change_wanting`].
    ///
    /// # Errors
    /// [`ChangeError::Rejected`] with the change's own error, in which case nothing was written; else as documented
    /// there.
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
        self.change_wanting(Wanted::default(), change).await
    }

    /// As [`WriterHandle::change`]. The rows of `wanted` are read together with those of all that shares the commit,
    /// before any of it runs: see [`Txn::fetch`].
    ///
    /// # Errors
    /// As for [`WriterHandle::change`].
    pub async fn change_wanting<T, E, F>(&self, wanted: Wanted, change: F) -> Result<T, ChangeError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let change = Box::new(ChangeRequest { change, reply });
        self.push(Request::Change { wanted, change }).map_err(|refused| match refused {
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

    /// An answer of the writer, or the reason why there will be none. A store that failed may hold the writer for ever.
    async fn unless_failed<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, String> {
        tokio::select! {
            biased;
            Ok(answer) = answer => Ok(answer),
            failure = self.failure() => Err(failure.to_string()),
        }
    }

    /// Hands settlements over; never blocks, never refuses. Answers `true` if more work may be started. If not,
    /// [`super::Downstream::settlements_taken`] follows, unless the writer has ended. It then drops the settlements,
    /// and their deliveries are owed again after the next start.
    pub fn settle(&self, settlements: &mut Vec<Settlement>) -> bool {
        let mut inbox = self.lock();
        let room = inbox.settle(settlements, &self.shared.config);
        self.wake(&mut inbox);
        room
    }

    /// A number that changes with every commit that creates, changes or deletes an application, before anyone is told.
    ///
    /// Rows of applications that were read after a call hold while the number is the same.
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

    /// The reason why nothing more is taken, if that came by a failure. The first failure counts.
    #[must_use]
    pub fn failed(&self) -> Option<Failure> {
        self.shared.failure.borrow().clone()
    }

    /// True if anything waits for a commit.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Requests that wait, with the bytes of their payloads, and settled deliveries that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize, usize) {
        self.lock().waiting()
    }

    /// Waits for work and takes all of it, up to the bound of a commit. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Taken> {
        // Threads that are about to hand something in go first. On a busy machine more requests then share the commit,
        // which costs far more than they do. On an idle machine this returns at once.
        std::thread::yield_now();
        let mut inbox = self.lock();
        while inbox.is_empty() {
            if inbox.closing {
                inbox.ended = true;
                return None;
            }
            inbox.writer_waits = true;
            inbox = self.shared.ready.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.writer_waits = false;
        Some(inbox.take(&self.shared.config))
    }

    /// As [`WriterHandle::take`] without waiting: `None` also when there is nothing.
    pub(super) fn try_take(&self) -> Option<Taken> {
        let mut inbox = self.lock();
        (!inbox.is_empty()).then(|| inbox.take(&self.shared.config))
    }

    /// Puts requests that did not fit the commit back in front.
    pub(super) fn put_back(&self, requests: VecDeque<Request>) {
        self.lock().put_back(requests);
    }

    /// Ends everything: the reply of each waiting caller is dropped, and the caller then waits for this reason.
    pub fn fail(&self, failure: Failure) {
        // In this order: a caller that knows the reason finds that nothing is taken any more.
        self.closed();
        self.shared.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    pub(super) fn closed(&self) {
        self.lock().end();
    }

    fn push(&self, request: Request) -> Result<(), Refused> {
        let mut inbox = self.lock();
        inbox.push(request, &self.shared.config)?;
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
