//! `pinion key`: API keys, edited in a data directory that no server has open.
//!
//! Offline on purpose: the first key can be made before the first start, and a lost root key does not lock anyone out
//! who holds the disk. A key is shown once, when it is created; the store keeps its SHA-256.

use crate::cli::KeyAction;
use crate::config::Loaded;
use crate::data_dir::{self, DataDirError};
use admin_api::KeyHash;
use model::{ApiKeyRow, AppId, Application, UnixMs};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use storage::store::sled::OpenError;
use storage::tables::{api_key, application};
use storage::{Store, StoreError, Txn};
use zeroize::Zeroizing;

/// Hex digits of a hash that are shown as a key's id.
const ID_DIGITS: usize = 12;

/// Bytes of a name at most.
const MAX_NAME_BYTES: usize = 200;

/// Why a key was not created, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyCommandError {
    /// A server has the data directory.
    #[error("{0}; stop the server first, API keys are edited while it is down")]
    InUse(OpenError),
    /// The data directory did not open.
    #[error(transparent)]
    DataDir(DataDirError),
    /// No data directory: nothing is created only to find no key in it.
    #[error("there is no data directory {0}")]
    NoDataDir(PathBuf),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such application.
    #[error("there is no application with the id or uid `{0}`")]
    UnknownApplication(String),
    /// The name is taken.
    #[error("there is a key named `{0}` already")]
    NameTaken(String),
    /// The name cannot be one.
    #[error("a name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
    InvalidName,
    /// As many keys as are ever listed.
    #[error("there are {} keys already, which is the limit", api_key::MAX_LISTED)]
    TooMany,
    /// Nothing to revoke.
    #[error("there is no key with the id or name `{0}`")]
    UnknownKey(String),
    /// More than one to revoke.
    #[error("`{0}` is the beginning of more than one key's id")]
    Ambiguous(String),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for a key")]
    NoRandomness,
}

/// Does it and returns what to print.
///
/// # Errors
/// See [`KeyCommandError`].
pub(crate) fn run(loaded: &Loaded, action: KeyAction) -> Result<Zeroizing<String>, KeyCommandError> {
    let folder = &loaded.config.data_dir;
    if !matches!(action, KeyAction::Create { .. }) && !folder.exists() {
        return Err(KeyCommandError::NoDataDir(folder.clone()));
    }
    let store = data_dir::open_store(loaded).map_err(|error| match error {
        DataDirError::Open(in_use @ OpenError::InUse { .. }) => KeyCommandError::InUse(in_use),
        other => KeyCommandError::DataDir(other),
    })?;
    match action {
        KeyAction::Create { name, app } => create(store.as_ref(), name, app),
        KeyAction::List => list(store.as_ref()),
        KeyAction::Revoke { key } => revoke(store.as_ref(), &key),
    }
}

fn create(store: &dyn Store, name: String, app: Option<String>) -> Result<Zeroizing<String>, KeyCommandError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(KeyCommandError::InvalidName);
    }
    let keys = api_key::list(store)?;
    if keys.len() >= api_key::MAX_LISTED {
        return Err(KeyCommandError::TooMany);
    }
    if keys.iter().any(|key| key.name == name) {
        return Err(KeyCommandError::NameTaken(name));
    }
    let app = app.map(|id_or_uid| find_application(store, id_or_uid)).transpose()?;
    let mut text = admin_api::generate_key().map_err(|_| KeyCommandError::NoRandomness)?;
    let hash = KeyHash::of(&text).to_bytes();
    write(store, |txn| api_key::put(txn, &ApiKeyRow { hash, name, app, created_at: now() }))?;
    text.push('\n');
    Ok(text)
}

fn list(store: &dyn Store) -> Result<Zeroizing<String>, KeyCommandError> {
    let mut text = format!("{:ID_DIGITS$}  {:30}  {:24}  NAME\n", "ID", "APPLICATION", "CREATED");
    for key in api_key::list(store)? {
        let app = key.app.map(|id| application::get(store, id)).transpose()?.flatten();
        let app = match (key.app, app) {
            (None, _) => "all".to_owned(),
            (Some(_), Some(app)) => app.public_id(),
            (Some(id), None) => format!("number {id}, deleted"),
        };
        let created = time_text(key.created_at);
        text.push_str(&format!("{}  {app:30}  {created:24}  {}\n", id_of(&key), key.name));
    }
    Ok(Zeroizing::new(text))
}

fn revoke(store: &dyn Store, wanted: &str) -> Result<Zeroizing<String>, KeyCommandError> {
    let keys = api_key::list(store)?;
    let named = keys.iter().find(|key| key.name == wanted);
    let mut by_id = keys.iter().filter(|key| wanted.len() >= 4 && id_of(key).starts_with(wanted));
    let key = match (named, by_id.next(), by_id.next()) {
        (Some(key), _, _) | (None, Some(key), None) => key,
        (None, Some(_), Some(_)) => return Err(KeyCommandError::Ambiguous(wanted.to_owned())),
        (None, None, _) => return Err(KeyCommandError::UnknownKey(wanted.to_owned())),
    };
    write(store, |txn| api_key::remove(txn, &key.hash))?;
    Ok(Zeroizing::new(format!("revoked {} ({})\n", id_of(key), key.name)))
}

fn find_application(store: &dyn Store, id_or_uid: String) -> Result<AppId, KeyCommandError> {
    if let Some(id) = application::by_uid(store, &id_or_uid)? {
        return Ok(id);
    }
    let parts = model::id::IdParts::from_text(model::id::IdKind::Application, &id_or_uid);
    let row = parts.map(|parts| application::get(store, AppId(parts.number))).transpose()?.flatten();
    match row {
        Some(row) if Application::public_id(&row) == id_or_uid => Ok(row.id),
        _ => Err(KeyCommandError::UnknownApplication(id_or_uid)),
    }
}

/// One durable write. Nobody else writes: the data directory is held.
fn write(store: &dyn Store, collect: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut txn = Txn::new(store);
    collect(&mut txn)?;
    store.apply(txn.into_parts().0)
}

fn id_of(key: &ApiKeyRow) -> String {
    let hex: String = key.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..ID_DIGITS].to_owned()
}

fn now() -> UnixMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// RFC 3339 in UTC, by whole seconds.
fn time_text(at: UnixMs) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(at.seconds()).unwrap_or(i64::MAX)).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::store::MemoryStore;

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

    fn named(store: &dyn Store, name: &str, app: Option<&str>) -> Result<Zeroizing<String>, KeyCommandError> {
        create(store, name.to_owned(), app.map(str::to_owned))
    }

    #[test]
    fn a_created_key_is_found_by_its_hash_and_gone_when_revoked() {
        let store = store();
        let key = named(&store, "backend", Some("tenant")).unwrap();
        let hash = KeyHash::of(key.trim()).to_bytes();
        let row = api_key::get(&store, &hash).unwrap().expect("the key is there");
        assert_eq!((row.name.as_str(), row.app), ("backend", Some(AppId(1))));
        let shown = list(&store).unwrap();
        assert!(shown.contains("backend") && shown.contains("app_") && !shown.contains(key.trim()), "{}", *shown);
        revoke(&store, &id_of(&row)).unwrap();
        assert_eq!(api_key::get(&store, &hash).unwrap(), None);
        assert!(matches!(revoke(&store, "backend"), Err(KeyCommandError::UnknownKey(_))));
    }

    #[test]
    fn an_application_is_named_by_id_or_uid() {
        let store = store();
        let id = application::get(&store, AppId(1)).unwrap().unwrap().public_id();
        named(&store, "one", Some(&id)).unwrap();
        let mut other = id.clone();
        other.replace_range(id.len() - 1.., "0");
        for absent in ["absent", other.as_str()] {
            let result = named(&store, "two", Some(absent));
            assert!(matches!(result, Err(KeyCommandError::UnknownApplication(_))), "{absent}");
        }
    }

    #[test]
    fn a_name_is_unique_and_can_be_shown() {
        let store = store();
        named(&store, "backend", None).unwrap();
        assert!(matches!(named(&store, "backend", None), Err(KeyCommandError::NameTaken(_))));
        for name in ["", "a\nb", &"x".repeat(201)] {
            assert!(matches!(named(&store, name, None), Err(KeyCommandError::InvalidName)));
        }
    }
}
