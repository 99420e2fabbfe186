//! A shard thread of a node: started once, and given the lanes of partitions that come and go.
//!
//! - *What bounds it:* the partitions of a node.
//! - *When it ends with partitions on it:* these fail, since their lanes are gone.

use super::core::ShardParts;
use super::run::{self, Thread};
use super::thread_shares::ThreadShares;
use crate::clock::Clock;
use crate::config::EngineConfig;
use crate::dispatch::{Dispatch, DispatchConfig, DispatchSetupError, Guard, HttpDispatcher};
use crate::endpoint::actor;
use crate::gauges::Highest;
use crate::stall::{self, Heartbeat};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use storage::writer::{Failure, WriterHandle};
use tokio::sync::{Notify, oneshot};

/// A running shard thread.
pub struct ShardThread {
    arrivals: Arc<Arrivals>,
    heartbeat: Arc<Heartbeat>,
    thread: JoinHandle<()>,
}

/// The reason why a shard thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Its dispatcher could not be set up.
    #[error(transparent)]
    Dispatch(#[from] DispatchSetupError),
    /// Its thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Partitions on their way to a thread.
#[derive(Default)]
struct Arrivals {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    partitions: VecDeque<Arrival>,
    closed: bool,
}

struct Arrival {
    parts: ShardParts,
    /// Dropped when its lanes have left the thread.
    ended: oneshot::Sender<()>,
}

/// Starts the thread of this number, whose attempts go over HTTP.
///
/// # Errors
/// As [`SpawnError`] lists.
pub fn spawn(index: usize, config: &EngineConfig, guard: Arc<Guard>, clock: Clock) -> Result<ShardThread, SpawnError> {
    let dispatcher = HttpDispatcher::new(dispatch_config(config), guard)?;
    Ok(spawn_with(index, config, clock, dispatcher)?)
}

/// Starts the thread of this number, whose attempts are made by `dispatcher`.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn_with(
    index: usize,
    config: &EngineConfig,
    clock: Clock,
    dispatcher: impl Dispatch + Send + 'static,
) -> std::io::Result<ShardThread> {
    let (places, queue_bytes) = (config.max_in_flight_per_shard, config.queue_memory_bytes_per_shard);
    let arrivals = Arc::new(Arrivals::default());
    let heartbeat = Arc::new(Heartbeat::new());
    let (taken, beating) = (arrivals.clone(), heartbeat.clone());
    let thread = std::thread::Builder::new().name(format!("pinion-shard-{index}")).spawn(move || {
        let gauge = metrics::gauge!(model::metric::OLDEST_SECONDS, "shard" => index.to_string());
        let thread = Thread {
            clock,
            dispatcher: Rc::new(dispatcher),
            shares: ThreadShares::new(places, queue_bytes),
            oldest_seconds: Highest::new(gauge),
        };
        let _left = LeftBehind(thread.shares.clone(), taken.clone());
        actor::run_on_this_thread(take_in(index, thread, taken, beating));
    })?;
    Ok(ShardThread { arrivals, heartbeat, thread })
}

fn dispatch_config(config: &EngineConfig) -> DispatchConfig {
    DispatchConfig {
        // The client may dial for an attempt that a connection of the pool then serves, and keeps the spare one a
        // while. Attempts must meet the shard's own limit first, at which they wait, and not this one, at which they
        // fail.
        connections_max: config.max_in_flight_per_shard.saturating_mul(2),
        // Endpoints behind one gateway share its host and port. A smaller bound would close connections that they use,
        // and dial again.
        pool_idle_per_host_max: config.max_in_flight_per_shard,
        response_read_len_max: config.response_read_bytes,
        response_kept_len_max: config.response_kept_bytes,
        extra_roots: config.extra_roots.clone(),
        egress: config.egress.clone(),
        ..DispatchConfig::default()
    }
}

/// Takes partitions in until the thread is to end.
async fn take_in<D: Dispatch + 'static>(
    index: usize,
    thread: Thread<D>,
    arrivals: Arc<Arrivals>,
    heartbeat: Arc<Heartbeat>,
) {
    tokio::task::spawn_local(stall::watch_this_thread(format!("shard-{index}"), thread.clock, heartbeat));
    while let Some(Arrival { parts, ended }) = arrivals.next().await {
        let lanes = run::run(parts, thread.clone());
        tokio::task::spawn_local(async move {
            lanes.await;
            drop(ended);
        });
    }
}

/// Fails the partitions that are still on a thread, or on their way to it, when it ends.
struct LeftBehind(Rc<ThreadShares>, Arc<Arrivals>);

impl Drop for LeftBehind {
    fn drop(&mut self) {
        let fail = |writer: &WriterHandle| writer.fail(Failure::Failed("its shard thread ended".to_owned()));
        self.0.take_cores().iter().for_each(|core| fail(&core.writer));
        self.1.close();
        let on_their_way = std::mem::take(&mut self.1.lock().partitions);
        on_their_way.iter().for_each(|arrival| fail(&arrival.parts.writer));
    }
}

// === impl Arrivals ===

impl Arrivals {
    /// Puts one on its way. `None` when the thread takes none any more.
    fn push(&self, parts: ShardParts) -> Option<oneshot::Receiver<()>> {
        let (ended, gone) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.partitions.push_back(Arrival { parts, ended });
        drop(state);
        self.wake.notify_one();
        Some(gone)
    }

    /// No more of them.
    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// The next one. `None` when there will be none.
    async fn next(&self) -> Option<Arrival> {
        loop {
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                if let Some(arrival) = state.partitions.pop_front() {
                    return Some(arrival);
                }
            }
            self.wake.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ShardThread ===

impl ShardThread {
    /// The time since its last sign of life: it gives one every 50 ms.
    #[must_use]
    pub fn silent(&self) -> Duration {
        self.heartbeat.silent()
    }

    /// Runs the lanes of a partition on this thread, until its inbox is told to stop.
    ///
    /// The receiver resolves, with an error, when the lanes have left the thread. `None` when the thread is ending.
    #[must_use]
    pub fn take(&self, parts: ShardParts) -> Option<oneshot::Receiver<()>> {
        self.arrivals.push(parts)
    }

    /// Has the thread end. Partitions that still run on it fail.
    pub fn end(&self) {
        self.arrivals.close();
    }

    /// Waits for its end, which [`ShardThread::end`] brings about. Blocks.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a shard thread ended by a panic");
        }
    }
}
