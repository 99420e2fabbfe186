//! The reads that lanes ask of the store: pieces of the log and of the due index, one delivery's rows.
//!
//! Plain functions over a store. No caching (the store has one) and no waiting: see [`super::shell`].

use super::filtering::Filtering;
use crate::endpoint::backlog::{LogFound, LogRead, Wants};
use crate::endpoint::lane::Fetch;
use crate::endpoint::order::Keyed;
use crate::endpoint::retries::{DueKey, DueLoad, Urgency};
use crate::prepare::filter::Filter;
use model::{AppId, EndpointRef, Event, Pending, Seq};
use storage::tables::{delivery, log};
use storage::{Read, SharedStore, StoreError};

/// Events looked at in one read of the log: an endpoint that wants few of them gets its turn back before long.
const LOOKED_AT_MAX: usize = 4_096;

/// Events taken from the store in one step of such a read.
const EVENTS_PER_STEP: usize = 256;

/// An endpoint's retries that follow a place in the due index.
///
/// The caller reads them once everything decided so far is durable: a row that is still on its way would be missed.
///
/// # Errors
/// Whatever the store reports.
pub fn due(store: &SharedStore, target: EndpointRef, load: DueLoad) -> Result<Vec<(DueKey, Urgency)>, StoreError> {
    let rows = delivery::list_due(&**store, target, load.after, load.limit)?;
    Ok(rows.into_iter().map(|(due, seq, urgency)| ((due, seq), urgency)).collect())
}

/// One delivery's event and row. An event that is damaged is as good as gone.
///
/// # Errors
/// Whatever the store reports.
pub fn rows(
    store: &SharedStore,
    target: EndpointRef,
    fetch: Fetch,
) -> Result<(Option<Event>, Option<Pending>), StoreError> {
    let row = match fetch.due {
        Some(due) => delivery::pending_at(&**store, target, fetch.seq, due)?,
        None => None,
    };
    Ok((log::get_undamaged(&**store, target.app, fetch.seq)?, row))
}

/// The ordering keys of these events. One that is damaged or gone has none.
///
/// # Errors
/// Whatever the store reports.
pub fn keys(store: &SharedStore, app: AppId, seqs: Vec<Seq>) -> Result<Vec<Keyed>, StoreError> {
    let key = |seq| Ok(Keyed::of(seq, log::get_undamaged(&**store, app, seq)?.as_ref()));
    seqs.into_iter().map(key).collect()
}

/// Events after `read.after` that match, and the last position that was looked at.
///
/// Positions have no gaps. So a missing position was removed by retention, with all before it, or is damaged. When a
/// position is missing under way, the next read begins with it. Brings no more than `bytes_max` of payloads, or one
/// event.
///
/// # Errors
/// Whatever the store reports.
pub fn catch_up(
    store: &SharedStore,
    app: AppId,
    filter: &Filter,
    read: LogRead,
    bytes_max: usize,
) -> Result<LogFound, StoreError> {
    let store: &dyn storage::Store = &**store;
    let mut found = LogFound { events: Vec::new(), upto: read.after, removed: None };
    let (mut bytes, mut looked_at) = (0, 0);
    let mut filtering = Filtering::of_read(filter);
    'steps: while looked_at < LOOKED_AT_MAX && found.upto < read.upto {
        let events = read_step(store, app, found.upto, bytes_max)?;
        let next = events.first().map_or(read.upto.next(), |event| event.seq).min(read.upto.next());
        if next > found.upto.next() {
            if found.upto > read.after {
                break;
            }
            found.removed = Some((found.upto.next(), next.previous()));
            found.upto = next.previous();
        }
        looked_at += events.len();
        for event in events {
            if event.seq > read.upto || event.seq != found.upto.next() {
                break 'steps;
            }
            let wants = filtering.wants_read(&event, found.upto == read.after);
            if wants == Wants::Undecided {
                break 'steps;
            }
            found.upto = event.seq;
            if wants == Wants::Yes {
                bytes += event.memory_bytes();
                found.events.push(event);
                if found.events.len() >= read.max_events || bytes >= bytes_max {
                    break 'steps;
                }
            }
        }
    }
    metrics::counter!(model::metric::FILTER_ERRORS).increment(filtering.errors);
    Ok(found)
}

fn read_step(store: &(impl Read + ?Sized), app: AppId, after: Seq, bytes_max: usize) -> Result<Vec<Event>, StoreError> {
    log::read_after(store, app, after, EVENTS_PER_STEP, bytes_max)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use bytes::Bytes;
    use model::{Endpoint, EndpointId, UnixMs};
    use std::sync::Arc;
    use storage::Txn;
    use storage::store::MemoryStore;

    const APP: AppId = AppId(1);

    fn store(seqs: impl Iterator<Item = u64>) -> SharedStore {
        let store = MemoryStore::new();
        for seq in seqs {
            let event = Event {
                app: APP,
                seq: Seq(seq),
                accepted_at: UnixMs(seq),
                event_type: Arc::from("a"),
                event_id: None,
                channels: Vec::new(),
                only_for: None,
                more: None,
                payload: Bytes::from_static(b"{}"),
            };
            let mut txn = Txn::new(&store);
            log::append(&mut txn, APP, &[event]).unwrap();
            storage::Store::apply(&store, txn.into_parts().batch).unwrap();
        }
        Arc::new(store)
    }

    fn read(store: &SharedStore, after: u64, upto: u64, max_events: usize) -> (Vec<u64>, u64, Option<(u64, u64)>) {
        let read = LogRead { after: Seq(after), upto: Seq(upto), max_events };
        let found = catch_up(store, APP, &Filter::of(&everything()), read, usize::MAX).unwrap();
        let events = found.events.iter().map(|event| event.seq.0).collect();
        (events, found.upto.0, found.removed.map(|(first, last)| (first.0, last.0)))
    }

    /// An endpoint that wants everything.
    pub(in crate::shard) fn everything() -> Endpoint {
        Endpoint::plain(EndpointRef { app: APP, endpoint: EndpointId(1) }, UnixMs(1))
    }

    #[test]
    fn what_the_log_has_lost_is_told_where_a_read_begins() {
        let all = store(1..=9);
        assert_eq!(read(&all, 3, 8, 3), (vec![4, 5, 6], 6, None));
        assert_eq!(read(&all, 3, 8, 99), (vec![4, 5, 6, 7, 8], 8, None));
        let rest = store(6..=9);
        assert_eq!(read(&rest, 5, 8, 99), (vec![6, 7, 8], 8, None));
        assert_eq!(read(&rest, 3, 8, 1), (vec![6], 6, Some((4, 5))));
        assert_eq!(read(&rest, 1, 4, 99), (Vec::new(), 4, Some((2, 4))), "not beyond what was offered");
        assert_eq!(read(&store(0..0), 1, 4, 99), (Vec::new(), 4, Some((2, 4))));
        let holed = store((1..=3).chain(6..=9));
        assert_eq!(read(&holed, 0, 9, 99), (vec![1, 2, 3], 3, None), "the hole begins the next one");
        assert_eq!(read(&holed, 3, 9, 99), (vec![6, 7, 8, 9], 9, Some((4, 5))));
    }

    #[test]
    fn what_is_lost_under_way_is_left_to_the_next_read() {
        let holed = store((1..=3).chain(7..=9));
        assert_eq!(read(&holed, 0, 9, 99), (vec![1, 2, 3], 3, None));
        assert_eq!(read(&holed, 3, 9, 99), (vec![7, 8, 9], 9, Some((4, 6))));
    }
}
