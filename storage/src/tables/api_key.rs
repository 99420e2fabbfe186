//! API keys, by the hash of their secret.
//!
//! Keys are not checked here: the caller looks a presented key up by its hash, and a wrong key has no row.

use crate::read::Read;
use crate::rows::api_key;
use crate::store::{Direction, StoreError};
use crate::tables::{get_row, put_value, scan_rows};
use crate::txn::Txn;
use model::ApiKeyRow;

/// The most keys that [`list`] shows. The code that creates keys keeps their number below it.
pub const MAX_LISTED: usize = 10_000;

/// The key of a hash.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
    get_row(read, &api_key::encode(*hash), api_key::from_value)
}

/// Every key, oldest first; at most [`MAX_LISTED`].
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(read: &(impl Read + ?Sized)) -> Result<Vec<ApiKeyRow>, StoreError> {
    let mut rows: Vec<ApiKeyRow> =
        scan_rows(read, &api_key::all(), MAX_LISTED, Direction::Forward, api_key::from_value)?;
    rows.sort_by_key(|row| row.created_at);
    Ok(rows)
}

/// Creates or replaces a key.
///
/// # Errors
/// A refusal when the row is too large.
pub fn put(txn: &mut Txn<'_>, row: &ApiKeyRow) -> Result<(), StoreError> {
    put_value(txn, api_key::encode(row.hash), api_key::to_value(row))
}

/// Removes a key, if it exists.
///
/// # Errors
/// None today.
pub fn remove(txn: &mut Txn<'_>, hash: &[u8; 32]) -> Result<(), StoreError> {
    txn.delete(api_key::encode(*hash));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;
    use model::{AppId, UnixMs};

    fn row(byte: u8, created_at: u64) -> ApiKeyRow {
        let created_at = UnixMs(created_at);
        ApiKeyRow::plain([byte; 32], format!("key {byte}"), Some(AppId(1)), created_at)
    }

    #[test]
    fn keys_are_found_by_hash_and_listed_by_age() {
        let store = TestStore::default();
        store.write(|txn| [row(9, 1), row(1, 3), row(5, 2)].iter().try_for_each(|row| put(txn, row)));
        assert_eq!(get(&store, &[5; 32]).unwrap(), Some(row(5, 2)));
        assert_eq!(get(&store, &[6; 32]).unwrap(), None);
        assert_eq!(list(&store).unwrap(), [row(9, 1), row(5, 2), row(1, 3)]);
        store.write(|txn| remove(txn, &[5; 32]));
        assert_eq!(get(&store, &[5; 32]).unwrap(), None);
    }
}
