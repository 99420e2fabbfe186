//! Rows of deliveries: places in line.

use super::*;
use crate::tables::testing::{TestStore, target};

#[test]
fn two_orders_of_one_millisecond_have_two_places_in_line() {
    let (store, target) = (TestStore::default(), target(1, 1));
    let due = || list_due(&store, target, None, 9).unwrap().iter().map(|(due, _, _)| due.0).collect::<Vec<_>>();
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
    assert_eq!(due(), [50]);
    store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
    assert_eq!(due(), [51]);
    assert_eq!(pending(&store, target, Seq(1)).unwrap().map(|row| row.due), Some(UnixMs(51)));
}
