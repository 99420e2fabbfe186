//! The data directory, opened: the store, and the keys that belong to it.
//!
//! No other file of this crate knows the kind of the store; they see the trait.

use crate::config::Loaded;
use crate::keys::{self, Environment, KeyError, MasterKeyBytes};
use control::key::KeyHash;
use engine::seal::{MasterKey, PUBLIC_KEY_LEN};
use std::sync::Arc;
use storage::disk::{OpenError, OpenOptions};
use storage::read::SharedStore;
use storage::rows::meta;
use storage::{StoreError, Txn};

/// Why a data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// The store did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed afterwards.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key is missing or wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Opens the store of a data directory, which is held until the last handle is gone. Blocks for the disk.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::InUse`] when another process has it.
pub(crate) fn open_store(loaded: &Loaded) -> Result<SharedStore, DataDirError> {
    Ok(Arc::new(options(loaded).open(&loaded.config.data_dir)?))
}

/// The options of the store.
pub(crate) fn options(loaded: &Loaded) -> OpenOptions {
    let config = &loaded.config;
    OpenOptions {
        cache_bytes: config.store_cache_bytes,
        log_max_bytes: config.store_log_bytes,
        ..OpenOptions::default()
    }
}

/// The two keys: the root key's hash and the master key, generated if the directory is new, checked if it is not.
///
/// Call it with the store open: that keeps a second process from generating others at the same time.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn keys(
    loaded: &Loaded,
    store: &SharedStore,
    environment: Environment<'_>,
) -> Result<(KeyHash, MasterKeyBytes), DataDirError> {
    let root_key_hash = keys::root_key_hash(loaded, environment)?;
    let check = master_key_check(store)?;
    let master_key = keys::master_key(loaded, environment, check.as_deref())?;
    if check.is_none() {
        let mut txn = Txn::new(store.as_ref());
        txn.put(meta::encode(meta::MASTER_KEY_CHECK), meta::to_value(&master_key.check_value()));
        store.apply(txn.into_parts().batch)?;
    }
    Ok((root_key_hash, master_key))
}

/// The key that the audit log of a data directory is checked with; none if no server ever ran on it.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn audit_public_key(
    loaded: &Loaded,
    store: &SharedStore,
    environment: Environment<'_>,
) -> Result<Option<[u8; PUBLIC_KEY_LEN]>, DataDirError> {
    let Some(check) = master_key_check(store)? else { return Ok(None) };
    let master_key = keys::master_key(loaded, environment, Some(&check))?;
    Ok(Some(MasterKey::new(*master_key.bytes).audit_key().public()))
}

/// Puts the master key of a data directory right when one bit of it is another one: says whether.
///
/// # Errors
/// When the store does not open, or the key cannot be written.
pub(crate) fn repair_master_key(loaded: &Loaded) -> Result<bool, DataDirError> {
    match master_key_check(&open_store(loaded)?)? {
        Some(check) => Ok(keys::repair_master_key(&loaded.config.data_dir, &check)?),
        None => Ok(false),
    }
}

/// The check value of the master key that the store keeps.
fn master_key_check(store: &SharedStore) -> Result<Option<Vec<u8>>, StoreError> {
    store.get(&meta::encode(meta::MASTER_KEY_CHECK))?.map(|value| meta::from_value(&value)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn loaded(data_dir: &Path) -> Loaded {
        let config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
        Loaded { config, sources: BTreeMap::new() }
    }

    #[test]
    fn a_directory_keeps_its_keys_and_refuses_another_master_key() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = loaded(&folder.path().join("data"));
        let first = keys(&loaded, &open_store(&loaded).unwrap(), &|_| None).unwrap();
        let second = keys(&loaded, &open_store(&loaded).unwrap(), &|_| None).unwrap();
        assert!(first.0.matches(&second.0) && first.1.bytes == second.1.bytes);
        std::fs::remove_file(loaded.config.data_dir.join("master.key")).unwrap();
        let store = open_store(&loaded).unwrap();
        let lost = keys(&loaded, &store, &|_| None).err().expect("the key is lost").to_string();
        assert!(lost.contains("master.key does not exist"), "{lost}");
    }

    #[test]
    fn a_directory_serves_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let loaded = loaded(&folder.path().join("data"));
        let _held = open_store(&loaded).unwrap();
        assert!(matches!(open_store(&loaded), Err(DataDirError::Open(OpenError::InUse { .. }))));
    }
}
