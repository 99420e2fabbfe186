//! Jobs over the messages that were taken in a span of time: recover, replay.

use super::filter::{class_of, names_message, names_state};
use super::{CHUNK, CHUNK_BYTES, cannot_be_sent, pace};
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
        if event.seq > row.last {
            return Ok(true);
        }
        if row.affected == enough {
            return Ok(false);
        }
        row.position = event.seq;
        if event.accepted_at < since || event.accepted_at > until {
            continue;
        }
        let ruling = rule(txn, row, endpoint, (event, &standings), order)?;
        if ruling.is_ok() && !row.dry_run {
            delivery::requeue(txn, row.target, event.seq, now)?;
        }
        row.note(row.target.endpoint, event.seq, ruling);
    }
    Ok(events.is_empty() || row.position >= row.last)
}

/// Decides about one delivery.
fn rule(
    txn: &Txn<'_>,
    row: &Job,
    endpoint: &Endpoint,
    (event, standings): (&Event, &Standings<'_>),
    order: Order,
) -> Result<Result<(), SkipReason>, StoreError> {
    if let Some(filter) = &row.filter
        && !names_message(filter, event)
    {
        return Ok(Err(SkipReason::NotNamed));
    }
    if let Some(reason) = cannot_be_sent(endpoint, Some(event)) {
        return Ok(Err(reason));
    }
    let state = standings.of(txn, event)?;
    let is_named = match &row.filter {
        Some(filter) => names_state(filter, &state) && names_last_answer(txn, filter, endpoint, event.seq)?,
        None => true,
    };
    Ok(if is_named { order.rule(&state, standings.wants(event)) } else { Err(SkipReason::NotNamed) })
}

/// True if the last attempt of a delivery was answered as the filter says. One without attempts has no answer.
fn names_last_answer(txn: &Txn<'_>, filter: &JobFilter, endpoint: &Endpoint, seq: Seq) -> Result<bool, StoreError> {
    let Some(class) = filter.status_class else { return Ok(true) };
    let attempts = history::of_message(txn, endpoint.target(), seq)?;
    let last = attempts.iter().max_by_key(|attempt| attempt.started_at);
    Ok(last.is_some_and(|attempt| class_of(attempt.status) == class))
}
