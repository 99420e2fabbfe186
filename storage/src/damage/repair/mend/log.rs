//! The log: blocks that cannot be read go, and messages whose payload is not there; the report names the missing ones.
//!
//! A position that is missing is passed over by the engine, and counted as expired for endpoints that had not come so
//! far.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{AppId, Seq, UnixMs};

use super::super::report::Report;
use super::{commit, pages};
use crate::rows::event::block::{self, BlockBuilder, BlockRecord, PayloadAt};
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Store, StoreError};

/// The position that the log of an application was read to.
struct Reached {
    app: AppId,
    /// The last event that is left; `None`: none so far.
    last: Option<(Seq, UnixMs)>,
    /// Up to where there may have been events that were taken out behind that one.
    gone_upto: Option<Seq>,
}

/// The remains of a block.
struct Block {
    whole: Vec<BlockRecord>,
    /// Up to where it may have had events that were taken out.
    gone_upto: Option<Seq>,
}

/// Looks at every block. Says up to where applications may have had events behind the last one that is left.
pub(super) fn mend(store: &dyn Store, report: &mut Report) -> Result<BTreeMap<AppId, Seq>, StoreError> {
    let mut ends = BTreeMap::new();
    let mut reached: Option<Reached> = None;
    pages(store, KeyRange::prefix(vec![KeyKind::Event as u8]), |rows| {
        for (key, value) in rows {
            let (app, begins_at) = rows::event::decode(key)?;
            if reached.as_ref().is_none_or(|reached| reached.app != app) {
                end(reached.take(), report, &mut ends);
            }
            let before = reached.get_or_insert(Reached { app, last: None, gone_upto: None });
            let block = readable(store, app, (key, begins_at), value)?;
            let Some((first, last)) = block.whole.first().zip(block.whole.last()) else {
                before.gone_upto = block.gone_upto.max(before.gone_upto);
                report.drop(KeyKind::Event);
                continue;
            };
            note_missing(store, report, before, (first.event.seq, first.event.accepted_at))?;
            let mut previous = first;
            for record in &block.whole[1..] {
                if record.event.seq > previous.event.seq.next() {
                    let between = [Some(previous.event.accepted_at), Some(record.event.accepted_at)];
                    let (first, last) = (previous.event.seq.next(), record.event.seq.previous());
                    report.lost_messages(app, first, last, between);
                }
                previous = record;
            }
            before.last = Some((last.event.seq, last.event.accepted_at));
            before.gone_upto = block.gone_upto.filter(|upto| *upto > last.event.seq);
        }
        Ok(())
    })?;
    end(reached, report, &mut ends);
    Ok(ends)
}

/// Notes the events that are missing behind the last one that is left of an application.
fn end(reached: Option<Reached>, report: &mut Report, ends: &mut BTreeMap<AppId, Seq>) {
    let Some(Reached { app, last, gone_upto: Some(upto) }) = reached else { return };
    report.lost_last_messages(app, last.map(|(seq, _)| seq), upto);
    ends.insert(app, upto);
}

/// The records of a block that are whole. The others are taken out of the store.
fn readable(
    store: &dyn Store,
    app: AppId,
    (key, begins_at): (&Bytes, Seq),
    value: &Bytes,
) -> Result<Block, StoreError> {
    let Ok(records) = block::read(app, value) else {
        commit(store, |txn| {
            txn.delete(key.clone());
            Ok(())
        })?;
        // The number of its records is not known.
        let gone_upto = Seq(begins_at.0.saturating_add(block::RECORDS_MAX - 1).min(Seq::MAX.0));
        return Ok(Block { whole: Vec::new(), gone_upto: Some(gone_upto) });
    };
    let (mut whole, mut gone_upto) = (Vec::with_capacity(records.len()), None);
    for record in records {
        if payload_is_whole(store, app, &record)? {
            whole.push(record);
        } else {
            gone_upto = Some(record.event.seq);
        }
    }
    if gone_upto.is_some() {
        commit(store, |txn| {
            txn.delete(key.clone());
            let mut builder = BlockBuilder::new();
            for record in &whole {
                // They were in one block.
                let _ = builder.push_record(record);
            }
            if let Some((first, block)) = builder.finish() {
                txn.put(rows::event::encode(app, first), block);
            }
            Ok(())
        })?;
    }
    Ok(Block { whole, gone_upto })
}

fn payload_is_whole(store: &dyn Store, app: AppId, record: &BlockRecord) -> Result<bool, StoreError> {
    let PayloadAt::Separate { length } = record.payload_at else { return Ok(true) };
    let payload = store.get(&rows::payload::encode(app, record.event.seq))?.map(|row| block::decode_payload(&row));
    Ok(matches!(payload, Some(Ok(payload)) if payload.len() == length as usize))
}

/// Names the events missing before a block. Before the first one retention may have removed them, unless damage says
/// other.
fn note_missing(
    store: &dyn Store,
    report: &mut Report,
    before: &Reached,
    (next, next_at): (Seq, UnixMs),
) -> Result<(), StoreError> {
    let app = before.app;
    let first = before.last.map_or(Seq(1), |(last, _)| last.next());
    if next <= first {
        return Ok(());
    }
    let (from, to) = (rows::event::encode(app, first), rows::event::encode(app, next));
    let first_payload = store.scan(
        &rows::payload::encode(app, first),
        &rows::payload::encode(app, next),
        1,
        crate::Direction::Forward,
    )?;
    let is_lost = before.last.is_some() || before.gone_upto.is_some();
    if is_lost || report.may_be_lost(&from, &to) || !first_payload.is_empty() {
        report.lost_messages(app, first, next.previous(), [before.last.map(|(_, at)| at), Some(next_at)]);
    }
    Ok(())
}
