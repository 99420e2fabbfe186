//! Jobs over the messages that were taken in a span of time: recover, replay.

use super::filter::{class_of, names_message, names_state};
use super::{CHUNK, CHUNK_BYTES, CHUNK_STEPS, cannot_be_sent, pace, passed};
use crate::delivery_state::Standings;
use crate::orders::Order;
use model::{Endpoint, Event, Job, JobFilter, JobKind, Seq, SkipReason, Span, UnixMs};
use storage::tables::{delivery, history, log};
use storage::{StoreError, Txn, Wanted};

/// A chunk of the log. Answers true at the end.
pub(super) fn chunk(txn: &mut Txn<'_>, row: &mut Job, endpoint: &Endpoint, now: UnixMs) -> Result<bool, StoreError> {
    let (JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span)) = row.kind else {
        return Ok(true);
    };
    let Some(order) = Order::of(row.kind) else { return Ok(true) };
    let Span { since, until } = span;
    if row.position == Seq::ZERO {
        row.position = log::before_time(txn, row.target.app, since)?;
    }
    let standings = Standings::read(txn, endpoint)?;
    let events = log::read_after(txn, row.target.app, row.position, CHUNK, CHUNK_BYTES)?;
    let mut wanted = Wanted::default();
    events.iter().for_each(|event| delivery::want_requeue(row.target, event.seq, &mut wanted));
    txn.fetch(wanted)?;
    let enough = row.affected + pace::of_chunk(row.rate_per_s, CHUNK) as u64;
    for event in &events {
        if let Some(is_over) = step_to(txn, row, event.seq, enough)? {
            return Ok(is_over);
        }
        if event.accepted_at < since || event.accepted_at > until {
            continue;
        }
        match txn.whole(|txn| one(txn, row, endpoint, (event, &standings), (order, now))) {
            Ok(ruling) => row.note(row.target.endpoint, event.seq, ruling),
            Err(error) => row.note_failed(row.target.endpoint, event.seq, 1, passed::reason(error)?),
        }
        if standings.steps() > CHUNK_STEPS {
            return Ok(row.position >= row.last);
        }
    }
    is_over_behind(txn, row, &events)
}

/// Moves the job to the event at `seq`. If the chunk ends before it, answers whether the job is over. `enough` is the count
/// of affected deliveries at which a chunk ends.
pub(super) fn step_to(txn: &Txn<'_>, row: &mut Job, seq: Seq, enough: u64) -> Result<Option<bool>, StoreError> {
    if !note_missing(txn, row, seq.previous().min(row.last))? {
        return Ok(Some(false));
    }
    if seq > row.last {
        return Ok(Some(true));
    }
    if row.affected == enough {
        return Ok(Some(false));
    }
    row.position = seq;
    Ok(None)
}

/// True if the job is over behind all `events` that were read for a chunk.
pub(super) fn is_over_behind(txn: &Txn<'_>, row: &mut Job, events: &[Event]) -> Result<bool, StoreError> {
    if events.is_empty() { note_missing(txn, row, row.last) } else { Ok(row.position >= row.last) }
}

/// Counts the events behind the job's position, up to `upto`, that are missing because they are damaged. Those that
/// retention has removed are not: there is nothing that the job could have decided about. Answers false when the chunk
/// has looked at as many as it may.
fn note_missing(txn: &Txn<'_>, row: &mut Job, upto: Seq) -> Result<bool, StoreError> {
    if row.position >= upto {
        return Ok(true);
    }
    let app = row.target.app;
    row.position = row.position.max(log::begin(txn, app)?.previous()).min(upto);
    for _ in 0..CHUNK {
        if row.position == upto {
            return Ok(true);
        }
        row.position = row.position.next();
        // The event itself is not wanted: it may only now have been removed.
        if let Err(error) = log::get(txn, app, row.position) {
            row.note_failed(row.target.endpoint, row.position, 1, passed::reason(error)?);
        }
    }
    Ok(row.position == upto)
}

/// Decides about one delivery, and puts it in line if that is what the job comes to.
fn one(
    txn: &mut Txn<'_>,
    row: &Job,
    endpoint: &Endpoint,
    (event, standings): (&Event, &Standings<'_>),
    (order, now): (Order, UnixMs),
) -> Result<Result<(), SkipReason>, StoreError> {
    let ruling = rule(txn, row, endpoint, (event, standings), (order, now))?;
    if ruling.is_ok() && !row.dry_run {
        delivery::requeue(txn, row.target, event.seq, now)?;
    }
    Ok(ruling)
}

/// Decides about one delivery.
fn rule(
    txn: &Txn<'_>,
    row: &Job,
    endpoint: &Endpoint,
    (event, standings): (&Event, &Standings<'_>),
    (order, now): (Order, UnixMs),
) -> Result<Result<(), SkipReason>, StoreError> {
    if let Some(filter) = &row.filter
        && !names_message(filter, event)
    {
        return Ok(Err(SkipReason::NotNamed));
    }
    if let Some(reason) = cannot_be_sent(endpoint, Some(event), now) {
        return Ok(Err(reason));
    }
    let state = standings.of(txn, event)?;
    let is_named = match &row.filter {
        Some(filter) => names_state(filter, &state) && names_last_answer(txn, filter, endpoint, event.seq)?,
        None => true,
    };
    if !is_named {
        return Ok(Err(SkipReason::NotNamed));
    }
    Ok(order.rule(&state, order.asks_filter() && standings.wants(event)))
}

/// True if the last attempt of a delivery was answered as the filter says. One without attempts has no answer.
fn names_last_answer(txn: &Txn<'_>, filter: &JobFilter, endpoint: &Endpoint, seq: Seq) -> Result<bool, StoreError> {
    let Some(class) = filter.status_class else { return Ok(true) };
    let attempts = history::of_message(txn, endpoint.target(), seq)?;
    let last = attempts.iter().max_by_key(|attempt| attempt.started_at);
    Ok(last.is_some_and(|attempt| class_of(attempt.status) == class))
}
