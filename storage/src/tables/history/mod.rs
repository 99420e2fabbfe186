//! Attempts of an endpoint: users browse them to see the outcome of a delivery.
//!
//! Nearly all attempts are first ones and successes. They are settled many at a time, so they are packed: a run holds
//! those of one commit, or of a few that were small. Further attempts (retries, and those asked for by hand) come one
//! by one and have rows of their own, by start, with an index by event.
//!
//! An attempt is addressed by its endpoint, its event's position and its start. A delivery has one first attempt; one
//! put again replaces it within its run. Lists and lookups read only committed rows: a transaction does not show its
//! writes.
//!
//! No states of deliveries and no say in how long it remembers: the caller says when to [`forget`].

mod forget;
mod last_runs;
mod place;
mod position;
mod streams;
#[cfg(test)]
mod tests;

use crate::read::Read;
use crate::rows::attempt_first::run::{self, MAX_SPAN, RunBuilder, cut};
use crate::rows::{attempt_first, attempt_later, attempt_later_by_seq};
use crate::store::{Direction, StoreError};
use crate::tables::{get_row, put_retained, replace_retained, scan};
use crate::txn::{Growth, Txn, Wanted};
use bytes::Bytes;
use model::{AttemptRecord, EndpointRef, Seq, UnixMs};
use std::collections::{BTreeMap, VecDeque};
use streams::{Firsts, Laters};

pub use forget::{Forgotten, forget, trim};
pub use last_runs::LastRuns;
pub use place::{newest, position_at};
pub use position::HistoryPosition;

/// The most further attempts of one delivery that [`of_message`] shows: the newest.
pub const MAX_LATER_OF_MESSAGE: usize = 1_000;

/// The response of an attempt whose response was expunged, as clients know it.
pub const EXPUNGED: &[u8] = b"EXPUNGED";

/// Runs read at once when looking for one attempt: it is nearly always in the first few.
const LOOKUP_PAGE: usize = if cfg!(test) { 2 } else { 8 };

/// A run takes the records of further commits while it is at most so long: about 15 successes. It is written again for
/// each of them, so more would cost more than the rows that it saves.
const OPEN_RUN_MAX_BYTES: usize = 192;

/// Remembers first attempts, in any order. Responses over about 8 KB are cut.
///
/// # Errors
/// Whatever the store reports.
pub fn put_first(
    txn: &mut Txn<'_>,
    last_runs: &mut LastRuns,
    target: EndpointRef,
    records: Vec<AttemptRecord>,
) -> Result<(), StoreError> {
    let records = in_order(records.into_iter().map(cut).collect());
    let open = match (records.first(), last_runs.of(target)) {
        (Some(first), Some(begin)) => open_run(txn, target, begin, first.seq)?,
        _ => None,
    };
    pack(txn, target, records, open, |begin, bytes| last_runs.note(target, begin, bytes))
}

/// The row that [`put_first`] reads for records of which the first is at `first`.
pub(super) fn want_first(last_runs: &LastRuns, target: EndpointRef, first: Seq, wanted: &mut Wanted) {
    let begin = last_runs.of(target).filter(|begin| is_in_reach(*begin, first)).unwrap_or(first);
    wanted.add(attempt_first::encode(target, begin));
}

/// The rows that [`put_later`] reads.
pub(super) fn want_later(target: EndpointRef, record: &AttemptRecord, wanted: &mut Wanted) {
    wanted.add(attempt_later::encode(target, record.started_at, record.seq));
    wanted.add(attempt_later_by_seq::encode(target, record.seq, record.started_at));
}

/// By position, each once: of two, the later one.
fn in_order(records: Vec<AttemptRecord>) -> Vec<AttemptRecord> {
    if records.is_sorted_by(|one, next| one.seq < next.seq) {
        return records;
    }
    let by_seq: BTreeMap<Seq, AttemptRecord> = records.into_iter().map(|record| (record.seq, record)).collect();
    by_seq.into_values().collect()
}

/// Packs records, which are in order, into runs, into `open` first if there is one: a run with its beginning. A record
/// that a run has already is replaced. `begun` gets the first position of each run and its length in bytes.
fn pack(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    records: Vec<AttemptRecord>,
    mut open: Option<(Seq, Bytes)>,
    mut begun: impl FnMut(Seq, usize),
) -> Result<(), StoreError> {
    let mut rest = VecDeque::from(records);
    while let Some(first) = rest.front().map(|record| record.seq) {
        // A run that begins here already is packed again together with the new records. Records that then do not fit go
        // on in a run of their own, which may meet another run in turn.
        let (begin, existing) = match open.take() {
            Some((begin, run)) => (begin, Some(run)),
            None => (first, txn.get(&attempt_first::encode(target, first))?),
        };
        // Nearly always all new records lie behind those of the run: then it is not taken apart.
        let resumed = existing.as_deref().and_then(|run| RunBuilder::resume(begin, run));
        let mut builder = match resumed.filter(|builder| builder.last() < first) {
            Some(builder) => builder,
            None => {
                if let Some(run) = existing.as_deref() {
                    rest = undamaged(run).into_iter().chain(rest).collect();
                    rest = in_order(rest.into()).into();
                }
                RunBuilder::new(begin)
            }
        };
        while rest.pop_front_if(|record| builder.push(record)).is_some() {}
        let run = builder.finish();
        begun(begin, run.len());
        replace_retained(txn, attempt_first::encode(target, begin), existing, run, Growth::attempts)?;
    }
    Ok(())
}

/// The run that begins at `begin`, if there is one and it may take a record at `first`.
fn open_run(txn: &Txn<'_>, target: EndpointRef, begin: Seq, first: Seq) -> Result<Option<(Seq, Bytes)>, StoreError> {
    if !is_in_reach(begin, first) {
        return Ok(None);
    }
    // The run may have been forgotten since.
    let run = txn.get(&attempt_first::encode(target, begin))?;
    Ok(run.filter(|run| run.len() <= OPEN_RUN_MAX_BYTES).map(|run| (begin, run)))
}

/// True if a run that begins at `begin` may hold a record at `seq`.
fn is_in_reach(begin: Seq, seq: Seq) -> bool {
    seq.0.checked_sub(begin.0).is_some_and(|span| span < MAX_SPAN)
}

/// The records of a run that is written again. Damage to them must not stop a settlement: they are lost anyway.
fn undamaged(run: &[u8]) -> Vec<AttemptRecord> {
    run::decode(run).unwrap_or_else(|error| {
        tracing::error!(%error, "attempts are lost: their run is damaged");
        Vec::new()
    })
}

/// Remembers one further attempt. A response over about 8 KB is cut.
///
/// # Errors
/// Whatever the store reports.
pub fn put_later(txn: &mut Txn<'_>, target: EndpointRef, record: AttemptRecord) -> Result<(), StoreError> {
    let (seq, started_at) = (record.seq, record.started_at);
    let row = attempt_later::to_value(&cut(record));
    put_retained(txn, attempt_later::encode(target, started_at, seq), row, Growth::attempts)?;
    put_retained(txn, attempt_later_by_seq::encode(target, seq, started_at), Bytes::new(), Growth::attempts)
}

/// The attempts of one delivery, oldest first; of its further ones at most [`MAX_LATER_OF_MESSAGE`].
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn of_message(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
) -> Result<Vec<AttemptRecord>, StoreError> {
    let range = attempt_later_by_seq::of_delivery(target, seq);
    let mut attempts = Vec::new();
    for (key, _) in scan(read, &range, MAX_LATER_OF_MESSAGE, Direction::Reverse)? {
        let (_, _, started_at) = attempt_later_by_seq::decode(&key)?;
        // The row is gone when it was removed between the two reads.
        attempts.extend(later(read, target, seq, started_at)?);
    }
    attempts.extend(find_first(read, target, seq)?.map(|(_, record)| record));
    attempts.reverse();
    // Nearly sorted: only a clock that was set back makes an attempt start before the one that it followed.
    attempts.sort_by_key(|record| record.started_at);
    Ok(attempts)
}

/// Attempts of an endpoint, at most `limit`, and the position at which the list goes on, if it does.
///
/// In reverse, the list is newest first from `position` (from the newest without one). Forward, it is oldest first from
/// there (from the oldest without one).
///
/// First attempts come by position and further ones by start; the two are merged by start.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    position: Option<HistoryPosition>,
    limit: usize,
    direction: Direction,
) -> Result<(Vec<AttemptRecord>, Option<HistoryPosition>), StoreError> {
    let start = position.unwrap_or(match direction {
        Direction::Forward => HistoryPosition::OLDEST,
        Direction::Reverse => HistoryPosition::NEWEST,
    });
    let listed = list_from(read, target, start, limit, direction)?;
    Ok((listed.records, (!listed.is_end).then_some(listed.position)))
}

/// A part of a list of attempts.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The attempts, in the order that was asked for.
    pub records: Vec<AttemptRecord>,
    /// The cut behind them: the list goes on from here, and one the other way begins here.
    pub position: HistoryPosition,
    /// True if nothing follows.
    pub is_end: bool,
}

/// As [`list`], from a cut that the caller names, and with the cut behind the last attempt even where nothing follows.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list_from(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    mut position: HistoryPosition,
    limit: usize,
    direction: Direction,
) -> Result<Listed, StoreError> {
    let mut firsts = Firsts::new(read, target, position.first_below, direction);
    let mut laters = Laters::new(read, target, position, direction);
    let mut records = Vec::new();
    loop {
        let take_first = match (firsts.peek()?, laters.peek()?) {
            (None, None) => return Ok(Listed { records, position, is_end: true }),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            // Of one millisecond, the first attempt counts as the older.
            (Some(first), Some(later)) => match direction {
                Direction::Forward => first.started_at <= later.started_at,
                Direction::Reverse => first.started_at > later.started_at,
            },
        };
        if records.len() >= limit {
            return Ok(Listed { records, position, is_end: false });
        }
        let Some(record) = (if take_first { firsts.pop() } else { laters.pop() }) else {
            return Ok(Listed { records, position, is_end: true });
        };
        // The cut moves past it: just below it in reverse, just above it forward.
        let seq = match direction {
            Direction::Forward => record.seq.next(),
            Direction::Reverse => record.seq,
        };
        if take_first {
            position.first_below = seq;
        } else {
            position.later_before = (record.started_at, seq);
        }
        records.push(record);
    }
}

/// The highest position in the last run; of one that is damaged, that of its first record.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn last_first(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Seq>, StoreError> {
    let rows = scan(read, &attempt_first::of_endpoint(target), 1, Direction::Reverse)?;
    let Some((key, value)) = rows.first() else { return Ok(None) };
    let (_, begin) = attempt_first::decode(key)?;
    Ok(Some(run::decode(value).ok().and_then(|records| records.last().map(|last| last.seq)).unwrap_or(begin)))
}

/// Puts [`EXPUNGED`] in place of the response of one attempt and removes the answer's headers: both may hold data that a
/// tenant must not keep.
/// Answers `true` if there is such an attempt.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn expunge(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, started_at: UnixMs) -> Result<bool, StoreError> {
    if let Some(mut record) = later(txn, target, seq, started_at)? {
        expunge_content(&mut record);
        let key = attempt_later::encode(target, started_at, seq);
        put_retained(txn, key, attempt_later::to_value(&record), Growth::attempts)?;
        return Ok(true);
    }
    let Some((run_key, mut record)) = find_first(txn, target, seq)? else { return Ok(false) };
    if record.started_at != started_at {
        return Ok(false);
    }
    // The run as this transaction sees it: the transaction may have added to it. A damaged run is left as it is.
    let Some(value) = txn.get(&run_key)? else { return Ok(false) };
    run::decode(&value)?;
    expunge_content(&mut record);
    let begin = attempt_first::decode(&run_key)?.1;
    // The text is longer than a very short response: records that no longer fit go on in a run of their own.
    pack(txn, target, vec![record], Some((begin, value)), |_, _| {})?;
    Ok(true)
}

fn expunge_content(record: &mut AttemptRecord) {
    record.response = EXPUNGED.to_vec();
    if let Some(details) = &mut record.details {
        details.response_headers.clear();
    }
}

/// The first attempt of a delivery, with the key of its run.
fn find_first(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
) -> Result<Option<(Bytes, AttemptRecord)>, StoreError> {
    let lowest = Seq(seq.0.saturating_sub(MAX_SPAN - 1));
    let mut range = attempt_first::of_endpoint(target)
        .from(attempt_first::encode(target, lowest))
        .up_to(attempt_first::encode(target, seq));
    loop {
        let rows = scan(read, &range, LOOKUP_PAGE, Direction::Reverse)?;
        for (key, value) in &rows {
            if let Some(record) = run::decode(value)?.into_iter().find(|record| record.seq == seq) {
                return Ok(Some((key.clone(), record)));
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == LOOKUP_PAGE => {
                range = range.beyond(Some(key.to_vec()), Direction::Reverse);
            }
            _ => return Ok(None),
        }
    }
}

/// One further attempt.
fn later(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
    started_at: UnixMs,
) -> Result<Option<AttemptRecord>, StoreError> {
    get_row(read, &attempt_later::encode(target, started_at, seq), attempt_later::from_value)
}
