//! Endpoints of an application, as a list.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{AppId, Endpoint, EndpointId};
use storage::Read;
use storage::tables::endpoint;

/// Endpoints in the order of creation.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(read: &(impl Read + ?Sized), app: AppId, page: &Page<IdParts>) -> Result<Listed<Endpoint, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        let after = after.map(|parts| EndpointId(parts.number));
        Ok(endpoint::list(read, app, after, limit, page.direction())?)
    };
    page.find(source, place_of, |row| Ok(Some(row)))
}

/// The place of an endpoint in lists: the parts of its id.
pub(super) fn place_of(row: &Endpoint) -> IdParts {
    IdParts { at: row.created_at, number: row.id.0, low: row.salt }
}
