//! A partition: one store with its writer and router, its lanes on the node's shard threads, its background work. It is
//! the unit that can move to another machine.
//!
//! - *Who owns the state:* the writer's thread changes the store; everything else is a cache of it.
//! - *What bounds it:* the node's settings. Those about a store, or a queue before it, are per partition. Those about
//!   attempts and payloads in memory are per shard thread, over all partitions.
//! - *When it fails, or another owner takes its store over:* nothing more is acknowledged and no attempt starts. Its
//!   owner learns that by [`Partition::failed`], and is to call [`Partition::stop`].

mod backup;
mod open;
mod recover;
mod upkeep;

pub use backup::{Backup, BackupPlace};
pub use open::OpenError;
pub use recover::recover;

use crate::clock::wall_now;
use crate::config::EngineConfig;
use crate::dispatch::{AttemptResult, Guard};
use crate::node::{Node, Number};
use crate::observe;
use crate::partition_id::PartitionId;
use crate::prepare::{Compiler, Plan};
use crate::room::Room;
use crate::router::shard_of;
use crate::seal::MasterKey;
use crate::shard::inbox::{Question, ShardInbox, Trial};
use crate::waiting::Holding;
use model::{AppId, Endpoint, EndpointRef, Event, UnixMs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::writer::{ChangeError, Failure, IngestError, IngestOutcome, NewMessage, WriterHandle};
use storage::{SharedStore, Txn};
use tokio::sync::{Semaphore, oneshot};

/// Interval at which a stop looks if the writer has ended.
const JOIN_LOOK_EVERY: Duration = Duration::from_millis(1);

/// Longest time that a caller waits for a shard to answer its question.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Time in which the writer must notice that the store failed.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// A running partition; cheap to clone.
#[derive(Clone)]
pub struct Partition {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    id: PartitionId,
    store: SharedStore,
    writer: WriterHandle,
    room: Arc<Room>,
    /// One on each shard thread.
    inboxes: Vec<Arc<ShardInbox>>,
    /// One backup at a time.
    backups: Arc<Semaphore>,
    /// None once it was stopped.
    running: Mutex<Option<Running>>,
}

struct Running {
    number: Number,
    /// Each resolves when the lanes have left a shard thread.
    lanes: Vec<oneshot::Receiver<()>>,
    writer: JoinHandle<()>,
    tasks: [tokio::task::JoinHandle<()>; 7],
}

impl Partition {
    /// Opens a partition of `node` over a store that nobody else writes to. Blocks while marks and endpoints are read:
    /// about a second for a million endpoints. The first start on a store of an earlier version also counts its dead
    /// letters and idempotency keys. Call it within a tokio runtime, which runs the partition's background work.
    ///
    /// # Errors
    /// As [`OpenError`] lists; nothing of the partition runs then.
    pub fn open(node: &Node, id: PartitionId, store: SharedStore) -> Result<Partition, OpenError> {
        open::open(node, id, store)
    }

    /// Its number within the node.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.inner.id
    }

    /// Takes messages of one application in, in one durable commit. Those accepted are on the disk when this returns.
    ///
    /// # Errors
    /// As [`IngestError`] lists; with any but `Store` nothing was taken.
    pub async fn ingest(&self, app: AppId, messages: Vec<NewMessage>) -> Result<Vec<IngestOutcome>, IngestError> {
        let count = messages.len() as u64;
        let result = if self.inner.room.is_full() {
            Err(IngestError::StorageFull)
        } else {
            self.inner.writer.ingest(app, messages).await
        };
        observe::ingested(count, &result);
        result
    }

    /// Makes a change on the writer thread; durable when this returns `Ok`. Rows that it reads cannot change under it.
    ///
    /// # Errors
    /// As [`ChangeError`] lists; an error of the change itself leaves everything as it was.
    pub async fn change<T, E, F>(&self, change: F) -> Result<T, ChangeError<E>>
    where
        F: FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.inner.writer.change(change).await
    }

    /// See [`WriterHandle::applications_version`].
    #[must_use]
    pub fn applications_version(&self) -> u64 {
        self.inner.writer.applications_version()
    }

    /// For reads. Short ones may be made in place, long ones belong on a thread that may block.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.inner.store
    }

    /// Judges target addresses.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        self.inner.node.guard()
    }

    /// Bounds and defaults.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        self.inner.node.config()
    }

    /// The plan of an endpoint's row as it is now, compiled anew: for questions, as a shard has its own. Opens secrets.
    #[must_use]
    pub fn plan_of(&self, row: &Endpoint) -> Plan {
        let node = &self.inner.node;
        let (config, master, guard) = (node.config().clone(), node.master().clone(), node.guard().clone());
        Compiler { config, master, guard }.plan(row, None, 0, self.now())
    }

    /// The node's time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.inner.node.clock().now()
    }

    /// The key that seals secrets.
    #[must_use]
    pub fn master(&self) -> &Arc<MasterKey> {
        self.inner.node.master()
    }

    /// The reason for which an endpoint sends nothing now. Empty when there is none, or when its shard does not answer within
    /// a second.
    pub async fn holding(&self, target: EndpointRef) -> Holding {
        let inbox = &self.inner.inboxes[shard_of(target, self.inner.inboxes.len())];
        let (reply, answer) = oneshot::channel();
        inbox.ask(Question { target, reply });
        let answered = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        answered.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Makes one attempt for a row that need not be stored, on a shard's connections and behind its guard. Nothing of it is
    /// kept. None when too many of them wait, or the shard does not answer within the timeout and a second.
    ///
    /// # Cancel safety
    /// Dropped, the attempt is given up; the receiver may have got it.
    pub async fn try_out(&self, row: &Endpoint, event: Event) -> Option<AttemptResult> {
        let request = match self.plan_of(row).prepare(event, self.now(), wall_now()) {
            Ok(request) => request,
            Err(why) => return Some(AttemptResult::unmade(why.outcome, &why.words)),
        };
        let inbox = self.inner.inboxes.get(row.app.0 as usize % self.inner.inboxes.len().max(1))?;
        let patience = Duration::from_millis(request.timeout_ms.into()) + ANSWER_WITHIN;
        let (reply, result) = oneshot::channel();
        inbox.try_out(Trial { request, reply });
        tokio::time::timeout(patience, result).await.ok()?.ok()
    }

    /// True while it takes messages: false once it failed or was stopped.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.inner.is_stopped() && self.inner.writer.failed().is_none() && self.inner.store.poisoned().is_none()
    }

    /// The threads that everything depends on, with the time for which each has done nothing else: the writer in a step, the
    /// checkpoint at a piece of work, a shard since its last sign of life.
    #[must_use]
    pub fn stuck_for(&self) -> Vec<(String, Duration)> {
        let shards = self.inner.node.silent_shards().into_iter().enumerate();
        let mut threads: Vec<_> = shards.map(|(index, silent)| (format!("shard-{index}"), silent)).collect();
        threads.push(("writer".to_owned(), self.inner.writer.step_lasts()));
        threads.push(("checkpoint".to_owned(), self.inner.store.work_lasts()));
        threads
    }

    /// Resolves when the partition fails, with the reason. The caller chooses if its process ends with it.
    pub async fn failed(&self) -> Failure {
        self.inner.writer.failure().await
    }

    /// No new attempts from here on; those in flight may end within the configured time, which begins now. Messages are
    /// still taken. For a stop that waits for something else meanwhile; [`Partition::stop`] follows.
    pub fn stop_attempts(&self) {
        self.inner.inboxes.iter().for_each(|inbox| inbox.stop());
    }

    /// Stops: no new attempts, those in flight end within the configured time, everything they showed is made durable.
    /// Messages are refused from here on. Of one that has failed nothing is waited for and nothing made durable. Other
    /// partitions of the node go on. A second call returns at once.
    ///
    /// # Cancel safety
    /// Dropped, the partition stops delivering, but its writer goes on.
    pub async fn stop(&self) {
        self.stop_attempts();
        let running = self.inner.running().take();
        let Some(Running { number, lanes, writer, tasks }) = running else { return };
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for left in lanes {
            // Resolves when the other end is dropped: nothing is sent.
            drop(left.await);
        }
        let (handle, store) = (self.inner.writer.clone(), self.inner.store.clone());
        let joined = tokio::task::spawn_blocking(move || {
            handle.close();
            join(writer, &store);
        });
        if joined.await.is_err() {
            tracing::error!("stopping ended by a panic");
        }
        drop(number);
    }
}

impl Inner {
    fn is_stopped(&self) -> bool {
        self.running().is_none()
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the writer to end. One that a failed store holds is left behind.
fn join(writer: JoinHandle<()>, store: &SharedStore) {
    while !writer.is_finished() {
        if store.poisoned().is_some() {
            std::thread::sleep(STUCK_AFTER);
            if !writer.is_finished() {
                tracing::error!("the failed store holds the writer; it is left behind");
                return;
            }
        }
        std::thread::sleep(JOIN_LOOK_EVERY);
    }
    if writer.join().is_err() {
        tracing::error!("the writer ended by a panic");
    }
}
