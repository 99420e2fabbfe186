//! Event types of the catalogue: one by its name, and all as a list.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::EventType;
use storage::Read;
use storage::tables::event_type;

/// The event type of a name.
///
/// # Errors
/// Damage, and any error of the store.
pub fn get(read: &(impl Read + ?Sized), name: &str) -> Result<Option<EventType>, Error> {
    Ok(event_type::get(read, name)?)
}

/// Event types by name, with or without those that are archived.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    with_archived: bool,
    page: &Page<String>,
) -> Result<Listed<EventType, String>, Error> {
    let source =
        |after: Option<&String>, limit| Ok(event_type::list(read, after.map(String::as_str), limit, page.direction())?);
    page.find(source, |row| row.name.clone(), |row| Ok((with_archived || !row.archived).then_some(row)))
}
