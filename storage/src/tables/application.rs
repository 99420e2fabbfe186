//! Applications, with an index of the tenants' own names for them.
//!
//! Only these two rows: the caller that removes an application also removes all else that it owns. A name that is taken
//! moves to the application put last; the caller asks [`by_uid`] first whether it may.

use crate::read::Read;
use crate::rows::{application, application_uid};
use crate::store::{Direction, StoreError};
use crate::tables::{dead_letter, delivery, get_row, put_value, scan_rows};
use crate::txn::{Change, Txn, Wanted};
use model::{AppId, Application};
use std::sync::Arc;

/// The row that [`get`] reads.
pub(crate) fn want(id: AppId, wanted: &mut Wanted) {
    wanted.add(application::encode(id));
}

/// The application of a number.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), id: AppId) -> Result<Option<Application>, StoreError> {
    get_row(read, &application::encode(id), application::from_value)
}

/// The number of the application that a tenant calls `uid`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn by_uid(read: &(impl Read + ?Sized), uid: &str) -> Result<Option<AppId>, StoreError> {
    get_row(read, &application_uid::encode(uid), application_uid::from_value)
}

/// Applications in the order of creation (or against it), at most `limit`, those beyond `after`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    after: Option<AppId>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Application>, StoreError> {
    let range = application::all().beyond(after.map(application::encode), direction);
    scan_rows(read, &range, limit, direction, application::from_value)
}

/// Creates or replaces an application and keeps the index right, also when its name changed.
///
/// It tells the engine of the application, of the settings that lanes keep to when one of those changed, and of its pause.
/// When a pause ends, the endpoints with deliveries that wait are told too, as they may have no lane: a short read for
/// each, at most as many as the application may have endpoints.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large, with nothing written.
pub fn put(txn: &mut Txn<'_>, row: &Application) -> Result<(), StoreError> {
    let before = get(txn, row.id)?;
    put_value(txn, application::encode(row.id), application::to_value(row))?;
    let days_before = before.as_ref().and_then(|before| before.policy.dead_letter_retention_days);
    dead_letter::kept::note_of_app(txn, row.id, days_before, row.policy.dead_letter_retention_days)?;
    txn.tell(Change::ApplicationPut(row.id));
    let settings = row.settings();
    if before.as_ref().is_some_and(|before| before.settings() != settings) {
        txn.tell(Change::ApplicationChanged(row.id, Arc::new(settings)));
    }
    let was_paused = before.as_ref().is_some_and(|before| before.paused_at.is_some());
    if was_paused != row.paused_at.is_some() {
        txn.tell(Change::ApplicationPaused(row.id, !was_paused));
        if was_paused {
            delivery::requeue_waiting(txn, row.id)?;
        }
    }
    if let Some(old) = before.and_then(|before| before.uid)
        && row.uid.as_ref() != Some(&old)
    {
        release(txn, row.id, &old)?;
    }
    if let Some(uid) = &row.uid {
        put_value(txn, application_uid::encode(uid), application_uid::to_value(&row.id))?;
    }
    Ok(())
}

/// Removes an application's row and its name; nothing when it is not there.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn remove(txn: &mut Txn<'_>, row: &Application) -> Result<(), StoreError> {
    // The name as stored now: it may differ from the name that the caller last saw.
    let stored = get(txn, row.id)?;
    let days = stored.as_ref().and_then(|stored| stored.policy.dead_letter_retention_days);
    dead_letter::kept::note_of_app(txn, row.id, days, None)?;
    if let Some(uid) = stored.and_then(|stored| stored.uid) {
        release(txn, row.id, &uid)?;
    }
    txn.delete(application::encode(row.id));
    Ok(())
}

/// Frees a name, unless another application has taken it since.
fn release(txn: &mut Txn<'_>, id: AppId, uid: &str) -> Result<(), StoreError> {
    if by_uid(txn, uid)? == Some(id) {
        txn.delete(application_uid::encode(uid));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;
    use model::UnixMs;

    fn app(id: u32, uid: Option<&str>) -> Application {
        Application {
            salt: 7,
            uid: uid.map(str::to_owned),
            name: format!("application {id}"),
            updated_at: UnixMs(2),
            ..Application::plain(AppId(id), UnixMs(1))
        }
    }

    #[test]
    fn a_changed_name_is_found_and_the_old_one_is_not() {
        let store = TestStore::default();
        store.write(|txn| put(txn, &app(1, Some("old"))));
        assert_eq!(by_uid(&store, "old").unwrap(), Some(AppId(1)));
        store.write(|txn| put(txn, &app(1, Some("new"))));
        assert_eq!(by_uid(&store, "old").unwrap(), None);
        assert_eq!(by_uid(&store, "new").unwrap(), Some(AppId(1)));
        store.write(|txn| put(txn, &app(1, None)));
        assert_eq!(by_uid(&store, "new").unwrap(), None);
        assert_eq!(get(&store, AppId(1)).unwrap(), Some(app(1, None)));
    }

    #[test]
    fn a_name_that_moved_on_in_the_same_transaction_stays_with_its_new_owner() {
        let store = TestStore::default();
        store.write(|txn| put(txn, &app(1, Some("name"))));
        store.write(|txn| {
            put(txn, &app(2, Some("name")))?;
            put(txn, &app(1, Some("other")))
        });
        assert_eq!(by_uid(&store, "name").unwrap(), Some(AppId(2)));
    }

    #[test]
    fn removing_by_a_stale_copy_leaves_no_row() {
        let store = TestStore::default();
        store.write(|txn| put(txn, &app(1, Some("old"))));
        store.write(|txn| put(txn, &app(1, Some("new"))));
        store.write(|txn| remove(txn, &app(1, Some("old"))));
        assert_eq!(store.row_count(), 0);
    }

    #[test]
    fn lists_page_in_both_directions() {
        let store = TestStore::default();
        store.write(|txn| (1..=5).try_for_each(|id| put(txn, &app(id, None))));
        let ids = |after: Option<u32>, limit, direction| -> Vec<u32> {
            let page = list(&store, after.map(AppId), limit, direction).unwrap();
            page.iter().map(|app| app.id.0).collect()
        };
        assert_eq!(ids(None, 2, Direction::Forward), [1, 2]);
        assert_eq!(ids(Some(2), 9, Direction::Forward), [3, 4, 5]);
        assert_eq!(ids(None, 2, Direction::Reverse), [5, 4]);
        assert_eq!(ids(Some(4), 9, Direction::Reverse), [3, 2, 1]);
        assert!(ids(Some(5), 9, Direction::Forward).is_empty() && ids(None, 0, Direction::Forward).is_empty());
    }

    #[test]
    fn a_row_over_the_limit_is_refused_and_writes_nothing() {
        let store = TestStore::default();
        let mut txn = Txn::new(&store);
        let large = Application { metadata: "x".repeat(9_000), ..app(1, Some("name")) };
        assert!(put(&mut txn, &large).is_err() && txn.is_empty());
    }
}
