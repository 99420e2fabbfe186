//! API keys in a data directory that no server has open.
//!
//! Deliberately without the writer: the directory is held, so nobody else writes.

use super::KeyCommandError;
use admin_api::KeyHash;
use admin_api::auth::registry::{self, KeyInfo, NewKey, RegistryError};
use engine::clock::wall_now;
use storage::tables::api_key;
use storage::{Direction, Store, Txn};
use zeroize::Zeroizing;

/// Creates a key and gives its text.
pub(super) fn create(
    store: &dyn Store,
    name: String,
    app: Option<String>,
) -> Result<Zeroizing<String>, KeyCommandError> {
    let text = admin_api::generate_key().map_err(|_| KeyCommandError::NoRandomness)?;
    let new = NewKey { hash: KeyHash::of(&text), name, app, now: wall_now(), most_of_app: u32::MAX };
    write(store, |txn| registry::create(txn, new))?;
    Ok(text)
}

/// Every key, oldest first.
pub(super) fn list(store: &dyn Store) -> Result<Vec<KeyInfo>, KeyCommandError> {
    Ok(registry::list(store, None, api_key::MAX_LISTED, Direction::Forward).map_err(RegistryError::from)?)
}

/// Revokes a key.
pub(super) fn revoke(store: &dyn Store, id: &str) -> Result<(), KeyCommandError> {
    Ok(write(store, |txn| registry::revoke(txn, id))?)
}

/// One durable write.
fn write<T>(
    store: &dyn Store,
    collect: impl FnOnce(&mut Txn<'_>) -> Result<T, RegistryError>,
) -> Result<T, RegistryError> {
    let mut txn = Txn::new(store);
    let result = collect(&mut txn)?;
    store.apply(txn.into_parts().0)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::store::MemoryStore;

    #[test]
    fn a_created_key_is_found_by_its_hash_and_gone_when_revoked() {
        let store = MemoryStore::default();
        let key = create(&store, "backend".to_owned(), None).unwrap();
        let hash = KeyHash::of(&key).to_bytes();
        assert_eq!(api_key::get(&store, &hash).unwrap().unwrap().name, "backend");
        let listed = list(&store).unwrap();
        revoke(&store, &listed[0].id).unwrap();
        assert_eq!((api_key::get(&store, &hash).unwrap(), list(&store).unwrap().len()), (None, 0));
    }
}
