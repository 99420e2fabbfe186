//! The oracle: knows what users were promised, watches the disk, the receivers and the clients, and speaks up at the
//! first thing that must not be.
//!
//! - `ledger`: an accepted message is durable, once, as it was sent.
//! - `order`: no first try starts before what it has to wait for is over, and scheduled messages have their place.
//! - `deliveries`: who is owed what, attempts and their ends, and when an attempt may start.
//! - `failovers`: a request goes to the side that it is for, and to the active side.
//! - `jobs`: the counts of a job add up, and the deliveries that it says it put in line are there.
//! - `audit`: the audit log is one chain, and has what the engine does to endpoints by itself.
//! - `bounds`: queues, places, windows, breakers.
//! - `failed`: so many deliveries in a row that used up their attempts disable an endpoint, and no fewer.
//! - `pace`: no more attempts than an application's rate allows, on all shards together.
//! - `pauses`: nothing is sent to what is paused.
//! - `quotas`: never more than a quota, right counts, and no dead letter lost but to a newer one.
//! - `schedule`: messages with a time of their own: not before it, not lost, not after their expiry.
//! - `rest`: when everything has settled, nothing is lost and nothing is held.
//!
//! It reads rows through the tables' own functions and matches events with the engine's own filter; it decides nothing
//! by what lanes believe, but for their breakers.

mod audit;
mod bounds;
mod deliveries;
mod failed;
mod failovers;
mod jobs;
mod ledger;
mod order;
mod pace;
mod pauses;
mod quotas;
mod rest;
mod schedule;

use crate::client::{Parcel, Taken};
use crate::node::{Flight, Seen, Shard};
use deliveries::Deliveries;
use engine::EngineConfig;
use engine::prepare::Side;
use failed::Failed;
use failovers::Failovers;
use ledger::Ledger;
use model::{AppId, Cursor, DeadLetter, DeadLetterReason, EndpointRef, Gap, OutcomeClass, Pending, Seq, UnixMs};
use pace::Paces;
use pauses::Pauses;
use quotas::Quotas;
use std::collections::{BTreeMap, BTreeSet};
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::writer::IngestOutcome;
use storage::{Batch, StoreError};

pub use bounds::check_shard;
pub use deliveries::Ended;
pub use rest::check_rest;

/// A promise broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

impl From<StoreError> for Violation {
    fn from(error: StoreError) -> Violation {
        Violation(format!("the store cannot be read: {error}"))
    }
}

/// Fails with the words unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err($crate::oracle::Violation(format!($($words)+)));
        }
    };
}
pub(crate) use ensure;

/// Everything that is known.
#[derive(Debug)]
pub struct Oracle {
    /// Events.
    pub ledger: Ledger,
    /// Deliveries.
    pub deliveries: Deliveries,
    quotas: Quotas,
    /// Jobs as they were last seen.
    jobs: BTreeMap<u32, jobs::Known>,
    paces: Paces,
    must_pause: order::MustPause,
    pauses: Pauses,
    failed: Failed,
    failovers: Failovers,
    audit: audit::AuditLog,
    /// The last first try that each actor started by itself.
    tried_upto: BTreeMap<(usize, u64), Seq>,
    /// The probe that each actor has out.
    probes: BTreeMap<(usize, u64), Seq>,
}

impl Oracle {
    /// Knows nothing yet but the engine's settings.
    #[must_use]
    pub fn new(config: &EngineConfig) -> Oracle {
        Oracle {
            ledger: Ledger::new(config.idempotency_ms),
            deliveries: Deliveries::new(config.retry_policy.max_attempts),
            quotas: Quotas::new(config.quotas),
            jobs: BTreeMap::new(),
            paces: Paces::default(),
            must_pause: order::MustPause::default(),
            pauses: Pauses::default(),
            failed: Failed::default(),
            failovers: Failovers::default(),
            audit: audit::AuditLog::default(),
            tried_upto: BTreeMap::new(),
            probes: BTreeMap::new(),
        }
    }

    /// A batch is durable; `rows` is what the disk holds with it.
    ///
    /// # Errors
    /// A promise broken.
    pub fn durable(&mut self, batch: &Batch, rows: &MemoryStore) -> Result<(), Violation> {
        self.pauses.commit();
        self.audit.durable(batch)?;
        // Endpoints first: one created in a commit gets that commit's events.
        self.durable_settings(batch, rows)?;
        for event in self.ledger.durable(batch, rows)? {
            self.deliveries.event(&event);
        }
        for (key, write) in of_kind(batch, KeyKind::Pending) {
            let (target, seq) = rows::pending::decode(key)?;
            if let Write::Put(value) = write {
                let row: Pending = rows::pending::from_value(value)?;
                let by = (row.attempts == 0).then_some(row.trigger);
                self.deliveries.put_off((target, seq), by, self.pauses.last())?;
            }
        }
        for (app, due, seq) in schedule::put_in_line(batch)? {
            self.deliveries.put_in_line(app, due, seq, &self.ledger)?;
        }
        for (key, write) in of_kind(batch, KeyKind::DeadLetter) {
            let (target, seq) = rows::dead_letter::decode(key)?;
            match write {
                Write::Put(value) => {
                    let row: DeadLetter = rows::dead_letter::from_value(value)?;
                    let untried = matches!(row.reason, DeadLetterReason::Expunged | DeadLetterReason::PastExpiry);
                    self.deliveries.given_up(target, seq, untried)?;
                }
                Write::Delete => {
                    let in_line = is_put(batch, &rows::pending::encode(target, seq));
                    self.deliveries.letter_removed(target, seq, in_line, &self.ledger)?;
                }
            }
        }
        self.must_pause.durable(batch, rows)?;
        self.failed.durable(rows)?;
        let expunged = expunged_in_line(batch)?;
        jobs::check(batch, &mut self.jobs, rows, &expunged)?;
        self.deliveries.expunged_in_line(expunged);
        let (deliveries, ledger) = (&self.deliveries, &self.ledger);
        let is_gone = |target: EndpointRef| deliveries.is_deleted(target) || ledger.is_deleted(target.app);
        self.quotas.durable(batch, rows, is_gone)?;
        self.deliveries.look_for_records(batch, rows, &self.ledger)
    }

    /// Endpoints and applications of a batch.
    fn durable_settings(&mut self, batch: &Batch, rows: &MemoryStore) -> Result<(), Violation> {
        for (key, write) in of_kind(batch, KeyKind::Endpoint) {
            let target = rows::endpoint::decode(key)?;
            match write {
                Write::Put(value) => {
                    let row = rows::endpoint::from_value(value)?;
                    self.pauses.put_endpoint(&row);
                    self.failed.put(&row);
                    self.must_pause.put(&row, batch, &self.ledger)?;
                    self.failovers.put(&row, self.pauses.last());
                    self.deliveries.endpoint_put(row, &self.ledger, rows)?;
                }
                Write::Delete => {
                    self.failed.deleted(target);
                    self.failovers.deleted(target);
                    self.deliveries.endpoint_deleted(target);
                }
            }
        }
        for (key, write) in of_kind(batch, KeyKind::Application) {
            match write {
                Write::Put(value) => {
                    let row = rows::application::from_value(value)?;
                    self.pauses.put_application(&row);
                    self.paces.put(&row);
                }
                Write::Delete => {
                    let app = rows::application::decode(key)?;
                    self.paces.deleted(app);
                    self.ledger.app_deleted(app);
                }
            }
        }
        Ok(())
    }

    /// A client was answered.
    ///
    /// # Errors
    /// An answer that does not hold.
    pub fn answered(&mut self, parcel: &Parcel, taken: &Taken) -> Result<(), Violation> {
        let refused = |outcome: &IngestOutcome| matches!(outcome, IngestOutcome::TooManyKeys { .. });
        // The keys of an application that the same commit deletes are not looked at.
        let is_gone = self.ledger.is_deleted(parcel.app);
        if !is_gone && taken.as_ref().is_ok_and(|outcomes| outcomes.iter().any(refused)) {
            self.quotas.refused(parcel.app)?;
        }
        self.ledger.answered(parcel, taken)
    }

    /// A lane took a message and asked for things.
    ///
    /// # Errors
    /// A promise broken.
    pub fn acted(&mut self, shard: &Shard, seen: &Seen, now: UnixMs) -> Result<(), Violation> {
        let target = seen.mailbox.cell.target;
        self.must_pause.acted(seen, &self.ledger);
        self.paces.started(target.app, bounds::let_through(seen), now)?;
        order::check_scheduled(
            &self.deliveries,
            &self.ledger,
            (shard, self.pauses.known(shard.core.index)),
            seen,
            now,
        )?;
        bounds::check_actions(&mut self.tried_upto, &mut self.probes, shard, seen)
    }

    /// The commit went well: its news are on their way to the shards.
    pub fn told(&mut self) {
        self.pauses.told();
    }

    /// A shard takes all its news.
    pub fn taken(&mut self, shard: usize) {
        self.pauses.taken(shard);
    }

    /// So many attempts of each application are in flight at once.
    ///
    /// # Errors
    /// A promise broken.
    pub fn check_slots(&self, taken: &BTreeMap<AppId, usize>) -> Result<(), Violation> {
        self.paces.check_slots(taken)
    }

    /// An attempt starts.
    ///
    /// # Errors
    /// A promise broken.
    pub fn started(&mut self, shard: usize, flight: &Flight, rows: &MemoryStore) -> Result<(), Violation> {
        let target = flight.mailbox.cell.target;
        self.pauses.started(target, shard)?;
        if let Some(url) = &flight.url {
            self.failovers.started(target, flight.side, url, self.pauses.known(shard))?;
        }
        self.ledger.check_sent(&flight.event)?;
        order::check(&self.deliveries, &self.ledger, flight)?;
        self.deliveries.started(target, flight, rows)
    }

    /// An attempt to one side ended.
    pub fn side_ended(&mut self, target: EndpointRef, side: Side, outcome: OutcomeClass) {
        self.failovers.ended(target, side, outcome);
    }

    /// An attempt ended and its lane will be told.
    ///
    /// # Errors
    /// A promise broken.
    pub fn ended(&mut self, target: EndpointRef, seq: Seq, ended: Ended) -> Result<(), Violation> {
        if !ended.is_test {
            self.failed.ended(target, seq, ended);
        }
        self.deliveries.ended(target, seq, ended)
    }

    /// The process died with these attempts in flight.
    pub fn crashed<'a>(&mut self, flights: impl Iterator<Item = &'a Flight>) {
        self.tried_upto.clear();
        self.probes.clear();
        self.paces.crashed();
        self.must_pause.crashed();
        self.pauses.crashed();
        self.failed.crashed();
        self.failovers.crashed();
        flights.for_each(|flight| self.deliveries.lost(flight.mailbox.cell.target, flight.event.seq));
        self.deliveries.forget_unsettled();
    }
}

/// Writes to rows of one kind.
fn of_kind(batch: &Batch, kind: KeyKind) -> impl Iterator<Item = (&bytes::Bytes, &Write)> {
    batch.iter().filter(move |(key, _)| key.first() == Some(&(kind as u8)))
}

fn is_put(batch: &Batch, key: &[u8]) -> bool {
    matches!(batch.get(key), Some(Write::Put(_)))
}

/// Deliveries that may have been put in line by hand and taken out again within one commit, by an expunge that shares
/// it. The batch shows no more of them than this: their rows are deleted, and they are given up without an attempt.
///
/// # Errors
/// A row that cannot be read.
fn expunged_in_line(batch: &Batch) -> Result<BTreeSet<(EndpointRef, Seq)>, Violation> {
    let mut found = BTreeSet::new();
    for (key, write) in of_kind(batch, KeyKind::Pending) {
        let (target, seq) = rows::pending::decode(key)?;
        let given_up = match batch.get(&rows::dead_letter::encode(target, seq)) {
            Some(Write::Put(value)) => {
                let row: DeadLetter = rows::dead_letter::from_value(value)?;
                row.reason == DeadLetterReason::Expunged && row.attempts == 0
            }
            // It made room for another in the same commit.
            Some(Write::Delete) => true,
            None => false,
        };
        if *write == Write::Delete && given_up {
            found.insert((target, seq));
        }
    }
    Ok(found)
}

/// Applications of which a batch writes events.
///
/// # Errors
/// A key that cannot be read.
pub fn apps_with_events(batch: &Batch) -> Result<Vec<AppId>, Violation> {
    of_kind(batch, KeyKind::Event).map(|(key, _)| Ok(rows::event::decode(key)?.0)).collect()
}

/// Positions of endpoints, and the events that they do not get, as a batch says it.
///
/// # Errors
/// A row that cannot be read.
pub fn marks_in_words(batch: &Batch) -> Result<Vec<String>, Violation> {
    let mut lines = Vec::new();
    for (key, write) in of_kind(batch, KeyKind::Cursor) {
        let endpoint = rows::cursor::decode(key)?.endpoint;
        lines.push(match write {
            Write::Put(value) => {
                let Cursor { upto, holes } = rows::cursor::from_value(value)?;
                let holes: Vec<u64> = holes.iter().map(|hole| hole.0).collect();
                format!("{endpoint} stands at {upto}, but for {holes:?}")
            }
            Write::Delete => format!("{endpoint} owes nothing"),
        });
    }
    for (key, write) in of_kind(batch, KeyKind::Gap) {
        let (target, first) = rows::gap::decode(key)?;
        if let Write::Put(value) = write {
            let gap: Gap = rows::gap::from_value(value)?;
            lines.push(format!("{} does not get {first} to {:?}", target.endpoint, gap.last.map(|last| last.0)));
        }
    }
    Ok(lines)
}

/// The endpoint and position in words.
fn named(target: EndpointRef, seq: Seq) -> String {
    format!("delivery of {}/{seq} to {}", target.app, target.endpoint)
}

/// The engine's time in words.
pub(crate) fn at(time: UnixMs) -> u64 {
    time.0 % 100_000_000
}
