//! The embedded store: the suite, the model in lock step, and damage of every kind we could think of.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::commit::watermark::Watermark;
use super::open::format;
use super::*;
use crate::store::conformance::{self, Subject, dump};
use crate::store::{Batch, Direction, INLINE_MAX_BYTES, MAX_KEY_BYTES, MemoryStore, Store, StoreError, prefix_end};

/// Small, so that tests read from the file and not from memory, and go through many laps of the log.
pub(crate) const OPTIONS: OpenOptions =
    OpenOptions { cache_bytes: 1024 * 1024, log_max_bytes: 64 * 1024, separated: SeparatedKeys { from: 1, to: 8 } };

pub(crate) struct OnDisk {
    pub(crate) store: DiskStore,
    pub(crate) dir: TempDir,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: OPTIONS.open(dir.path()).unwrap(), dir }
    }

    pub(crate) fn close(self) -> TempDir {
        drop(self.store);
        self.dir
    }

    pub(crate) fn again(self) -> Self {
        let dir = self.close();
        Self { store: OPTIONS.open(dir.path()).unwrap(), dir }
    }
}

impl Subject for OnDisk {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn reopen(self: Box<Self>) -> Box<dyn Subject> {
        Box::new(self.again())
    }
}

/// The key of a row whose value is not kept apart unless it is long.
pub(crate) fn plain(number: u32) -> Vec<u8> {
    [&[9], &number.to_be_bytes()[..]].concat()
}

pub(crate) fn row(number: u32, value_bytes: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(plain(number), vec![number as u8; value_bytes]);
    batch
}

/// These writes of step `at`: a value of so many bytes, or a deletion.
pub(crate) fn batch(writes: impl IntoIterator<Item = (Vec<u8>, Option<usize>)>, at: usize) -> Batch {
    let mut batch = Batch::new();
    for (key, value_bytes) in writes {
        match value_bytes {
            Some(bytes) => batch.put(key, vec![at as u8; bytes]),
            None => batch.delete(key),
        }
    }
    batch
}

fn data_file(dir: &Path) -> PathBuf {
    dir.join("store/sled/db")
}

const ROWS: u32 = 600;

/// A closed store of `ROWS` commits over several segments, with a snapshot, since it was opened twice.
fn filled() -> TempDir {
    let mut subject = OnDisk::new();
    for key in 0..ROWS {
        subject.store.apply(row(key, 8000)).unwrap();
        if key == ROWS / 2 {
            subject = subject.again();
        }
    }
    subject.close()
}

pub(crate) fn refusal(dir: &Path) -> OpenError {
    match OPTIONS.open(dir) {
        Ok(_) => panic!("a damaged store opened"),
        Err(error) => error,
    }
}

#[test]
fn the_embedded_store_conforms() {
    conformance::run(|| Box::new(OnDisk::new()));
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(Vec<u8>, Option<usize>)>),
    Scan(Vec<u8>, Vec<u8>, usize, bool),
    Get(Vec<u8>),
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = || prop_oneof![Just(0u8), Just(1), Just(7), Just(0xff)];
    let first = prop_oneof![Just(1u8), Just(7), Just(9), Just(0xff)];
    (first, proptest::collection::vec(byte(), 0..4)).prop_map(|(first, rest)| [vec![first], rest].concat())
}

fn step() -> impl Strategy<Value = Step> {
    let write =
        (key(), proptest::option::of(prop_oneof![4 => 0usize..64, 1 => INLINE_MAX_BYTES - 1..INLINE_MAX_BYTES + 2]));
    prop_oneof![
        6 => proptest::collection::vec(write, 1..24).prop_map(Step::Apply),
        4 => (key(), key(), 0usize..40, any::<bool>()).prop_map(|(a, b, limit, up)| Step::Scan(a, b, limit, up)),
        2 => key().prop_map(Step::Get),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_the_model_does(steps in proptest::collection::vec(step(), 1..60)) {
        let model = MemoryStore::new();
        let mut subject = OnDisk::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Apply(writes) => {
                    let batch = batch(writes, at);
                    model.apply(batch.clone()).unwrap();
                    subject.store.apply(batch).unwrap();
                }
                Step::Scan(start, end, limit, up) => {
                    let direction = if up { Direction::Forward } else { Direction::Reverse };
                    let expected = model.scan(&start, &end, limit, direction).unwrap();
                    prop_assert_eq!(subject.store.scan(&start, &end, limit, direction).unwrap(), expected);
                }
                Step::Get(key) => prop_assert_eq!(subject.store.get(&key).unwrap(), model.get(&key).unwrap()),
                Step::Reopen => subject = subject.again(),
            }
        }
        prop_assert_eq!(dump(&subject.again().store), dump(&model));
    }
}

/// The largest rows in the patterns that make leaves large: filled in random order, overwritten, and thinned out so
/// that each leaf keeps a few rows and is merged into its left neighbour.
#[test]
fn the_largest_rows_never_reach_blobs() {
    let subject = OnDisk::new();
    let key = |number: u32| {
        let mut key = vec![7u8; MAX_KEY_BYTES];
        // Different from the first byte on, so that no prefix is shared and nothing saved.
        key[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
        key[0] = key[0].max(9);
        key
    };
    let value = Bytes::from(vec![1u8; INLINE_MAX_BYTES]);
    for first in (0..2 * ROWS).step_by(40) {
        let mut batch = Batch::new();
        for number in first..first + 40 {
            batch.put(key(number % ROWS), value.clone());
        }
        subject.store.apply(batch).unwrap();
        assert!(subject.store.shared.map.nothing_overflowed());
    }
    for keep_every in [2, 3, 5] {
        let rows = dump(&subject.store);
        for chunk in rows.chunks(16) {
            let mut batch = Batch::new();
            for (at, (key, _)) in chunk.iter().enumerate() {
                if at % keep_every != 0 {
                    batch.delete(key.clone());
                }
            }
            subject.store.apply(batch).unwrap();
            assert!(subject.store.shared.map.nothing_overflowed());
        }
    }
    let subject = subject.again();
    assert!(subject.store.shared.map.nothing_overflowed());
    assert!(subject.store.size_on_disk_bytes().unwrap() > u64::from(ROWS) * INLINE_MAX_BYTES as u64);
}

#[test]
fn a_failed_fdatasync_is_reported_and_final() {
    let subject = OnDisk::new();
    subject.store.apply(row(1, 10)).unwrap();
    subject.store.writer.lock().unwrap().log.fail_next_sync = true;
    let error = subject.store.apply(row(2, 10)).unwrap_err();
    assert!(matches!(error, StoreError::Io { operation: "write of the log", .. }), "{error}");
    assert!(subject.store.poisoned().unwrap().contains("write of the log"));
    assert!(matches!(subject.store.apply(row(3, 10)), Err(StoreError::Poisoned { .. })));
    assert!(matches!(subject.store.get(&plain(1)), Err(StoreError::Poisoned { .. })));
    assert!(matches!(
        subject.store.scan(b"", &prefix_end(b""), 10, Direction::Forward),
        Err(StoreError::Poisoned { .. })
    ));

    let subject = subject.again();
    assert!(subject.store.poisoned().is_none());
    assert!(subject.store.get(&plain(1)).unwrap().is_some());
    assert!(subject.store.get(&plain(3)).unwrap().is_none());
}

#[test]
fn a_damaged_page_read_later_poisons_without_a_panic() {
    let dir = filled();
    let subject = OnDisk { store: OPTIONS.open(dir.path()).unwrap(), dir };
    // Under the open store, as a failing disk would; the small cache makes it read from the file again.
    let length = fs::metadata(data_file(subject.dir.path())).unwrap().len();
    overwrite(&data_file(subject.dir.path()), 0, length);
    let error = subject.store.scan(b"", &prefix_end(b""), usize::MAX, Direction::Forward).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. } | StoreError::Io { .. }), "{error}");
    assert!(subject.store.poisoned().is_some());
    assert!(matches!(subject.store.apply(row(1, 1)), Err(StoreError::Poisoned { .. })));
    assert!(matches!(subject.store.get(b"x"), Err(StoreError::Poisoned { .. })));
}

#[test]
fn a_second_open_is_refused_until_the_first_is_closed() {
    let subject = OnDisk::new();
    let error = refusal(subject.dir.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(subject.dir.path().to_str().unwrap()), "{error}");
    subject.store.apply(row(1, 1)).unwrap();
    let _ = subject.again();
}

#[test]
fn folders_are_created_private_and_nested() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("a/b/data");
    drop(OPTIONS.open(&data_dir).unwrap());
    for path in ["a", "a/b", "a/b/data", "a/b/data/store", "a/b/data/store/sled"] {
        let mode = fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{path}");
    }
}

#[test]
fn an_unfinished_creation_is_started_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("store.new/sled/blobs")).unwrap();
    fs::write(dir.path().join("store.new/sled/db"), b"half").unwrap();
    drop(OPTIONS.open(dir.path()).unwrap());
    assert!(!dir.path().join("store.new").exists());
    drop(OPTIONS.open(dir.path()).unwrap());
}

#[test]
fn a_newer_format_is_refused_with_path_and_versions() {
    let dir = OnDisk::new().close();
    let path = dir.path().join("store/FORMAT");
    fs::write(&path, "pinion-store\n7\n").unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::FormatTooNew { found: 7, supported: format::VERSION, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains('7') && text.contains('4'), "{text}");
}

#[test]
fn an_older_format_is_refused_and_nothing_is_touched() {
    for older in 1..format::VERSION {
        let dir = OnDisk::new().close();
        let path = dir.path().join("store/FORMAT");
        let text = format!("pinion-store\n{older}\n");
        fs::write(&path, &text).unwrap();
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::FormatTooOld { found, .. } if found == older), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.to_string().contains("an older version wrote it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn missing_and_garbled_files_are_refused_by_name() {
    let garble: [(&str, Option<&[u8]>); 8] = [
        ("store/log/0", None),
        ("store/log/1", None),
        ("store/FORMAT", None),
        ("store/FORMAT", Some(b"")),
        ("store/FORMAT", Some(b"\xff\xfe garbage")),
        ("store/sled/db", None),
        ("store/sled/conf", None),
        ("store/sled/conf", Some(b"segment_size: garbage\nversion: ?\n....")),
    ];
    for (name, contents) in garble {
        let dir = OnDisk::new().close();
        let path = dir.path().join(name);
        match contents {
            None => fs::remove_file(&path).unwrap(),
            Some(contents) => fs::write(&path, contents).unwrap(),
        }
        let error = refusal(dir.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{name}: {error}");
        let named = if contents.is_some() && name.ends_with("conf") { "store/sled" } else { name };
        assert!(error.to_string().contains(dir.path().join(named).to_str().unwrap()), "{name}: {error}");
    }
}

fn overwrite(path: &Path, from: u64, bytes: u64) {
    use std::os::unix::fs::FileExt;
    // A fixed pattern with no run of equal bytes.
    let garbage: Vec<u8> = (0..bytes).map(|at| (at.wrapping_mul(167) ^ (at >> 7)) as u8).collect();
    File::options().write(true).open(path).unwrap().write_all_at(&garbage, from).unwrap();
}

fn remove_snapshots(dir: &Path) {
    for entry in fs::read_dir(dir.join("store/sled")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_damaged_data_file_is_refused_by_path_not_reborn_empty() {
    const SEGMENT: u64 = 2 * 1024 * 1024;
    type Damage = fn(&Path, u64);
    let damages: [(&str, Damage); 6] = [
        ("emptied", |path, _| File::options().write(true).open(path).unwrap().set_len(0).unwrap()),
        ("cut in half", |path, len| File::options().write(true).open(path).unwrap().set_len(len / 2).unwrap()),
        ("all garbage", |path, len| overwrite(path, 0, len)),
        ("all zeros", |path, len| fs::write(path, vec![0; len as usize]).unwrap()),
        ("first segment garbage", |path, _| overwrite(path, 0, SEGMENT)),
        ("garbage inside the last segment", |path, len| overwrite(path, (len - 1) / SEGMENT * SEGMENT + 64, 4096)),
    ];
    for with_snapshot in [true, false] {
        for (name, damage) in damages {
            let dir = filled();
            let path = data_file(dir.path());
            if !with_snapshot {
                remove_snapshots(dir.path());
            }
            damage(&path, fs::metadata(&path).unwrap().len());
            let error = match OPTIONS.open(dir.path()) {
                Err(error) => error,
                // Damage that opening does not read is found when it is read, unless nothing that lives was hit.
                Ok(store) => {
                    let found = store.scan(b"", &prefix_end(b""), usize::MAX, Direction::Forward);
                    let found = found.map(|rows| rows.len());
                    assert!(
                        found.as_ref().map_or(true, |rows| *rows == ROWS as usize),
                        "{name} (snapshot: {with_snapshot}): {found:?}"
                    );
                    continue;
                }
            };
            assert!(matches!(error, OpenError::Corrupt { .. } | OpenError::Io { .. }), "{name}: {error}");
            let folder = dir.path().join("store/sled");
            assert!(error.to_string().contains(folder.to_str().unwrap()), "{name}: {error}");
        }
    }
}

#[test]
fn a_snapshot_cut_short_by_a_kill_is_not_damage() {
    let dir = filled();
    fs::write(dir.path().join("store/sled/snap.7FFFFFFFFFFFFFFF.generating"), b"half a snapshot").unwrap();
    assert_eq!(dump(&OPTIONS.open(dir.path()).unwrap()).len(), ROWS as usize);
}

#[test]
fn a_store_behind_its_watermark_is_refused_and_the_message_says_the_way_on() {
    let subject = OnDisk::new();
    subject.store.apply(row(1, 10)).unwrap();
    let dir = subject.close();
    let mark = dir.path().join("store/WATERMARK");
    Watermark::open(&dir.path().join("store")).unwrap().0.write(2).unwrap();
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("commit 1") && error.contains("commit 2"), "{error}");
    assert!(error.contains(mark.to_str().unwrap()) && error.contains("store/log/"), "{error}");

    fs::remove_file(&mark).unwrap();
    let store = OPTIONS.open(dir.path()).unwrap();
    assert_eq!(dump(&store), [(Bytes::from(plain(1)), Bytes::from(vec![1u8; 10]))]);
}
