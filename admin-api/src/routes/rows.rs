//! Rules of rows that no single table can keep: uids are unique, rows fit the store, ids come back as keys of pages.
//!
//! Deliberately no HTTP.

use crate::error::ApiError;
use bincode::Encode;
use model::id::{IdKind, IdParts};
use model::{Application, Endpoint, EventType, Job};
use storage::codec;
use storage::store::MAX_VALUE_BYTES;
use storage::tables::{application, endpoint, event_type, job};
use storage::txn::Txn;

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
    fits(row)?;
    Ok(endpoint::put(txn, row)?)
}

/// Stores an event type.
///
/// # Errors
/// 422 for a row that does not fit.
pub(crate) fn save_event_type(txn: &mut Txn<'_>, row: &EventType) -> Result<(), ApiError> {
    fits(row)?;
    Ok(event_type::put(txn, row)?)
}

/// Stores a new job and tells the engine that there is one.
pub(crate) fn start_job(txn: &mut Txn<'_>, row: &Job) -> Result<(), ApiError> {
    job::put(txn, row)?;
    txn.tell(storage::Change::JobStarted);
    Ok(())
}

/// Every value of the store is bounded; each field alone may be within its own bound and the whole not.
fn fits(row: &impl Encode) -> Result<(), ApiError> {
    if codec::encode(row).len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    let msg = format!("all fields together must not have more than {MAX_VALUE_BYTES} bytes");
    Err(ApiError::invalid(["body"], msg, "value_error.any_str.max_length"))
}

/// The number in a text id, as a key of pages: whether the thing still exists does not matter.
pub(crate) fn number_of(kind: IdKind, text: &str) -> Option<u32> {
    IdParts::from_text(kind, text).map(|parts| parts.number)
}
