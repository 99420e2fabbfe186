//! Deliveries in a row that used up their attempts: an endpoint that asks for it is disabled in the very commit in which
//! they are as many as it says, after any number of restarts, and never before.
//!
//! Counted from what is durable: ends of attempts in the order in which the lane was told of them, each once its record is
//! on disk. An endpoint that was enabled again, has another URL or gets a backup starts over at a moment that the disk does
//! not show, so it is not looked at any more. The simulation leaves the policy of an endpoint as it was made, and gives it
//! only where retention removes nothing. Examples count for nothing.

use super::deliveries::Ended;
use super::{Violation, ensure};
use model::{DeadLetterReason, DisabledReason, Endpoint, EndpointRef, OutcomeClass, Seq};
use std::collections::BTreeMap;
use storage::store::MemoryStore;
use storage::tables::{dead_letter, history};

/// The runs of endpoints with the policy.
#[derive(Debug, Default)]
pub(super) struct Failed(BTreeMap<EndpointRef, Run>);

#[derive(Debug)]
struct Run {
    row: Endpoint,
    limit: u32,
    /// Ends that are not durable yet.
    ends: Vec<(Seq, Ended)>,
    /// Deliveries in a row; none when nobody knows.
    count: Option<u32>,
    /// They were once as many as the limit. A success of an attempt that was in flight then does not take that back.
    reached: bool,
}

impl Failed {
    /// An endpoint's row is durable.
    pub(super) fn put(&mut self, row: &Endpoint) {
        let Some(limit) = row.disable_after_failed_deliveries.map(u32::from) else { return };
        let new = || Run { row: row.clone(), limit, ends: Vec::new(), count: Some(0), reached: false };
        let run = self.0.entry(row.target()).or_insert_with(new);
        let is_enabled = run.row.disabled.is_some() && row.disabled.is_none();
        let may_switch = run.row.failover.is_some() || row.failover.is_some();
        if is_enabled || may_switch || run.row.url != row.url || run.limit != limit {
            run.count = None;
        }
        run.row = row.clone();
    }

    pub(super) fn deleted(&mut self, target: EndpointRef) {
        self.0.remove(&target);
    }

    pub(super) fn ended(&mut self, target: EndpointRef, seq: Seq, ended: Ended) {
        if let Some(run) = self.0.get_mut(&target) {
            run.ends.push((seq, ended));
        }
    }

    /// The process died: ends that are not durable are none.
    pub(super) fn crashed(&mut self) {
        self.0.values_mut().for_each(|run| run.ends.clear());
    }

    /// A batch is durable, and its endpoints are known.
    pub(super) fn durable(&mut self, rows: &MemoryStore) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|(target, run)| run.durable(*target, rows))
    }
}

impl Run {
    fn durable(&mut self, target: EndpointRef, rows: &MemoryStore) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for (seq, ended) in std::mem::take(&mut self.ends) {
            let records = history::of_message(rows, target, seq)?;
            let is_it = |record: &&model::AttemptRecord| {
                record.started_at == ended.started_at && record.outcome == ended.outcome
            };
            match records.iter().find(is_it) {
                None => waiting.push((seq, ended)),
                Some(record) => self.count(target, seq, record.next_attempt_at.is_some(), ended.outcome, rows)?,
            }
        }
        self.ends = waiting;
        let (Some(count), limit) = (self.count, self.limit) else { return Ok(()) };
        let disabled = self.row.disabled.map(|disabled| disabled.reason);
        ensure!(
            count < limit || disabled.is_some(),
            "{count} deliveries in a row to {target:?} used up their attempts and it is not disabled at {limit}"
        );
        ensure!(
            self.reached || disabled != Some(DisabledReason::Exhausted),
            "{target:?} is disabled at {limit} failed deliveries, and {count} in a row used up their attempts"
        );
        Ok(())
    }

    /// One more end of an attempt is durable.
    fn count(
        &mut self,
        target: EndpointRef,
        seq: Seq,
        is_retried: bool,
        outcome: OutcomeClass,
        rows: &MemoryStore,
    ) -> Result<(), Violation> {
        if outcome == OutcomeClass::Success {
            self.count = self.count.map(|_| 0);
        } else if !is_retried && outcome != OutcomeClass::InternalError {
            match dead_letter::get(rows, target, seq)? {
                Some(letter) if letter.reason == DeadLetterReason::AttemptsExhausted => {
                    self.count = self.count.map(|count| count + 1);
                    self.reached |= self.count.is_some_and(|count| count >= self.limit);
                }
                // The same commit removed it again, or wrote over it, where the delivery was in line by hand besides and the
                // endpoint was disabled: its reason is not known.
                Some(letter) if letter.reason == DeadLetterReason::EndpointDisabled => self.count = None,
                // The message was expunged while the attempt was in flight: the letter says that, not how the attempt ended.
                Some(letter) if letter.reason == DeadLetterReason::Expunged => self.count = None,
                None => self.count = None,
                Some(_) => {}
            }
        }
        Ok(())
    }
}
