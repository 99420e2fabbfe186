//! Scheduled messages of an application, as a list in the order of their times.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{AppId, Event, Seq};
use storage::Read;
use storage::tables::{log, schedule};

/// Messages whose time has not come, without their payloads. The place of each is its time, its application and its
/// position. One that retention has taken is left out.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(read: &(impl Read + ?Sized), app: AppId, page: &Page<IdParts>) -> Result<Listed<Event, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        let after = after.map(|parts| (parts.at, Seq(parts.low)));
        Ok(schedule::list(read, app, after, limit, page.direction())?)
    };
    let place = |row: &schedule::Scheduled| IdParts { at: row.at, number: app.0, low: row.seq.0 };
    page.find(source, place, |row| {
        let event = log::get(read, app, row.seq)?;
        // Payloads are not shown, and those of a whole page would be a lot to hold.
        Ok(event.map(|event| Event { payload: Default::default(), ..event }))
    })
}
