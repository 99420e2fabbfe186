//! A shard's life: start its thread and tasks, take news until told to stop, drain.
//!
//! Deliberately short: what happens to an endpoint is in [`super::work`], who has an actor in [`super::seats`].

use super::core::{ShardCore, Watch};
use super::inbox::{News, ShardInbox};
use super::metrics::ShardMetrics;
use super::{housekeeping, report, seats, timers};
use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::dispatch::{DispatchConfig, DispatchSetupError, Guard, HttpDispatcher};
use crate::endpoint::actor;
use crate::retry::budget::{BudgetConfig, RetryBudget};
use crate::retry::wheel::Wheel;
use crate::seal::MasterKey;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::SharedStore;
use storage::writer::WriterHandle;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Blocking reads under way on one shard.
const READS_MAX: usize = 8;

/// What a shard is made of.
pub struct ShardParts {
    /// Bounds and defaults.
    pub config: EngineConfig,
    /// Where others leave news for it.
    pub inbox: Arc<ShardInbox>,
    /// For reads.
    pub store: SharedStore,
    /// For settlements.
    pub writer: WriterHandle,
    /// Opens secrets.
    pub master: Arc<MasterKey>,
    /// Judges addresses.
    pub guard: Arc<Guard>,
    /// Tells the time.
    pub clock: Clock,
    /// For jitter.
    pub seed: u64,
}

/// A running shard.
pub struct ShardThread {
    /// Its inbox.
    pub inbox: Arc<ShardInbox>,
    thread: JoinHandle<()>,
}

impl ShardThread {
    /// Waits for its end, which [`ShardInbox::stop`] brings about. Blocks.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a shard ended by a panic");
        }
    }
}

/// Why a shard did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its dispatcher could not be set up.
    #[error(transparent)]
    Dispatch(#[from] DispatchSetupError),
    /// Its thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Starts a shard's thread.
///
/// # Errors
/// As [`SpawnError`] lists.
pub fn spawn(index: usize, parts: ShardParts) -> Result<ShardThread, SpawnError> {
    let inbox = parts.inbox.clone();
    let dispatch = DispatchConfig {
        // The client may dial for an attempt that a connection of the pool then serves, and keeps the spare one a while:
        // attempts are to find the shard's own limit first, where they wait, and not this one, where they fail.
        connections_max: parts.config.max_in_flight_per_shard.saturating_mul(2),
        // Endpoints behind one gateway share its host and port: a smaller bound would close and redial what they use.
        pool_idle_per_host_max: parts.config.max_in_flight_per_shard,
        response_read_len_max: parts.config.response_read_bytes,
        response_kept_len_max: parts.config.response_kept_bytes,
        ..DispatchConfig::default()
    };
    let dispatcher = HttpDispatcher::new(dispatch, parts.guard.clone())?;
    let thread = std::thread::Builder::new()
        .name(format!("pinion-shard-{index}"))
        .spawn(move || actor::run_on_this_thread(run(index, parts, dispatcher)))?;
    Ok(ShardThread { inbox, thread })
}

async fn run(index: usize, parts: ShardParts, dispatcher: HttpDispatcher) {
    let now = parts.clock.now();
    let shard = Rc::new(ShardCore {
        index,
        inbox: parts.inbox,
        store: parts.store,
        writer: parts.writer,
        dispatcher,
        master: parts.master,
        guard: parts.guard,
        clock: parts.clock,
        config: parts.config,
        endpoints: RefCell::new(HashMap::new()),
        wheel: RefCell::new(Wheel::new(now.0)),
        timers_changed: Notify::new(),
        dirty: RefCell::new(Vec::new()),
        report_wanted: Notify::new(),
        waiting: RefCell::new(VecDeque::new()),
        in_flight: Cell::new(0),
        idle_workers: RefCell::default(),
        attempt_ended: Notify::new(),
        queued_bytes: Cell::new(0),
        reading_bytes: Cell::new(0),
        budget: RefCell::new(RetryBudget::new(BudgetConfig::default(), now.0)),
        rng: RefCell::new(StdRng::seed_from_u64(parts.seed)),
        holding: Cell::new(false),
        stopping: Cell::new(false),
        reads: Arc::new(Semaphore::new(READS_MAX)),
        metrics: ShardMetrics::new(),
    });
    tokio::task::spawn_local(timers::run(shard.clone()));
    tokio::task::spawn_local(report::run(shard.clone()));
    tokio::task::spawn_local(housekeeping::run(shard.clone()));
    let _watch = Watch(&shard);
    while !shard.stopping.get() {
        shard.inbox.woken().await;
        take(&shard, shard.inbox.take());
    }
    drain(&shard).await;
}

fn take(shard: &Rc<ShardCore>, mut news: News) {
    for target in &news.changed {
        seats::changed(shard, *target);
    }
    for offer in std::mem::take(&mut news.offers) {
        seats::offer(shard, Arc::new(offer), &news.behind);
    }
    for (target, behind) in news.behind {
        seats::behind(shard, target, behind);
    }
    for target in news.requeued {
        seats::requeued(shard, target);
    }
    if news.resume && shard.holding.replace(false) {
        shard.poke_all();
    }
    if news.stop {
        shard.stopping.set(true);
    }
}

/// Lets attempts in flight end, within the configured time, and reports what they showed. What is still in flight then
/// is in its endpoint's cursor as a hole and will be tried again after the next start.
async fn drain(shard: &Rc<ShardCore>) {
    let deadline = Instant::now() + Duration::from_millis(shard.config.drain_timeout_ms);
    while shard.in_flight.get() > 0 {
        if tokio::time::timeout_at(deadline, shard.attempt_ended.notified()).await.is_err() {
            tracing::warn!(attempts = shard.in_flight.get(), "stopped with attempts in flight");
            break;
        }
    }
    shard.report_now();
}
