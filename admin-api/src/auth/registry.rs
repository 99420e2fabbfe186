//! The API keys that there are: created, shown, revoked, by rules that the API and the command line share.
//!
//! Everything here works on any transaction, so that a store which no server has open is edited by the same rules.
//! Deliberately no secrets: a key comes in as its hash, and its id is the beginning of that hash, which says nothing of
//! a key of 256 random bits.

use super::key::KeyHash;
use control::find::find_application;
use model::{ApiKeyRow, Application, UnixMs};
use storage::read::Read;
use storage::tables::{api_key, application};
use storage::{Direction, StoreError, Txn};

/// Bytes of a key's name at most.
pub const KEY_NAME_BYTES_MAX: usize = 200;

/// Bytes of the hash that make a key's id: 64 bits do not meet by chance among [`api_key::MAX_LISTED`] keys.
const ID_BYTES: usize = 8;

/// A key to create.
#[derive(Debug)]
pub struct NewKey {
    /// The hash of its text.
    pub hash: KeyHash,
    /// For people, unique; 1 to [`KEY_NAME_BYTES_MAX`] bytes without control characters.
    pub name: String,
    /// The id or uid of the application that it is limited to; none for every application.
    pub app: Option<String>,
    /// When it is created.
    pub now: UnixMs,
    /// Keys that may be limited to one application.
    pub most_of_app: u32,
}

/// A key as it is shown: never its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The beginning of its hash in hex: 16 digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// The id of the application that it is limited to; none for every application.
    pub app_id: Option<String>,
    /// When it was created.
    pub created_at: UnixMs,
}

/// Why a key was not created or revoked. The texts are for people, and the same over HTTP and on the command line.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name cannot be one.
    #[error("a name has 1 to {KEY_NAME_BYTES_MAX} bytes and no control characters")]
    InvalidName,
    /// The name is taken.
    #[error("there is a key named `{0}` already")]
    NameTaken(String),
    /// As many keys as are ever listed.
    #[error("there are {} keys already, which is the limit", api_key::MAX_LISTED)]
    TooMany,
    /// As many keys as may be limited to one application.
    #[error("there may be at most {0} keys for one application")]
    TooManyOfApplication(u32),
    /// No such application.
    #[error("there is no application with the id or uid `{0}`")]
    UnknownApplication(String),
    /// No such key.
    #[error("there is no key with the id `{0}`")]
    UnknownKey(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a key stands in the list: by age, then by id.
pub type KeyPlace = (UnixMs, String);

/// Creates a key.
///
/// # Errors
/// See [`RegistryError`]; nothing is collected then.
pub fn create(txn: &mut Txn<'_>, new: NewKey) -> Result<KeyInfo, RegistryError> {
    let NewKey { hash, name, app, now, most_of_app } = new;
    if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(RegistryError::InvalidName);
    }
    let rows = api_key::list(txn)?;
    if rows.len() >= api_key::MAX_LISTED {
        return Err(RegistryError::TooMany);
    }
    if rows.iter().any(|row| row.name == name) {
        return Err(RegistryError::NameTaken(name));
    }
    let app = match app {
        None => None,
        Some(text) => Some(find_application(txn, &text)?.ok_or(RegistryError::UnknownApplication(text))?.id),
    };
    if app.is_some() && rows.iter().filter(|row| row.app == app).count() >= most_of_app as usize {
        return Err(RegistryError::TooManyOfApplication(most_of_app));
    }
    let row = ApiKeyRow { hash: hash.to_bytes(), name, app, created_at: now };
    api_key::put(txn, &row)?;
    Ok(info_of(txn, row)?)
}

/// The key of a hash, if there is one.
///
/// # Errors
/// Whatever the store reports.
pub(crate) fn find(read: &(impl Read + ?Sized), hash: &KeyHash) -> Result<Option<KeyInfo>, StoreError> {
    api_key::get(read, &hash.to_bytes())?.map(|row| info_of(read, row)).transpose()
}

/// Keys by age, behind `after` in `direction`, at most `limit` of them.
///
/// # Errors
/// Whatever the store reports.
pub fn list(
    read: &(impl Read + ?Sized),
    after: Option<&KeyPlace>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<KeyInfo>, StoreError> {
    let mut rows: Vec<(KeyPlace, ApiKeyRow)> =
        api_key::list(read)?.into_iter().map(|row| ((row.created_at, id_of(&row.hash)), row)).collect();
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    match direction {
        Direction::Forward => rows.retain(|(place, _)| after.is_none_or(|after| place > after)),
        Direction::Reverse => {
            rows.retain(|(place, _)| after.is_none_or(|after| place < after));
            rows.reverse();
        }
    }
    rows.into_iter().take(limit).map(|(_, row)| info_of(read, row)).collect()
}

/// Revokes the key of an id: the next request that shows it is refused.
///
/// # Errors
/// [`RegistryError::UnknownKey`], or whatever the store reports.
pub fn revoke(txn: &mut Txn<'_>, id: &str) -> Result<(), RegistryError> {
    let found = api_key::list(txn)?.into_iter().find(|row| id_of(&row.hash) == id);
    let row = found.ok_or_else(|| RegistryError::UnknownKey(id.to_owned()))?;
    Ok(api_key::remove(txn, &row.hash)?)
}

fn id_of(hash: &[u8; 32]) -> String {
    hash.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn info_of(read: &(impl Read + ?Sized), row: ApiKeyRow) -> Result<KeyInfo, StoreError> {
    let app_id = match row.app {
        None => None,
        // A key goes with its application; this must never show as one for everything all the same.
        Some(id) => Some(
            application::get(read, id)?.map_or_else(|| format!("{id}, deleted"), |app| Application::public_id(&app)),
        ),
    };
    Ok(KeyInfo { id: id_of(&row.hash), name: row.name, app_id, created_at: row.created_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AppId;
    use storage::Store;
    use storage::store::MemoryStore;

    fn write<T, E>(store: &MemoryStore, change: impl FnOnce(&mut Txn<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut txn = Txn::new(store);
        let result = change(&mut txn)?;
        store.apply(txn.into_parts().0).unwrap();
        Ok(result)
    }

    fn store() -> MemoryStore {
        let store = MemoryStore::default();
        let app = Application {
            id: AppId(1),
            salt: 7,
            uid: Some("tenant".to_owned()),
            name: String::new(),
            rate_limit: None,
            metadata: "{}".to_owned(),
            created_at: UnixMs(1),
            updated_at: UnixMs(1),
        };
        write(&store, |txn| application::put(txn, &app)).unwrap();
        store
    }

    fn add(store: &MemoryStore, name: &str, app: Option<&str>, at: u64) -> Result<KeyInfo, RegistryError> {
        let new = NewKey {
            hash: KeyHash::of(&format!("pk_{name}")),
            name: name.to_owned(),
            app: app.map(str::to_owned),
            now: UnixMs(at),
            most_of_app: 3,
        };
        write(store, |txn| create(txn, new))
    }

    #[test]
    fn an_application_is_named_by_id_or_uid() {
        let store = store();
        let id = application::get(&store, AppId(1)).unwrap().unwrap().public_id();
        assert_eq!(add(&store, "one", Some(&id), 1).unwrap().app_id, Some(id.clone()));
        assert_eq!(add(&store, "two", Some("tenant"), 1).unwrap().app_id, Some(id.clone()));
        let mut other = id;
        other.replace_range(other.len() - 1.., "0");
        for absent in ["absent", other.as_str()] {
            let result = add(&store, "three", Some(absent), 1);
            assert!(matches!(result, Err(RegistryError::UnknownApplication(_))), "{absent}");
        }
    }

    #[test]
    fn an_application_has_only_so_many_keys() {
        let store = store();
        for name in ["a", "b", "c"] {
            add(&store, name, Some("tenant"), 1).unwrap();
        }
        let result = add(&store, "d", Some("tenant"), 1);
        assert!(matches!(result, Err(RegistryError::TooManyOfApplication(3))));
        add(&store, "d", None, 1).unwrap();
    }

    #[test]
    fn a_name_is_unique_and_can_be_shown() {
        let store = store();
        add(&store, "backend", None, 1).unwrap();
        assert!(matches!(add(&store, "backend", None, 2), Err(RegistryError::NameTaken(_))));
        for name in ["", "a\nb", &"x".repeat(201)] {
            assert!(matches!(add(&store, name, None, 2), Err(RegistryError::InvalidName)));
        }
    }

    #[test]
    fn keys_are_listed_by_age_from_either_end_and_go_with_their_application() {
        let store = store();
        for (name, app, at) in [("c", None, 3), ("a", Some("tenant"), 1), ("b", None, 2)] {
            add(&store, name, app, at).unwrap();
        }
        let names = |after: Option<&KeyPlace>, direction| {
            list(&store, after, 10, direction).unwrap().into_iter().map(|key| key.name).collect::<String>()
        };
        let middle = (UnixMs(2), list(&store, None, 10, Direction::Forward).unwrap()[1].id.clone());
        assert_eq!(names(None, Direction::Forward), "abc");
        assert_eq!(names(Some(&middle), Direction::Forward), "c");
        assert_eq!(names(Some(&middle), Direction::Reverse), "a");
        write(&store, |txn| revoke(txn, &middle.1)).unwrap();
        assert!(matches!(write(&store, |txn| revoke(txn, &middle.1)), Err(RegistryError::UnknownKey(_))));
        assert_eq!(names(None, Direction::Forward), "ac");
    }
}
