//! The catalogue of event types, by name.

use crate::read::Read;
use crate::rows::event_type;
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::{count_rows, get_row, put_value, scan_rows};
use crate::txn::Txn;
use model::EventType;

/// The event type of a name.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), name: &str) -> Result<Option<EventType>, StoreError> {
    get_row(read, &event_type::encode(name), event_type::from_value)
}

/// Event types in byte order of their names (or against it), at most `limit`, those beyond `after`; archived ones too.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    after: Option<&str>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<EventType>, StoreError> {
    let range = event_type::all().beyond(after.map(event_type::encode), direction);
    scan_rows(read, &range, limit, direction, event_type::from_value)
}

/// The number of event types, archived ones too.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn count(read: &(impl Read + ?Sized)) -> Result<u32, StoreError> {
    match count::count(read, Counted::EventTypes)? {
        Some(count) => Ok(count),
        None => count_rows(read, &event_type::all()),
    }
}

/// Creates or replaces an event type.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large.
pub fn put(txn: &mut Txn<'_>, row: &EventType) -> Result<(), StoreError> {
    let key = event_type::encode(&row.name);
    if txn.get(&key)?.is_none() {
        let count = count(txn)?;
        count::set_count(txn, Counted::EventTypes, count.saturating_add(1))?;
    }
    put_value(txn, key, event_type::to_value(row))
}

/// Removes an event type, if it exists.
///
/// # Errors
/// Whatever the store reports.
pub fn remove(txn: &mut Txn<'_>, name: &str) -> Result<(), StoreError> {
    let key = event_type::encode(name);
    if txn.get(&key)?.is_some() {
        let count = count(txn)?;
        count::set_count(txn, Counted::EventTypes, count.saturating_sub(1))?;
    }
    txn.delete(key);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;
    use model::UnixMs;

    fn event_type(name: &str) -> EventType {
        EventType {
            name: name.to_owned(),
            description: "what happened".to_owned(),
            archived: false,
            deprecated: true,
            feature_flag: None,
            schemas: Some("{}".to_owned()),
            created_at: UnixMs(1),
            updated_at: UnixMs(1),
            group_name: None,
        }
    }

    #[test]
    fn a_name_that_begins_another_is_its_own_row_and_lists_before_it() {
        let store = TestStore::default();
        store.write(|txn| ["user.created", "user", "invoice"].iter().try_for_each(|name| put(txn, &event_type(name))));
        assert_eq!(get(&store, "user").unwrap(), Some(event_type("user")));
        let names = |after, limit, direction| -> Vec<String> {
            list(&store, after, limit, direction).unwrap().into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(None, 9, Direction::Forward), ["invoice", "user", "user.created"]);
        assert_eq!(names(Some("user"), 9, Direction::Forward), ["user.created"]);
        assert_eq!(names(Some("user.created"), 1, Direction::Reverse), ["user"]);
        store.write(|txn| remove(txn, "user"));
        assert_eq!(names(None, 9, Direction::Forward), ["invoice", "user.created"]);
    }
}
