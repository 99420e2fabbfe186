//! The event log: for each application its events in order, in blocks.
//!
//! Keyed by application, so that an endpoint that catches up reads its own tenant's events and no others'. A message id
//! carries its position, so a lookup needs no index. Append-only: nothing here changes an event, but for
//! the removal of a payload on request and of the log's beginning by retention (`removal`).

mod removal;

pub use removal::{LogRemoved, remove_upto};

use crate::read::Read;
use crate::rows::event::block::{self, BlockBuilder, BlockRecord, PayloadAt};
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Direction, StoreError};
use crate::tables::{put_payload, put_retained, put_value, remove_retained, row_bytes};
use crate::txn::{Growth, Txn};
use bytes::Bytes;
use model::{AppId, Event, EventMore, Seq, UnixMs};
use std::sync::Arc;

/// Blocks read in one step of a longer read.
const BLOCKS_PER_SCAN: usize = 16;

/// The position of an application's last event; 0 before the first.
///
/// # Errors
/// Whatever the store reports.
pub fn head(read: &(impl Read + ?Sized), app: AppId) -> Result<Seq, StoreError> {
    let last_block = match block_at(read, app, Seq::MAX)? {
        Some((first, block)) => match records(app, first, &block)?.last() {
            Some(record) => Some(record.event.seq),
            // The number of its records is not known; their positions are not given out again.
            None => Some(Seq(first.0 + block::RECORDS_MAX)),
        },
        None => None,
    };
    // Retention may have removed every block, but never the mark of routing.
    Ok(last_block.unwrap_or_default().max(super::delivery::routed(read, app)?))
}

/// Adds events of one application, consecutive and in order, to the log.
///
/// # Errors
/// A refusal when an event's type, id and channels alone are more than a block holds, or its payload more than a value.
pub fn append(txn: &mut Txn<'_>, app: AppId, events: &[Event]) -> Result<(), StoreError> {
    let mut builder = BlockBuilder::new();
    for event in events {
        let placed = match builder.push(event) {
            Some(placed) => Some(placed),
            None => {
                write_block(txn, app, &mut builder)?;
                builder.push(event)
            }
        };
        if let Some(PayloadAt::Separate { .. }) = placed {
            let (key, payload) = (rows::payload::encode(app, event.seq), block::encode_payload(&event.payload));
            let growth = Growth::events(row_bytes(&key, &payload));
            put_payload(txn, key, payload)?;
            txn.grow(growth);
        }
    }
    write_block(txn, app, &mut builder)
}

fn write_block(txn: &mut Txn<'_>, app: AppId, builder: &mut BlockBuilder) -> Result<(), StoreError> {
    match builder.finish() {
        Some((first, block)) => {
            // No block is at this key: positions are given out once, and a rewrite of a block removes it first.
            let key = rows::event::encode(app, first);
            let growth = Growth::events(row_bytes(&key, &block));
            put_value(txn, key, block)?;
            txn.grow(growth);
            Ok(())
        }
        None => Ok(()),
    }
}

/// One event, if it is in the log.
///
/// # Errors
/// Whatever the store reports, and corruption of its block.
pub fn get(read: &(impl Read + ?Sized), app: AppId, seq: Seq) -> Result<Option<Event>, StoreError> {
    if seq == Seq::ZERO || seq > Seq::MAX {
        return Ok(None);
    }
    match find(read, app, seq)? {
        Some(record) => complete(read, record),
        None => Ok(None),
    }
}

/// As [`get`], but a damaged event is none.
///
/// # Errors
/// Whatever the store reports.
pub fn get_undamaged(read: &(impl Read + ?Sized), app: AppId, seq: Seq) -> Result<Option<Event>, StoreError> {
    undamaged(get(read, app, seq), app, seq)
}

fn find(read: &(impl Read + ?Sized), app: AppId, seq: Seq) -> Result<Option<BlockRecord>, StoreError> {
    let Some((_, block)) = block_at(read, app, seq)? else { return Ok(None) };
    Ok(block::read(app, &block)?.into_iter().find(|record| record.event.seq == seq))
}

/// Up to `max_events` events after `after`, ascending, of at most about `max_bytes` of payload (at least one event).
/// Damaged events are passed over: their positions are missing.
///
/// # Errors
/// Whatever the store reports.
pub fn read_after(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Seq,
    max_events: usize,
    max_bytes: usize,
) -> Result<Vec<Event>, StoreError> {
    read_records(read, app, after, (max_events, max_bytes), |record| complete(read, record))
}

/// As [`read_after`], without payloads that are in a row of their own: such an event looks as if it were expunged.
///
/// # Errors
/// Whatever the store reports.
pub fn read_heads_after(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Seq,
    max_events: usize,
) -> Result<Vec<Event>, StoreError> {
    read_records(read, app, after, (max_events, usize::MAX), |record| Ok(Some(record.event)))
}

fn read_records(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Seq,
    (max_events, max_bytes): (usize, usize),
    complete: impl Fn(BlockRecord) -> Result<Option<Event>, StoreError>,
) -> Result<Vec<Event>, StoreError> {
    let mut events: Vec<Event> = Vec::new();
    let mut bytes = 0;
    if max_events == 0 || after >= Seq::MAX {
        return Ok(events);
    }
    let mut next = after.next();
    let mut from = block_at(read, app, after.next())?.map_or(after.next(), |(first, _)| first);
    loop {
        let range = rows::event::of_app(app).from(rows::event::encode(app, from));
        let blocks = read.scan(&range.start, &range.end, BLOCKS_PER_SCAN, Direction::Forward)?;
        let more = blocks.len() == BLOCKS_PER_SCAN;
        for (key, block) in &blocks {
            for record in records(app, rows::event::decode(key)?.1, block)? {
                // Skips also records seen twice, when a block is split between two reads.
                if record.event.seq < next {
                    continue;
                }
                next = record.event.seq.next();
                let Some(event) = undamaged(complete(record), app, next.previous())? else { continue };
                bytes += event.payload.len();
                events.push(event);
                if events.len() >= max_events || bytes >= max_bytes {
                    return Ok(events);
                }
            }
        }
        if !more {
            return Ok(events);
        }
        // Also behind blocks that are damaged, of whose records nothing is known.
        let last = blocks.last().map(|(key, _)| rows::event::decode(key)).transpose()?;
        from = last.map_or(next, |(_, first)| next.max(first.next()));
    }
}

/// Up to `limit` events before `before`, newest first, without those that are damaged.
///
/// # Errors
/// Whatever the store reports.
pub fn read_before(
    read: &(impl Read + ?Sized),
    app: AppId,
    before: Seq,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    let mut before = before;
    while events.len() < limit && before > Seq(1) {
        let Some((first, block)) = block_at(read, app, before.previous())? else { break };
        for record in records(app, first, &block)?.into_iter().rev() {
            if record.event.seq >= before {
                continue;
            }
            before = record.event.seq;
            events.extend(undamaged(complete(read, record), app, before)?);
            if events.len() == limit {
                return Ok(events);
            }
        }
        // Goes further down even if nothing of the block could be read.
        before = before.min(first);
    }
    Ok(events)
}

/// The last block that begins at or before `seq`, with its first position: it holds `seq`, if any block does.
fn block_at(read: &(impl Read + ?Sized), app: AppId, seq: Seq) -> Result<Option<(Seq, Bytes)>, StoreError> {
    let range = rows::event::of_app(app).up_to(rows::event::encode(app, seq));
    match read.scan(&range.start, &range.end, 1, Direction::Reverse)?.into_iter().next() {
        Some((key, block)) => Ok(Some((rows::event::decode(&key)?.1, block))),
        None => Ok(None),
    }
}

/// The records of the block that begins at `first`, or none if it is damaged: only that block is lost.
fn records(app: AppId, first: Seq, block: &Bytes) -> Result<Vec<BlockRecord>, StoreError> {
    Ok(undamaged(block::read(app, block).map(Some), app, first)?.unwrap_or_default())
}

/// The result of a read, or nothing if it is damaged; the damage is logged and counted.
fn undamaged<T>(read: Result<Option<T>, StoreError>, app: AppId, seq: Seq) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::CorruptRow { kind, detail }) => {
            tracing::error!(%app, position = %seq, kind, detail, "part of the log is damaged, and passed over");
            metrics::counter!(model::metric::DAMAGED_READS).increment(1);
            Ok(None)
        }
        other => other,
    }
}

/// Fetches a payload that is apart. None when the event was removed meanwhile.
fn complete(read: &(impl Read + ?Sized), record: BlockRecord) -> Result<Option<Event>, StoreError> {
    let mut event = record.event;
    if let PayloadAt::Separate { length } = record.payload_at {
        let row = read.get(&rows::payload::encode(event.app, event.seq))?;
        let Some(row) = row.filter(|row| !row.is_empty()) else { return removed_meanwhile(read, event) };
        event.payload = block::decode_payload(&row)?;
        if event.payload.len() != length as usize {
            let detail = format!("{} bytes instead of {length}", event.payload.len());
            return Err(StoreError::CorruptRow { kind: "payload", detail });
        }
    }
    Ok(Some(event))
}

/// Handles a payload that is missing or empty although the block, read before, refers to it.
///
/// That is fine when the payload was removed in between, which the block then says, or the whole event was. The
/// reader's own transaction may have removed it too: a scan still shows the block.
fn removed_meanwhile(read: &(impl Read + ?Sized), event: Event) -> Result<Option<Event>, StoreError> {
    let Some((first, _)) = block_at(read, event.app, event.seq)? else { return Ok(None) };
    let Some(block) = read.get(&rows::event::encode(event.app, first))? else { return Ok(None) };
    match block::read(event.app, &block)?.into_iter().find(|record| record.event.seq == event.seq) {
        Some(BlockRecord { event, payload_at: PayloadAt::Inline { .. } }) => Ok(Some(event)),
        None => Ok(None),
        Some(_) => Err(StoreError::CorruptRow { kind: "payload", detail: "it is missing".to_owned() }),
    }
}

/// Removes an event's payload from its block or its own row; see [`Event::is_expunged`]. Unknown events are left alone.
/// Answers `true` if there was a payload. [`super::expunge`] ends the deliveries.
///
/// # Errors
/// Whatever the store reports, and corruption of its block.
pub fn expunge(txn: &mut Txn<'_>, app: AppId, seq: Seq) -> Result<bool, StoreError> {
    let Some((first, records)) = block_as_written(txn, app, seq)? else { return Ok(false) };
    let is_left =
        |record: &BlockRecord| record.event.seq == seq && record.payload_at != PayloadAt::Inline { length: 0 };
    if !records.iter().any(is_left) {
        return Ok(false);
    }
    // A record grows by this only where it was written in an earlier version: mostly all fit into one block again.
    let mut builder = BlockBuilder::new();
    remove_retained(txn, rows::event::encode(app, first), Growth::events)?;
    for mut record in records {
        if record.event.seq == seq {
            if matches!(record.payload_at, PayloadAt::Separate { .. }) {
                // The row is emptied and not deleted: the store overwrites a replaced value. Retention removes it.
                put_retained(txn, rows::payload::encode(app, seq), Bytes::new(), Growth::events)?;
            }
            if let Some(at) = record.event.expunge_at() {
                txn.delete(rows::expunge_at::encode(at, app, seq));
            }
            record.event.more = without_payload(record.event.more);
            record.event.payload = Bytes::new();
            record.payload_at = PayloadAt::Inline { length: 0 };
        }
        if builder.push_record(&record).is_none() {
            write_block(txn, app, &mut builder)?;
            builder.push_record(&record);
        }
    }
    write_block(txn, app, &mut builder)?;
    Ok(true)
}

/// The part of `more` that stays when the payload is gone.
fn without_payload(more: Option<Arc<EventMore>>) -> Option<Arc<EventMore>> {
    let kept = EventMore { content_type: None, expunge_at: None, ..EventMore::clone(&*more?) };
    (kept != EventMore::default()).then(|| Arc::new(kept))
}

/// The first application after `after` that has events: one seek, however many it has.
///
/// # Errors
/// Whatever the store reports.
pub fn next_app(read: &(impl Read + ?Sized), after: Option<AppId>) -> Result<Option<AppId>, StoreError> {
    let mut range = KeyRange::prefix(vec![KeyKind::Event as u8]);
    if let Some(after) = after {
        range.start = rows::event::of_app(after).end;
    }
    let rows = read.scan(&range.start, &range.end, 1, Direction::Forward)?;
    rows.first().map(|(key, _)| rows::event::decode(key).map(|(app, _)| app)).transpose()
}

/// The first position that is retained; one beyond the head when none is.
///
/// # Errors
/// Whatever the store reports.
pub fn begin(read: &(impl Read + ?Sized), app: AppId) -> Result<Seq, StoreError> {
    let range = rows::event::of_app(app);
    match read.scan(&range.start, &range.end, 1, Direction::Forward)?.first() {
        Some((key, _)) => Ok(rows::event::decode(key)?.1),
        None => Ok(head(read, app)?.next()),
    }
}

/// The time at which the first event that is retained, and not damaged, was accepted.
///
/// # Errors
/// Whatever the store reports.
pub fn oldest(read: &(impl Read + ?Sized), app: AppId) -> Result<Option<UnixMs>, StoreError> {
    let range = rows::event::of_app(app);
    // Retention asks every application: one row, and more only if that is damaged.
    let Some((key, block)) = read.scan(&range.start, &range.end, 1, Direction::Forward)?.into_iter().next() else {
        return Ok(None);
    };
    if let Some(record) = records(app, rows::event::decode(&key)?.1, &block)?.first() {
        return Ok(Some(record.event.accepted_at));
    }
    Ok(read_after(read, app, Seq::ZERO, 1, 1)?.first().map(|event| event.accepted_at))
}

/// The position before the first event accepted at `since` or later, by halving. It never lies before the beginning.
///
/// Time does not run backwards in a log, but for a step of the system clock. Such a step moves the answer by at most
/// the events that it spans.
///
/// # Errors
/// Whatever the store reports, and corruption of a block.
pub fn before_time(read: &(impl Read + ?Sized), app: AppId, since: UnixMs) -> Result<Seq, StoreError> {
    let (mut low, mut high) = (begin(read, app)?.previous().0, head(read, app)?.0);
    // Everything up to `low` is older; everything from `high + 1` on is not.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let older = match read_after(read, app, Seq(middle - 1), 1, 1)?.first() {
            Some(event) => event.accepted_at < since,
            None => false,
        };
        if older { low = middle } else { high = middle - 1 }
    }
    Ok(Seq(low))
}

/// The block that holds `seq`, as this transaction has left it. The transaction may have rewritten or split the block,
/// which its scans do not show.
fn block_as_written(txn: &Txn<'_>, app: AppId, seq: Seq) -> Result<Option<(Seq, Vec<BlockRecord>)>, StoreError> {
    let Some((mut first, _)) = block_at(txn, app, seq)? else { return Ok(None) };
    while let Some(block) = txn.get(&rows::event::encode(app, first))? {
        let records = block::read(app, &block)?;
        if records.iter().any(|record| record.event.seq == seq) {
            return Ok(Some((first, records)));
        }
        match records.last() {
            Some(last) if last.event.seq < seq => first = last.event.seq.next(),
            _ => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
