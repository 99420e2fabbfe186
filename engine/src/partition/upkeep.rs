//! The background work of a partition, a task each: jobs, scheduled messages, retention, erasing, looks at the disk and at its failure.

use super::Inner;
use crate::scheduled::Bell;
use crate::{erasing, jobs, observe, retention, scheduled, watch};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Starts all of it. It ends when it is aborted, or by itself when the store fails.
pub(super) fn spawn(partition: &Inner, job_started: Arc<Notify>, bell: Arc<Bell>) -> [JoinHandle<()>; 7] {
    let (config, clock) = (partition.node.config(), partition.node.clock());
    let (store, writer) = (&partition.store, &partition.writer);
    let stalls = partition.id.name("writer");
    let lag = partition.node.retention_lag().of(partition.id);
    let (limits, period_ms) = (config.retention, config.retention_period_ms);
    [
        tokio::spawn(jobs::run(store.clone(), writer.clone(), clock, job_started)),
        tokio::spawn(scheduled::run(store.clone(), writer.clone(), clock, bell)),
        tokio::spawn(observe::run(store.clone())),
        tokio::spawn(retention::janitor::run(store.clone(), writer.clone(), clock, limits, period_ms, lag)),
        tokio::spawn(watch::run(stalls, partition.room.clone(), store.clone(), writer.clone(), clock)),
        tokio::spawn(watch::stop_when_failed(writer.clone(), partition.inboxes.clone())),
        tokio::spawn(erasing::run(store.clone(), writer.clone())),
    ]
}
