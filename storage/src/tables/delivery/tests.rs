//! Rows of deliveries: places in line.

use super::*;
use crate::tables::testing::{TestStore, target};

#[test]
fn each_order_of_one_millisecond_has_a_place_in_line_that_none_before_it_had() {
    let (store, target) = (TestStore::default(), target(1, 1));
    let due = || list_due(&store, target, None, 9).unwrap().iter().map(|(due, _, _)| due.0).collect::<Vec<_>>();
    // The attempt of the first may be in flight for as long as the others come.
    for expected in [50, 51, 52, 53] {
        store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
        assert_eq!(due(), [expected]);
        assert_eq!(pending(&store, target, Seq(1)).unwrap().map(|row| row.due), Some(UnixMs(expected)));
    }
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(60)));
    assert_eq!(due(), [60]);
}

#[test]
fn an_order_is_due_at_once_after_the_clock_was_set_back_and_before_a_retry_that_is_far_away() {
    let (store, target) = (TestStore::default(), target(1, 1));
    let due = || pending(&store, target, Seq(1)).unwrap().map(|row| row.due.0);
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(90_000)));
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
    assert_eq!(due(), Some(50));
    let retry = Pending { attempts: 3, due: UnixMs(400), last_outcome: None, trigger: Trigger::Scheduled };
    store.write(|txn| {
        put_pending(txn, target, Seq(1), Some(UnixMs(50)), &retry);
        Ok(())
    });
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(60)));
    assert_eq!(due(), Some(60));
}
