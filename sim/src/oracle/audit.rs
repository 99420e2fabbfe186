//! The audit log: each record is behind the one before, and what the engine does to an endpoint by itself has its record in
//! the very commit.

use super::{Violation, ensure, of_kind};
use model::{ActorKind, DisabledReason, Endpoint, EndpointRef, PausedReason, SwitchedBy};
use std::collections::{BTreeMap, BTreeSet};
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::Write;
use storage::tables::audit::{Head, hash_of};

/// The end of the log, and the endpoints as they were.
#[derive(Debug, Default)]
pub(super) struct AuditLog {
    end: Head,
    rows: BTreeMap<EndpointRef, Endpoint>,
}

impl AuditLog {
    /// A batch is durable.
    ///
    /// # Errors
    /// A record out of its place, or a change without one.
    pub(super) fn durable(&mut self, batch: &Batch) -> Result<(), Violation> {
        let mut by_engine = BTreeSet::new();
        for (key, write) in of_kind(batch, KeyKind::Audit) {
            let Write::Put(value) = write else { continue };
            let (seq, record) = (rows::audit::decode(key)?, rows::audit::from_value(value)?);
            let is_next = seq == self.end.seq + 1 && record.previous == self.end.hash;
            ensure!(is_next && record.seq == seq, "audit record {seq} is not behind {}", self.end.seq);
            self.end = Head { seq, hash: hash_of(&record) };
            if record.entry.actor.kind == ActorKind::Engine {
                by_engine.insert((record.entry.action, record.entry.id));
            }
        }
        for (key, write) in of_kind(batch, KeyKind::Endpoint) {
            let target = rows::endpoint::decode(key)?;
            let Write::Put(value) = write else {
                self.rows.remove(&target);
                continue;
            };
            let row: Endpoint = rows::endpoint::from_value(value)?;
            let before = self.rows.insert(target, row.clone());
            for action in done_by_engine(before.as_ref(), &row) {
                let recorded = by_engine.contains(&(action.to_owned(), row.public_id()));
                ensure!(recorded, "{action} of {} is not in the audit log", row.id);
            }
        }
        Ok(())
    }
}

/// The changes between two rows that nobody but the engine makes.
fn done_by_engine(before: Option<&Endpoint>, row: &Endpoint) -> Vec<&'static str> {
    let Some(before) = before else { return Vec::new() };
    let mut actions = Vec::new();
    let is_by_rule = row.disabled.is_some_and(|disabled| disabled.reason != DisabledReason::Operator);
    if is_by_rule && before.disabled != row.disabled {
        actions.push("endpoint.disable");
    }
    let gave_up = row.paused.is_some_and(|paused| paused.reason == PausedReason::GaveUp);
    if gave_up && before.paused != row.paused {
        actions.push("endpoint.pause");
    }
    let switched = row.failover.as_ref().and_then(|failover| failover.history.last());
    let known = before.failover.as_ref().and_then(|failover| failover.history.last());
    if switched.is_some_and(|last| last.by != SwitchedBy::Hand) && switched != known {
        actions.push("endpoint.switch-failover");
    }
    actions
}
