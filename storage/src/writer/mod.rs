//! The writer: the one thread that changes the store.
//!
//! It takes whatever has arrived, turns it into one batch, makes that durable, answers those who wait, and hands the
//! committed events on. There is no artificial delay: while one commit is on its way to the disk the next one gathers.
//!
//! - *Who owns the state:* this thread alone; others hold a [`WriterHandle`].
//! - *What bounds it:* the inbox, by requests and by bytes ([`inbox`]); a commit, by events.
//! - *When it is full:* requests are refused as busy before anything happened.
//! - *When the process dies here:* nothing was acknowledged that is not on the disk.
//! - *When the disk fails, or another owner fenced this one off:* nothing more is acknowledged, ever;
//!   [`WriterHandle::failure`] tells, and the partition ends.
//! - *When one request is more than the store takes, or panics:* it alone is refused.
//! - *When anything else here panics:* as when the disk fails.
//!
//! Not the meaning of rows: that is [`crate::tables`].

mod answer;
mod change;
mod endpoint;
mod evicted;
mod failure;
mod handle;
mod inbox;
mod ingest;
pub mod replies;

pub use change::ChangeError;
pub use failure::Failure;
pub use handle::WriterHandle;
pub use inbox::SETTLED_HIGH_WATER;
pub use ingest::{IngestError, IngestOutcome, MessageMore, NewMessage};

use crate::read::SharedStore;
use crate::rows::meta::Retained;
use crate::store::StoreError;
use crate::tables::audit::Chain;
use crate::tables::history::LastRuns;
use crate::tables::progress::Progress;
use crate::tables::retained;
use crate::tables::{dead_letter, settle};
use crate::txn::{Change, Collected, Growth, Txn, Wanted};
use evicted::EvictedLog;
use inbox::{COMMIT_MAX_CHANGED_BYTES, Taken};
use ingest::Ingest;
use model::{AppId, EndpointRef, Event, Seq, Settlement, UnixMs};
use std::time::Instant;

/// Bytes of messages in one request, and of rows that one change writes, at most: larger ones are refused. With the
/// other bounds it keeps a commit far below the largest batch.
pub const REQUEST_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterConfig {
    /// Requests that may wait.
    pub queue_capacity: usize,
    /// Bytes of payloads that may wait.
    pub queue_bytes: usize,
    /// Settled deliveries that may wait before shards are asked to hold back. They go on with attempts in flight, so a
    /// few more can follow: at most the attempts in flight at once.
    pub settled_high_water: usize,
    /// Events in one commit at most.
    pub commit_max_events: usize,
    /// Milliseconds for which an idempotency key is remembered.
    pub idempotency_ms: u64,
    /// Quotas of an application that the writer keeps.
    pub quotas: WriterQuotas,
}

/// Quotas of an application for rows that the writer itself adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterQuotas {
    /// Dead letters; beyond, the oldest make room.
    pub dead_letters: u32,
    /// Idempotency keys that are remembered; beyond, messages with another one are refused.
    pub idempotency_keys: u32,
    /// Messages whose time has not come; beyond, another one is refused.
    pub scheduled_messages: u32,
}

impl Default for WriterQuotas {
    fn default() -> WriterQuotas {
        WriterQuotas { dead_letters: 100_000, idempotency_keys: 10_000_000, scheduled_messages: 1_000_000 }
    }
}

/// The part that comes after the log: told of every commit, on the writer thread, in commit order.
///
/// Implementations must not block: the next commit waits for them.
pub trait Downstream: Send {
    /// True if this endpoint still exists: a settlement for one that does not is dropped.
    fn knows(&self, target: EndpointRef) -> bool;

    /// These events, grouped by application and ascending within each, and these changes are durable now. The
    /// implementor notes in `progress` the endpoints that the events were offered to.
    fn committed(&mut self, events: Vec<Event>, changes: Vec<Change>, progress: &mut Progress);

    /// The payload of this event is durably gone. Called before the caller that asked for it is answered, so that
    /// nothing of the event starts after the answer. An implementor that keeps payloads in memory must not use its
    /// copies from here on.
    fn expunged(&mut self, _app: AppId, _seq: Seq) {}

    /// There is room for settlements; shards that held back may go on. Follows whenever [`WriterHandle::settle`] told
    /// one to, unless the writer ends.
    fn settlements_taken(&mut self);
}

/// The wall clock, as the writer reads it.
pub type Now = Box<dyn Fn() -> UnixMs + Send>;

/// Starts the writer's thread, of this name. It ends after [`WriterHandle::close`], when all that was taken in is
/// durable, or when the store fails.
///
/// # Errors
/// When the thread cannot be spawned.
pub fn spawn(
    store: SharedStore,
    config: WriterConfig,
    progress: Progress,
    downstream: impl Downstream + 'static,
    now: Now,
    audit: Chain,
    name: String,
) -> std::io::Result<(WriterHandle, std::thread::JoinHandle<()>)> {
    let mut writer = Writer::new(store, config, progress, downstream, now, audit);
    let handle = writer.handle();
    let guard = FailsWithThread(handle.clone());
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let _guard = guard;
        writer.run();
    })?;
    Ok((handle, thread))
}

/// Turns a panic of the writer thread into a failure that is told: without it those in line would wait for ever.
struct FailsWithThread(WriterHandle);

impl Drop for FailsWithThread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Failure::Failed("the writer panicked".to_owned()));
        }
    }
}

/// The writer without a thread of its own: [`spawn`] gives it one; a simulation says when it commits.
pub struct Writer<D> {
    store: SharedStore,
    handle: WriterHandle,
    ingest: Ingest,
    progress: Progress,
    downstream: D,
    now: Now,
    /// The retained bytes, once known.
    retained: Option<Retained>,
    last_runs: LastRuns,
    dead_letters_most: u32,
    evicted: EvictedLog,
    audit: Chain,
}

impl<D: Downstream> Writer<D> {
    /// A writer that has made no commit yet. `progress` comes from [`Progress::load`].
    pub fn new(
        store: SharedStore,
        config: WriterConfig,
        progress: Progress,
        downstream: D,
        now: Now,
        audit: Chain,
    ) -> Writer<D> {
        let ingest = Ingest::new(config.idempotency_ms, config.quotas);
        Writer {
            store,
            handle: WriterHandle::new(config),
            ingest,
            progress,
            downstream,
            now,
            retained: None,
            last_runs: LastRuns::default(),
            dead_letters_most: config.quotas.dead_letters,
            evicted: EvictedLog::new(),
            audit,
        }
    }

    /// Access for those that have something to write.
    #[must_use]
    pub fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Makes one commit of all that waits, if anything does; never blocks but on the disk. `false` once the store
    /// failed: nothing more is acknowledged then.
    pub fn step(&mut self) -> bool {
        self.handle.try_take().is_none_or(|taken| self.take_up(taken))
    }

    fn run(&mut self) {
        while let Some(taken) = self.handle.take() {
            let handle = self.handle.clone();
            if !handle.during(|| self.take_up(taken)) {
                return;
            }
        }
        self.handle.closed();
    }

    fn take_up(&mut self, taken: Taken) -> bool {
        if taken.settlements_were_full {
            self.downstream.settlements_taken();
        }
        if let Err(error) = self.commit(taken) {
            tracing::error!(%error, "a commit failed; nothing more will be acknowledged");
            self.handle.fail(Failure::from(&error));
            return false;
        }
        true
    }

    /// One commit: everything in `taken`, or an error and nothing of it acknowledged.
    fn commit(&mut self, taken: Taken) -> Result<(), StoreError> {
        let store = self.store.clone();
        let mut txn = Txn::new(&*store);
        let mut waiting: Vec<replies::Addressed> = Vec::with_capacity(taken.requests.len());
        txn.fetch(self.wanted(&taken))?;
        let now = (self.now)();
        let mut events: Vec<Event> = Vec::new();
        for mut settlement in taken.settlements {
            self.settle(&mut txn, &mut settlement)?;
        }
        let (mut requests, settled_bytes) = (taken.requests, txn.bytes());
        while let Some(request) = requests.pop_front() {
            let queue = request.queue();
            waiting.push((queue, request.run(&mut txn, &mut self.ingest, now, &mut events)?));
            if txn.bytes().saturating_sub(settled_bytes) > COMMIT_MAX_CHANGED_BYTES {
                self.handle.put_back(std::mem::take(&mut requests));
            }
        }
        // Stable: events of one application stay in the order they were taken.
        events.sort_by_key(|event| event.app);
        for run in events.chunk_by(|one, other| one.app == other.app) {
            crate::tables::log::append(&mut txn, run[0].app, run)?;
        }
        self.write_marks(&mut txn, events.is_empty());
        let evicted = dead_letter::make_room(&mut txn, self.dead_letters_most)?;
        self.note_growth(&mut txn)?;
        self.audit.append(&mut txn, now)?;
        let Collected { batch, changes, .. } = txn.into_parts();
        if batch.is_empty() {
            // Nothing is applied that would show a failure: e.g. all requests failed on reads.
            if let Some(reason) = self.store.poisoned() {
                return Err(if self.store.fenced() { StoreError::Fenced } else { StoreError::Poisoned { reason } });
            }
        } else {
            let started = Instant::now();
            self.store.apply(batch)?;
            metrics::histogram!(model::metric::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
            metrics::histogram!(model::metric::COMMIT_EVENTS).record(events.len() as f64);
        }
        if changes.iter().any(|change| matches!(change, Change::ApplicationPut(_) | Change::ApplicationDeleted(_))) {
            self.handle.applications_changed();
        }
        for change in &changes {
            if let Change::Expunged(app, seq) = change {
                self.downstream.expunged(*app, *seq);
            }
        }
        replies::hand_out(waiting.into_iter());
        self.evicted.note(&evicted);
        self.forget_deleted(&changes);
        if !events.is_empty() || !changes.is_empty() {
            self.downstream.committed(events, changes, &mut self.progress);
        }
        Ok(())
    }

    /// Collects the marks that are to be durable with this commit.
    fn write_marks(&mut self, txn: &mut Txn<'_>, is_quiet: bool) {
        for change in txn.changes() {
            // Its endpoints were offered what came before by how they were: a start is not to offer it anew by how they
            // are now.
            match change {
                Change::EndpointPut(row, _) => self.progress.write_next(row.app),
                Change::EndpointDeleted(target) => self.progress.write_next(target.app),
                _ => {}
            }
        }
        self.progress.write(txn, is_quiet);
    }

    /// The rows that this commit reads, as far as its requests can tell: so the store is asked once, and not for each.
    fn wanted(&self, taken: &Taken) -> Wanted {
        let mut wanted = Wanted::default();
        for settlement in &taken.settlements {
            settle::want(settlement, &self.last_runs, &mut wanted);
        }
        for request in &taken.requests {
            request.want(&self.ingest, &mut wanted);
        }
        if self.retained.is_none() {
            retained::want(&mut wanted);
        }
        wanted
    }

    /// Keeps the sum of the retained bytes, in the commit that changes it.
    fn note_growth(&mut self, txn: &mut Txn<'_>) -> Result<(), StoreError> {
        let growth = txn.growth();
        if growth != Growth::default() {
            let before = match self.retained {
                Some(before) => before,
                None => retained::get(txn)?,
            };
            let after = before.grown(growth.events, growth.attempts);
            self.retained = Some(after);
            retained::put(txn, after)?;
        }
        Ok(())
    }

    fn settle(&mut self, txn: &mut Txn<'_>, settlement: &mut Settlement) -> Result<(), StoreError> {
        if !self.downstream.knows(settlement.target) {
            return Ok(());
        }
        settle::apply(txn, &mut self.last_runs, settlement)?;
        self.progress.settled(settlement.target, std::mem::take(&mut settlement.cursor));
        endpoint::apply(txn, settlement, (self.now)())
    }

    fn forget_deleted(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::EndpointDeleted(target) => self.progress.forget(*target),
                Change::ApplicationDeleted(app) => self.progress.forget_app(*app),
                Change::EndpointPut(..)
                | Change::ApplicationPut(_)
                | Change::ApplicationChanged(..)
                | Change::ApplicationPaused(..)
                | Change::Requeued(_)
                | Change::Scheduled(..)
                | Change::JobStarted
                | Change::Expunged(..) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
