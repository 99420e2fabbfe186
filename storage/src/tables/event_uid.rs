//! Positions of events that a tenant named itself: these rows make such an id unique, and findable.
//!
//! A row stays as long as its event; the code that removes the event removes it. Deliberately no text of the id: the
//! row is found by a digest, and the event itself carries the text.

use crate::read::Read;
use crate::rows::{digest, event_uid};
use crate::store::StoreError;
use crate::tables::{get_row, put_retained, remove_retained};
use crate::txn::{Growth, Txn};
use model::{AppId, Seq};

/// The key of the row.
pub(crate) fn row_key(app: AppId, event_id: &str) -> Vec<u8> {
    event_uid::encode(app, digest(event_id))
}

/// The position of the event that the tenant calls `event_id`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), app: AppId, event_id: &str) -> Result<Option<Seq>, StoreError> {
    get_at(read, &row_key(app, event_id))
}

/// As [`get`], by the key of the row.
pub(crate) fn get_at(read: &(impl Read + ?Sized), key: &[u8]) -> Result<Option<Seq>, StoreError> {
    get_row(read, key, event_uid::from_value)
}

/// Notes the position of an event that the tenant named.
///
/// # Errors
/// Whatever the store reports.
pub fn put(txn: &mut Txn<'_>, app: AppId, event_id: &str, seq: Seq) -> Result<(), StoreError> {
    put_at(txn, row_key(app, event_id), seq)
}

/// As [`put`], by the key of the row.
pub(crate) fn put_at(txn: &mut Txn<'_>, key: Vec<u8>, seq: Seq) -> Result<(), StoreError> {
    put_retained(txn, key, event_uid::to_value(&seq), Growth::events)
}

/// Forgets the name of the event at `seq`, but not when a later event has taken the name since.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn remove(txn: &mut Txn<'_>, app: AppId, event_id: &str, seq: Seq) -> Result<(), StoreError> {
    if get(txn, app, event_id)? == Some(seq) {
        remove_retained(txn, row_key(app, event_id), Growth::events)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;

    #[test]
    fn a_name_belongs_to_its_application_and_to_the_event_that_took_it_last() {
        let store = TestStore::default();
        let long = "x".repeat(4_000);
        store.write(|txn| put(txn, AppId(1), &long, Seq(5)));
        assert_eq!(get(&store, AppId(1), &long).unwrap(), Some(Seq(5)));
        assert_eq!(get(&store, AppId(2), &long).unwrap(), None);
        assert_eq!(get(&store, AppId(1), "x").unwrap(), None);
        store.write(|txn| put(txn, AppId(1), &long, Seq(9)));
        store.write(|txn| remove(txn, AppId(1), &long, Seq(5)));
        assert_eq!(get(&store, AppId(1), &long).unwrap(), Some(Seq(9)));
        store.write(|txn| remove(txn, AppId(1), &long, Seq(9)));
        assert_eq!(store.row_count(), 0);
    }
}
