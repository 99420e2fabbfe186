//! Quotas: an application never has more than its quota, and counts agree with rows. A dead letter that nobody asked to
//! remove goes only where a newer one needs its room, or after the days of its endpoint or application, and then it does go.

use super::{Oracle, Violation, ensure, is_put, named, of_kind};
use model::{AppId, DeadLetter, DeadLetterReason, EndpointId, EndpointRef, Job, JobKind, OutcomeClass, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::{application, dead_letter, endpoint, history, idempotency};
use storage::writer::WriterQuotas;
use storage::{Batch, Direction, Store};

const DAY_MS: u64 = 86_400_000;

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
    /// The clock of retention is not ahead of this.
    now: UnixMs,
}

impl Quotas {
    pub(super) fn new(most: WriterQuotas) -> Quotas {
        let (letters, expunged, once_full_of_keys) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Quotas { most, letters, expunged, once_full_of_keys, now: UnixMs::ZERO }
    }

    /// A batch is durable.
    pub(super) fn durable(
        &mut self,
        batch: &Batch,
        rows: &MemoryStore,
        is_gone: impl Fn(EndpointRef) -> bool,
    ) -> Result<(), Violation> {
        let (purged, mut apps, mut evicted) = (purged(batch)?, BTreeSet::new(), Vec::new());
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
                    let is_past = match at {
                        Some(at) => self.is_past(target, at, self.now, rows)?,
                        None => false,
                    };
                    if !asked_for && !is_past {
                        evicted.push((target, seq, at));
                    }
                }
            }
        }
        self.letters.retain(|(target, _), _| !is_gone(*target));
        self.expunged.retain(|(target, _)| !is_gone(*target));
        for (target, seq, at) in &evicted {
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

    /// True if a dead letter of then is kept no longer at `time`, by the days that its endpoint sets, else its application.
    /// The server keeps them for ever.
    fn is_past(&self, target: EndpointRef, at: UnixMs, time: UnixMs, rows: &MemoryStore) -> Result<bool, Violation> {
        let own = endpoint::get(rows, target)?.and_then(|row| row.dead_letter_retention_days);
        let app = application::get(rows, target.app)?.and_then(|row| row.policy.dead_letter_retention_days);
        Ok(own.or(app).is_some_and(|days| at.plus_ms(u64::from(days) * DAY_MS) < time))
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

impl Oracle {
    /// Retention's clock shows this at most.
    pub fn retention_may_go_by(&mut self, now: UnixMs) {
        self.quotas.now = now;
    }

    /// A round of retention that went by `time` has made all its steps.
    ///
    /// # Errors
    /// A dead letter that is kept for longer than its days.
    pub fn round_ended(&self, time: UnixMs, rows: &MemoryStore) -> Result<(), Violation> {
        for ((target, seq), at) in &self.quotas.letters {
            let is_past = self.quotas.is_past(*target, *at, time, rows)?;
            ensure!(
                !is_past,
                "the dead letter of {} is of {at:?} and was kept in a round of {time:?}",
                named(*target, *seq)
            );
        }
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
