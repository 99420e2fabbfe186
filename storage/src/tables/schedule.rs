//! Scheduled messages: which of an application's messages are not to be delivered yet, and since when one is in line.
//!
//! ```text
//! scheduled (application, time, seq) → its time has not come, or some endpoints have not got it yet
//! called off (application, seq)      → it was called off; the row goes with the message
//! ```
//!
//! The message itself is in the log from its acceptance on, under its id, and is passed by there. So the row is all
//! that says that it is still to be delivered: it is written in the commit that takes the message, and removed in the
//! commit that puts the last delivery in line. The endpoints of a message are reached in the order of their numbers,
//! over as many commits as it takes; the row says up to which.
//!
//! - *Bound:* a quota for each application, which the writer keeps ([`is_full`]).
//! - *When the process dies:* each commit is whole, so that no delivery is put in line twice or not at all.
//!
//! No endpoint's filter is asked here: the caller says which endpoints a message is for.

use crate::read::Read;
use crate::rows::{called_off, scheduled};
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::{dead_letter, delivery, get_row, put_value, scan};
use crate::txn::{Change, Txn, Wanted};
use bytes::Bytes;
use model::{AppId, EndpointId, EndpointRef, Event, Pending, Seq, Trigger, UnixMs};

/// A scheduled message, as its row tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// When it is to be delivered.
    pub at: UnixMs,
    /// Its position in the log.
    pub seq: Seq,
    /// It is in line for endpoints up to this one already.
    pub reached: EndpointId,
}

/// How a message stands with its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be put in line for endpoints beyond this one.
    Ahead(EndpointId),
    /// It was called off.
    CalledOff,
    /// It has no time of its own, or is in line.
    Done,
}

/// How many scheduled messages an application has. It is kept beside them.
///
/// # Errors
/// Whatever the store reports.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<u32, StoreError> {
    count::count_kept(read, Counted::ScheduledMessages(app))
}

/// True when an application has as many scheduled messages as it may.
///
/// # Errors
/// Whatever the store reports.
pub(crate) fn is_full(read: &(impl Read + ?Sized), app: AppId, most: u32) -> Result<bool, StoreError> {
    Ok(count(read, app)? >= most)
}

/// The row that [`is_full`] reads.
pub(crate) fn want_count(app: AppId, wanted: &mut Wanted) {
    wanted.add(count::row_key(Counted::ScheduledMessages(app)));
}

/// A message that is taken now is to be delivered at `at`. Tells the engine.
///
/// # Errors
/// Whatever the store reports.
pub fn put(txn: &mut Txn<'_>, app: AppId, at: UnixMs, seq: Seq) -> Result<(), StoreError> {
    put_value(txn, scheduled::encode(app, at, seq), scheduled::to_value(&EndpointId(0)))?;
    count::add(txn, Counted::ScheduledMessages(app), 1)?;
    txn.tell(Change::Scheduled(app, at));
    Ok(())
}

/// How a message stands with its schedule: no read for one that has no time of its own.
///
/// # Errors
/// Whatever the store reports.
pub fn stage(read: &(impl Read + ?Sized), event: &Event) -> Result<Stage, StoreError> {
    let Some(at) = event.deliver_at() else { return Ok(Stage::Done) };
    if let Some(reached) = get_row(read, &scheduled::encode(event.app, at, event.seq), scheduled::from_value)? {
        return Ok(Stage::Ahead(reached));
    }
    let called_off = read.get(&called_off::encode(event.app, event.seq))?.is_some();
    Ok(if called_off { Stage::CalledOff } else { Stage::Done })
}

/// An application's scheduled messages beyond a place, soonest first in forward direction.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<(UnixMs, Seq)>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Scheduled>, StoreError> {
    let after = after.map(|(at, seq)| scheduled::encode(app, at, seq));
    let rows = scan(read, &scheduled::of_app(app).beyond(after, direction), limit, direction)?;
    rows.iter()
        .map(|(key, value)| {
            let (_, at, seq) = scheduled::decode(key)?;
            Ok(Scheduled { at, seq, reached: scheduled::from_value(value)? })
        })
        .collect()
}

/// The time of an application's first scheduled message.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn first(read: &(impl Read + ?Sized), app: AppId) -> Result<Option<UnixMs>, StoreError> {
    Ok(list(read, app, None, 1, Direction::Forward)?.first().map(|row| row.at))
}

/// The first application beyond `after` with scheduled messages, and the time of its first: one seek, however many it has.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn next_app(read: &(impl Read + ?Sized), after: Option<AppId>) -> Result<Option<(AppId, UnixMs)>, StoreError> {
    let mut range = scheduled::all();
    if let Some(after) = after {
        range.start = scheduled::of_app(after).end;
    }
    let rows = scan(read, &range, 1, Direction::Forward)?;
    rows.first().map(|(key, _)| scheduled::decode(key).map(|(app, at, _)| (app, at))).transpose()
}

/// Calls a message off: it is delivered to nobody. Answers `false`, and changes nothing, when its time has come or it has
/// none.
///
/// # Errors
/// Whatever the store reports.
pub fn call_off(txn: &mut Txn<'_>, event: &Event) -> Result<bool, StoreError> {
    // One that some endpoints have got already is not called off by halves.
    let (Some(at), Stage::Ahead(EndpointId(0))) = (event.deliver_at(), stage(txn, event)?) else { return Ok(false) };
    remove(txn, event.app, at, event.seq)?;
    put_value(txn, called_off::encode(event.app, event.seq), Bytes::new())?;
    Ok(true)
}

/// A message goes, and what is known of its schedule with it, but for the row of one whose time has not come: that ends at
/// its time, as a message that nobody got.
pub(super) fn forget(txn: &mut Txn<'_>, app: AppId, seq: Seq) {
    txn.delete(called_off::encode(app, seq));
}

fn remove(txn: &mut Txn<'_>, app: AppId, at: UnixMs, seq: Seq) -> Result<(), StoreError> {
    txn.delete(scheduled::encode(app, at, seq));
    count::add(txn, Counted::ScheduledMessages(app), -1)
}

/// True when the row is there as it was read: it was not called off meanwhile, and nobody else went on with it.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn stands(read: &(impl Read + ?Sized), app: AppId, row: Scheduled) -> Result<bool, StoreError> {
    let found = get_row(read, &scheduled::encode(app, row.at, row.seq), scheduled::from_value)?;
    Ok(found == Some(row.reached))
}

/// A scheduled message is in line for all endpoints up to `reached`; without one, for all there are, and its row goes.
///
/// # Errors
/// Whatever the store reports.
pub fn reach(txn: &mut Txn<'_>, app: AppId, row: Scheduled, reached: Option<EndpointId>) -> Result<(), StoreError> {
    match reached {
        Some(reached) => put_value(txn, scheduled::encode(app, row.at, row.seq), scheduled::to_value(&reached)),
        None => remove(txn, app, row.at, row.seq),
    }
}

/// Puts a scheduled message in line for an endpoint, unless it waits there for an attempt already, because someone asked
/// for it by hand. Whoever calls tells the endpoint's shard ([`Change::Requeued`]).
///
/// # Errors
/// Whatever the store reports.
pub fn put_in_line(txn: &mut Txn<'_>, target: EndpointRef, row: Scheduled) -> Result<(), StoreError> {
    if delivery::pending(txn, target, row.seq)?.is_some() {
        return Ok(());
    }
    let pending = Pending { attempts: 0, due: row.at, last_outcome: None, trigger: Trigger::Scheduled };
    delivery::put_pending(txn, target, row.seq, None, &pending);
    dead_letter::remove(txn, target, row.seq).map(drop)
}

/// The rows that [`put_in_line`] reads.
pub fn want_in_line(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    delivery::want_requeue(target, seq, wanted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{EventMore, Urgency};
    use std::sync::Arc;

    const APP: AppId = AppId(1);

    fn event(seq: u64, at: u64) -> Event {
        Event {
            app: APP,
            seq: Seq(seq),
            accepted_at: UnixMs(1),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: Some(Arc::new(EventMore { deliver_at: Some(UnixMs(at)), ..EventMore::default() })),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn row(seq: u64, at: u64, reached: u32) -> Scheduled {
        Scheduled { at: UnixMs(at), seq: Seq(seq), reached: EndpointId(reached) }
    }

    fn three() -> TestStore {
        let store = TestStore::default();
        store.write(|txn| {
            put(txn, APP, UnixMs(30), Seq(1))?;
            put(txn, APP, UnixMs(10), Seq(2))?;
            put(txn, AppId(2), UnixMs(5), Seq(1))?;
            put(txn, APP, UnixMs(20), Seq(3))
        });
        store
    }

    #[test]
    fn messages_lie_in_the_order_of_their_times_for_each_application() {
        let store = three();
        let listed = list(&store, APP, None, 9, Direction::Forward).unwrap();
        assert_eq!(listed, [row(2, 10, 0), row(3, 20, 0), row(1, 30, 0)]);
        let behind = list(&store, APP, Some((UnixMs(20), Seq(3))), 9, Direction::Forward).unwrap();
        assert_eq!(behind, [row(1, 30, 0)]);
        assert_eq!(next_app(&store, None).unwrap(), Some((APP, UnixMs(10))));
        assert_eq!(next_app(&store, Some(APP)).unwrap(), Some((AppId(2), UnixMs(5))));
        assert_eq!(next_app(&store, Some(AppId(2))).unwrap(), None);
        assert_eq!((count(&store, APP).unwrap(), first(&store, AppId(2)).unwrap()), (3, Some(UnixMs(5))));
    }

    #[test]
    fn one_that_is_called_off_is_counted_no_more_and_cannot_be_called_off_again() {
        let store = three();
        let call = |event: &Event| {
            let mut done = false;
            store.write(|txn| {
                done = call_off(txn, event)?;
                Ok(())
            });
            done
        };
        assert!(call(&event(2, 10)));
        assert_eq!(stage(&store, &event(2, 10)).unwrap(), Stage::CalledOff);
        assert!(!call(&event(2, 10)));
        assert_eq!(count(&store, APP).unwrap(), 2);
        store.write(|txn| reach(txn, APP, row(3, 20, 0), Some(EndpointId(7))));
        assert_eq!(stage(&store, &event(3, 20)).unwrap(), Stage::Ahead(EndpointId(7)));
        assert!(!call(&event(3, 20)), "some have got it");
        assert!(!stands(&store, APP, row(3, 20, 0)).unwrap() && stands(&store, APP, row(3, 20, 7)).unwrap());
        store.write(|txn| reach(txn, APP, row(3, 20, 7), None));
        assert_eq!(stage(&store, &event(3, 20)).unwrap(), Stage::Done);
        assert_eq!((call(&event(3, 20)), count(&store, APP).unwrap()), (false, 1));
    }

    #[test]
    fn a_delivery_that_waits_already_keeps_its_place_in_line() {
        let (store, target) = (TestStore::default(), target(1, 4));
        store.write(|txn| delivery::requeue(txn, target, Seq(2), UnixMs(3)));
        store.write(|txn| put_in_line(txn, target, row(2, 10, 0)));
        assert_eq!(delivery::pending(&store, target, Seq(2)).unwrap().map(|row| row.due), Some(UnixMs(3)));
        store.write(|txn| put_in_line(txn, target, row(5, 10, 0)));
        let waits = delivery::pending(&store, target, Seq(5)).unwrap().unwrap();
        assert_eq!((waits.attempts, waits.due, waits.trigger), (0, UnixMs(10), Trigger::Scheduled));
        let in_line = delivery::list_due(&store, target, None, 9).unwrap();
        assert_eq!(in_line, [(UnixMs(3), Seq(2), Urgency::Manual), (UnixMs(10), Seq(5), Urgency::First)]);
    }
}
