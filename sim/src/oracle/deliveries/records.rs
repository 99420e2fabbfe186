//! Ends of attempts become durable with their record in the history.

use super::{Deliveries, Ended};
use crate::oracle::{Ledger, Violation, of_kind};
use model::{AttemptRecord, EndpointRef, OutcomeClass, Seq};
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::{delivery, history};

impl Deliveries {
    /// A batch is durable: ends whose records are in it are durable too.
    pub(in crate::oracle) fn look_for_records(
        &mut self,
        batch: &Batch,
        rows: &MemoryStore,
        ledger: &Ledger,
    ) -> Result<(), Violation> {
        for ((target, seq), ends) in &mut self.unsettled {
            let records = history::of_message(rows, *target, *seq)?;
            // Its record may be gone with its event. A row that still waits is settled, or given up, by a later commit.
            let is_gone = ledger.is_gone(target.app, *seq);
            let all = is_gone && delivery::pending(rows, *target, *seq)?.is_none();
            let (mut left, mut successes) = (Vec::new(), 0);
            for ended in ends.drain(..) {
                let is_its =
                    |record: &AttemptRecord| record.started_at == ended.started_at && record.outcome == ended.outcome;
                if !all && !records.iter().any(is_its) && !is_swept_at_once(batch, (*target, *seq), &ended)? {
                    left.push(ended);
                } else if ended.outcome == OutcomeClass::Success {
                    successes += 1;
                }
            }
            *ends = left;
            // Its event may have expired while it was in flight, and so ended it already.
            let facts = self.facts.entry((*target, *seq)).or_default();
            if facts.ended == 0 || !is_gone {
                facts.ended += successes;
            }
        }
        self.unsettled.retain(|_, ends| !ends.is_empty());
        Ok(())
    }
}

/// True if a batch writes a delivery's state and removes the record of an attempt at once: retention shares the commit.
/// First attempts have their records in the last run that begins at them or before.
fn is_swept_at_once(batch: &Batch, of: (EndpointRef, Seq), ended: &Ended) -> Result<bool, Violation> {
    let (target, seq) = of;
    let is_written = batch.get(&rows::pending::encode(target, seq)).is_some();
    if !is_written && batch.get(&rows::cursor::encode(target)).is_none() {
        return Ok(false);
    }
    let later = rows::attempt_later::encode(target, ended.started_at, seq);
    let mut is_removed = batch.get(&later) == Some(&Write::Delete);
    for (key, write) in of_kind(batch, KeyKind::AttemptFirst) {
        let (of, first) = rows::attempt_first::decode(key)?;
        if of == target && first <= seq {
            is_removed |= *write == Write::Delete;
        }
    }
    Ok(is_removed)
}
