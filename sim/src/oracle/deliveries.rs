//! Deliveries: the deliveries that endpoints are owed and since when, the attempts, and the durable ends.

mod records;
mod seen;

use super::{Ledger, Violation, ensure, named, schedule};
use crate::node::Flight;
use engine::prepare::filter::Filter;
use model::{AppId, Cursor, DisabledReason, Endpoint, EndpointRef, Event, OutcomeClass, Seq, Trigger, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use storage::store::MemoryStore;
use storage::tables::{delivery, log};

/// The facts about one delivery.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Its event matched when it was accepted, and the endpoint was enabled.
    pub owed: bool,
    /// Its event matched when it was accepted, and the endpoint was disabled.
    pub passed_by: bool,
    /// The endpoint was disabled before it had ended.
    pub disabled_since: bool,
    /// The endpoint changed and did not want it any more, before it had passed it.
    pub unwanted_since: bool,
    /// The endpoint changed and wanted it, before it had passed it.
    pub wanted_since: bool,
    /// Attempts that started.
    pub started: u32,
    /// Successes that the engine saw.
    pub delivered: u32,
    /// Attempts whose end a crash kept from the disk.
    pub lost: u32,
    /// Times it was durably put back in line by hand.
    pub requeued: u32,
    /// A client was told that it will be sent once more.
    pub ordered: bool,
    /// It was put in line by hand at least once, and so perhaps before the time that it was scheduled for.
    pub by_hand: bool,
    /// The commit that put it in line for the time that it is scheduled for.
    pub in_line_since: Option<u64>,
    /// It was put in line by hand and neither tried nor given up since.
    pub order_open: bool,
    /// Rounds whose end is durable.
    pub ended: u32,
    /// Its dead letter was removed, and it is not in line again.
    pub letter_gone: bool,
    /// An attempt since the start turned out not to be made: a first try keeps its turn.
    pub not_made: bool,
    in_flight: u32,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When it started, by the engine's clock.
    pub started_at: UnixMs,
    /// The outcome that it showed.
    pub outcome: OutcomeClass,
    /// Its message is an example, which says nothing about the endpoint.
    pub is_test: bool,
}

/// The facts about one endpoint.
#[derive(Debug)]
struct Known {
    row: Endpoint,
    /// Everything it ever wanted.
    filters: Vec<Filter>,
    /// When it was first on disk.
    since: UnixMs,
    max_attempts: u16,
    /// It answered a message that is no example with 410.
    is_gone: bool,
    /// The head of its application's log when its order was last changed.
    order_since: Seq,
}

/// All deliveries.
#[derive(Debug)]
pub struct Deliveries {
    facts: BTreeMap<(EndpointRef, Seq), Facts>,
    endpoints: BTreeMap<EndpointRef, Known>,
    deleted: BTreeSet<EndpointRef>,
    /// Ends of attempts that are not durable yet.
    unsettled: BTreeMap<(EndpointRef, Seq), Vec<Ended>>,
    /// Put in line by hand and taken out again by the last batch: see [`super::expunged_in_line`].
    expunged_in_line: BTreeSet<(EndpointRef, Seq)>,
    default_attempts: u16,
}

impl Deliveries {
    pub(super) fn new(default_attempts: u16) -> Deliveries {
        Deliveries {
            facts: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            deleted: BTreeSet::new(),
            unsettled: BTreeMap::new(),
            expunged_in_line: BTreeSet::new(),
            default_attempts,
        }
    }

    pub(super) fn endpoint_put(&mut self, row: Endpoint, ledger: &Ledger, rows: &MemoryStore) -> Result<(), Violation> {
        let target = row.target();
        let attempts = row.retry_policy.as_ref().map_or(self.default_attempts, |policy| policy.max_attempts);
        // One more at the other side, after the last.
        let attempts = attempts + u16::from(row.failover.is_some());
        let wants = Filter::ever(&row);
        for (_, facts) in self.facts.range_mut((target, Seq::ZERO)..=(target, Seq::MAX)) {
            facts.disabled_since |= facts.ended == 0 && row.disabled.is_some();
        }
        // The filter decides about events that the endpoint has not passed, and about nothing else. Events that it has
        // passed in memory only may go either way.
        let routed = delivery::routed(rows, target.app)?;
        let cursor = delivery::cursor(rows, target)?.unwrap_or(Cursor { upto: routed, holes: Vec::new() });
        if self.endpoints.contains_key(&target) {
            let ahead = |seq: Seq| seq > cursor.upto || cursor.holes.contains(&seq);
            let is_ahead = |event: &Event| ahead(event.seq) && event.deliver_at().is_none();
            for event in ledger.all().filter(|event| event.app == target.app && is_ahead(event)) {
                let facts = self.facts.entry((target, event.seq)).or_default();
                facts.unwanted_since |= !wants.matches(event);
                facts.wanted_since |= wants.matches(event);
            }
        }
        let (filter, head) = (Filter::of(&row), log::head(rows, target.app)?);
        match self.endpoints.get_mut(&target) {
            Some(known) => {
                known.filters.push(filter);
                let by_itself = row.disabled.as_ref().is_some_and(|disabled| disabled.reason == DisabledReason::Gone);
                ensure!(!by_itself || known.is_gone, "{} was disabled by the answer to an example", target.endpoint);
                known.max_attempts = known.max_attempts.max(attempts);
                if known.row.order != row.order {
                    known.order_since = head;
                }
                known.row = row;
            }
            None => {
                let (since, order_since, is_gone) = (ledger.latest(), Seq::ZERO, false);
                let known = Known { row, filters: vec![filter], max_attempts: attempts, order_since, since, is_gone };
                self.endpoints.insert(target, known);
            }
        }
        Ok(())
    }

    /// The last batch put these in line by hand and took them out again.
    pub(super) fn expunged_in_line(&mut self, found: BTreeSet<(EndpointRef, Seq)>) {
        self.expunged_in_line = found;
    }

    /// A client was told that a delivery will be sent once more: by the last batch, which is what it waited for.
    pub fn ordered(&mut self, target: EndpointRef, seq: Seq) {
        if !self.deleted.contains(&target) && !self.expunged_in_line.contains(&(target, seq)) {
            self.facts.entry((target, seq)).or_default().ordered = true;
        }
    }

    pub(super) fn endpoint_deleted(&mut self, target: EndpointRef) {
        self.endpoints.remove(&target);
        self.deleted.insert(target);
        self.facts.retain(|(other, _), _| *other != target);
        self.unsettled.retain(|(other, _), _| *other != target);
    }

    /// An event is durable: this is when it is decided who gets it.
    pub(super) fn event(&mut self, event: &Event) {
        let of_app = self.endpoints.iter().filter(|(target, _)| target.app == event.app);
        for (target, known) in of_app {
            // The present filter is the last one: it is compiled already.
            let matches = known.filters.last().is_some_and(|filter| filter.matches(event));
            if matches {
                let disabled = known.row.disabled.is_some();
                let facts = Facts { owed: !disabled, passed_by: disabled, ..Facts::default() };
                self.facts.insert((*target, event.seq), facts);
            }
        }
    }

    pub(super) fn put_off(
        &mut self,
        (target, seq): (EndpointRef, Seq),
        by: Option<Trigger>,
        commit: u64,
    ) -> Result<(), Violation> {
        if self.deleted.contains(&target) {
            return Ok(());
        }
        if let Some(by) = by {
            let is_disabled = self.endpoints.get(&target).is_some_and(|known| known.row.disabled.is_some());
            let facts = self.facts.entry((target, seq)).or_default();
            facts.requeued += 1;
            facts.by_hand |= by == Trigger::Manual;
            facts.in_line_since = facts.in_line_since.or((by == Trigger::Scheduled).then_some(commit));
            facts.disabled_since |= is_disabled;
            facts.order_open = true;
            facts.letter_gone = false;
            return Ok(());
        }
        let facts = self.facts.get(&(target, seq));
        ensure!(facts.is_some_and(|facts| facts.started > 0), "{} waits and was never tried", named(target, seq));
        Ok(())
    }

    /// A scheduled message is off the schedule: each endpoint that was there and has wanted it all along has it in line.
    pub(super) fn put_in_line(&mut self, app: AppId, due: UnixMs, seq: Seq, ledger: &Ledger) -> Result<(), Violation> {
        let Some(event) = ledger.event(app, seq).filter(|_| !ledger.is_gone(app, seq)) else { return Ok(()) };
        for (target, known) in self.endpoints.iter().filter(|(target, _)| target.app == app) {
            let has_it = self.facts.get(&(*target, seq)).is_some_and(|facts| facts.requeued > 0);
            let owed = schedule::is_owed(&known.filters, known.since, due, event);
            // An expunge that shares the commit takes it out of line again.
            let excused = !owed || ledger.is_expunged(app, seq);
            ensure!(has_it || excused, "{} was due and is not in line", named(*target, seq));
        }
        Ok(())
    }

    pub(super) fn given_up(&mut self, target: EndpointRef, seq: Seq, untried: bool) -> Result<(), Violation> {
        if self.deleted.contains(&target) {
            return Ok(());
        }
        if untried {
            // Perhaps not owed when it was accepted, but found in the log after the endpoint's filter had changed.
            self.facts.entry((target, seq)).or_default();
        }
        let facts = self.facts.get_mut(&(target, seq));
        ensure!(facts.is_some(), "{} is a dead letter and was never owed", named(target, seq));
        if let Some(facts) = facts {
            facts.ended += 1;
            facts.order_open = false;
            facts.letter_gone = false;
        }
        Ok(())
    }

    /// Its dead letter was removed: it made room for another, somebody had it purged, or the delivery is back in line.
    pub(super) fn letter_removed(
        &mut self,
        target: EndpointRef,
        seq: Seq,
        in_line: bool,
        ledger: &Ledger,
    ) -> Result<(), Violation> {
        if self.deleted.contains(&target) {
            return Ok(());
        }
        let expires = ledger.event(target.app, seq).is_some_and(|event| event.expires_at().is_some());
        if expires || ledger.is_expunged(target.app, seq) {
            // As in `given_up`.
            self.facts.entry((target, seq)).or_default();
        }
        let facts = self.facts.get_mut(&(target, seq));
        ensure!(facts.is_some(), "the dead letter of {} was removed and it was never owed", named(target, seq));
        if let Some(facts) = facts {
            // One that the same commit brings and removes never shows on disk.
            facts.ended = facts.ended.max(1);
            if !in_line {
                facts.letter_gone = true;
                facts.order_open = false;
            }
        }
        Ok(())
    }

    pub(super) fn is_deleted(&self, target: EndpointRef) -> bool {
        self.deleted.contains(&target)
    }

    pub(super) fn started(
        &mut self,
        target: EndpointRef,
        flight: &Flight,
        rows: &MemoryStore,
    ) -> Result<(), Violation> {
        let seq = flight.event.seq;
        let name = named(target, seq);
        ensure!(
            flight.due.is_none_or(|due| due <= flight.started_at),
            "{name} starts before it is due: {:?}",
            flight.due
        );
        if self.deleted.contains(&target) {
            return Ok(());
        }
        let Some(known) = self.endpoints.get(&target) else {
            return Err(Violation(format!("{name} starts and there is no such endpoint")));
        };
        let waits = delivery::pending(rows, target, seq)?.is_some();
        let wanted = known.filters.iter().any(|filter| filter.matches(&flight.event));
        // Not owed when it was accepted, but found in the log after the endpoint's filter had changed.
        let found_later = Facts { disabled_since: known.row.disabled.is_some(), ..Facts::default() };
        let facts = self.facts.entry((target, seq)).or_insert(found_later);
        schedule::check_start(target, flight, facts.by_hand)?;
        ensure!(wanted || facts.requeued > 0, "{name} starts and the endpoint never wanted it");
        ensure!(facts.in_flight == 0, "{name} is in flight twice");
        let open = facts.ended <= facts.requeued;
        ensure!(open || waits || flight.due.is_some(), "{name} starts after its settlement is durable: {facts:?}");
        ensure!((1..=known.max_attempts).contains(&flight.number), "{name} starts as attempt {}", flight.number);
        facts.in_flight += 1;
        facts.started += 1;
        facts.order_open &= flight.due.is_none();
        let allowed = u32::from(known.max_attempts) * (1 + facts.requeued) + facts.lost;
        ensure!(facts.started <= allowed, "{name} is attempted more often than its policy allows: {facts:?}");
        Ok(())
    }

    /// An attempt turned out not to be made: it counts as none.
    pub fn not_made(&mut self, target: EndpointRef, seq: Seq) {
        if let Some(facts) = self.facts.get_mut(&(target, seq)) {
            facts.in_flight = facts.in_flight.saturating_sub(1);
            facts.started = facts.started.saturating_sub(1);
            facts.not_made = true;
        }
    }

    pub(super) fn ended(&mut self, target: EndpointRef, seq: Seq, ended: Ended) -> Result<(), Violation> {
        if self.deleted.contains(&target) {
            return Ok(());
        }
        let facts = self.facts.entry((target, seq)).or_default();
        facts.in_flight = facts.in_flight.saturating_sub(1);
        let is_gone = ended.outcome == OutcomeClass::Gone && !ended.is_test;
        self.endpoints.get_mut(&target).into_iter().for_each(|known| known.is_gone |= is_gone);
        self.unsettled.entry((target, seq)).or_default().push(ended);
        if ended.outcome == OutcomeClass::Success {
            facts.delivered += 1;
            let allowed = 1 + facts.requeued + facts.lost;
            let name = named(target, seq);
            ensure!(facts.delivered <= allowed, "{name} was delivered again without a reason: {facts:?}");
        }
        Ok(())
    }

    pub(super) fn lost(&mut self, target: EndpointRef, seq: Seq) {
        if let Some(facts) = self.facts.get_mut(&(target, seq)) {
            facts.lost += 1;
        }
    }

    pub(super) fn forget_unsettled(&mut self) {
        for ((target, seq), ends) in std::mem::take(&mut self.unsettled) {
            ends.iter().for_each(|_| self.lost(target, seq));
        }
        self.facts.values_mut().for_each(|facts| (facts.in_flight, facts.not_made) = (0, false));
    }
}
