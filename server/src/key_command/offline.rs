//! API keys in a data directory that no server has open. The directory is locked, so no writer thread is needed.

use super::KeyCommandError;
use admin_api::KeyHash;
use admin_api::auth::registry::{self, KeyInfo, NewKey, RegistryError};
use engine::clock::wall_now;
use storage::tables::api_key;
use storage::{Direction, Store, Txn};
use zeroize::Zeroizing;

/// Creates a key and gives its text. An application may have `most_of_app` keys of its own.
pub(super) fn create(
    store: &dyn Store,
    name: String,
    app: Option<String>,
    most_of_app: u32,
) -> Result<Zeroizing<String>, KeyCommandError> {
    let text = admin_api::generate_key().map_err(|_| KeyCommandError::NoRandomness)?;
    let new = NewKey { hash: KeyHash::of(&text), name, app, now: wall_now(), most_of_app };
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
    use model::{AppId, Application, UnixMs};
    use storage::store::MemoryStore;
    use storage::tables::application;

    #[test]
    fn a_created_key_is_found_by_its_hash_and_gone_when_revoked() {
        let store = MemoryStore::default();
        let key = create(&store, "backend".to_owned(), None, 1).unwrap();
        let hash = KeyHash::of(&key).to_bytes();
        assert_eq!(api_key::get(&store, &hash).unwrap().unwrap().name, "backend");
        let listed = list(&store).unwrap();
        revoke(&store, &listed[0].id).unwrap();
        assert_eq!((api_key::get(&store, &hash).unwrap(), list(&store).unwrap().len()), (None, 0));
    }

    #[test]
    fn an_application_has_no_more_keys_than_its_quota_without_a_server_either() {
        let store = MemoryStore::default();
        let app = Application {
            id: AppId(1),
            salt: 7,
            uid: Some("acme".to_owned()),
            name: String::new(),
            rate_limit: None,
            metadata: "{}".to_owned(),
            created_at: UnixMs(1),
            updated_at: UnixMs(1),
        };
        write(&store, |txn| Ok(application::put(txn, &app)?)).unwrap();
        let add = |name: &str, app: Option<&str>| create(&store, name.to_owned(), app.map(str::to_owned), 2);
        add("one", Some("acme")).unwrap();
        add("two", Some("acme")).unwrap();
        let refused = add("three", Some("acme")).unwrap_err();
        assert!(refused.to_string().contains("at most 2 keys"), "{refused}");
        add("three", None).unwrap();
        assert_eq!(list(&store).unwrap().len(), 3);
    }
}
