//! One turn of an endpoint: its lane takes the input and names the next actions, and its timer is set.
//!
//! This is the bridge between pure decisions and the world. The actions that a lane asks for (attempts and reads) are
//! handed out here; [`super::shell`] begins them.

use super::core::{LaneCell, ShardCore, Watch};
use super::filtering::Filtering;
use super::pacing::Pacing;
use crate::endpoint::backlog::{LogFound, Wants};
use crate::endpoint::breaker::Transition;
use crate::endpoint::lane::{Action, Attempt, Fetch, Finished, Room, Ruled};
use crate::endpoint::mailbox::Input;
use crate::endpoint::offer::Offer;
use crate::outcome::decide::Decision;
use model::{Event, Expired, Pending, UnixMs};
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use storage::StoreError;
use storage::tables::log;

/// Less room than this is not worth a read of the log while something is still queued.
///
/// Events of a read share the block they came in. So a read that brings few keeps far more in memory than it counts.
const READ_AHEAD_MIN_BYTES: usize = 64 * 1024;

/// Gives one input to the lane, and hands out in `asked` the actions that the lane asks for then.
///
/// Each [`Action`] must lead to its one answer: [`ShardCore::attempt_over`] for an attempt, a message in the endpoint's
/// mailbox for a read. An attempt or a fetch has taken a place, which is free again once the lane was told. For a fetch
/// whose answer nobody takes, the caller frees it with [`ShardCore::free_places`].
pub fn take_input(shard: &ShardCore, cell: &Rc<LaneCell>, input: Input, now: UnixMs, asked: &mut Vec<Action>) {
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
        Input::Offer { offer, range } => take_offer(shard, cell, &offer, range),
        Input::LogRead(found) => log_read(cell, found, now),
        Input::DueLoaded(load, rows) => cell.lane.borrow_mut().due_loaded(load, rows),
        Input::Fetched(fetch, rows) => match fetched(shard, cell, fetch, rows, now) {
            Some(attempt) => {
                count_start(shard, &attempt, now);
                asked.push(Action::Start(attempt));
            }
            None => shard.free_places(cell.target.app, 1),
        },
        Input::KeysRead(found) => cell.lane.borrow_mut().keys_read(found),
        Input::Poke | Input::Stop => {}
    }
    ask(shard, cell, now, asked);
    rest(shard, cell, now);
    // Not before: when the shard is full, these places are for the lane that waits longest, not for this one.
    if ended > 0 {
        shard.free_places(cell.target.app, ended);
    }
}

/// Gives the lane its part of an offer, or of that part what its content filter agrees to.
fn take_offer(shard: &ShardCore, cell: &LaneCell, offer: &Offer, range: Range<usize>) {
    let plan = cell.plan.borrow();
    let mut lane = cell.lane.borrow_mut();
    let room_bytes = shard.thread.room_bytes(lane.queued_bytes());
    let targets = offer.targets[range].iter();
    let refused = if plan.filter.asks_for_content() {
        let mut filtering = Filtering::of_offer(&plan.filter, &shard.thread.converted);
        // The place in the offer of the event that the lane looks at: it asks about that one, if about any.
        let place = Cell::new(0);
        let events = targets.map(|(_, index)| {
            place.set(*index);
            &offer.events[*index as usize]
        });
        let refused = lane.offer(events, room_bytes, |event| filtering.wants_offered(offer, place.get(), event));
        shard.metrics.filter_errors.increment(filtering.errors);
        refused
    } else {
        lane.offer(targets.map(|(_, index)| &offer.events[*index as usize]), room_bytes, |_| Wants::Yes)
    };
    shard.metrics.mailbox_full.increment(refused as u64);
}

/// The attempt that a fetch leads to; none when there is nothing to send, or the rows could not be read.
fn fetched(
    shard: &ShardCore,
    cell: &LaneCell,
    fetch: Fetch,
    rows: Option<(Option<Event>, Option<Pending>)>,
    now: UnixMs,
) -> Option<Attempt> {
    let read = rows.map(|(event, row)| (as_stored_now(shard, cell, event), row));
    let mut lane = cell.lane.borrow_mut();
    match read {
        Some((Ok(event), row)) => return lane.fetched(fetch, event, row, now),
        Some((Err(error), _)) => tracing::error!(%error, "a message cannot be read"),
        None => {}
    }
    lane.fetch_failed(fetch);
    None
}

fn log_read(cell: &LaneCell, found: Option<LogFound>, now: UnixMs) {
    let mut lane = cell.lane.borrow_mut();
    if let Some((first, last)) = found.as_ref().and_then(|found| found.removed) {
        let range = Expired::range(first, last, now);
        metrics::counter!(model::metric::EXPIRED_UNTRIED).increment(range.positions);
        tracing::warn!(
            app = cell.target.app.0,
            endpoint = cell.target.endpoint.0,
            first = first.0,
            last = last.0,
            "retention removed messages before this endpoint came to them"
        );
        lane.log_removed(range);
    }
    lane.log_read(found.map(|found| (found.events, found.upto)));
}

/// Takes up the changes that the shard noted beside the mailbox, which had no room or needed none.
fn notice(shard: &ShardCore, cell: &LaneCell, now: UnixMs) {
    let mut lane = cell.lane.borrow_mut();
    cell.offered.tell(&mut lane);
    if cell.requeued.replace(false) {
        lane.requeued();
    }
    if let Some(paused) = cell.app_paused.take() {
        lane.pause_with_application(paused);
    }
    if let Some(plan) = cell.next_plan.take() {
        let before = cell.plan.replace(plan.clone());
        let enabled = lane.configure(plan.policy.clone(), now);
        let elsewhere = before.uri() != plan.uri() || before.backup_uri() != plan.backup_uri();
        let transition = if elsewhere { lane.moved().or(enabled) } else { enabled };
        if before.filter != plan.filter {
            lane.filter_changed();
        }
        transition.iter().for_each(|transition| tell(shard, cell, *transition));
    }
}

/// Asks the lane for actions until it has no more, or may start none.
fn ask(shard: &ShardCore, cell: &Rc<LaneCell>, now: UnixMs, asked: &mut Vec<Action>) {
    let mut pacing = Pacing::of(cell);
    loop {
        let mut lane = cell.lane.borrow_mut();
        let left = shard.thread.room_bytes(lane.queued_bytes());
        let bytes = if left >= READ_AHEAD_MIN_BYTES { left } else { 0 };
        let attempt = shard.has_place_for(cell.target.app, &lane, now) && pacing.allows(shard, &mut lane, now);
        let room = Room { attempt, bytes };
        let action = lane.next_action(now, room, &mut shard.budget.borrow_mut());
        drop(lane);
        let Some(action) = action else { break };
        let action = unless_expunged(shard, cell, action);
        if matches!(action, Action::Start(_) | Action::Fetch(_)) {
            shard.take_place(cell.target.app);
            pacing.take(shard);
        }
        if let Action::Start(attempt) = &action {
            count_start(shard, attempt, now);
        }
        asked.push(action);
    }
    let wake_at = pacing.end(cell.lane.borrow().wake_at());
    shard.timers.set(cell, wake_at);
}

/// Ends a turn: a lane with work left waits for a place, and the lane is shown and reported.
fn rest(shard: &ShardCore, cell: &Rc<LaneCell>, now: UnixMs) {
    let has_work = cell.lane.borrow().has_work(now);
    if has_work && !shard.may_start_for(cell.target.app) && !shard.stopping.get() {
        shard.wait_for_room(cell, now);
    }
    shard.wake_next();
    shard.metrics.show(shard, cell);
    shard.reports.soon(cell);
}

/// Turns a first try into a fetch if its event may have been expunged since it came into memory.
///
/// The fetch is the same as for a first try that a crash interrupted. Its lane then ends the delivery.
fn unless_expunged(shard: &ShardCore, cell: &LaneCell, action: Action) -> Action {
    match action {
        Action::Start(attempt) if shard.inbox.may_be_expunged(cell.target.app, attempt.event.seq) => {
            Action::Fetch(Fetch { seq: attempt.event.seq, due: attempt.due })
        }
        other => other,
    }
}

/// An event that was read for an attempt, read once more from the store if it may have been expunged since.
///
/// The second read is short, and needed only for an event that was expunged while the first read was under way.
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

/// Tells the lane of the attempts that ended. Answers their number.
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
    let Some(ruled) = ruled else { return };
    let Ruled { decision, accepted_at, gives_back, transition, disabled, warns, paused, .. } = ruled;
    if gives_back {
        shard.budget.borrow_mut().give_back(now.0);
    }
    match decision {
        Decision::Done => shard.metrics.delivered(now.since_ms(accepted_at)),
        Decision::RetryAt { .. } => shard.metrics.retries.increment(1),
        Decision::DeadLetter(reason) => shard.metrics.dead_letter(reason),
    }
    transition.iter().for_each(|transition| tell(shard, cell, *transition));
    if let Some(failed) = warns {
        metrics::counter!(model::metric::ENDPOINT_WARNINGS).increment(1);
        tracing::warn!(
            app = cell.target.app.0,
            endpoint = cell.target.endpoint.0,
            failed_deliveries = failed,
            "half of the failed deliveries in a row that disable this endpoint"
        );
    }
    if let Some(reason) = paused {
        let (app, endpoint) = (cell.target.app.0, cell.target.endpoint.0);
        tracing::warn!(app, endpoint, reason = reason.as_str(), "endpoint paused");
    }
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
