//! Metrics of partitions: what came in, and how large their stores are.
//!
//! Not those of deliveries: a shard keeps its own, see [`crate::shard::metrics`].

use crate::gauges::Part;
use metrics::Counter;
use model::{DisabledReason, metric};
use std::time::Duration;
use storage::SharedStore;
use storage::writer::{IngestError, IngestOutcome};

/// Interval at which the store is measured.
const PERIOD: Duration = Duration::from_secs(5);

/// Measures the store now and then. Never ends.
pub(crate) async fn run(store: SharedStore) {
    let mut size = Part::new(metrics::gauge!(metric::STORE_BYTES));
    // Series that would otherwise appear with their first event only.
    metrics::counter!(metric::INGEST_ACCEPTED).increment(0);
    metrics::counter!(metric::DAMAGED_READS).increment(0);
    for outcome in [BackupOutcome::Complete, BackupOutcome::Failed, BackupOutcome::Abandoned] {
        backups(outcome).increment(0);
    }
    for reason in [DisabledReason::Gone, DisabledReason::Failing, DisabledReason::Exhausted] {
        metrics::counter!(metric::ENDPOINTS_DISABLED, "reason" => reason.as_str()).increment(0);
    }
    metrics::counter!(metric::ENDPOINT_WARNINGS).increment(0);
    for to in ["primary", "backup"] {
        metrics::counter!(metric::FAILOVERS, "to" => to).increment(0);
    }
    for reason in [
        "busy",
        "stopping",
        "unknown_application",
        "too_large",
        "store",
        "storage_full",
        "damaged",
        "duplicate_event_id",
        "idempotency_key_reused",
        "too_many_keys",
        "too_many_scheduled",
    ] {
        rejected(reason).increment(0);
    }
    loop {
        let reader = store.clone();
        if let Ok(Ok(bytes)) = tokio::task::spawn_blocking(move || reader.size_on_disk_bytes()).await {
            size.set(bytes as f64);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// How a backup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackupOutcome {
    /// All of it was handed over.
    Complete,
    /// The store failed, or its reader did not keep up with the writes.
    Failed,
    /// Its reader went away, or took nothing for too long.
    Abandoned,
}

/// Counts backups that ended so.
pub(crate) fn backups(outcome: BackupOutcome) -> Counter {
    let word = match outcome {
        BackupOutcome::Complete => "complete",
        BackupOutcome::Failed => "failed",
        BackupOutcome::Abandoned => "abandoned",
    };
    metrics::counter!(metric::BACKUPS, "outcome" => word)
}

/// Shows the room on the disk, if anything bounds it. Stores of one process are on one disk: the last look counts.
pub(crate) fn room(free_bytes: Option<u64>) {
    if let Some(bytes) = free_bytes {
        metrics::gauge!(metric::DISK_FREE_BYTES).set(bytes as f64);
    }
}

/// Counts what became of a request with `count` messages.
pub(crate) fn ingested(count: u64, result: &Result<Vec<IngestOutcome>, IngestError>) {
    let outcomes = match result {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let reason = match error {
                IngestError::Busy { .. } => "busy",
                IngestError::ShuttingDown => "stopping",
                IngestError::UnknownApplication => "unknown_application",
                IngestError::TooLarge => "too_large",
                IngestError::Damaged { .. } => "damaged",
                IngestError::StorageFull => "storage_full",
                IngestError::Store(_) => "store",
            };
            rejected(reason).increment(count);
            return;
        }
    };
    let mut accepted = 0;
    for outcome in outcomes {
        match outcome {
            IngestOutcome::Accepted(_) => accepted += 1,
            IngestOutcome::Repeated(_) => {}
            IngestOutcome::DuplicateEventId => rejected("duplicate_event_id").increment(1),
            IngestOutcome::Damaged { .. } => rejected("damaged").increment(1),
            IngestOutcome::TooManyKeys { .. } => rejected("too_many_keys").increment(1),
            IngestOutcome::TooManyScheduled { .. } => rejected("too_many_scheduled").increment(1),
            IngestOutcome::KeyReused => rejected("idempotency_key_reused").increment(1),
        }
    }
    metrics::counter!(metric::INGEST_ACCEPTED).increment(accepted);
}

fn rejected(reason: &'static str) -> Counter {
    metrics::counter!(metric::INGEST_REJECTED, "reason" => reason)
}
