//! Jobs: one, or those that a key may see as a list.

use super::paging::{Listed, Page};
use crate::error::Error;
use crate::reach::Reach;
use model::Job;
use model::id::{IdKind, IdParts};
use storage::Read;
use storage::tables::job;

/// The job of an id, if it is there and within the reach of a key.
///
/// # Errors
/// Damage, and any error of the store.
pub fn get(read: &(impl Read + ?Sized), reach: Reach, text: &str) -> Result<Option<Job>, Error> {
    let Some(parts) = IdParts::from_text(IdKind::Job, text) else { return Ok(None) };
    let found = job::get(read, parts.number)?;
    Ok(found.filter(|job| job.public_id() == text && reach.reaches(job.target.app)))
}

/// Jobs in the order of creation that `keeps` lets through. The jobs of all applications are one list, of which a key
/// sees those that it reaches.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    reach: Reach,
    page: &Page<IdParts>,
    keeps: impl Fn(&Job) -> bool,
) -> Result<Listed<Job, IdParts>, Error> {
    let source =
        |after: Option<&IdParts>, limit| Ok(job::list(read, after.map(|parts| parts.number), limit, page.direction())?);
    let place = |row: &Job| IdParts { at: row.created_at, number: row.number, low: 0 };
    page.find(source, place, |row| Ok((reach.reaches(row.target.app) && keeps(&row)).then_some(row)))
}
