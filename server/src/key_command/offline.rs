//! API keys in a data directory that no server has open. The directory is locked, so no writer thread is needed.

use super::KeyCommandError;
use control::command::api_key::{CreateApiKey, RevokeApiKey, RotateApiKey};
use control::control::apply_alone;
use control::query::key::{self, KeyInfo};
use control::{Quotas, Rules};
use engine::clock::wall_now;
use storage::Store;
use zeroize::Zeroizing;

/// Creates a key and gives its text. An application may have `most_of_app` keys of its own.
pub(super) fn create(
    store: &dyn Store,
    command: CreateApiKey,
    most_of_app: u32,
) -> Result<Zeroizing<String>, KeyCommandError> {
    let quotas = Quotas { api_keys: most_of_app, ..Quotas::default() };
    let rules = Rules { quotas, ..Rules::default() };
    Ok(apply_alone(store, &rules, wall_now(), command)?.into_thing().text)
}

/// Replaces a key and gives the text of the new one.
pub(super) fn rotate(store: &dyn Store, command: RotateApiKey) -> Result<Zeroizing<String>, KeyCommandError> {
    Ok(apply_alone(store, &Rules::default(), wall_now(), command)?.into_thing().text)
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
    use model::{AppId, Application, KeyScope, KeyScopes, UnixMs};
    use storage::Txn;
    use storage::store::MemoryStore;
    use storage::tables::{api_key, application};

    fn new(name: &str, app: Option<&str>) -> CreateApiKey {
        let scopes = KeyScopes::of(&[KeyScope::Ingest]);
        let app = app.map(str::to_owned);
        CreateApiKey { name: name.to_owned(), app, scopes, expires_at: None, rate_limit: None, derived: None }
    }

    #[test]
    fn a_created_key_is_found_by_its_hash_rotated_and_revoked() {
        let store = MemoryStore::default();
        let row = |text: &str| api_key::get(&store, &KeyHash::of(text).to_bytes()).unwrap().unwrap();
        let key = create(&store, new("backend", None), 1).unwrap();
        assert_eq!(row(&key).name, "backend");
        let id = list(&store).unwrap()[0].id.clone();
        let rotation = RotateApiKey { id, grace_period_s: Some(0), expires_at: None, derived: None };
        let next = rotate(&store, rotation).unwrap();
        assert_eq!((row(&key).is_live(wall_now()), row(&next).is_live(wall_now())), (false, true));
        let id = list(&store).unwrap().into_iter().find(|key| key.replaced_by.is_none()).unwrap().id;
        revoke(&store, &id).unwrap();
        assert!(!row(&next).is_live(wall_now()));
        assert_eq!(list(&store).unwrap().len(), 2, "both are shown yet");
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
        let add = |name: &str, app: Option<&str>| create(&store, new(name, app), 2);
        add("one", Some("acme")).unwrap();
        add("two", Some("acme")).unwrap();
        let refused = add("three", Some("acme")).unwrap_err();
        assert!(refused.to_string().contains("at most 2 keys"), "{refused}");
        add("three", None).unwrap();
        assert_eq!(list(&store).unwrap().len(), 3);
    }
}
