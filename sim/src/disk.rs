//! The disk under the engine: the model store, with every batch that became durable on record for the oracle.
//!
//! Faults are the model's own: an `apply` may fail, with its batch lost or kept. Planted bugs of the store are here.

use crate::plant::Plant;
use bytes::Bytes;
use model::{EndpointHealth, Job, Pending, Skipped, Trigger, UnixMs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use storage::rows::{self, KeyKind};
use storage::store::memory::FaultOutcome;
use storage::store::{MemoryStore, Tail, Write};
use storage::{Batch, Direction, Store, StoreError};

/// One commit in so many is struck by a planted bug.
const STRUCK_EVERY: u64 = 5;

/// The disk as one process sees it.
#[derive(Debug, Default)]
pub struct Disk {
    rows: Arc<MemoryStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    durable: Vec<Batch>,
    /// A fault of this kind waits for the next `apply`.
    fault: Option<FaultOutcome>,
    plant: Option<Plant>,
    commits: u64,
    /// Acknowledged, but not durable: see [`Plant::EarlyAck`].
    late: Option<Batch>,
    /// The durable rows, if the process sees others.
    survives: Option<Arc<MemoryStore>>,
}

impl Disk {
    /// An empty disk with a planted bug, if any.
    #[must_use]
    pub fn new(plant: Option<Plant>) -> Disk {
        let disk = Disk::default();
        let early = plant == Some(Plant::EarlyAck);
        *disk.lock() = State { plant, survives: early.then(Arc::default), ..State::default() };
        disk
    }

    /// The next `apply` fails; its batch is lost or kept.
    pub fn fail_next(&self, outcome: FaultOutcome) {
        self.rows.fail_nth_apply(1, outcome);
        self.lock().fault = Some(outcome);
    }

    /// The disk as a process started after this one finds it.
    #[must_use]
    pub fn restart(&self) -> Disk {
        let state = self.lock();
        let rows = state.survives.as_ref().unwrap_or(&self.rows).restart();
        let survives = state.survives.as_ref().map(|_| Arc::new(rows.restart()));
        let next = State { plant: state.plant, commits: state.commits, survives, ..State::default() };
        Disk { rows: Arc::new(rows), state: Mutex::new(next) }
    }

    /// Everything that became durable since this was last asked.
    #[must_use]
    pub fn take_durable(&self) -> Vec<Batch> {
        std::mem::take(&mut self.lock().durable)
    }

    /// The rows that would survive a crash now.
    #[must_use]
    pub fn durable(&self) -> Arc<MemoryStore> {
        let state = self.lock();
        let rows = state.survives.as_ref().unwrap_or(&self.rows);
        if rows.poisoned().is_some() { Arc::new(rows.restart()) } else { rows.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The batch as the planted bug leaves it; none when it keeps it from the disk.
    fn strike(&mut self, batch: Batch) -> Option<Batch> {
        self.commits += 1;
        let struck = self.commits.is_multiple_of(STRUCK_EVERY);
        match self.plant {
            Some(Plant::AckAfterFailure) if struck => None,
            Some(Plant::LostSettlement) if struck => Some(without(
                &batch,
                &[
                    KeyKind::Pending,
                    KeyKind::Due,
                    KeyKind::DeadLetter,
                    KeyKind::DeadLetterByTime,
                    KeyKind::AttemptFirst,
                    KeyKind::AttemptLater,
                    KeyKind::AttemptLaterBySeq,
                ],
            )),
            Some(Plant::LostRetryRow) if struck => Some(without(&batch, &[KeyKind::Pending, KeyKind::Due])),
            // Each of them: the next one would make up for it.
            Some(Plant::LostRouted) => Some(without(&batch, &[KeyKind::Routed])),
            Some(Plant::LostAudit) => Some(without(&batch, &[KeyKind::Audit, KeyKind::AuditByApp])),
            Some(Plant::LostDays) => Some(without(&batch, &[KeyKind::DeadLetterDays])),
            Some(Plant::LostCount) => Some(without_skipped(&batch)),
            Some(Plant::LostRun) => Some(without_runs(&batch)),
            Some(Plant::LostSchedule) if struck => Some(without_schedule(&batch)),
            Some(Plant::EarlySchedule) => Some(due_at_once(&batch)),
            _ => Some(batch),
        }
    }
}

/// A batch without its writes to rows of these kinds.
fn without(batch: &Batch, kinds: &[KeyKind]) -> Batch {
    let mut left = Batch::new();
    for (key, write) in batch.iter() {
        match write {
            Write::Put(_) if kinds.iter().any(|kind| key.first() == Some(&(*kind as u8))) => {}
            Write::Put(value) => left.put(key.clone(), value.clone()),
            Write::Delete => left.delete(key.clone()),
        }
    }
    left
}

/// A batch whose scheduled messages are gone from the schedule, with nobody to get them.
fn without_schedule(batch: &Batch) -> Batch {
    let ends = |key: &[u8], write: &Write| key.first() == Some(&(KeyKind::Scheduled as u8)) && *write == Write::Delete;
    match batch.iter().any(|(key, write)| ends(key, write)) {
        true => without(batch, &[KeyKind::Pending, KeyKind::Due]),
        false => batch.clone(),
    }
}

/// A batch whose first attempts of scheduled messages are due long ago.
fn due_at_once(batch: &Batch) -> Batch {
    let mut left = Batch::new();
    for (key, write) in batch.iter() {
        let row = match write {
            Write::Put(value) if key.first() == Some(&(KeyKind::Pending as u8)) => {
                rows::pending::from_value(value).ok()
            }
            _ => None,
        };
        match (row.filter(|row| row.attempts == 0 && row.trigger == Trigger::Scheduled), write) {
            (Some(row), _) => {
                let row = Pending { due: UnixMs(1), ..row };
                left.put(key.clone(), rows::pending::to_value(&row));
                if let Ok((target, seq)) = rows::pending::decode(key) {
                    left.put(rows::due::encode(target, row.due, seq), rows::due::to_value(row.urgency()));
                }
            }
            (None, Write::Put(value)) => left.put(key.clone(), value.clone()),
            (None, Write::Delete) => left.delete(key.clone()),
        }
    }
    left
}

/// A batch whose jobs say that they left nothing as it is.
fn without_skipped(batch: &Batch) -> Batch {
    let mut left = Batch::new();
    for (key, write) in batch.iter() {
        match write {
            Write::Put(value) if key.first() == Some(&(KeyKind::Job as u8)) => {
                let row = rows::job::from_value(value).map(|row| Job { skipped: Skipped::default(), ..row });
                left.put(key.clone(), row.map_or(value.clone(), |row| rows::job::to_value(&row)));
            }
            Write::Put(value) => left.put(key.clone(), value.clone()),
            Write::Delete => left.delete(key.clone()),
        }
    }
    left
}

/// A batch in whose rows of health no delivery failed.
fn without_runs(batch: &Batch) -> Batch {
    let mut left = Batch::new();
    for (key, write) in batch.iter() {
        match write {
            Write::Put(value) if key.first() == Some(&(KeyKind::Health as u8)) => {
                let row = rows::health::from_value(value).map(|row| EndpointHealth { failed_deliveries: 0, ..row });
                left.put(key.clone(), row.map_or(value.clone(), |row| rows::health::to_value(&row)));
            }
            Write::Put(value) => left.put(key.clone(), value.clone()),
            Write::Delete => left.delete(key.clone()),
        }
    }
    left
}

impl Store for Disk {
    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.lock();
        let Some(batch) = state.strike(batch) else { return Ok(()) };
        let fault = state.fault.take();
        let result = self.rows.apply(batch.clone());
        if result.is_err() && fault != Some(FaultOutcome::Kept) {
            return result;
        }
        if state.survives.is_none() {
            state.durable.push(batch);
        } else if let Some(late) = state.late.replace(batch) {
            if let Some(survives) = &state.survives {
                survives.apply(late.clone())?;
            }
            state.durable.push(late);
        }
        result
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Store::get(&*self.rows, key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.rows.get_many(keys)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize, way: Direction) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Store::scan(&*self.rows, start, end, limit, way)
    }

    fn follow(&self, tail: Weak<Tail>) -> Result<u64, StoreError> {
        self.rows.follow(tail)
    }

    fn size_on_disk_bytes(&self) -> Result<u64, StoreError> {
        self.rows.size_on_disk_bytes()
    }

    fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        self.rows.free_bytes()
    }

    fn poisoned(&self) -> Option<String> {
        self.rows.poisoned()
    }
}
