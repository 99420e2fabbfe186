//! Endpoints, with an index of the tenants' own names for them within an application.
//!
//! Every change is told to the engine once it is
//! durable. Only these rows: a job removes an endpoint's cursor and waiting deliveries, and retention its history. A
//! name that is taken moves to the endpoint put last; the caller asks [`by_uid`] first whether it may.

pub mod failover;
mod gaps;
#[cfg(test)]
mod tests;

use crate::read::Read;
use crate::rows::{KeyRange, endpoint, endpoint_uid};
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::{
    application, count_rows, dead_letter, delivery, endpoint_url, get_row, log, put_value, put_within, scan_rows,
};
use crate::txn::{Change, Txn};
use model::{
    AppId, Disabled, DisabledReason, Endpoint, EndpointHealth, EndpointId, EndpointRef, Paused, PausedReason, UnixMs,
    Wanted,
};

/// One endpoint.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Endpoint>, StoreError> {
    get_row(read, &endpoint::encode(target), endpoint::from_value)
}

/// The number of the endpoint that the tenant calls `uid`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn by_uid(read: &(impl Read + ?Sized), app: AppId, uid: &str) -> Result<Option<EndpointId>, StoreError> {
    get_row(read, &endpoint_uid::encode(app, uid), endpoint_uid::from_value)
}

/// The number of endpoints of an application. It is kept beside them; while it is not noted yet, they are counted.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<u32, StoreError> {
    match count::count(read, Counted::Endpoints(app))? {
        Some(count) => Ok(count),
        None => count_rows(read, &endpoint::of_app(app)),
    }
}

/// Endpoints of an application in the order of creation (or against it), at most `limit`, those beyond `after`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<EndpointId>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Endpoint>, StoreError> {
    let after = after.map(|id| endpoint::encode(EndpointRef { app, endpoint: id }));
    scan_endpoints(read, &endpoint::of_app(app).beyond(after, direction), limit, direction)
}

/// Endpoints of every application, at most `limit`, those beyond `after`: a start reads them all with it.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn scan_all(
    read: &(impl Read + ?Sized),
    after: Option<EndpointRef>,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    let range = endpoint::all().beyond(after.map(endpoint::encode), Direction::Forward);
    scan_endpoints(read, &range, limit, Direction::Forward)
}

fn scan_endpoints(
    read: &(impl Read + ?Sized),
    range: &KeyRange,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Endpoint>, StoreError> {
    scan_rows(read, range, limit, direction, endpoint::from_value)
}

/// Creates or replaces an endpoint, keeps the index right, also when its name changed, and tells the engine.
///
/// An endpoint that is new or newly enabled gets only events accepted from here on: `active_from` is set here, not by
/// the caller. A newly disabled endpoint gets a gap: the range that it does not get, with its filter. Another filter
/// ends that gap and begins the next one, and enabling closes it. The failures of an endpoint that is newly enabled or
/// has a new URL are forgotten: they say nothing about it any more.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large, with nothing written.
pub fn put(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let before = get(txn, row.target())?;
    put_over(txn, before.as_ref(), row.clone()).map(drop)
}

/// As [`put`], over the row that the caller has read in this transaction. Gives the row as it is stored.
///
/// # Errors
/// As [`put`].
pub fn put_over(txn: &mut Txn<'_>, before: Option<&Endpoint>, mut row: Endpoint) -> Result<Endpoint, StoreError> {
    let was_disabled = before.map(|before| before.disabled.is_some());
    if was_disabled != Some(false) && row.disabled.is_none() {
        row.active_from = log::head(txn, row.app)?;
    }
    store(txn, &row)?;
    let days_before = before.and_then(|before| before.dead_letter_retention_days);
    dead_letter::kept::note(txn, row.target(), days_before, row.dead_letter_retention_days)?;
    if before.is_none() {
        let count = count(txn, row.app)?;
        count::set_count(txn, Counted::Endpoints(row.app), count.saturating_add(1))?;
    }
    match (was_disabled, &row.disabled) {
        (Some(true), None) => gaps::close(txn, row.target(), row.active_from)?,
        (None | Some(false), Some(disabled)) => {
            gaps::open(txn, &row, disabled.reason)?;
            gaps::split(txn, &row)?;
        }
        (Some(true), Some(_)) if before.map(Wanted::by) != Some(Wanted::by(&row)) => gaps::split(txn, &row)?,
        _ => {}
    }
    let enabled = was_disabled == Some(true) && row.disabled.is_none();
    let moved = before.is_some_and(|before| before.url != row.url);
    let url_number = match before {
        None if row.failover.is_none() => 0,
        Some(before) if moved => endpoint_url::keep(txn, row.target(), &before.url, row.updated_at)?,
        _ => endpoint_url::next_number(txn, row.target())?,
    };
    if enabled || moved {
        delivery::put_health(txn, row.target(), &EndpointHealth::default());
    }
    if let Some(old) = before.and_then(|before| before.uid.as_ref())
        && row.uid.as_ref() != Some(old)
    {
        release(txn, row.target(), old)?;
    }
    if let Some(uid) = &row.uid {
        put_value(txn, endpoint_uid::encode(row.app, uid), endpoint_uid::to_value(&row.id))?;
    }
    let released = match before {
        Some(before) => is_released(txn, before, &row)?,
        None => false,
    };
    txn.tell(Change::EndpointPut(Box::new(row.clone()), url_number));
    if !row.backup_of.is_empty() {
        failover::tell_primaries(txn, &row, moved)?;
    }
    if released && !delivery::list_due(txn, row.target(), None, 1)?.is_empty() {
        txn.tell(Change::Requeued(row.target()));
    }
    Ok(row)
}

/// Writes the row alone.
fn store(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    put_within(endpoint::VALUE_BYTES_MAX, txn, endpoint::encode(row.target()), endpoint::to_value(row))
}

/// True if deliveries that waited on disk are to be sent, or given up, from now on: the endpoint may have no lane, so the
/// engine is told.
fn is_released(txn: &Txn<'_>, before: &Endpoint, row: &Endpoint) -> Result<bool, StoreError> {
    if before.disabled.is_some() {
        return Ok(false);
    }
    let resumed = before.is_held() && !row.is_held();
    if resumed || row.disabled.is_none() {
        return Ok(resumed);
    }
    let app = application::get(txn, row.app)?;
    Ok(before.is_held() || app.is_some_and(|app| app.paused_at.is_some()))
}

/// Pauses an endpoint. Answers `false` for one that is gone or paused already.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn pause(txn: &mut Txn<'_>, target: EndpointRef, reason: PausedReason, now: UnixMs) -> Result<bool, StoreError> {
    match get(txn, target)? {
        Some(mut row) if row.paused.is_none() => {
            row.paused = Some(Paused { at: now, reason });
            row.updated_at = now;
            put(txn, &row)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Disables an endpoint because of its answer. Answers `false` for one that is gone or disabled already.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn disable(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    reason: DisabledReason,
    now: UnixMs,
) -> Result<bool, StoreError> {
    match get(txn, target)? {
        Some(mut row) if row.disabled.is_none() => {
            row.disabled = Some(Disabled { at: now, reason });
            row.updated_at = now;
            put(txn, &row)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Removes an endpoint's row and its name and tells the engine.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn remove(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let target = row.target();
    // The name as stored now: it may differ from the name that the caller last saw.
    let stored = get(txn, target)?;
    if stored.is_some() {
        let count = count(txn, target.app)?;
        count::set_count(txn, Counted::Endpoints(target.app), count.saturating_sub(1))?;
    }
    if let Some(stored) = &stored {
        failover::part(txn, stored)?;
        dead_letter::kept::note(txn, target, stored.dead_letter_retention_days, None)?;
    }
    if let Some(uid) = stored.and_then(|stored| stored.uid) {
        release(txn, target, &uid)?;
    }
    txn.delete(endpoint::encode(target));
    txn.tell(Change::EndpointDeleted(target));
    Ok(())
}

/// Frees a name, unless another endpoint has taken it since.
fn release(txn: &mut Txn<'_>, target: EndpointRef, uid: &str) -> Result<(), StoreError> {
    if by_uid(txn, target.app, uid)? == Some(target.endpoint) {
        txn.delete(endpoint_uid::encode(target.app, uid));
    }
    Ok(())
}
