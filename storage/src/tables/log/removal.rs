//! Removal of the log's beginning by retention: whole blocks with all that hangs on their events.
//!
//! No choice of the end: the caller names the last position.

use crate::rows;
use crate::rows::event::block::{self, BlockRecord};
use crate::store::{Direction, INLINE_MAX_BYTES, StoreError};
use crate::tables::{event_uid, remove_found, scan, schedule};
use crate::txn::{Growth, Txn, Wanted};
use bytes::Bytes;
use model::{AppId, Seq};

/// Blocks read in one step.
const BLOCKS_PER_SCAN: usize = if cfg!(test) { 2 } else { 16 };

/// As many payloads as the events of one block can have. They came in one commit, so they fit into memory.
const PAYLOADS_PER_BLOCK_MAX: usize = block::RECORDS_MAX as usize;

/// The events, bytes and rows that [`remove_upto`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRemoved {
    /// Events.
    pub events: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// Rows looked at or removed; one that is long counts for each 8 KiB of it.
    pub rows: usize,
}

/// Removes the log's beginning: whole blocks without an event beyond `upto`, with their payloads and the names of their
/// events, about `max_rows` rows. Nothing when there is none left to remove. A block that cannot be read goes too, once
/// the one after it shows where it ends.
///
/// # Errors
/// Whatever the store reports.
pub fn remove_upto(txn: &mut Txn<'_>, app: AppId, upto: Seq, max_rows: usize) -> Result<LogRemoved, StoreError> {
    let mut removed = LogRemoved::default();
    // The range includes the block that begins right behind: it tells where the last one ends.
    let mut range = rows::event::of_app(app).up_to(rows::event::encode(app, upto.next()));
    loop {
        let blocks = scan(txn, &range, BLOCKS_PER_SCAN, Direction::Forward)?;
        for (index, (key, value)) in blocks.iter().enumerate() {
            let next = blocks.get(index + 1).map(|(key, _)| rows::event::decode(key)).transpose()?;
            let records = block::read(app, value).ok();
            let last = match (&records, next) {
                (Some(records), _) => records.last().map(|record| record.event.seq),
                (None, Some((_, next))) => Some(next.previous()),
                // The next scan begins with it and shows the block that follows, if any does.
                (None, None) if index > 0 => break,
                (None, None) => None,
            };
            let Some(last) = last.filter(|last| *last <= upto && removed.rows < max_rows) else {
                return Ok(removed);
            };
            remove_block(txn, app, (key, value), last, &records.unwrap_or_default(), &mut removed)?;
            range = range.from(rows::event::encode(app, last.next()));
        }
        if blocks.len() < BLOCKS_PER_SCAN {
            return Ok(removed);
        }
    }
}

/// Removes one block, up to `last`, and all that hangs on its `records`, as far as they could be read.
fn remove_block(
    txn: &mut Txn<'_>,
    app: AppId,
    (key, value): (&Bytes, &Bytes),
    last: Seq,
    records: &[BlockRecord],
    removed: &mut LogRemoved,
) -> Result<(), StoreError> {
    let first = rows::event::decode(key)?.1;
    let mut wanted = Wanted::default();
    let names = records.iter().filter_map(|record| record.event.event_id.as_deref());
    names.for_each(|event_id| wanted.add(event_uid::row_key(app, event_id)));
    txn.fetch(wanted)?;
    for record in records {
        if let Some(at) = record.event.expunge_at() {
            txn.delete(rows::expunge_at::encode(at, app, record.event.seq));
            removed.rows += 1;
        }
        if record.event.deliver_at().is_some() {
            schedule::forget(txn, app, record.event.seq);
            removed.rows += 1;
        }
        if let Some(event_id) = &record.event.event_id {
            event_uid::remove(txn, app, event_id, record.event.seq)?;
            removed.rows += 1;
        }
    }
    let payloads = rows::payload::of_app(app).from(rows::payload::encode(app, first));
    let payloads = payloads.up_to(rows::payload::encode(app, last));
    for (payload, found) in scan(txn, &payloads, PAYLOADS_PER_BLOCK_MAX, Direction::Forward)? {
        let bytes = remove_found(txn, payload, &found, Growth::events);
        removed.bytes += bytes;
        removed.rows += bytes.div_ceil(INLINE_MAX_BYTES as u64).max(1) as usize;
    }
    removed.bytes += remove_found(txn, key.clone(), value, Growth::events);
    removed.rows += 1;
    removed.events += records.len() as u64;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::log::{append, begin, get, head};
    use crate::tables::testing::TestStore;
    use crate::tables::{delivery, event_uid};
    use model::{Event, UnixMs};
    use std::sync::Arc;

    const APP: AppId = AppId(1);

    fn event(app: AppId, seq: u64, bytes: usize) -> Event {
        Event {
            app,
            seq: Seq(seq),
            accepted_at: UnixMs(seq),
            event_type: Arc::from("invoice.paid"),
            event_id: Some(Arc::from(format!("name {seq}"))),
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::from(vec![7; bytes]),
        }
    }

    /// One block for each event; the payload of the third is in a row of its own.
    fn five_blocks() -> TestStore {
        let store = TestStore::default();
        for app in [APP, AppId(2)] {
            for seq in 1..=5 {
                let event = event(app, seq, if seq == 3 { INLINE_MAX_BYTES * 2 + 9 } else { 10 });
                store.write(|txn| {
                    append(txn, app, std::slice::from_ref(&event))?;
                    event_uid::put(txn, app, &format!("name {seq}"), Seq(seq))?;
                    delivery::put_routed(txn, app, Seq(seq));
                    Ok(())
                });
            }
        }
        store
    }

    fn remove(store: &TestStore, upto: u64, max_rows: usize) -> u64 {
        let mut removed = LogRemoved::default();
        store.write(|txn| {
            removed = remove_upto(txn, APP, Seq(upto), max_rows)?;
            Ok(())
        });
        removed.events
    }

    #[test]
    fn the_beginning_goes_with_all_that_hangs_on_it_and_nothing_else() {
        let store = five_blocks();
        let of_other = store.row_count() / 2;
        assert_eq!(remove(&store, 0, 100), 0);
        assert_eq!(remove(&store, 3, 100), 3);
        assert_eq!(begin(&store, APP).unwrap(), Seq(4));
        assert_eq!(get(&store, APP, Seq(3)).unwrap(), None);
        assert_eq!(get(&store, APP, Seq(4)).unwrap(), Some(event(APP, 4, 10)));
        assert_eq!(event_uid::get(&store, APP, "name 3").unwrap(), None);
        assert_eq!(remove(&store, u64::MAX - 1, 100), 2);
        // All that is left is the mark of routing, and it gives the positions.
        assert_eq!(store.row_count(), of_other + 1);
        assert_eq!((head(&store, APP).unwrap(), begin(&store, APP).unwrap()), (Seq(5), Seq(6)));
        assert_eq!(get(&store, AppId(2), Seq(1)).unwrap(), Some(event(AppId(2), 1, 10)));
    }

    #[test]
    fn a_step_is_bounded_and_goes_on() {
        let store = five_blocks();
        let mut steps = Vec::new();
        while steps.last() != Some(&0) {
            steps.push(remove(&store, 5, 3));
        }
        // Two rows a block; the payload of the third counts as three more, and it is never taken in parts.
        assert_eq!(steps, [2, 1, 2, 0]);
    }

    #[test]
    fn a_name_that_a_later_event_has_taken_stays() {
        let store = five_blocks();
        store.write(|txn| event_uid::put(txn, APP, "name 1", Seq(5)));
        assert_eq!(remove(&store, 1, 100), 1);
        assert_eq!(event_uid::get(&store, APP, "name 1").unwrap(), Some(Seq(5)));
    }

    #[test]
    fn a_block_that_cannot_be_read_holds_nothing_up() {
        let store = five_blocks();
        for seq in [1, 3, 5] {
            store.write(|txn| {
                txn.put(rows::event::encode(APP, Seq(seq)), &b"damaged"[..]);
                Ok(())
            });
        }
        assert_eq!(remove(&store, 4, 100), 2, "those that could be read");
        assert_eq!(begin(&store, APP).unwrap(), Seq(5));
        let payloads = rows::payload::of_app(APP);
        assert!(scan(&store, &payloads, 9, Direction::Forward).unwrap().is_empty(), "its payload went with it");
        // The end of the last block is not known.
        assert_eq!(remove(&store, 5, 100), 0);
        assert_eq!(begin(&store, APP).unwrap(), Seq(5));
    }
}
