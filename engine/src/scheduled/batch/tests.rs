//! Batches over a store in memory: the endpoints that get each message, page by page, and changes between reading and
//! writing.

use super::*;
use bytes::Bytes;
use model::{Disabled, DisabledReason, Event, EventMore, Seq};
use std::sync::Arc;
use storage::Store;
use storage::store::MemoryStore;

const APP: AppId = AppId(1);
const NOW: UnixMs = UnixMs(100);

fn write(store: &MemoryStore, change: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) {
    let mut txn = Txn::new(store);
    change(&mut txn).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
}

fn event(seq: u64, at: u64, event_type: &str) -> Event {
    Event {
        app: APP,
        seq: Seq(seq),
        accepted_at: UnixMs(1),
        event_type: Arc::from(event_type),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: Some(Arc::new(EventMore { deliver_at: Some(UnixMs(at)), ..EventMore::default() })),
        payload: Bytes::from_static(b"{}"),
    }
}

fn target(id: u32) -> EndpointRef {
    EndpointRef { app: APP, endpoint: EndpointId(id) }
}

/// Seven endpoints, of which the second wants another type; three messages, of which the third is due later.
fn world() -> MemoryStore {
    let store = MemoryStore::new();
    write(&store, |txn| {
        for id in 1..=7 {
            let mut row = Endpoint::plain(target(id), UnixMs(1));
            row.event_types = if id == 2 { vec!["b".to_owned()] } else { Vec::new() };
            endpoint::put(txn, &row)?;
        }
        let events = [event(1, 50, "a"), event(2, 40, "b"), event(3, 900, "a")];
        log::append(txn, APP, &events)?;
        events.iter().try_for_each(|event| schedule::put(txn, APP, UnixMs(event.deliver_at().unwrap().0), event.seq))
    });
    store
}

fn waits(store: &MemoryStore, seq: u64) -> Vec<u32> {
    let waits = |id: &u32| delivery::pending(store, target(*id), Seq(seq)).unwrap().is_some();
    (1..=7).filter(waits).collect()
}

fn work_off(store: &MemoryStore, until: u64) -> usize {
    let mut batches = 0;
    while let Some(batch) = find(store, APP, UnixMs(until)).unwrap() {
        batches += 1;
        write(store, |txn| batch.apply(txn, NOW));
    }
    batches
}

#[test]
fn each_message_that_is_due_is_put_in_line_for_the_endpoints_that_want_it_and_no_other_is() {
    let store = world();
    assert!(find(&store, APP, UnixMs(39)).unwrap().is_none());
    // Three pages of endpoints, of which the last is empty but for one.
    assert_eq!(work_off(&store, 100), 3);
    assert_eq!((waits(&store, 1), waits(&store, 2)), (vec![1, 3, 4, 5, 6, 7], (1..=7).collect()));
    assert_eq!(waits(&store, 3), Vec::<u32>::new());
    assert_eq!(delivery::pending(&store, target(1), Seq(1)).unwrap().unwrap().due, UnixMs(50));
    assert_eq!(schedule::count(&store, APP).unwrap(), 1);
    assert_eq!(work_off(&store, 900), 3);
    assert_eq!((schedule::count(&store, APP).unwrap(), schedule::next_app(&store, None).unwrap()), (0, None));
}

#[test]
fn a_batch_that_is_applied_twice_or_after_a_call_off_changes_nothing_more() {
    let store = world();
    let batch = find(&store, APP, UnixMs(100)).unwrap().unwrap();
    write(&store, |txn| {
        assert!(schedule::call_off(txn, &event(1, 50, "a"))?);
        Ok(())
    });
    write(&store, |txn| batch.apply(txn, NOW));
    assert_eq!((waits(&store, 1), waits(&store, 2)), (Vec::new(), vec![1, 2, 3]));
    write(&store, |txn| {
        delivery::remove_pending(txn, target(1), Seq(2), UnixMs(40));
        Ok(())
    });
    write(&store, |txn| batch.apply(txn, NOW));
    assert_eq!(waits(&store, 2), [2, 3], "a delivery that was made is made once");
    assert_eq!(work_off(&store, 100), 2);
    assert_eq!((waits(&store, 1), waits(&store, 2)), (Vec::new(), vec![2, 3, 4, 5, 6, 7]));
}

#[test]
fn of_a_message_that_retention_has_taken_each_endpoint_notes_that_it_did_not_get_it() {
    let store = world();
    write(&store, |txn| {
        let row = endpoint::get(txn, target(4))?.unwrap();
        let disabled = Some(Disabled { at: NOW, reason: DisabledReason::Operator });
        endpoint::put(txn, &Endpoint { disabled, ..row })?;
        log::remove_upto(txn, APP, Seq(3), 100).map(drop)
    });
    work_off(&store, 100);
    let noted = |id| delivery::expired(&store, target(id)).unwrap().map(|note| (note.first, note.last));
    assert_eq!((noted(1), noted(4)), (Some((Seq(1), Seq(2))), None));
    assert_eq!((waits(&store, 1), schedule::count(&store, APP).unwrap()), (Vec::new(), 1));
}

#[test]
fn an_endpoint_that_is_deleted_between_the_look_and_the_commit_gets_nothing() {
    let store = world();
    let batch = find(&store, APP, UnixMs(100)).unwrap().unwrap();
    write(&store, |txn| {
        let row = endpoint::get(txn, target(1))?.unwrap();
        endpoint::remove(txn, &row)
    });
    write(&store, |txn| batch.apply(txn, NOW));
    assert_eq!(waits(&store, 2), [2, 3]);
}
