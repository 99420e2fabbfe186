//! A partition put together, last stage first: the only place that knows the loop. Shards hand settlements to the
//! writer, the writer hands events to the router, the router hands offers to shards.

use super::recover::recover;
use super::{Inner, Partition, Running, upkeep};
use crate::config::EngineConfig;
use crate::node::Node;
use crate::pace::Paces;
use crate::partition_id::PartitionId;
use crate::room::Room;
use crate::router::Router;
use crate::shard::ShardParts;
use crate::shard::inbox::ShardInbox;
use std::sync::{Arc, Mutex};
use storage::tables::audit::Chain;
use storage::tables::recount;
use storage::writer::{SETTLED_HIGH_WATER, WriterConfig};
use storage::{SharedStore, StoreError};
use tokio::sync::{Notify, Semaphore};

/// Why a partition did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its number is taken by one that has not been stopped, or is too high.
    #[error("partition {} is open already, or its number is too high", .0.0)]
    InUse(PartitionId),
    /// The store cannot be read.
    #[error("cannot read the store: {0}")]
    Store(#[from] StoreError),
    /// Its writer did not start.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// The node was stopped.
    #[error("the node is stopping")]
    Stopping,
}

pub(super) fn open(node: &Node, id: PartitionId, store: SharedStore) -> Result<Partition, OpenError> {
    let number = node.claim(id).ok_or(OpenError::InUse(id))?;
    let (config, clock) = (node.config(), node.clock());
    let seeds = (0..node.shards()).map(|_| seed()).collect::<Result<Vec<u64>, OpenError>>()?;
    let inboxes: Vec<Arc<ShardInbox>> = seeds.iter().map(|_| Arc::default()).collect();
    let job_started = Arc::new(Notify::new());
    let mut router = Router::new(inboxes.clone(), job_started.clone());
    let bell = router.bell();
    recount::run(&*store)?;
    let progress = recover(&store, &mut router)?;
    let now = Box::new(move || clock.now());
    let name = id.name("pinion-writer");
    let audit = Chain::new(Some(node.master().audit_key().clone()));
    let (writer, thread) =
        storage::writer::spawn(store.clone(), writer_config(config), progress, router, now, audit, name)?;
    let paces = Arc::new(Paces::default());
    let parts = inboxes.iter().zip(seeds).enumerate().map(|(index, (inbox, seed))| ShardParts {
        partition: id,
        index,
        config: config.clone(),
        inbox: inbox.clone(),
        store: store.clone(),
        writer: writer.clone(),
        master: node.master().clone(),
        guard: node.guard().clone(),
        paces: paces.clone(),
        seed,
    });
    let Some(lanes) = node.run_on_each_thread(parts) else {
        inboxes.iter().for_each(|inbox| inbox.stop());
        writer.close();
        return Err(OpenError::Stopping);
    };
    let room = Arc::new(Room::new(config.disk_reserve_bytes));
    room.look(&store);
    let backups = Arc::new(Semaphore::new(1));
    let inner = Inner { node: node.clone(), id, store, writer, room, inboxes, backups, running: Mutex::default() };
    let tasks = upkeep::spawn(&inner, job_started, bell);
    let inner = Inner { running: Mutex::new(Some(Running { number, lanes, writer: thread, tasks })), ..inner };
    Ok(Partition { inner: Arc::new(inner) })
}

fn seed() -> Result<u64, OpenError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| OpenError::NoRandomness)?;
    Ok(u64::from_le_bytes(seed))
}

fn writer_config(config: &EngineConfig) -> WriterConfig {
    WriterConfig {
        queue_capacity: config.ingest_queue_capacity,
        queue_bytes: config.ingest_queue_bytes,
        settled_high_water: SETTLED_HIGH_WATER,
        commit_max_events: config.commit_max_events,
        idempotency_ms: config.idempotency_ms,
        quotas: config.quotas,
    }
}
