//! Commands on API keys.

use model::AppId;
use storage::tables::api_key;
use storage::{StoreError, Txn};

/// Revokes every key that is limited to an application: they would reach nothing without it.
pub(super) fn revoke_all_of(txn: &mut Txn<'_>, app: AppId) -> Result<(), StoreError> {
    let rows = api_key::list(txn)?;
    rows.iter().filter(|row| row.app == Some(app)).try_for_each(|row| api_key::remove(txn, &row.hash))
}
