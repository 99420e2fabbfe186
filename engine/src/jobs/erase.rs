//! The job that erases by subject: it removes the payload of each message of an application that its filter names, up to
//! the last message that there was when the job began.
//!
//! Each is removed as one that was named by itself ([`expunge`]): its waiting deliveries end, no attempt of it starts
//! once the chunk is durable, and the store's files are overwritten. A damaged message cannot be judged: it is counted and
//! named as failed, and its payload is not readable either.

use super::filter::names_message;
use super::span::{is_over_behind, step_to};
use super::{CHUNK, passed};
use model::{EndpointId, Event, Job, SkipReason, UnixMs};
use storage::tables::{expunge, log};
use storage::{StoreError, Txn};

/// Payloads removed in one chunk: each rewrites the block that it is in, and looks for deliveries that wait.
const ERASED_PER_CHUNK: u64 = 64;

/// Failures and skips of it are of no endpoint.
const NO_ENDPOINT: EndpointId = EndpointId(0);

/// A chunk of the log. Answers true at the end.
pub(super) fn chunk(txn: &mut Txn<'_>, row: &mut Job, now: UnixMs) -> Result<bool, StoreError> {
    let events = log::read_heads_after(txn, row.target.app, row.position, CHUNK)?;
    let enough = row.affected + ERASED_PER_CHUNK;
    for event in &events {
        if let Some(is_over) = step_to(txn, row, event.seq, enough)? {
            return Ok(is_over);
        }
        match txn.whole(|txn| one(txn, row, event, now)) {
            Ok(ruling) => row.note(NO_ENDPOINT, event.seq, ruling),
            Err(error) => row.note_failed(NO_ENDPOINT, event.seq, 1, passed::reason(error)?),
        }
    }
    is_over_behind(txn, row, &events)
}

/// Removes the payload of a message that the job names, if it has one left. A job without a filter names none.
fn one(txn: &mut Txn<'_>, row: &Job, event: &Event, now: UnixMs) -> Result<Result<(), SkipReason>, StoreError> {
    if !row.filter.as_ref().is_some_and(|filter| names_message(filter, event)) {
        return Ok(Err(SkipReason::NotNamed));
    }
    let had_one = match row.dry_run {
        true => log::get(txn, event.app, event.seq)?.is_some_and(|event| !event.is_expunged()),
        false => expunge::message(txn, event.app, event.seq, now)?,
    };
    Ok(if had_one { Ok(()) } else { Err(SkipReason::PayloadGone) })
}
