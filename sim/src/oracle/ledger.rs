//! Events: an acknowledged one is durable as it was sent, a repeated one is there once, and none comes from nowhere.

use super::{Violation, ensure, of_kind};
use crate::client::{Parcel, Taken};
use bytes::Bytes;
use model::{AppId, Event, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::Batch;
use storage::rows::event::block::{self, PayloadAt};
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::log;
use storage::writer::{IngestOutcome, NewMessage};

/// Every event that was ever durable.
#[derive(Debug, Default)]
pub struct Ledger {
    events: BTreeMap<(AppId, Seq), Event>,
    /// Messages that clients sent, by payload: how often, and under which key.
    sent: BTreeMap<Bytes, (u32, Option<String>)>,
    /// Times that a payload was taken, and the time of the last.
    by_payload: BTreeMap<Bytes, (u32, UnixMs)>,
    idempotency_ms: u64,
    /// The latest that any of the engine's clocks ever showed: what had expired then may be gone, though the wall clock
    /// was set back since.
    latest: UnixMs,
    heads: BTreeMap<AppId, Seq>,
    /// The beginning of each log.
    begins: BTreeMap<AppId, Seq>,
    deleted: BTreeSet<AppId>,
    /// Events whose payload is durably gone.
    expunged: BTreeSet<(AppId, Seq)>,
    /// Those of them that clients were told of.
    told_expunged: BTreeSet<(AppId, Seq)>,
    /// Events that clients were told are accepted.
    pub acknowledged: u64,
}

impl Ledger {
    /// Knows of no event; keys are remembered for so long.
    pub(super) fn new(idempotency_ms: u64) -> Ledger {
        Ledger { idempotency_ms, ..Ledger::default() }
    }

    /// The engine's clock shows this.
    pub fn clock_shows(&mut self, now: UnixMs) {
        self.latest = self.latest.max(now);
    }

    /// The latest time that the engine's clock has shown.
    pub(super) fn latest(&self) -> UnixMs {
        self.latest
    }

    /// A client sends, or sends again.
    pub fn sent(&mut self, messages: &[NewMessage]) {
        for message in messages {
            let entry = self.sent.entry(message.payload.clone()).or_insert((0, message.idempotency_key.clone()));
            entry.0 += 1;
        }
    }

    /// A batch is durable: answers the events that are new with it.
    pub(super) fn durable(&mut self, batch: &Batch, rows: &MemoryStore) -> Result<Vec<Event>, Violation> {
        let mut new = Vec::new();
        let mut touched = BTreeSet::new();
        for (key, write) in of_kind(batch, KeyKind::Event) {
            let (app, _) = rows::event::decode(key)?;
            match write {
                Write::Put(block) => {
                    touched.insert(app);
                    let gone = block::read(app, block)?
                        .into_iter()
                        .filter(|record| record.payload_at == PayloadAt::Inline { length: 0 });
                    self.expunged.extend(gone.map(|record| (app, record.event.seq)));
                }
                Write::Delete => drop(self.begins.insert(app, log::begin(rows, app)?)),
            }
        }
        for app in touched {
            let head = self.heads.get(&app).copied().unwrap_or_default();
            for event in log::read_after(rows, app, head, usize::MAX, usize::MAX)? {
                self.note(event.clone())?;
                new.push(event);
            }
        }
        Ok(new)
    }

    fn note(&mut self, event: Event) -> Result<(), Violation> {
        let place = (event.app, event.seq);
        let head = self.heads.entry(event.app).or_default();
        ensure!(event.seq == head.next(), "event {place:?} does not follow on {head}");
        *head = event.seq;
        let sent = self.sent.get(&event.payload);
        ensure!(sent.is_some(), "event {place:?} was never sent");
        let (copies, last_at) = self.by_payload.entry(event.payload.clone()).or_default();
        let expired = self.latest >= last_at.plus_ms(self.idempotency_ms);
        (*copies, *last_at) = (*copies + 1, event.accepted_at);
        if let Some((times, key)) = sent {
            ensure!(key.is_none() || *copies == 1 || expired, "event {place:?} was taken twice under {key:?}");
            ensure!(*copies <= *times, "event {place:?} was taken more often than it was sent");
        }
        self.events.insert(place, event);
        Ok(())
    }

    /// A client was answered.
    ///
    /// # Errors
    /// An answer that does not hold.
    pub(super) fn answered(&mut self, parcel: &Parcel, taken: &Taken) -> Result<(), Violation> {
        let Ok(outcomes) = taken else { return Ok(()) };
        ensure!(outcomes.len() == parcel.messages.len(), "{} answers to {parcel:?}", outcomes.len());
        for (message, outcome) in parcel.messages.iter().zip(outcomes) {
            let (IngestOutcome::Accepted(event) | IngestOutcome::Repeated(event)) = outcome else { continue };
            self.acknowledged += 1;
            let durable = self.events.get(&(event.app, event.seq));
            ensure!(durable.is_some(), "event {}/{} was acknowledged before it was durable", event.app, event.seq);
            ensure!(durable == Some(event), "event {}/{} is not what was acknowledged", event.app, event.seq);
            ensure!(event.payload == message.payload, "event {}/{} is not what was sent", event.app, event.seq);
        }
        Ok(())
    }

    /// A client was told that an event is expunged.
    pub fn told_expunged(&mut self, app: AppId, seq: Seq) {
        self.told_expunged.insert((app, seq));
    }

    /// True if the payload of an event is durably gone.
    pub(super) fn is_expunged(&self, app: AppId, seq: Seq) -> bool {
        self.expunged.contains(&(app, seq))
    }

    /// True if an event is stored as it must be: without its payload once that is expunged.
    pub(super) fn is_stored_as(&self, event: &Event, stored: Option<&Event>) -> bool {
        match self.is_expunged(event.app, event.seq) {
            true => stored == Some(&Event { payload: Bytes::new(), ..event.clone() }),
            false => stored == Some(event),
        }
    }

    /// Checks that a receiver is sent an event as it was accepted, under the same id.
    pub(super) fn check_sent(&self, event: &Event) -> Result<(), Violation> {
        let known = self.events.get(&(event.app, event.seq));
        ensure!(known.is_some(), "event {}/{} is sent and was never durable", event.app, event.seq);
        let id = known.map(Event::message_id);
        ensure!(id == Some(event.message_id()), "event {}/{} changed its id", event.app, event.seq);
        ensure!(known == Some(event), "event {}/{} is sent with other content", event.app, event.seq);
        let told = self.told_expunged.contains(&(event.app, event.seq));
        ensure!(!told, "event {}/{} is sent and was expunged", event.app, event.seq);
        Ok(())
    }

    pub(super) fn app_deleted(&mut self, app: AppId) {
        self.deleted.insert(app);
    }

    pub(super) fn is_deleted(&self, app: AppId) -> bool {
        self.deleted.contains(&app)
    }

    /// An event that was once durable.
    #[must_use]
    pub fn event(&self, app: AppId, seq: Seq) -> Option<&Event> {
        self.events.get(&(app, seq))
    }

    /// True if retention removed it, or its application is gone.
    #[must_use]
    pub fn is_gone(&self, app: AppId, seq: Seq) -> bool {
        self.deleted.contains(&app) || self.begins.get(&app).is_some_and(|begin| seq < *begin)
    }

    /// Every event of applications that are there.
    pub fn all(&self) -> impl Iterator<Item = &Event> {
        self.events.values().filter(|event| !self.deleted.contains(&event.app))
    }
}
