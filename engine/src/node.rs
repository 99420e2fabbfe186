//! A node: the parts that a process has once, whatever the number of its partitions. These are the shard threads with
//! their connections and name lookups, the clock, the master key, the guard of addresses, bounds and defaults.
//!
//! ```text
//! Node ── shard thread 0 ── lanes of partition 0, 1, …      one pool of connections, one set of places
//!     └── shard thread 1 ── lanes of partition 0, 1, …
//! Partition ── store ─ writer ─ router ─ its lanes on each shard thread; jobs, retention, erasing, room
//! ```
//! - *What bounds it:* [`PARTITIONS_MAX`].
//! - *When a partition fails:* it alone ends. Its owner chooses if the process goes on.

use crate::clock::Clock;
use crate::config::{EngineConfig, InvalidConfig};
use crate::dispatch::Guard;
use crate::gauges::Highest;
use crate::partition_id::PartitionId;
use crate::seal::MasterKey;
use crate::shard::{self, ShardThread};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Partitions open at once: one for each number.
pub const PARTITIONS_MAX: u16 = 256;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A shard thread did not start.
    #[error("cannot start a shard: {0}")]
    Shard(#[from] shard::SpawnError),
}

/// A running node; cheap to clone. Its threads end with [`Node::stop`], or once the last handle is gone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<EngineConfig>,
    master: Arc<MasterKey>,
    guard: Arc<Guard>,
    clock: Clock,
    shards: usize,
    /// Lag of the retention clocks.
    retention_lag: Arc<Highest>,
    state: Mutex<State>,
}

struct State {
    /// Empty once it was stopped.
    threads: Vec<ShardThread>,
    open: BTreeSet<PartitionId>,
}

/// The right to a partition's number, until it is dropped.
pub(crate) struct Number {
    node: Node,
    id: PartitionId,
}

impl Node {
    /// Starts the shard threads, which have nothing to do yet.
    ///
    /// # Errors
    /// As [`StartError`] lists; nothing runs then.
    pub fn start(config: EngineConfig, master: MasterKey) -> Result<Node, StartError> {
        config.validate()?;
        let clock = Clock::start();
        let guard = Guard::new(config.allow_targets.clone()).with_ports(config.target_ports.clone());
        let guard = Arc::new(guard.with_https_only(config.https_only));
        let shards = config.shards;
        let state = State { threads: Vec::with_capacity(shards), open: BTreeSet::new() };
        let node = Node {
            inner: Arc::new(Inner {
                config: Arc::new(config),
                master: Arc::new(master),
                guard: guard.clone(),
                clock,
                shards,
                retention_lag: Highest::new(metrics::gauge!(model::metric::RETENTION_LAG_SECONDS)),
                state: Mutex::new(state),
            }),
        };
        for index in 0..shards {
            let thread = shard::spawn(index, &node.inner.config, guard.clone(), clock)?;
            node.state().threads.push(thread);
        }
        Ok(node)
    }

    /// Bounds and defaults.
    #[must_use]
    pub fn config(&self) -> &Arc<EngineConfig> {
        &self.inner.config
    }

    /// Encrypts and decrypts secrets.
    #[must_use]
    pub fn master(&self) -> &Arc<MasterKey> {
        &self.inner.master
    }

    /// Judges target addresses.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.inner.guard
    }

    /// The clock of everything in this process.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.inner.clock
    }

    /// Shard threads.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.inner.shards
    }

    /// The time since the last sign of life of each shard thread, in their order; none once they ended.
    pub(crate) fn silent_shards(&self) -> Vec<Duration> {
        self.state().threads.iter().map(ShardThread::silent).collect()
    }

    /// Ends the shard threads. Partitions are to be stopped first: one that still runs fails. A second call returns at
    /// once.
    pub async fn stop(&self) {
        let threads = std::mem::take(&mut self.state().threads);
        threads.iter().for_each(ShardThread::end);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(ShardThread::join));
        if joined.await.is_err() {
            tracing::error!("stopping ended by a panic");
        }
    }

    pub(crate) fn retention_lag(&self) -> &Arc<Highest> {
        &self.inner.retention_lag
    }

    /// Has each shard thread run what `parts` answers for it. `None` once the node was stopped.
    pub(crate) fn run_on_each_thread(
        &self,
        parts: impl IntoIterator<Item = shard::ShardParts>,
    ) -> Option<Vec<tokio::sync::oneshot::Receiver<()>>> {
        let state = self.state();
        if state.threads.is_empty() {
            return None;
        }
        state.threads.iter().zip(parts).map(|(thread, parts)| thread.take(parts)).collect()
    }

    /// The right to a partition's number. `None` when it is taken or too high.
    pub(crate) fn claim(&self, id: PartitionId) -> Option<Number> {
        let free = id.0 < PARTITIONS_MAX && self.state().open.insert(id);
        free.then(|| Number { node: self.clone(), id })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call: a panic leaves it in order.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Number ===

impl Drop for Number {
    fn drop(&mut self) {
        self.node.state().open.remove(&self.id);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.threads.iter().for_each(ShardThread::end);
    }
}
