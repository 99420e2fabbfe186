//! API keys in a data directory that no server has open. The directory is locked, so no writer thread is needed.

use super::KeyCommandError;
use control::command::api_key::{CreateApiKey, RevokeApiKey};
use control::control::apply_alone;
use control::query::key::{self, KeyInfo};
use control::{Quotas, Rules};
use engine::clock::wall_now;
use storage::Store;
use zeroize::Zeroizing;

/// Creates a key and gives its text. An application may have `most_of_app` keys of its own.
pub(super) fn create(
    store: &dyn Store,
    name: String,
    app: Option<String>,
    most_of_app: u32,
) -> Result<Zeroizing<String>, KeyCommandError> {
    let quotas = Quotas { api_keys: most_of_app, ..Quotas::default() };
    let rules = Rules { quotas, ..Rules::default() };
    let command = CreateApiKey { name, app, derived: None };
    Ok(apply_alone(store, &rules, wall_now(), command)?.into_thing().text)
}

/// Every key, oldest first.
pub(super) fn list(store: &dyn Store) -> Result<Vec<KeyInfo>, KeyCommandError> {
    Ok(key::all(store)?)
}

/// Revokes a key.
pub(super) fn revoke(store: &dyn Store, id: &str) -> Result<(), KeyCommandError> {
    apply_alone(store, &Rules::default(), wall_now(), RevokeApiKey { id: id.to_owned() })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::key::KeyHash;
    use model::{AppId, Application, UnixMs};
    use storage::Txn;
    use storage::store::MemoryStore;
    use storage::tables::{api_key, application};

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
            salt: 7,
            uid: Some("acme".to_owned()),
            name: String::new(),
            ..Application::plain(AppId(1), UnixMs(1))
        };
        let mut txn = Txn::new(&store);
        application::put(&mut txn, &app).unwrap();
        store.apply(txn.into_parts().batch).unwrap();
        let add = |name: &str, app: Option<&str>| create(&store, name.to_owned(), app.map(str::to_owned), 2);
        add("one", Some("acme")).unwrap();
        add("two", Some("acme")).unwrap();
        let refused = add("three", Some("acme")).unwrap_err();
        assert!(refused.to_string().contains("at most 2 keys"), "{refused}");
        add("three", None).unwrap();
        assert_eq!(list(&store).unwrap().len(), 3);
    }
}
