//! Rules of rows that no single table can keep: uids are unique, rows fit the store, ids come back as keys of pages.
//!
//! Deliberately no HTTP.

use crate::error::ApiError;
use bincode::Encode;
use control::Quotas;
use model::{AppId, Application, Endpoint, EventType, Job};
use storage::codec;
use storage::store::MAX_VALUE_BYTES;
use storage::tables::{application, endpoint, event_type, job};
use storage::txn::Txn;

/// Whether there is room for one more: asked in the transaction that adds it.
///
/// # Errors
/// The refusal that names the quota.
pub(crate) fn check_quota(quota: &'static str, of: &'static str, count: u32, most: u32) -> Result<(), ApiError> {
    if count < most { Ok(()) } else { Err(ApiError::QuotaExceeded { quota, of, most, again_after_s: None }) }
}

/// Stores an application, if its uid is free.
///
/// # Errors
/// 409 for a uid that is taken, 422 for a row that does not fit.
pub(crate) fn save_application(txn: &mut Txn<'_>, row: &Application) -> Result<(), ApiError> {
    if let Some(uid) = &row.uid
        && application::by_uid(txn, uid)?.is_some_and(|holder| holder != row.id)
    {
        return Err(ApiError::Conflict("an application with this uid exists".into()));
    }
    fits(row)?;
    Ok(application::put(txn, row)?)
}

/// Stores an endpoint, if its uid is free in its application.
///
/// # Errors
/// 409 for a uid that is taken, 422 for a row that does not fit.
pub(crate) fn save_endpoint(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), ApiError> {
    if let Some(uid) = &row.uid
        && endpoint::by_uid(txn, row.app, uid)?.is_some_and(|holder| holder != row.id)
    {
        return Err(ApiError::Conflict("an endpoint with this uid exists".into()));
    }
    fits_in(row, endpoint::ROW_BYTES_MAX)?;
    Ok(endpoint::put(txn, row)?)
}

/// Stores an event type, a new one if there may be one more.
///
/// # Errors
/// 422 for a row that does not fit, or that is one too many.
pub(crate) fn save_event_type(txn: &mut Txn<'_>, row: &EventType, most: u32) -> Result<(), ApiError> {
    fits(row)?;
    if event_type::get(txn, &row.name)?.is_none() {
        check_quota("event_types", "event types", event_type::count(txn)?, most)?;
    }
    Ok(event_type::put(txn, row)?)
}

/// Stores a new job and tells the engine that there is one.
pub(crate) fn start_job(txn: &mut Txn<'_>, row: &Job) -> Result<(), ApiError> {
    job::put(txn, row)?;
    txn.tell(storage::Change::JobStarted);
    Ok(())
}

/// Whether an application may have one more job that a caller asks for.
///
/// # Errors
/// 429 while too many run: some will have ended soon. 422 when too many are kept.
pub(crate) fn check_jobs(txn: &Txn<'_>, app: AppId, quotas: &Quotas) -> Result<(), ApiError> {
    let (running, kept) = job::count(txn, app)?;
    if running >= quotas.running_jobs {
        let (of, most) = ("running jobs of an application", quotas.running_jobs);
        return Err(ApiError::QuotaExceeded { quota: "running_jobs", of, most, again_after_s: Some(1) });
    }
    check_quota("jobs", "jobs of an application, ended ones that are kept included", kept, quotas.jobs)
}

/// Every value of the store is bounded; each field alone may be within its own bound and the whole not.
fn fits(row: &impl Encode) -> Result<(), ApiError> {
    fits_in(row, MAX_VALUE_BYTES)
}

fn fits_in(row: &impl Encode, bytes_max: usize) -> Result<(), ApiError> {
    if codec::encode(row).len() <= bytes_max {
        return Ok(());
    }
    let msg = format!("all fields together must not have more than {bytes_max} bytes");
    Err(ApiError::invalid(["body"], msg, "value_error.any_str.max_length"))
}
