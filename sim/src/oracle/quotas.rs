//! Quotas: an application never has more than its quota, and counts agree with rows. A dead letter that nobody asked to
//! remove goes only where a newer one needs its room.

use super::{Violation, ensure, is_put, named, of_kind};
use model::{AppId, DeadLetter, DeadLetterReason, EndpointId, EndpointRef, Job, JobKind, OutcomeClass, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::{dead_letter, history, idempotency};
use storage::writer::WriterQuotas;
use storage::{Batch, Direction, Store};

/// Dead letters and idempotency keys, as far as the disk has shown them.
#[derive(Debug)]
pub(super) struct Quotas {
    most: WriterQuotas,
    /// Dead letters that are on disk, and when they were given up.
    letters: BTreeMap<(EndpointRef, Seq), UnixMs>,
    /// Those of them whose event was expunged.
    expunged: BTreeSet<(EndpointRef, Seq)>,
    /// Applications that have had as many keys as they may.
    once_full_of_keys: BTreeSet<AppId>,
}

impl Quotas {
    pub(super) fn new(most: WriterQuotas) -> Quotas {
        Quotas { most, letters: BTreeMap::new(), expunged: BTreeSet::new(), once_full_of_keys: BTreeSet::new() }
    }

    /// A batch is durable.
    pub(super) fn durable(
        &mut self,
        batch: &Batch,
        rows: &MemoryStore,
        is_gone: impl Fn(EndpointRef) -> bool,
    ) -> Result<(), Violation> {
        let (purged, mut apps, mut displaced) = (purged(batch)?, BTreeSet::new(), Vec::new());
        let mut new = BTreeSet::new();
        for (key, write) in of_kind(batch, KeyKind::DeadLetter) {
            let (target, seq) = rows::dead_letter::decode(key)?;
            if is_gone(target) {
                continue;
            }
            apps.insert(target.app);
            match write {
                Write::Put(value) => {
                    let row: DeadLetter = rows::dead_letter::from_value(value)?;
                    self.letters.insert((target, seq), row.at);
                    if row.reason == DeadLetterReason::Expunged {
                        self.expunged.insert((target, seq));
                    }
                    new.insert((target, seq));
                }
                Write::Delete => {
                    let at = self.letters.remove(&(target, seq));
                    let requeued = is_put(batch, &rows::pending::encode(target, seq));
                    // An attempt was in flight when its event was expunged, and succeeded.
                    let delivered = self.expunged.remove(&(target, seq)) && was_delivered(rows, target, seq)?;
                    let of_app = EndpointRef { endpoint: EndpointId(0), ..target };
                    let asked_for = purged.contains(&target) || purged.contains(&of_app) || requeued || delivered;
                    if !asked_for {
                        displaced.push((target, seq, at));
                    }
                }
            }
        }
        self.letters.retain(|(target, _), _| !is_gone(*target));
        self.expunged.retain(|(target, _)| !is_gone(*target));
        for (target, seq, at) in &displaced {
            let left = dead_letter::count(rows, target.app)?;
            let name = named(*target, *seq);
            ensure!(left >= self.most.dead_letters, "the dead letter of {name} was lost and only {left} are left");
            let oldest = self.letters.iter().filter(|(key, _)| key.0.app == target.app && !new.contains(key));
            let oldest = oldest.map(|(_, at)| *at).min();
            let is_oldest = at.is_none_or(|at| oldest.is_none_or(|oldest| at <= oldest));
            ensure!(is_oldest, "the dead letter of {name} made room, of {at:?}, and there is one of {oldest:?}");
        }
        apps.into_iter().try_for_each(|app| self.check_letters(app, rows))?;
        self.check_keys(batch, rows, is_gone)
    }

    fn check_letters(&self, app: AppId, rows: &MemoryStore) -> Result<(), Violation> {
        let count = |kind| count(rows, kind, app);
        let (there, indexed) = (count(KeyKind::DeadLetter)?, count(KeyKind::DeadLetterByTime)?);
        let counted = dead_letter::count(rows, app)?;
        ensure!(there == counted, "{app} has {there} dead letters and {counted} are counted");
        ensure!(there == indexed, "{app} has {there} dead letters and {indexed} in the order of their age");
        let most = self.most.dead_letters;
        ensure!(there <= most, "{app} has {there} dead letters and may have {most}");
        Ok(())
    }

    fn check_keys(
        &mut self,
        batch: &Batch,
        rows: &MemoryStore,
        is_gone: impl Fn(EndpointRef) -> bool,
    ) -> Result<(), Violation> {
        let mut apps: BTreeMap<AppId, u32> = BTreeMap::new();
        for (key, write) in of_kind(batch, KeyKind::Idempotency) {
            let removed = apps.entry(rows::idempotency::decode(key)?.0).or_default();
            *removed += u32::from(*write == Write::Delete);
        }
        for (app, removed) in apps {
            if is_gone(EndpointRef { app, endpoint: EndpointId(0) }) {
                continue;
            }
            let (there, counted) = (count(rows, KeyKind::Idempotency, app)?, idempotency::count(rows, app)?);
            ensure!(there == counted, "{app} has {there} idempotency keys and {counted} are counted");
            let most = self.most.idempotency_keys;
            ensure!(there <= most, "{app} has {there} idempotency keys and may have {most}");
            // A sweep that shares the commit may have removed some after the refusal.
            if there + removed >= most {
                self.once_full_of_keys.insert(app);
            }
        }
        Ok(())
    }

    /// A client was refused for having too many keys.
    pub(super) fn refused(&self, app: AppId) -> Result<(), Violation> {
        let full = self.once_full_of_keys.contains(&app);
        ensure!(full, "{app} was refused another key and never had as many as it may");
        Ok(())
    }
}

fn was_delivered(rows: &MemoryStore, target: EndpointRef, seq: Seq) -> Result<bool, Violation> {
    let attempts = history::of_message(rows, target, seq)?;
    Ok(attempts.iter().any(|attempt| attempt.outcome == OutcomeClass::Success))
}

/// Endpoints of which a job removes dead letters in this batch.
fn purged(batch: &Batch) -> Result<BTreeSet<EndpointRef>, Violation> {
    let mut purged = BTreeSet::new();
    for (_, write) in of_kind(batch, KeyKind::Job) {
        if let Write::Put(value) = write {
            let row: Job = rows::job::from_value(value)?;
            purged.extend((row.kind == JobKind::PurgeDeadLetters).then_some(row.target));
        }
    }
    Ok(purged)
}

fn count(rows: &MemoryStore, kind: KeyKind, app: AppId) -> Result<u32, Violation> {
    let range = rows::key::of_app(kind, app);
    Ok(Store::scan(rows, &range.start, &range.end, usize::MAX, Direction::Forward)?.len() as u32)
}
