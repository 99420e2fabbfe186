//! The log: blocks that cannot be read go, and messages whose chunks are not all there; what is missing is named.
//!
//! A position that is missing is passed over by the engine, and counted as expired for endpoints that had not come so far.

use bytes::Bytes;
use model::{AppId, Seq, UnixMs};

use super::super::report::Report;
use super::{commit, pages};
use crate::block::{self, BlockBuilder, BlockRecord, PayloadAt};
use crate::keys::{self, KeyKind, KeyRange};
use crate::store::{Store, StoreError};

/// Where the log of an application was read to.
struct Reached {
    app: AppId,
    last: Seq,
    at: Option<UnixMs>,
}

/// Looks at every block.
pub(super) fn mend(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let mut reached: Option<Reached> = None;
    pages(store, KeyRange::prefix(vec![KeyKind::Event as u8]), |rows| {
        for (key, value) in rows {
            let (app, _) = keys::event::decode(key)?;
            let whole = readable(store, app, key, value)?;
            let Some((first, last)) = whole.first().zip(whole.last()) else { continue };
            let before = reached.take().filter(|reached| reached.app == app);
            note_missing(store, report, app, before.as_ref(), (first.event.seq, first.event.accepted_at))?;
            let mut previous = first;
            for record in &whole[1..] {
                if record.event.seq > previous.event.seq.next() {
                    let between = [Some(previous.event.accepted_at), Some(record.event.accepted_at)];
                    let (first, last) = (previous.event.seq.next(), record.event.seq.previous());
                    report.lost_messages(app, first, last, between);
                }
                previous = record;
            }
            reached = Some(Reached { app, last: last.event.seq, at: Some(last.event.accepted_at) });
        }
        Ok(())
    })
}

/// The records of a block that are whole. The others are taken out of the store.
fn readable(store: &dyn Store, app: AppId, key: &Bytes, value: &Bytes) -> Result<Vec<BlockRecord>, StoreError> {
    let Ok(records) = block::read(app, value) else {
        commit(store, |txn| {
            txn.delete(key.clone());
            Ok(())
        })?;
        return Ok(Vec::new());
    };
    let all = records.len();
    let mut whole = Vec::with_capacity(all);
    for record in records {
        if chunks_are_whole(store, app, &record)? {
            whole.push(record);
        }
    }
    if whole.len() < all {
        commit(store, |txn| {
            txn.delete(key.clone());
            let mut builder = BlockBuilder::new();
            for record in &whole {
                // They were in one block.
                let _ = builder.push_record(record);
            }
            if let Some((first, block)) = builder.finish() {
                txn.put(keys::event::encode(app, first), block);
            }
            Ok(())
        })?;
    }
    Ok(whole)
}

fn chunks_are_whole(store: &dyn Store, app: AppId, record: &BlockRecord) -> Result<bool, StoreError> {
    let PayloadAt::Chunked { length, chunks } = record.payload_at else { return Ok(true) };
    let mut bytes = 0;
    for index in 0..chunks {
        match store.get(&keys::chunk::encode(app, record.event.seq, index))?.map(|row| block::decode_chunk(&row)) {
            Some(Ok(chunk)) => bytes += chunk.len(),
            Some(Err(_)) | None => return Ok(false),
        }
    }
    Ok(bytes == length as usize)
}

/// Names what is missing before a block. Before the first one it may be what retention removed, unless damage says other.
fn note_missing(
    store: &dyn Store,
    report: &mut Report,
    app: AppId,
    before: Option<&Reached>,
    (next, next_at): (Seq, UnixMs),
) -> Result<(), StoreError> {
    let first = before.map_or(Seq(1), |before| before.last.next());
    if next <= first {
        return Ok(());
    }
    let (from, to) = (keys::event::encode(app, first), keys::event::encode(app, next));
    let first_chunk = store.scan(
        &keys::chunk::encode(app, first, 0),
        &keys::chunk::encode(app, next, 0),
        1,
        crate::Direction::Forward,
    )?;
    if before.is_some() || report.may_be_lost(&from, &to) || !first_chunk.is_empty() {
        report.lost_messages(app, first, next.previous(), [before.and_then(|before| before.at), Some(next_at)]);
    }
    Ok(())
}
