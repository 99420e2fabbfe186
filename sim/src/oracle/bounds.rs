//! Bounds: places, windows, queues, the breaker's one probe, and the order of first tries.

use super::{Violation, ensure};
use crate::node::{Operation, Seen, Shard};
use engine::endpoint::breaker::State;
use engine::endpoint::lane::Action;
use model::{Order, Seq};
use std::collections::BTreeMap;

/// Retries that a lane may hold, by its configured bound: see `endpoint::retries`.
const RETRIES_FACTOR: usize = 2;

/// Checks the bounds of a shard, which hold at any time.
///
/// # Errors
/// A bound that is passed, or a place that is lost.
pub fn check_shard(shard: &Shard) -> Result<(), Violation> {
    let core = &shard.core;
    let by_app = shard.places_taken();
    let (taken, under_way) = (core.in_flight(), by_app.values().sum::<usize>());
    let name = core.index;
    ensure!(taken == under_way, "shard {name} counts {taken} places as taken, and {under_way} are");
    for (app, of_app) in by_app {
        let counted = core.places.borrow().taken_by(app);
        ensure!(counted == of_app, "shard {name} counts {counted} places as {app}'s, and {of_app} are");
    }
    let places = core.config.max_in_flight_per_shard;
    ensure!(taken <= places, "shard {name} has {places} places and {taken} are taken");
    let queued: usize = core.endpoints.borrow().values().map(|handle| handle.cell.lane.borrow().queued_bytes()).sum();
    let counted = core.thread.queued_bytes.get();
    ensure!(queued == counted, "shard {name} counts {counted} bytes as queued, and {queued} are");
    let (offers, deliveries) = core.inbox.waiting();
    let bound = core.inbox.capacity();
    ensure!(offers <= 1 || deliveries <= bound, "shard {name} has {deliveries} deliveries in its inbox");
    Ok(())
}

/// Attempts that a lane starts, and fetches for one. The attempt that a fetch led to was let through with the fetch.
pub(super) fn let_through(seen: &Seen) -> usize {
    let is_new = |action: &Action| match taken_on(action) {
        Some(seq) => seen.fetched != Some(seq) || is_start(action).is_none(),
        None => false,
    };
    seen.actions.iter().filter(|(action, _)| is_new(action)).count()
}

/// Checks the rules of a lane, which hold after each message.
pub(super) fn check_actions(
    tried_upto: &mut BTreeMap<(usize, u64), Seq>,
    probes: &mut BTreeMap<(usize, u64), Seq>,
    shard: &Shard,
    seen: &Seen,
) -> Result<(), Violation> {
    let actor = (shard.core.index, seen.mailbox.serial);
    let endpoint = seen.mailbox.cell.target.endpoint;
    let starts = |seq: Seq| seen.actions.iter().any(|(action, _)| is_start(action) == Some(seq));
    if seen.ended.iter().any(|seq| probes.get(&actor) == Some(seq) && !starts(*seq)) {
        probes.remove(&actor);
    }
    let mut in_flight = in_flight(shard, seen);
    let keeps_keys = seen.mailbox.cell.plan.borrow().policy.order == Order::Key;
    let window = match &seen.mailbox.cell.plan.borrow().policy {
        policy if policy.order == Order::Endpoint => 1,
        policy => usize::from(policy.max_in_flight),
    };
    for (action, breaker) in &seen.actions {
        let Some(seq) = taken_on(action) else { continue };
        in_flight += 1;
        if seen.fetched == Some(seq) && is_start(action).is_some() {
            // It was let through when its rows were asked for.
            continue;
        }
        ensure!(in_flight <= window, "{endpoint} is sent {seq} as number {in_flight} in flight of {window}");
        match breaker {
            State::Open { until } => {
                return Err(Violation(format!("{endpoint} is sent {seq} and its breaker is open until {until:?}")));
            }
            State::HalfOpen => {
                let before = probes.insert(actor, seq);
                ensure!(before.is_none(), "{endpoint} is sent {seq} and {before:?} is its probe");
            }
            State::Closed => drop(probes.remove(&actor)),
        }
        // With an order of each key, one that was held goes behind its successors of other keys.
        if is_start(action).is_some() && !keeps_keys {
            let before = tried_upto.insert(actor, seq);
            ensure!(before < Some(seq), "{endpoint} is first sent {seq} and then {before:?}");
        }
    }
    if seen.mailbox.cell.lane.borrow().breaker_state() != State::HalfOpen {
        probes.remove(&actor);
    }
    // An attempt whose rows were fetched has had its place since then.
    let takes_a_place = |seq: Seq, action: &Action| is_start(action).is_none() || seen.fetched != Some(seq);
    if seen.actions.iter().any(|(action, _)| taken_on(action).is_some_and(|seq| takes_a_place(seq, action))) {
        check_share(shard, seen)?;
    }
    check_lane(shard, seen)
}

/// An application that has just taken a place holds at most as many as were free before: so as much as it holds is left
/// for the others, and one that holds less than is free is never turned away.
fn check_share(shard: &Shard, seen: &Seen) -> Result<(), Violation> {
    let app = seen.mailbox.cell.target.app;
    let places = shard.core.places.borrow();
    let (held, free) = (places.taken_by(app), shard.core.config.max_in_flight_per_shard - places.taken());
    ensure!(held <= free + 1, "{app} took a place, holds {held} and leaves {free}");
    Ok(())
}

fn check_lane(shard: &Shard, seen: &Seen) -> Result<(), Violation> {
    let cell = &seen.mailbox.cell;
    let lane = cell.lane.borrow();
    let (endpoint, config) = (cell.target.endpoint, &shard.core.config);
    let (queued, retries) = lane.waiting();
    ensure!(queued <= config.mailbox_capacity, "{endpoint} has {queued} deliveries in memory");
    ensure!(retries <= config.retries_in_memory * RETRIES_FACTOR, "{endpoint} has {retries} retries in memory");
    Ok(())
}

/// Attempts and fetches of a lane that are under way, those included whose end it has not taken yet.
fn in_flight(shard: &Shard, seen: &Seen) -> usize {
    let own = |operation: &&Operation| {
        operation.mailbox().serial == seen.mailbox.serial
            && matches!(operation, Operation::Attempt(_) | Operation::Fetch { .. })
    };
    shard.operations.iter().filter(own).count() + seen.mailbox.landings()
}

fn is_start(action: &Action) -> Option<Seq> {
    if let Action::Start(attempt) = action { Some(attempt.event.seq) } else { None }
}

fn taken_on(action: &Action) -> Option<Seq> {
    match action {
        Action::Start(attempt) => Some(attempt.event.seq),
        Action::Fetch(fetch) => Some(fetch.seq),
        Action::ReadLog(_) | Action::LoadDue(_) | Action::ReadKeys(_) => None,
    }
}
