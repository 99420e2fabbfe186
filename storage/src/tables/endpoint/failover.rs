//! Failover in rows: an endpoint that names a backup, the backup that knows who names it, and the switches between them.
//!
//! Both rows change in one transaction, so that none names another that does not know. The URL of the backup stands among
//! the past URLs of the endpoint, under a number of its own: so an attempt shows the side that was called.
//!
//! - *Bound:* [`BACKUP_OF_MAX`] endpoints name one backup; [`model::failover::SWITCHES_KEPT`] switches are remembered.

use super::{get, put_over, store};
use crate::store::StoreError;
use crate::tables::endpoint_url;
use crate::txn::{Change, Txn};
use model::{DecidedSwitch, Endpoint, EndpointId, EndpointRef, UnixMs};

/// Endpoints that may have the same backup.
pub const BACKUP_OF_MAX: usize = 16;

/// In use: no sweep removes the URL.
const IN_USE: UnixMs = UnixMs(u64::MAX);

/// Keeps the rows of backups right for an endpoint that is about to be stored, and gives the URL of a new backup a number.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn link(txn: &mut Txn<'_>, before: Option<&Endpoint>, row: &mut Endpoint) -> Result<(), StoreError> {
    let old = before.and_then(|before| before.failover.as_ref()).map(|failover| failover.backup);
    let new = row.failover.as_ref().map(|failover| failover.backup);
    if old == new {
        return Ok(());
    }
    let target = row.target();
    if let Some(old) = old {
        unlink(txn, target, old)?;
    }
    if let Some(failover) = &mut row.failover
        && let Some(mut backup) = get(txn, EndpointRef { endpoint: failover.backup, ..target })?
    {
        failover.url_number = endpoint_url::keep(txn, target, &backup.url, IN_USE)?.saturating_sub(1);
        backup.backup_of.push(target.endpoint);
        store(txn, &backup)?;
    }
    Ok(())
}

fn unlink(txn: &mut Txn<'_>, target: EndpointRef, backup: EndpointId) -> Result<(), StoreError> {
    if let Some(mut backup) = get(txn, EndpointRef { endpoint: backup, ..target })? {
        backup.backup_of.retain(|id| *id != target.endpoint);
        store(txn, &backup)?;
    }
    Ok(())
}

/// Makes a switch that was decided, unless somebody switched since, or the failover is gone. Answers `true` if it counts.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn switch(txn: &mut Txn<'_>, target: EndpointRef, decided: DecidedSwitch) -> Result<bool, StoreError> {
    let Some(before) = get(txn, target)? else { return Ok(false) };
    let mut row = before.clone();
    let Some(failover) = row.failover.as_mut().filter(|failover| failover.switches == decided.after) else {
        return Ok(false);
    };
    failover.switch(decided.switch);
    put_over(txn, Some(&before), row)?;
    let to = if decided.switch.to_backup { "backup" } else { "primary" };
    metrics::counter!(model::metric::FAILOVERS, "to" => to).increment(1);
    Ok(true)
}

/// A backup changed: the endpoints that name it are told, for their plans have its address and secrets.
pub(super) fn tell_primaries(txn: &mut Txn<'_>, backup: &Endpoint, moved: bool) -> Result<(), StoreError> {
    for endpoint in &backup.backup_of {
        let target = EndpointRef { app: backup.app, endpoint: *endpoint };
        let Some(mut primary) = get(txn, target)? else { continue };
        if let Some(failover) = primary.failover.as_mut().filter(|_| moved) {
            failover.url_number = endpoint_url::keep(txn, target, &backup.url, IN_USE)?.saturating_sub(1);
            store(txn, &primary)?;
        }
        let url_number = endpoint_url::next_number(txn, target)?;
        txn.tell(Change::EndpointPut(Box::new(primary), url_number));
    }
    Ok(())
}

/// An endpoint goes: those that name it as their backup have no failover from then on.
pub(super) fn part(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    if let Some(failover) = &row.failover {
        unlink(txn, row.target(), failover.backup)?;
    }
    for endpoint in &row.backup_of {
        let target = EndpointRef { app: row.app, endpoint: *endpoint };
        let Some(primary) = get(txn, target)? else { continue };
        let alone = Endpoint { failover: None, ..primary.clone() };
        put_over(txn, Some(&primary), alone)?;
    }
    Ok(())
}
