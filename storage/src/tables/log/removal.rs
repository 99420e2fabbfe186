//! The log's beginning goes: what retention removes, whole blocks with all that hangs on their events.
//!
//! Deliberately no say in what may go: the caller names the last position.

use crate::block::{self, BlockRecord};
use crate::keys;
use crate::store::{Direction, StoreError};
use crate::tables::{event_uid, remove_retained, scan};
use crate::txn::{Growth, Txn};
use bytes::Bytes;
use model::{AppId, Seq};

/// Blocks read in one step.
const BLOCKS_PER_SCAN: usize = if cfg!(test) { 2 } else { 16 };

/// More chunks than the events of one block have: together they are not larger than a request or two.
const CHUNKS_PER_BLOCK_MAX: usize = 64 * 1024;

/// What [`remove_upto`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRemoved {
    /// Events.
    pub events: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// Rows looked at or removed.
    pub rows: usize,
}

/// Removes the log's beginning: whole blocks without an event beyond `upto`, with their chunks and the names of their
/// events, about `max_rows` rows. Nothing when there is none left to remove. A block that cannot be read goes too, once
/// the one after it shows where it ends.
///
/// # Errors
/// Whatever the store reports.
pub fn remove_upto(txn: &mut Txn<'_>, app: AppId, upto: Seq, max_rows: usize) -> Result<LogRemoved, StoreError> {
    let mut removed = LogRemoved::default();
    // With the block that begins right behind, which tells where the last one ends.
    let mut range = keys::event::of_app(app).up_to(keys::event::encode(app, upto.next()));
    loop {
        let blocks = scan(txn, &range, BLOCKS_PER_SCAN, Direction::Forward)?;
        for (index, (key, value)) in blocks.iter().enumerate() {
            let next = blocks.get(index + 1).map(|(key, _)| keys::event::decode(key)).transpose()?;
            let records = block::read(app, value).ok();
            let last = match (&records, next) {
                (Some(records), _) => records.last().map(|record| record.event.seq),
                (None, Some((_, next))) => Some(next.previous()),
                // The next scan begins with it and shows what follows, if anything does.
                (None, None) if index > 0 => break,
                (None, None) => None,
            };
            let Some(last) = last.filter(|last| *last <= upto && removed.rows < max_rows) else {
                return Ok(removed);
            };
            remove_block(txn, app, key, last, &records.unwrap_or_default(), &mut removed)?;
            range = range.from(keys::event::encode(app, last.next()));
        }
        if blocks.len() < BLOCKS_PER_SCAN {
            return Ok(removed);
        }
    }
}

/// Removes one block, up to `last`, and what hangs on its `records`, as far as they could be read.
fn remove_block(
    txn: &mut Txn<'_>,
    app: AppId,
    key: &Bytes,
    last: Seq,
    records: &[BlockRecord],
    removed: &mut LogRemoved,
) -> Result<(), StoreError> {
    let first = keys::event::decode(key)?.1;
    for record in records {
        if let Some(event_id) = &record.event.event_id {
            event_uid::remove(txn, app, event_id, record.event.seq)?;
            removed.rows += 1;
        }
    }
    let chunks = keys::chunk::of_app(app)
        .from(keys::chunk::encode(app, first, 0))
        .up_to(keys::chunk::encode(app, last, u16::MAX));
    for (chunk, _) in scan(txn, &chunks, CHUNKS_PER_BLOCK_MAX, Direction::Forward)? {
        removed.bytes += remove_retained(txn, chunk, Growth::events)?;
        removed.rows += 1;
    }
    removed.bytes += remove_retained(txn, key.clone(), Growth::events)?;
    removed.rows += 1;
    removed.events += records.len() as u64;
    Ok(())
}
