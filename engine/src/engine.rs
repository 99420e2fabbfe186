//! The engine as its users hold it: started over a store, fed with messages, stopped.
//!
//! The only place where the stages are put together, last stage first, and so the only one that knows the loop: shards
//! hand settlements to the writer, the writer hands events to the router, the router hands offers to shards.
//!
//! Start-up is the first refill: marks are read, endpoints that owe something are told to read the log, endpoints with
//! waiting retries to load them. There is no other recovery.

use crate::clock::Clock;
use crate::config::{EngineConfig, InvalidConfig};
use crate::dispatch::Guard;
use crate::erasing;
use crate::jobs;
use crate::observe;
use crate::pace::Paces;
use crate::retention::janitor;
use crate::room::Room;
use crate::router::{Router, shard_of};
use crate::seal::MasterKey;
use crate::shard::inbox::{Question, ShardInbox};
use crate::shard::{self, ShardParts, ShardThread};
use crate::waiting::Waiting;
use crate::watch;
use model::{AppId, EndpointRef, UnixMs};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::tables::progress::Progress;
use storage::tables::{census, delivery, endpoint, log};
use storage::writer::{
    ChangeError, IngestError, IngestOutcome, NewMessage, SETTLED_HIGH_WATER, WriterConfig, WriterHandle,
};
use storage::{SharedStore, StoreError, Txn};
use tokio::sync::{Notify, oneshot};

/// Endpoints read in one step at start-up.
const ENDPOINTS_PER_SCAN: usize = 1_024;

/// Events routed again in one step at start-up.
const REROUTED_PER_STEP: usize = 1_024;

/// Payload bytes read in one step at start-up.
const REROUTED_BYTES: usize = 8 << 20;

/// How often a stop looks whether the writer has ended.
const JOIN_LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long a caller waits for a shard to answer its question.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long the writer may take to notice that the store failed.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The store cannot be read.
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
    /// A shard did not start.
    #[error("cannot start a shard: {0}")]
    Shard(#[from] shard::SpawnError),
    /// A thread did not start.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// A running engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    store: SharedStore,
    writer: WriterHandle,
    master: Arc<MasterKey>,
    guard: Arc<Guard>,
    room: Arc<Room>,
    clock: Clock,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    shards: Vec<ShardThread>,
    writer: JoinHandle<()>,
    tasks: [tokio::task::JoinHandle<()>; 5],
}

impl Engine {
    /// Starts over a store that nobody else writes to. Blocks while marks and endpoints are read: about a second for a
    /// million endpoints. The first start on a store of an earlier version also counts its dead letters and idempotency
    /// keys. Call it within a tokio runtime, which runs the jobs.
    ///
    /// # Errors
    /// As [`StartError`] lists; nothing runs then.
    pub fn start(config: EngineConfig, store: SharedStore, master: MasterKey) -> Result<Engine, StartError> {
        config.validate()?;
        let (clock, master) = (Clock::start(), Arc::new(master));
        let guard = Guard::new(config.allow_targets.clone()).with_ports(config.target_ports.clone());
        let guard = Arc::new(guard.with_https_only(config.https_only));
        let inboxes: Vec<Arc<ShardInbox>> = (0..config.shards).map(|_| Arc::default()).collect();
        let paces = Arc::new(Paces::default());
        let job_started = Arc::new(Notify::new());
        let mut router = Router::new(inboxes.clone(), job_started.clone());
        census::take(&*store)?;
        let progress = recover(&store, &mut router)?;
        let writer_config = WriterConfig {
            queue_capacity: config.ingest_queue_capacity,
            queue_bytes: config.ingest_queue_bytes,
            settled_high_water: SETTLED_HIGH_WATER,
            commit_max_events: config.commit_max_events,
            idempotency_ms: config.idempotency_ms,
            quotas: config.quotas,
        };
        let (writer, writer_thread) =
            storage::writer::spawn(store.clone(), writer_config, progress, router, Box::new(move || clock.now()))?;
        let mut shards = Vec::with_capacity(inboxes.len());
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).map_err(|_| StartError::NoRandomness)?;
            let parts = ShardParts {
                index,
                config: config.clone(),
                inbox,
                store: store.clone(),
                writer: writer.clone(),
                master: master.clone(),
                guard: guard.clone(),
                paces: paces.clone(),
                seed: u64::from_le_bytes(seed),
            };
            shards.push(shard::spawn(parts, clock)?);
        }
        let jobs = tokio::spawn(jobs::run(store.clone(), writer.clone(), clock, job_started));
        let observer = tokio::spawn(observe::run(store.clone()));
        let (limits, period_ms) = (config.retention, config.retention_period_ms);
        let janitor = tokio::spawn(janitor::run(store.clone(), writer.clone(), clock, limits, period_ms));
        let room = Arc::new(Room::new(config.disk_reserve_bytes));
        room.look(&store);
        let watch = tokio::spawn(watch::run(room.clone(), store.clone(), writer.clone(), clock));
        let eraser = tokio::spawn(erasing::run(store.clone(), writer.clone()));
        let tasks = [jobs, observer, janitor, watch, eraser];
        let threads = Mutex::new(Some(Threads { shards, writer: writer_thread, tasks }));
        Ok(Engine { inner: Arc::new(Inner { config, store, writer, master, guard, room, clock, threads }) })
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

    /// Makes a change on the writer thread; durable when this returns `Ok`. What it reads cannot change under it.
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
        &self.inner.guard
    }

    /// Bounds and defaults.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The engine's time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.inner.clock.now()
    }

    /// The key that seals secrets.
    #[must_use]
    pub fn master(&self) -> &Arc<MasterKey> {
        &self.inner.master
    }

    /// The thing of Pinion's own that an endpoint waits for. None when there is none, or when its shard does not answer
    /// within a second.
    pub async fn waiting(&self, target: EndpointRef) -> Option<Waiting> {
        let inbox = {
            let threads = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
            let shards = &threads.as_ref()?.shards;
            shards.get(shard_of(target, shards.len()))?.inbox.clone()
        };
        let (reply, answer) = oneshot::channel();
        inbox.ask(Question { target, reply });
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()?
    }

    /// Whether it takes messages: false once the store failed or it was stopped.
    #[must_use]
    pub fn ready(&self) -> bool {
        let running = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        running && self.inner.writer.failed().is_none() && self.inner.store.poisoned().is_none()
    }

    /// Resolves with the reason when the store fails.
    pub async fn failed(&self) -> String {
        self.inner.writer.failure().await
    }

    /// No new attempts from here on; those in flight may end within the configured time, which begins now. Messages are
    /// still taken. For a stop that waits for something else meanwhile; [`Engine::stop`] follows.
    pub fn stop_attempts(&self) {
        let threads = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().flat_map(|threads| &threads.shards).for_each(|shard| shard.inbox.stop());
    }

    /// Stops: no new attempts, those in flight end within the configured time, everything they showed is made durable.
    /// Messages are refused from here on. A second call returns at once.
    pub async fn stop(&self) {
        self.stop_attempts();
        let threads = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Threads { shards, writer, tasks }) = threads else { return };
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        let (handle, store) = (self.inner.writer.clone(), self.inner.store.clone());
        let joined = tokio::task::spawn_blocking(move || {
            for shard in shards {
                shard.join();
            }
            handle.close();
            join(writer, &store);
        });
        if joined.await.is_err() {
            tracing::error!("stopping ended by a panic");
        }
    }
}

/// Waits for the writer to end. One that a failed store holds is left behind: the process is about to end.
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

/// Reads what is needed to go on, and tells the shards who owes what. Pure but for its reads.
///
/// # Errors
/// Whatever the store reports.
pub fn recover(store: &SharedStore, router: &mut Router) -> Result<Progress, StoreError> {
    let read = &**store;
    let mut progress = Progress::load(read)?;
    let mut after = None;
    loop {
        let rows = endpoint::scan_all(read, after, ENDPOINTS_PER_SCAN)?;
        let Some(last) = rows.last() else { break };
        after = Some(last.target());
        rows.iter().for_each(|row| router.put(row));
    }
    // Endpoints with a mark of their own stand there; the head may be beyond what they were offered.
    let mut owing: HashMap<AppId, Vec<EndpointRef>> = HashMap::new();
    progress.owing().for_each(|target| owing.entry(target.app).or_default().push(target));
    let mut app = None;
    while let Some(next) = log::next_app(read, app)? {
        app = Some(next);
        let head = log::head(read, next)?;
        for target in owing.remove(&next).unwrap_or_default() {
            router.resume(target, progress.position(target), head);
        }
        while progress.routed(next) < head {
            let events = log::read_after(read, next, progress.routed(next), REROUTED_PER_STEP, REROUTED_BYTES)?;
            if events.is_empty() {
                break;
            }
            router.reroute(next, &events, &mut progress);
        }
    }
    // Those whose application's log retention has emptied: they note what they did not get, and owe nothing then.
    for (app, targets) in owing {
        let head = log::head(read, app)?;
        targets.into_iter().for_each(|target| router.resume(target, progress.position(target), head));
    }
    let mut target = None;
    while let Some(next) = delivery::next_with_due(read, target)? {
        target = Some(next);
        router.requeued(next);
    }
    Ok(progress)
}
