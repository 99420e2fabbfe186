//! The promises that must hold once the network is well, time has passed and nothing is left to do.

use super::deliveries::Facts;
use super::{Ledger, Oracle, Violation, ensure, named, schedule};
use crate::node::Node;
use engine::DeliveryState;
use engine::delivery_state::delivery_state;
use model::{DeadLetterReason, Endpoint, EndpointRef, Event, Gap, Seq};
use storage::store::MemoryStore;
use storage::tables::{delivery, log, settle};
use storage::{Direction, Store, rows};

/// Longer than any breaker holds, and than any `Retry-After` is honoured.
const LONGEST_HOLD_MS: u64 = 2 * 86_400_000;

/// Checks everything that is left.
///
/// # Errors
/// Anything that is lost, or held.
pub fn check_rest(oracle: &Oracle, node: &Node, rows: &MemoryStore) -> Result<(), Violation> {
    for shard in &node.shards {
        let core = &shard.core;
        ensure!(core.in_flight() == 0, "shard {} counts {} attempts in flight", core.index, core.in_flight());
        ensure!(core.thread.reading_bytes.get() == 0, "shard {} has set bytes aside", core.index);
        ensure!(
            core.thread.queued_bytes.get() == 0,
            "shard {} has {} bytes queued",
            core.index,
            core.thread.queued_bytes.get()
        );
        for (target, handle) in core.endpoints.borrow().iter() {
            let lane = handle.cell.lane.borrow();
            ensure!(lane.in_flight() == 0, "{} has {} in flight", target.endpoint, lane.in_flight());
            ensure!(lane.all_slots_back(), "{} has lost a slot", target.endpoint);
            // An open breaker holds back nobody when there is nothing to send.
            let later = node.clock.now().plus_ms(LONGEST_HOLD_MS);
            ensure!(lane.is_idle(later), "{} is not idle and nothing will wake it", target.endpoint);
        }
    }
    if let Some(unsettled) = oracle.deliveries.any_unsettled() {
        return Err(Violation(unsettled));
    }
    super::jobs::check_rest(&oracle.jobs, rows)?;
    schedule::check_rest(rows, |app| oracle.ledger.is_deleted(app))?;
    for endpoint in oracle.deliveries.endpoints() {
        let target = endpoint.target();
        ensure!(!settle::has_outstanding(rows, target)?, "{} still owes something", target.endpoint);
        let open = open_gaps(rows, target)?;
        ensure!(open == usize::from(endpoint.disabled.is_some()), "{} has {open} open gaps", target.endpoint);
        for event in oracle.ledger.all().filter(|event| event.app == target.app) {
            let facts = oracle.deliveries.facts(target, event.seq).cloned().unwrap_or_default();
            check_delivery(&oracle.ledger, rows, endpoint, event, &facts)?;
        }
    }
    Ok(())
}

/// Gaps that are still growing: the one of an endpoint that is disabled.
fn open_gaps(rows: &MemoryStore, target: EndpointRef) -> Result<usize, Violation> {
    let range = rows::gap::of_endpoint(target);
    let mut open = 0;
    for (_, value) in Store::scan(rows, &range.start, &range.end, usize::MAX, Direction::Forward)? {
        let gap: Gap = rows::gap::from_value(&value)?;
        open += usize::from(gap.last.is_none());
    }
    Ok(open)
}

fn check_delivery(
    ledger: &Ledger,
    rows: &MemoryStore,
    endpoint: &Endpoint,
    event: &Event,
    facts: &Facts,
) -> Result<(), Violation> {
    let (target, seq) = (endpoint.target(), event.seq);
    let name = || named(target, seq);
    if ledger.is_gone(target.app, seq) {
        return check_expired(rows, target, seq, facts);
    }
    let stored = log::get(rows, target.app, seq)?;
    ensure!(ledger.is_stored_as(event, stored.as_ref()), "event {}/{seq} is lost", target.app);
    // As it is stored: it may have been expunged.
    let state = delivery_state(rows, endpoint, stored.as_ref().unwrap_or(event))?;
    match &state {
        DeliveryState::Delivered => ensure!(facts.delivered > 0, "{} shows as delivered: {facts:?}", name()),
        DeliveryState::DeadLettered(letter) => {
            ensure!(facts.ended > 0, "{} is a dead letter: {facts:?}", name());
            let disabled = letter.reason == DeadLetterReason::EndpointDisabled;
            ensure!(!disabled || facts.disabled_since || facts.requeued > 0, "{} was disabled: {facts:?}", name());
        }
        DeliveryState::Discarded => ensure!(facts.ended > 0, "{} was discarded: {facts:?}", name()),
        DeliveryState::Waiting(row) => return Err(Violation(format!("{} waits for ever: {row:?}", name()))),
        DeliveryState::Cancelled(_) => {
            // Or it ended before the endpoint was disabled, and nothing tells of it.
            let reason = facts.disabled_since || facts.passed_by || facts.wanted_since || facts.letter_gone;
            ensure!(reason, "{} was cancelled: {facts:?}", name());
        }
        DeliveryState::CalledOff => {
            ensure!(event.deliver_at().is_some() && facts.delivered == 0, "{} was called off: {facts:?}", name());
        }
        // Everything is passed by now: nothing can be ahead of its endpoint.
        DeliveryState::Queued => return Err(Violation(format!("{} shows as queued: {facts:?}", name()))),
        DeliveryState::NotMatched => {
            // Of one that was given up without an attempt, nothing is left once its dead letter is removed.
            let untold = facts.unwanted_since || facts.letter_gone;
            ensure!(!facts.owed || untold, "{} is forgotten: {facts:?}", name());
        }
        // No run forgets attempts for their age. One of an expunged message may be given up without an attempt.
        DeliveryState::HistoryGone => {
            ensure!(stored.is_some_and(|event| event.is_expunged()), "{} lost its history: {facts:?}", name());
        }
    }
    let done = facts.ended > 0 || facts.disabled_since || facts.unwanted_since;
    ensure!(!facts.owed || done, "{} never ended: {state:?} {facts:?}", name());
    // Two orders of one commit are one place in line.
    ensure!(!facts.ordered || facts.requeued > 0, "{} was ordered and is not in line: {facts:?}", name());
    ensure!(!facts.order_open, "{} was ordered and never sent: {facts:?}", name());
    Ok(())
}

/// Its event is gone: it ended before, or it is noted that it did not get there.
fn check_expired(rows: &MemoryStore, target: EndpointRef, seq: Seq, facts: &Facts) -> Result<(), Violation> {
    let noted = delivery::expired(rows, target)?.is_some_and(|note| note.first <= seq && seq <= note.last);
    let excused = noted || facts.ended > 0 || facts.disabled_since || facts.unwanted_since;
    ensure!(!facts.owed || excused, "{} expired without a trace: {facts:?}", named(target, seq));
    Ok(())
}
