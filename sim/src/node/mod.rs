//! One life of the process: the engine's cores on a disk, and the shells around them, redone as steps.
//!
//! ```text
//! Commit ─ Writer::step      Take ─ handles::take         Actor ─ work::take_input     Operation ─ a read or an attempt
//! Report ─ report_now        Timers ─ timers::fire      Job ─ jobs::step             Janitor ─ retention::Round
//! ```
//!
//! A crash drops the node. Nothing of it survives but the disk.

mod futures;
mod jobs;
mod mailbox;
mod operation;
mod scheduled;
mod shard;

pub use futures::{Reply, Wakeup};
pub use mailbox::SimMailbox;
pub use operation::{Flight, Operation};
pub use shard::{Seen, Shard};

use crate::disk::Disk;
use crate::plan::Plan;
use crate::plant::Plant;
use crate::time::{EngineClock, Time};
use engine::PartitionId;
use engine::config::EngineConfig;
use engine::dispatch::Guard;
use engine::pace::Paces;
use engine::router::Router;
use engine::seal::MasterKey;
use engine::shard::ShardParts;
use engine::shard::inbox::ShardInbox;
use jobs::{Janitor, Jobs};
use rand::RngExt;
use rand::rngs::StdRng;
use scheduled::Scheduler;
use std::sync::Arc;
use storage::tables::audit::Chain;
use storage::tables::recount;
use storage::writer::{Writer, WriterConfig, WriterHandle};
use storage::{SharedStore, StoreError};
use tokio::sync::Notify;

/// The key that secrets are sealed with: any will do.
pub const MASTER_KEY: [u8; 32] = [7; 32];

/// A running process.
pub struct Node {
    /// The disk under it.
    pub disk: Arc<Disk>,
    /// For requests.
    pub handle: WriterHandle,
    /// Its clock.
    pub clock: EngineClock,
    /// Its shards.
    pub shards: Vec<Shard>,
    /// Opens and seals secrets.
    pub master: Arc<MasterKey>,
    /// Bounds and defaults.
    pub config: EngineConfig,
    /// The store failed: it takes nothing more, and will end.
    pub failed: bool,
    /// So many of the next reads fail.
    pub failing_reads: u32,
    /// So many attempts will find nothing to be made with.
    pub lacking: u32,
    /// Retention.
    pub janitor: Janitor,
    writer: Writer<Router>,
    jobs: Jobs,
    scheduler: Scheduler,
}

/// Something that can happen now inside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The writer makes a commit.
    Commit,
    /// A shard takes its news.
    Take(usize),
    /// A shard hands its reports to the writer.
    Report(usize),
    /// A shard's timers fire.
    Timers(usize),
    /// An actor takes its next message.
    Actor(usize, u64),
    /// A read or an attempt goes on.
    Operation(usize, usize),
    /// The jobs go on.
    Job,
    /// Retention goes on.
    Janitor,
    /// Scheduled messages are put in line.
    Scheduler,
}

impl Node {
    /// Starts on what `disk` holds.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn start(
        disk: Arc<Disk>,
        plan: &Plan,
        plant: Option<Plant>,
        time: &Time,
        rng: &mut StdRng,
    ) -> Result<Node, StoreError> {
        let clock = time.start_clock();
        let store: SharedStore = disk.clone();
        let inboxes: Vec<Arc<ShardInbox>> =
            (0..plan.config.shards).map(|_| Arc::new(ShardInbox::with_capacity(plan.offered_max))).collect();
        let job_started = Arc::new(Notify::new());
        let mut router = Router::new(inboxes.clone(), job_started.clone());
        let bell = router.bell();
        recount::run(&*store)?;
        let progress = engine::partition::recover(&store, &mut router)?;
        let config = WriterConfig {
            queue_capacity: plan.config.ingest_queue_capacity,
            queue_bytes: plan.config.ingest_queue_bytes,
            settled_high_water: plan.settled_high_water,
            commit_max_events: plan.config.commit_max_events,
            idempotency_ms: plan.config.idempotency_ms,
            quotas: plan.config.quotas,
        };
        let writer_clock = clock.clone();
        let master = Arc::new(MasterKey::new(MASTER_KEY));
        let audit = Chain::new(Some(master.audit_key().clone()));
        let writer = Writer::new(store.clone(), config, progress, router, Box::new(move || writer_clock.now()), audit);
        let handle = writer.handle();
        let guard = Arc::new(Guard::new(Vec::new()));
        let paces = Arc::new(Paces::default());
        let bounds = Arc::new(plan.config.clone());
        let shard = |(index, inbox)| {
            let parts = ShardParts {
                partition: PartitionId::default(),
                index,
                config: bounds.clone(),
                inbox,
                store: store.clone(),
                writer: handle.clone(),
                master: master.clone(),
                guard: guard.clone(),
                // A part of its own for each shard is a bug: the whole would be as many times the rate.
                paces: if plant == Some(Plant::PaceOfEachShard) { Arc::default() } else { paces.clone() },
                seed: rng.random(),
            };
            Shard::new(parts, plan.mailbox_max, plant, clock.now())
        };
        let shards = inboxes.into_iter().enumerate().map(shard).collect();
        let janitor = Janitor::new(&store, clock.now(), plant);
        let (jobs, scheduler) = (Jobs::new(job_started, plant), Scheduler::new(bell));
        let config = plan.config.clone();
        Ok(Node {
            disk,
            handle,
            clock,
            shards,
            master,
            config,
            failed: false,
            failing_reads: 0,
            lacking: 0,
            janitor,
            writer,
            jobs,
            scheduler,
        })
    }

    /// Everything that can happen now, in a fixed order.
    pub fn tasks(&mut self, time: &Time, into: &mut Vec<Task>) {
        into.clear();
        let real = time.real();
        if !self.failed && self.handle.has_work() {
            into.push(Task::Commit);
        }
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.tasks(index, self.clock.now(), real, into);
        }
        if self.jobs.is_ready(self.clock.now()) {
            into.push(Task::Job);
        }
        if self.janitor.is_ready() {
            into.push(Task::Janitor);
        }
        if self.scheduler.is_ready(self.clock.now()) {
            into.push(Task::Scheduler);
        }
    }

    /// One commit.
    pub fn commit(&mut self) {
        self.failed |= !self.writer.step();
    }

    /// The jobs go on by one step.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn job(&mut self) -> Result<(), StoreError> {
        let store: SharedStore = self.disk.clone();
        self.jobs.go_on(&store, &self.handle, self.clock.now())
    }

    /// Scheduled messages are put in line, or the next ones are looked for.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn schedule(&mut self) -> Result<(), StoreError> {
        let store: SharedStore = self.disk.clone();
        self.scheduler.go_on(&store, &self.handle, self.clock.now())
    }

    /// Retention goes on by one step.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn retain(&mut self) -> Result<(), StoreError> {
        let store: SharedStore = self.disk.clone();
        self.janitor.go_on(&store, &self.handle, self.clock.now())
    }

    /// When something will happen by itself, in real time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<model::UnixMs> {
        let job = self.jobs.next_deadline().map(|at| self.clock.to_real(at));
        let scheduled = self.scheduler.next_deadline().map(|at| self.clock.to_real(at));
        self.shards.iter().filter_map(|shard| shard.next_deadline(&self.clock)).chain(job).chain(scheduled).min()
    }

    /// Nothing is under way but work that waits for a time.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.shards.iter().all(Shard::is_quiet)
            && self.jobs.is_quiet()
            && self.janitor.is_quiet()
            && self.scheduler.is_quiet()
    }
}
