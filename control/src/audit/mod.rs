//! Records for the audit log: what a command did to a thing, field by field, without secrets.
//!
//! One place makes them of every command, from its name and its [`Changed`]; a command need not know. What a thing shows is
//! beside it, in [`Thing::fields`].

use crate::caller::Caller;
use crate::command::{At, Changed, Command, Thing};
use crate::error::Error;
use crate::snapshot::changes;
use model::{AppId, AppName, AuditEntry};
use storage::tables::audit;
use storage::{Read, Txn};

/// Applies a command, and notes the record of what it did in its transaction.
///
/// # Errors
/// Those of `apply`, which then leaves nothing; damage, and any error of the store.
pub(crate) fn recorded<C: Command>(
    command: C,
    by: &Caller,
    at: &At<'_>,
    txn: &mut Txn<'_>,
    apply: impl FnOnce(C, &At<'_>, &mut Txn<'_>) -> Result<Changed<C::Thing>, Error>,
) -> Result<Changed<C::Thing>, Error> {
    let changed = apply(command, at, txn)?;
    if let Some(entry) = entry_of(C::NAME, by, &changed, txn)? {
        txn.audit(entry);
    }
    Ok(changed)
}

/// The record of a command that did something; none if it found nothing to do.
fn entry_of<T: Thing>(
    action: &str,
    by: &Caller,
    changed: &Changed<T>,
    read: &(impl Read + ?Sized),
) -> Result<Option<AuditEntry>, Error> {
    let (thing, old, new) = match changed {
        Changed::Created(thing) => (thing, None, Some(thing.fields())),
        Changed::Updated { old, new } => (new, Some(old.fields()), Some(new.fields())),
        Changed::Deleted(thing) => (thing, Some(thing.fields()), None),
        Changed::Seen(thing) => (thing, None, None),
        Changed::Nothing(_) | Changed::Repeated(_) => return Ok(None),
    };
    Ok(Some(AuditEntry {
        actor: by.actor().clone(),
        action: action.to_owned(),
        kind: T::KIND.to_owned(),
        id: thing.id(),
        app: thing.app().map(|app| app_name(read, app, thing)).transpose()?,
        changes: changes(&old.unwrap_or_default(), &new.unwrap_or_default()),
    }))
}

/// An application that is gone by now is the thing itself.
fn app_name<T: Thing>(read: &(impl Read + ?Sized), number: AppId, thing: &T) -> Result<AppName, Error> {
    let there = audit::app_name(read, number)?;
    Ok(there.unwrap_or_else(|| AppName { number, id: thing.id() }))
}

#[cfg(test)]
mod tests;
