//! Endpoints: their names, counts, pages, and the effects of a change: the engine is told, failures are forgotten.

use super::*;
use crate::tables::testing::{TestStore, plain_endpoint, target};
use model::Seq;

fn endpoint(app: u32, id: u32, uid: Option<&str>) -> Endpoint {
    Endpoint {
        uid: uid.map(str::to_owned),
        event_types: vec!["invoice.*".to_owned()],
        rate_limit: Some(10),
        ..plain_endpoint(target(app, id))
    }
}

#[test]
fn a_name_belongs_to_its_application_and_follows_a_change() {
    let store = TestStore::default();
    store.write(|txn| put(txn, &endpoint(1, 1, Some("hook"))));
    store.write(|txn| put(txn, &endpoint(2, 2, Some("hook"))));
    assert_eq!(by_uid(&store, AppId(1), "hook").unwrap(), Some(EndpointId(1)));
    assert_eq!(by_uid(&store, AppId(2), "hook").unwrap(), Some(EndpointId(2)));
    store.write(|txn| put(txn, &endpoint(1, 1, Some("other"))));
    assert_eq!(by_uid(&store, AppId(1), "hook").unwrap(), None);
    assert_eq!(by_uid(&store, AppId(2), "hook").unwrap(), Some(EndpointId(2)));
    assert_eq!(get(&store, target(1, 1)).unwrap(), Some(endpoint(1, 1, Some("other"))));
}

#[test]
fn endpoints_are_counted_also_where_nobody_noted_how_many_there_are() {
    let store = TestStore::default();
    store.write(|txn| (1..=600).try_for_each(|id| put(txn, &endpoint(1, id, None))));
    store.write(|txn| put(txn, &endpoint(2, 700, None)));
    store.write(|txn| put(txn, &endpoint(1, 5, Some("again"))));
    let counts = |txn: &Txn<'_>| (count(txn, AppId(1)).unwrap(), count(txn, AppId(2)).unwrap());
    store.write(|txn| {
        assert_eq!(counts(txn), (600, 1));
        count::forget_counts(txn, 10)?;
        // Counted anew: the rows that this transaction removes and adds are seen.
        remove(txn, &endpoint(1, 600, None))?;
        assert_eq!(counts(txn), (599, 1));
        remove(txn, &endpoint(2, 700, None))?;
        assert_eq!(counts(txn), (599, 0));
        put(txn, &endpoint(2, 701, None))?;
        assert_eq!(counts(txn), (599, 1));
        Ok(())
    });
    assert_eq!(count(&store, AppId(1)).unwrap(), 599);
}

#[test]
fn changes_are_told_in_order_and_removal_leaves_no_row() {
    let store = TestStore::default();
    let changes = store.write(|txn| {
        put(txn, &endpoint(1, 1, Some("hook")))?;
        remove(txn, &endpoint(1, 1, None))
    });
    assert!(matches!(
        changes.as_slice(),
        [Change::EndpointPut(row, 0), Change::EndpointDeleted(gone)]
            if **row == endpoint(1, 1, Some("hook")) && *gone == target(1, 1)
    ));
    assert_eq!(store.row_count(), 0);
}

#[test]
fn a_change_tells_the_number_of_the_url_also_of_one_that_moves_twice_in_a_transaction() {
    let store = TestStore::default();
    let at = |url: &str| Endpoint { url: url.to_owned(), ..endpoint(1, 1, None) };
    let numbers = |changes: Vec<Change>| -> Vec<u32> {
        let number = |change| if let Change::EndpointPut(_, number) = change { Some(number) } else { None };
        changes.into_iter().filter_map(number).collect()
    };
    let told = store.write(|txn| ["a", "b", "b", "c"].into_iter().try_for_each(|url| put(txn, &at(url))));
    assert_eq!(numbers(told), [0, 1, 1, 2]);
    let told = store.write(|txn| put(txn, &at("c")).and_then(|()| put(txn, &at("d"))));
    assert_eq!(numbers(told), [2, 3]);
    assert_eq!(endpoint_url::number(&store, target(1, 1)).unwrap(), 3);
}

#[test]
fn failures_are_forgotten_with_a_new_url_or_when_enabled_again_and_at_no_other_change() {
    let failing = EndpointHealth { failing_since: Some(UnixMs(5)), breaker_openings: 2, ..EndpointHealth::default() };
    let old = endpoint(1, 1, None);
    let off = Endpoint {
        disabled: Some(Disabled { at: UnixMs(3), reason: DisabledReason::Failing }),
        ..endpoint(1, 1, None)
    };
    let renamed = endpoint(1, 1, Some("hook"));
    let moved = Endpoint { url: "https://example.com/other".to_owned(), ..endpoint(1, 1, None) };
    for (before, after, forgotten) in
        [(&old, &renamed, false), (&old, &off, false), (&off, &off, false), (&off, &old, true), (&old, &moved, true)]
    {
        let store = TestStore::default();
        store.write(|txn| put(txn, before));
        store.write(|txn| {
            delivery::put_health(txn, target(1, 1), &failing);
            put(txn, after)
        });
        let health = delivery::health(&store, target(1, 1)).unwrap();
        assert_eq!(health == EndpointHealth::default(), forgotten, "{before:?} {after:?}");
    }
}

#[test]
fn lists_stay_within_the_application_and_a_scan_does_not() {
    let store = TestStore::default();
    store.write(|txn| {
        [(1, 1), (2, 2), (1, 3), (1, 4), (3, 5)].into_iter().try_for_each(|(a, e)| put(txn, &endpoint(a, e, None)))
    });
    let ids = |rows: Vec<Endpoint>| -> Vec<u32> { rows.iter().map(|row| row.id.0).collect() };
    let list = |after: Option<u32>, limit, direction| {
        ids(list(&store, AppId(1), after.map(EndpointId), limit, direction).unwrap())
    };
    assert_eq!(list(None, 9, Direction::Forward), [1, 3, 4]);
    assert_eq!(list(Some(1), 1, Direction::Forward), [3]);
    assert_eq!(list(None, 2, Direction::Reverse), [4, 3]);
    assert_eq!(list(Some(3), 9, Direction::Reverse), [1]);
    assert_eq!(ids(scan_all(&store, None, 9).unwrap()), [1, 3, 4, 2, 5]);
    assert_eq!(ids(scan_all(&store, Some(target(1, 3)), 2).unwrap()), [4, 2]);
}

/// The endpoints that a transaction says have deliveries that wait.
fn requeued(changes: &[Change]) -> Vec<EndpointRef> {
    let told = |change: &Change| if let Change::Requeued(target) = change { Some(*target) } else { None };
    changes.iter().filter_map(told).collect()
}

#[test]
fn the_end_of_a_pause_is_told_of_endpoints_with_deliveries_that_wait_and_of_no_others() {
    let store = TestStore::default();
    let paused = |id| Endpoint {
        paused: Some(Paused { at: UnixMs(1), reason: PausedReason::Operator }),
        ..endpoint(1, id, None)
    };
    let changes = store.write(|txn| {
        [1, 2].into_iter().try_for_each(|id| put(txn, &paused(id)))?;
        put(txn, &endpoint(2, 3, None))?;
        delivery::requeue(txn, target(1, 1), Seq(4), UnixMs(5))?;
        delivery::requeue(txn, target(2, 3), Seq(4), UnixMs(5))
    });
    assert_eq!(requeued(&changes), [target(1, 1), target(2, 3)], "both were put in line by hand");
    assert!(requeued(&store.write(|txn| put(txn, &paused(1)))).is_empty());
    let changes = store.write(|txn| [1, 2].into_iter().try_for_each(|id| put(txn, &endpoint(1, id, None))));
    assert_eq!(requeued(&changes), [target(1, 1)]);
    let off = Some(Disabled { at: UnixMs(2), reason: DisabledReason::Operator });
    store.write(|txn| put(txn, &paused(1)));
    let changes = store.write(|txn| put(txn, &Endpoint { disabled: off, ..paused(1) }));
    assert_eq!(requeued(&changes), [target(1, 1)], "what waited is to be ended");
    let changes = store.write(|txn| delivery::requeue_waiting(txn, AppId(1)));
    assert_eq!(requeued(&changes), [target(1, 1)]);
}

#[test]
fn a_long_row_is_one_row_and_one_that_is_too_long_is_refused() {
    let store = TestStore::default();
    let with_text = |len| Endpoint { description: "u".repeat(len), ..plain_endpoint(target(1, 1)) };
    for len in [10, 9_000, 100_000, 0] {
        let row = with_text(len);
        store.write(|txn| put(txn, &row));
        assert_eq!(get(&store, row.target()).unwrap(), Some(row.clone()));
        assert_eq!(list(&store, AppId(1), None, 9, Direction::Forward).unwrap(), [row]);
        assert_eq!(store.row_count(), 2, "the row and the count of endpoints");
    }
    store.write(|txn| {
        assert!(put(txn, &with_text(endpoint::VALUE_BYTES_MAX)).unwrap_err().is_refusal());
        Ok(())
    });
    assert_eq!(get(&store, target(1, 1)).unwrap(), Some(with_text(0)), "a refusal writes nothing");
}
