//! All configuration, for an export: the catalogue of event types, and applications with their endpoints.
//!
//! One thing at a time, so that whoever exports keeps no more than it writes, and ends it when that is enough.

use crate::error::Error;
use crate::find::find_application;
use model::{AppId, Application, Endpoint, EndpointId, EndpointRef, EventType};
use storage::tables::{application, endpoint, event_type};
use storage::{Direction, Read};

/// Rows read in one step.
const STEP: usize = 64;

/// A thing of the configuration.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// An event type.
    EventType(&'a EventType),
    /// An application; its endpoints follow.
    Application(&'a Application),
    /// An endpoint, and the name of its backup: its uid, or else its id. Those without a backup come first.
    Endpoint(&'a Endpoint, Option<&'a str>),
}

/// Shows everything to `each`: event types, then applications with their endpoints; with `apps`, only those applications.
///
/// # Errors
/// Those of `each`; [`Error::NotFound`] for an application that is not there, damage, and any error of the store.
pub fn walk<E: From<Error>>(
    read: &(impl Read + ?Sized),
    apps: Option<&[String]>,
    mut each: impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<String> = None;
    loop {
        let rows = event_type::list(read, after.as_deref(), STEP, Direction::Forward).map_err(Error::from)?;
        rows.iter().try_for_each(|row| each(Item::EventType(row)))?;
        match rows.into_iter().last() {
            Some(last) => after = Some(last.name),
            None => break,
        }
    }
    if let Some(apps) = apps {
        for text in apps {
            let found = find_application(read, text).map_err(Error::from)?;
            one(read, &found.ok_or(Error::NotFound("application"))?, &mut each)?;
        }
        return Ok(());
    }
    let mut after: Option<AppId> = None;
    loop {
        let rows = application::list(read, after, STEP, Direction::Forward).map_err(Error::from)?;
        rows.iter().try_for_each(|row| one(read, row, &mut each))?;
        match rows.last() {
            Some(last) => after = Some(last.id),
            None => return Ok(()),
        }
    }
}

/// An application with its endpoints. A backup has no backup of its own, so two passes are enough for each to come before
/// whoever names it.
fn one<E: From<Error>>(
    read: &(impl Read + ?Sized),
    app: &Application,
    each: &mut impl FnMut(Item<'_>) -> Result<(), E>,
) -> Result<(), E> {
    each(Item::Application(app))?;
    for has_backup in [false, true] {
        let mut after: Option<EndpointId> = None;
        loop {
            let rows = endpoint::list(read, app.id, after, STEP, Direction::Forward).map_err(Error::from)?;
            for row in rows.iter().filter(|row| row.failover.is_some() == has_backup) {
                let backup = backup_of(read, row)?;
                each(Item::Endpoint(row, backup.as_deref()))?;
            }
            match rows.last() {
                Some(last) => after = Some(last.id),
                None => break,
            }
        }
    }
    Ok(())
}

fn backup_of(read: &(impl Read + ?Sized), row: &Endpoint) -> Result<Option<String>, Error> {
    let Some(failover) = &row.failover else { return Ok(None) };
    let backup = endpoint::get(read, EndpointRef { app: row.app, endpoint: failover.backup })?;
    Ok(Some(backup.and_then(|backup| backup.uid).unwrap_or_else(|| failover.backup_id.clone())))
}
