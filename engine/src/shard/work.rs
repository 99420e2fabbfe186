//! Feeds a lane, passes on what it asks for (attempts and reads), sets its timer.
//!
//! The bridge between pure decisions and the world. Deliberately not how what is asked for is done: that is
//! [`super::shell`]'s.

use super::core::{LaneCell, ShardCore, Watch};
use super::pacing::Pacing;
use crate::endpoint::backlog::LogFound;
use crate::endpoint::breaker::Transition;
use crate::endpoint::lane::{Action, Attempt, Fetch, Finished, Room, Ruled};
use crate::endpoint::mailbox::Input;
use crate::outcome::decide::Decision;
use model::{Event, Expired, Seq, UnixMs};
use std::rc::Rc;
use storage::StoreError;
use storage::tables::log;

/// Room for less is not worth a read of the log while something is still queued: events of a read share the block they
/// came in, so one that brings few keeps far more in memory than it counts for.
const READ_AHEAD_MIN_BYTES: usize = 64 * 1024;

/// Gives one input to the lane, then has everything carried out that it asks for. Each [`Action`] is to lead to its one
/// answer: [`ShardCore::attempt_over`] for an attempt, a message in the endpoint's mailbox for a read. One that starts an
/// attempt or a fetch has taken a place: it is free again once the lane was told, and [`ShardCore::free_places`] is for a
/// fetch whose answer nobody takes.
pub fn take_input(
    shard: &ShardCore,
    cell: &Rc<LaneCell>,
    input: Input,
    now: UnixMs,
    carry_out: &mut dyn FnMut(Action),
) {
    let _watch = Watch(shard);
    if cell.gone.get() {
        if matches!(input, Input::Fetched(..)) {
            shard.free_places(cell.target.app, 1);
        }
        return;
    }
    cell.active_at.set(now);
    notice(shard, cell, now);
    let ended = finish_all(shard, cell, now);
    match input {
        Input::Offer { offer, range, previous } => {
            let events = offer.targets[range].iter().map(|(_, index)| &offer.events[*index as usize]);
            let mut lane = cell.lane.borrow_mut();
            let room_bytes = shard.room_bytes(lane.queued_bytes());
            let refused = lane.offer(previous, events, room_bytes);
            shard.metrics.mailbox_full.increment(refused as u64);
        }
        Input::LogRead(found) => log_read(cell, found, now),
        Input::DueLoaded(asked, rows) => cell.lane.borrow_mut().due_loaded(asked, rows),
        Input::Fetched(asked, Some((event, row))) => {
            let attempt = match as_stored_now(shard, cell, event) {
                Ok(event) => cell.lane.borrow_mut().fetched(asked, event, row, now),
                Err(error) => {
                    tracing::error!(%error, "a message cannot be read");
                    cell.lane.borrow_mut().fetch_failed(asked);
                    None
                }
            };
            match attempt {
                Some(attempt) => {
                    count_start(shard, &attempt, now);
                    carry_out(Action::Start(attempt));
                }
                None => shard.free_places(cell.target.app, 1),
            }
        }
        Input::Fetched(asked, None) => {
            cell.lane.borrow_mut().fetch_failed(asked);
            shard.free_places(cell.target.app, 1);
        }
        Input::Poke | Input::Stop => {}
    }
    pump(shard, cell, now, carry_out);
    // Only now: when the shard is full, the places of those that ended are for whoever waits longest, not for this lane.
    if ended > 0 {
        shard.free_places(cell.target.app, ended);
    }
}

fn log_read(cell: &LaneCell, found: Option<LogFound>, now: UnixMs) {
    let mut lane = cell.lane.borrow_mut();
    if let Some((first, last)) = found.as_ref().and_then(|found| found.removed) {
        let stretch = Expired::stretch(first, last, now);
        metrics::counter!(model::metric::EXPIRED_UNTRIED).increment(stretch.positions);
        tracing::warn!(
            app = cell.target.app.0,
            endpoint = cell.target.endpoint.0,
            first = first.0,
            last = last.0,
            "retention removed messages before this endpoint came to them"
        );
        lane.log_removed(stretch);
    }
    lane.log_read(found.map(|found| (found.events, found.upto)));
}

/// Takes up what the shard noted while the mailbox had no room or needed none.
fn notice(shard: &ShardCore, cell: &LaneCell, now: UnixMs) {
    let missed = cell.missed.replace(Seq::ZERO);
    let mut lane = cell.lane.borrow_mut();
    if missed > Seq::ZERO {
        lane.missed(missed);
    }
    if cell.requeued.replace(false) {
        lane.requeued();
    }
    if let Some(plan) = cell.next_plan.take() {
        let before = cell.plan.replace(plan.clone());
        let enabled = lane.configure(plan.policy.clone(), now);
        let transition = if before.uri() != plan.uri() { lane.moved().or(enabled) } else { enabled };
        if before.filter != plan.filter {
            lane.filter_changed();
        }
        transition.iter().for_each(|transition| tell(shard, cell, *transition));
    }
}

fn pump(shard: &ShardCore, cell: &Rc<LaneCell>, now: UnixMs, carry_out: &mut dyn FnMut(Action)) {
    let mut pacing = Pacing::of(cell);
    loop {
        let mut lane = cell.lane.borrow_mut();
        let left = shard.room_bytes(lane.queued_bytes());
        let bytes = if left >= READ_AHEAD_MIN_BYTES { left } else { 0 };
        let attempt = shard.has_place_for(cell.target.app, &lane, now) && pacing.allows(&mut lane, now);
        let room = Room { attempt, bytes };
        let action = lane.next_action(now, room, &mut shard.budget.borrow_mut());
        drop(lane);
        let Some(action) = action else { break };
        let action = unless_expunged(shard, cell, action);
        match &action {
            Action::Start(attempt) => {
                shard.take_place(cell.target.app);
                pacing.take();
                count_start(shard, attempt, now);
            }
            Action::Fetch(_) => {
                shard.take_place(cell.target.app);
                pacing.take();
            }
            Action::ReadLog(_) | Action::LoadDue(_) => {}
        }
        carry_out(action);
    }
    let (wake_at, has_work) = {
        let lane = cell.lane.borrow();
        (pacing.end(lane.wake_at()), lane.has_work(now))
    };
    if has_work && !shard.may_start_for(cell.target.app) && !shard.stopping.get() {
        shard.wait_for_room(cell, now);
    }
    shard.wake_next();
    shard.set_timer(cell, wake_at);
    shard.metrics.show(shard, cell);
    shard.report_soon(cell);
}

/// A first try whose event may have been expunged since it came into memory is read from the store, as one that a crash
/// interrupted: its lane then ends it.
fn unless_expunged(shard: &ShardCore, cell: &LaneCell, action: Action) -> Action {
    match action {
        Action::Start(attempt) if shard.inbox.may_be_expunged(cell.target.app, attempt.event.seq) => {
            Action::Fetch(Fetch { seq: attempt.event.seq, due: attempt.due })
        }
        other => other,
    }
}

/// An event that was read for an attempt, as the store has it now if it may have been expunged since. The read is short,
/// and needed only for what was expunged while the other one was under way.
fn as_stored_now(shard: &ShardCore, cell: &LaneCell, event: Option<Event>) -> Result<Option<Event>, StoreError> {
    match event {
        Some(event) if !event.is_expunged() && shard.inbox.may_be_expunged(event.app, event.seq) => {
            log::get_undamaged(&*shard.store, cell.target.app, event.seq)
        }
        other => Ok(other),
    }
}

/// An attempt starts.
fn count_start(shard: &ShardCore, attempt: &Attempt, now: UnixMs) {
    let due = attempt.due.unwrap_or(attempt.event.accepted_at);
    shard.metrics.schedule_lag.record(now.since_ms(due) as f64 / 1000.0);
}

/// Tells the lane of the attempts that ended. Answers how many.
fn finish_all(shard: &ShardCore, cell: &LaneCell, now: UnixMs) -> usize {
    let ended = std::mem::take(&mut *cell.ended.borrow_mut());
    let count = ended.len();
    for finished in ended {
        finish(shard, cell, finished, now);
    }
    count
}

fn finish(shard: &ShardCore, cell: &LaneCell, finished: Finished, now: UnixMs) {
    if let Some(lack) = finished.lack {
        if cell.lane.borrow_mut().not_made(finished.seq, lack, now) {
            shard.budget.borrow_mut().give_back(now.0);
        }
        return;
    }
    let ruled = cell.lane.borrow_mut().finished(finished, now, &mut *shard.rng.borrow_mut());
    let Some(Ruled { decision, accepted_at, gives_back, transition, disabled, .. }) = ruled else { return };
    if gives_back {
        shard.budget.borrow_mut().give_back(now.0);
    }
    match decision {
        Decision::Done => shard.metrics.delivered(now.since_ms(accepted_at)),
        Decision::RetryAt { .. } => shard.metrics.retries.increment(1),
        Decision::DeadLetter(reason) => shard.metrics.dead_letter(reason),
    }
    transition.iter().for_each(|transition| tell(shard, cell, *transition));
    if let Some(reason) = disabled {
        metrics::counter!(model::metric::ENDPOINTS_DISABLED, "reason" => reason.as_str()).increment(1);
        tracing::warn!(
            app = cell.target.app.0,
            endpoint = cell.target.endpoint.0,
            reason = reason.as_str(),
            "endpoint disabled"
        );
    }
}

/// A breaker changed its state.
fn tell(shard: &ShardCore, cell: &LaneCell, transition: Transition) {
    shard.metrics.transition(transition);
    tracing::info!(app = cell.target.app.0, endpoint = cell.target.endpoint.0, ?transition, "circuit breaker");
}
