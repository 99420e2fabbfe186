//! The sources of keys, their order, and the keys that are refused.

use super::*;
use crate::config::Config;
use std::collections::BTreeMap;

fn loaded(data_dir: &Path) -> Loaded {
    let config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    Loaded { config, sources: BTreeMap::new() }
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn is_of(hash: &KeyHash, text: &str) -> bool {
    hash.matches(&KeyHash::of(text))
}

#[test]
fn a_root_key_is_generated_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = root_key_hash(&loaded(folder.path()), &nothing).unwrap();
    let text = std::fs::read_to_string(folder.path().join("root.key")).unwrap();
    assert!(is_of(&first, text.trim()));
    assert!(!text.contains('.'), "client libraries read a region after a dot");
    assert!(root_key_hash(&loaded(folder.path()), &nothing).unwrap().matches(&first));
}

#[test]
fn the_environment_wins_over_the_file_setting_and_a_flag_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.key");
    std::fs::write(&path, "root-key-of-a-file\n").unwrap();
    let environment = |name: &str| (name == "PINION_ROOT_KEY").then(|| "root-key-of-the-environment".to_owned());
    let hash = |source: Source, environment: Environment<'_>| {
        let mut loaded = loaded(folder.path());
        loaded.config.root_key_file = Some(path.clone());
        loaded.sources.insert("root_key_file".to_owned(), source);
        root_key_hash(&loaded, environment)
    };
    let in_file = || Source::File { path: PathBuf::from("pinion.toml"), line: 1 };
    assert!(is_of(&hash(in_file(), &nothing).unwrap(), "root-key-of-a-file"));
    assert!(is_of(&hash(in_file(), &environment).unwrap(), "root-key-of-the-environment"));
    assert!(is_of(&hash(Source::Flag(String::new()), &environment).unwrap(), "root-key-of-a-file"));
    let both = hash(Source::Environment(String::new()), &environment);
    assert!(matches!(both, Err(KeyError::Ambiguous { variable: "PINION_ROOT_KEY" })));
    assert!(!folder.path().join("root.key").exists(), "nothing is generated when a key is given");
}

#[test]
fn a_weak_root_key_is_refused_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    let environment = |_: &str| Some("hunter2".to_owned());
    let error = root_key_hash(&loaded(folder.path()), &environment).unwrap_err().to_string();
    assert!(error.contains("PINION_ROOT_KEY") && error.contains("16") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_key_file_that_was_named_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let mut loaded = loaded(folder.path());
    loaded.config.master_key_file = Some(folder.path().join("absent.key"));
    assert!(matches!(master_key(&loaded, &nothing, None), Err(KeyError::Missing { name: "master", .. })));
}

#[test]
fn a_master_key_is_generated_for_a_new_store_and_recognised_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path());
    let key = master_key(&loaded, &nothing, None).unwrap();
    let check = key.check_value();
    let again = master_key(&loaded, &nothing, Some(&check)).unwrap();
    assert_eq!(*again.bytes, *key.bytes);
    assert!(!check.windows(8).any(|part| key.bytes.windows(8).any(|bytes| bytes == part)));
}

#[test]
fn another_master_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path());
    let check = master_key(&loaded, &nothing, None).unwrap().check_value();
    let other = |_: &str| Some(STANDARD.encode([7; 32]));
    assert!(matches!(master_key(&loaded, &other, Some(&check)), Err(KeyError::MasterKeyMismatch { .. })));
}

#[test]
fn a_lost_master_key_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = loaded(folder.path());
    let check = master_key(&loaded, &nothing, None).unwrap().check_value();
    std::fs::remove_file(folder.path().join("master.key")).unwrap();
    assert!(matches!(master_key(&loaded, &nothing, Some(&check)), Err(KeyError::MasterKeyLost { .. })));
    assert!(!folder.path().join("master.key").exists());
}

#[test]
fn a_master_key_of_the_wrong_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for text in [STANDARD.encode([7; 31]), "not base64!".to_owned(), String::new()] {
        let environment = move |_: &str| Some(text.clone());
        let result = master_key(&loaded(folder.path()), &environment, None);
        assert!(matches!(result, Err(KeyError::Invalid { name: "master", .. })));
    }
}
