//! Revokes a key.

use super::find_live;
use crate::command::{At, Changed, Command, Reach};
use crate::error::Error;
use model::{ApiKeyRow, AppId, UnixMs};
use storage::tables::api_key;
use storage::{StoreError, Txn};

/// Revokes a key: the next request that shows it is refused. It stays in the list.
pub struct RevokeApiKey {
    /// Its id.
    pub id: String,
}

impl Command for RevokeApiKey {
    const NAME: &'static str = "api-key.revoke";
    type Thing = ApiKeyRow;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Everything)
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<ApiKeyRow>, Error> {
        let old = find_live(&api_key::list(txn)?, &self.id, at.now)?;
        let new = ApiKeyRow { revoked_at: Some(at.now), ..old.clone() };
        api_key::put(txn, &new)?;
        Ok(Changed::Updated { old, new })
    }
}

/// Revokes every key that is limited to an application: they would reach nothing without it.
pub(in crate::command) fn revoke_all_of(txn: &mut Txn<'_>, app: AppId, now: UnixMs) -> Result<(), StoreError> {
    let rows = api_key::list(txn)?.into_iter().filter(|row| row.app == Some(app) && row.revoked_at.is_none());
    rows.map(|row| ApiKeyRow { revoked_at: Some(now), ..row }).try_for_each(|row| api_key::put(txn, &row))
}
