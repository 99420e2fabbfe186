//! Order: where an endpoint keeps one, no first try starts before everything is over that it has to wait for.
//!
//! An end that crashes could take back is none: only a success that was seen, and an end that is durable, count. An attempt
//! that was asked for by hand may come at any time. Deliveries from before the last change of the order wait for nobody.
//!
//! A scheduled message is before all that is accepted later than its time, once its shard knows that it is in line.

use super::deliveries::Facts;
use super::{Deliveries, Ledger, Violation, ensure, named, of_kind};
use crate::node::{Flight, Seen, Shard};
use engine::endpoint::lane::Action;
use model::{DeadLetter, DeadLetterReason, Endpoint, EndpointRef, Event, OnGiveUp, Order, PausedReason, Seq, UnixMs};
use std::collections::BTreeSet;
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::tables::endpoint;

/// Checks an attempt that starts.
///
/// # Errors
/// It overtakes another one.
pub(super) fn check(deliveries: &Deliveries, ledger: &Ledger, flight: &Flight) -> Result<(), Violation> {
    let (target, seq) = (flight.mailbox.cell.target, flight.event.seq);
    let Some((order, since)) = deliveries.order_of(target) else { return Ok(()) };
    let known = deliveries.facts(target, seq);
    let is_free = known.is_some_and(|facts| facts.started > 0 || facts.requeued > 0);
    if order == Order::None || is_free || seq <= since {
        return Ok(());
    }
    let key = flight.event.ordering_key();
    let has_key = |seq: Seq| ledger.event(target.app, seq).is_some_and(|event| event.ordering_key() == key);
    for (earlier, facts) in deliveries.between(target, since, seq) {
        let is_before = order == Order::Endpoint || (key.is_some() && has_key(earlier));
        let is_over = is_over(facts) || ledger.is_gone(target.app, earlier) || ledger.is_expunged(target.app, earlier);
        ensure!(!is_before || is_over, "{} starts out of order, before {earlier}: {facts:?}", named(target, seq));
    }
    Ok(())
}

/// Checks what a lane lets through: scheduled messages whose time has come are before what was accepted later, and wait for
/// what is under way. `known` is the last commit that the shard knows all of.
///
/// # Errors
/// One overtakes another.
pub(super) fn check_scheduled(
    deliveries: &Deliveries,
    ledger: &Ledger,
    (shard, known): (&Shard, u64),
    seen: &Seen,
    now: UnixMs,
) -> Result<(), Violation> {
    let target = seen.mailbox.cell.target;
    let Some((order, since)) = deliveries.order_of(target).filter(|(order, _)| *order != Order::None) else {
        return Ok(());
    };
    // With more rows than memory holds, a scheduled message keeps no order. So many as the greatest setting are never there.
    let holds_all = shard.core.config.retries_in_memory >= 256;
    for (seq, due) in seen.actions.iter().filter_map(|(action, _)| first_try(action, seen.fetched)) {
        let (event, facts) = (ledger.event(target.app, seq), deliveries.facts(target, seq));
        let is_first = facts.is_none_or(|facts| facts.started == 0 && !facts.by_hand && !facts.not_made);
        // One whose event is gone has no key, and is not sent.
        let is_there = !ledger.is_gone(target.app, seq) && !ledger.is_expunged(target.app, seq);
        let Some(event) = event.filter(|_| is_first && is_there) else { continue };
        let scheduled = event.deliver_at().filter(|at| due == Some(*at));
        if due.is_some() && scheduled.is_none() {
            continue;
        }
        for (other, facts) in deliveries.between(target, since, Seq::MAX).filter(|(other, _)| *other != seq) {
            let Some(earlier) = ledger.event(target.app, other) else { continue };
            let share_key = event.ordering_key().is_some_and(|key| earlier.ordering_key() == Some(key));
            let in_line = facts.in_line_since.is_some_and(|since| since <= known) && !facts.by_hand;
            let is_over = facts.delivered > 0 || facts.ended > 0 || facts.letter_gone || facts.disabled_since;
            let is_gone = ledger.is_gone(target.app, other) || ledger.is_expunged(target.app, other);
            if (order == Order::Key && !share_key) || is_over || is_gone {
                continue;
            }
            let is_due = earlier.deliver_at().filter(|at| in_line && *at <= now);
            let is_before = is_due.is_some_and(|at| match scheduled {
                Some(own) => (at, other) < (own, seq),
                // One that was accepted later and due before has its time from a clock that was set back.
                None => other < seq && at <= event.accepted_at,
            });
            let is_under_way = facts.started > facts.lost && facts.requeued <= u32::from(in_line);
            let overtakes = if scheduled.is_some() { holds_all && (is_before || is_under_way) } else { is_before };
            ensure!(!overtakes, "{} overtakes {other}, which has its place: {facts:?}", named(target, seq));
        }
    }
    Ok(())
}

/// The first try that an action lets through: its position, and the due time of its row. A retry is told by its due time too.
fn first_try(action: &Action, fetched: Option<Seq>) -> Option<(Seq, Option<UnixMs>)> {
    match action {
        Action::Start(attempt) if fetched != Some(attempt.event.seq) => Some((attempt.event.seq, attempt.due)),
        Action::Fetch(fetch) => Some((fetch.seq, fetch.due)),
        _ => None,
    }
}

/// True if nobody has to wait for a delivery.
fn is_over(facts: &Facts) -> bool {
    let is_owed = facts.owed && !facts.disabled_since && !facts.unwanted_since;
    !is_owed || facts.delivered > 0 || facts.ended > 0 || facts.letter_gone
}

/// Deliveries whose attempt ended when their endpoint's policy was to pause if it gives one up.
#[derive(Debug, Default)]
pub(super) struct MustPause {
    pausing: BTreeSet<(EndpointRef, Seq)>,
    /// Endpoints that are paused for a delivery that was given up.
    paused: BTreeSet<EndpointRef>,
}

impl MustPause {
    /// A lane took the ends of attempts. An example says nothing about the endpoint, and pauses none.
    pub(super) fn acted(&mut self, seen: &Seen, ledger: &Ledger) {
        let cell = &seen.mailbox.cell;
        let pauses = cell.plan.borrow().policy.on_give_up == OnGiveUp::Pause;
        for seq in &seen.ended {
            let is_test = ledger.event(cell.target.app, *seq).is_some_and(Event::is_test);
            if pauses && !is_test {
                self.pausing.insert((cell.target, *seq));
            } else {
                self.pausing.remove(&(cell.target, *seq));
            }
        }
    }

    /// The process died: what was not durable by then never was.
    pub(super) fn crashed(&mut self) {
        self.pausing.clear();
    }

    /// A delivery that is given up pauses its endpoint in the very commit, if the policy says so. Somebody may resume it in
    /// that commit too.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn durable(&mut self, batch: &Batch, rows: &MemoryStore) -> Result<(), Violation> {
        for (key, write) in of_kind(batch, KeyKind::DeadLetter) {
            let (target, seq) = rows::dead_letter::decode(key)?;
            let Write::Put(value) = write else { continue };
            let letter: DeadLetter = rows::dead_letter::from_value(value)?;
            let tried = matches!(letter.reason, DeadLetterReason::AttemptsExhausted | DeadLetterReason::Rejected);
            if !self.pausing.remove(&(target, seq)) || !tried || batch.get(&rows::endpoint::encode(target)).is_some() {
                continue;
            }
            let row = endpoint::get(rows, target)?;
            let stands = row.is_none_or(|row| row.paused.is_some() || row.disabled.is_some());
            ensure!(stands, "{} was given up and its endpoint is not paused", named(target, seq));
        }
        Ok(())
    }

    /// An endpoint's row is durable. An example that was given up is no reason to pause it.
    ///
    /// # Errors
    /// No other delivery of the commit is one.
    pub(super) fn put(&mut self, row: &Endpoint, batch: &Batch, ledger: &Ledger) -> Result<(), Violation> {
        let target = row.target();
        if row.paused.is_none_or(|paused| paused.reason != PausedReason::GaveUp) {
            self.paused.remove(&target);
        } else if self.paused.insert(target) {
            let mut examples = Vec::new();
            for (key, write) in of_kind(batch, KeyKind::DeadLetter) {
                let (of, seq) = rows::dead_letter::decode(key)?;
                if of == target {
                    let is_test = ledger.event(target.app, seq).is_some_and(Event::is_test);
                    examples.push(is_test && matches!(write, Write::Put(_)));
                }
            }
            // Without a letter, the delivery is in line again in the same commit.
            let for_nothing = !examples.is_empty() && examples.iter().all(|is_test| *is_test);
            ensure!(!for_nothing, "{} is paused because an example was given up", target.endpoint);
        }
        Ok(())
    }
}
