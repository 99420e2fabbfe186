//! Changes of endpoints that settlements ask for: disabled, paused, switched between primary and backup. They are in the audit
//! log, as changes that the engine made.

use crate::store::StoreError;
use crate::tables::{audit, endpoint};
use crate::txn::Txn;
use model::{DecidedSwitch, EndpointRef, FieldChange, Settlement, UnixMs};

/// Makes the changes that a settlement asks for.
pub(super) fn apply(txn: &mut Txn<'_>, settlement: &mut Settlement, now: UnixMs) -> Result<(), StoreError> {
    let target = settlement.target;
    if let Some(reason) = settlement.disable {
        unless_refused(txn, target, |txn| {
            let changed = endpoint::disable(txn, target, reason, now)?;
            let change = FieldChange::words("disabledReason", None, Some(reason.as_str()));
            if changed { audit::by_engine(txn, target, "endpoint.disable", change) } else { Ok(()) }
        })?;
    }
    if let Some(reason) = settlement.pause {
        unless_refused(txn, target, |txn| {
            let changed = endpoint::pause(txn, target, reason, now)?;
            let change = FieldChange::words("pausedReason", None, Some(reason.as_str()));
            if changed { audit::by_engine(txn, target, "endpoint.pause", change) } else { Ok(()) }
        })?;
    }
    for decided in settlement.switches.drain(..) {
        unless_refused(txn, target, |txn| switch(txn, target, decided))?;
    }
    Ok(())
}

fn switch(txn: &mut Txn<'_>, target: EndpointRef, decided: DecidedSwitch) -> Result<(), StoreError> {
    if !endpoint::failover::switch(txn, target, decided)? {
        return Ok(());
    }
    let sides = if decided.switch.to_backup { ["primary", "backup"] } else { ["backup", "primary"] };
    let change = FieldChange::words("activeSide", Some(sides[0]), Some(sides[1]));
    audit::by_engine(txn, target, "endpoint.switch-failover", change)
}

/// Makes a change of an endpoint that a settlement asks for, unless the store refuses it: a row that was full to the brim.
/// Nobody waits for an answer, and to stop for all would help nobody.
fn unless_refused(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    change: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    match txn.whole(change) {
        Err(error) if error.is_refusal() => {
            tracing::error!(app = %target.app, endpoint = %target.endpoint, %error, "an endpoint could not be changed");
            Ok(())
        }
        done => done,
    }
}
