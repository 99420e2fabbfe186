//! The log and its checkpoints, in a store on disk: crashes at any instant and with any part of the last write lost,
//! reads beside a checkpoint, and failures of its thread.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::commit::log;
use super::tests::{OPTIONS, OnDisk, batch, plain, refusal, row};
use super::*;
use crate::store::conformance::dump;
use crate::store::{Batch, Direction, MemoryStore, Store, StoreError, prefix_end};

const LOG_FILES: [&str; 2] = ["store/log/0", "store/log/1"];
const WATERMARK: &str = "store/WATERMARK";
const SECTOR_BYTES: usize = 512;

/// Enough of these rows are more than a lap.
const ROW_BYTES: usize = 8000;
const ROWS_OF_A_LAP: u32 = 8;

type Dump = Vec<(Bytes, Bytes)>;

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The folder that a process started now would find, were this one gone.
pub(crate) fn crashed(subject: &OnDisk) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    subject.store.shared.checkpoints.at_an_instant(|| copy_folder(subject.dir.path(), dir.path()));
    dir
}

pub(crate) fn reopened(dir: tempfile::TempDir) -> OnDisk {
    OnDisk { store: OPTIONS.open(dir.path()).unwrap(), dir }
}

/// The files that a commit writes.
struct Unsynced {
    logs: [Vec<u8>; 2],
    watermark: Vec<u8>,
}

impl Unsynced {
    fn read(dir: &Path) -> Self {
        let read = |name: &str| fs::read(dir.join(name)).unwrap();
        Self { logs: LOG_FILES.map(read), watermark: read(WATERMARK) }
    }

    /// Takes back the last commit's writes to the log since, but for some sectors.
    fn tear(&self, dir: &Path, mut reached: impl FnMut() -> bool) {
        for (name, old) in LOG_FILES.iter().zip(&self.logs) {
            let mut bytes = fs::read(dir.join(name)).unwrap();
            for (sector, bytes) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
                if !reached() {
                    let old = old.get(sector * SECTOR_BYTES..).unwrap_or_default();
                    for (at, byte) in bytes.iter_mut().enumerate() {
                        *byte = old.get(at).copied().unwrap_or(0);
                    }
                }
            }
            fs::write(dir.join(name), bytes).unwrap();
        }
        fs::write(dir.join(WATERMARK), &self.watermark).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(u8, Option<usize>)>),
    Scan(u8, u8, usize, bool),
    /// The number of pieces that the checkpoint thread may write from now on.
    Allow(Option<usize>),
    Kill,
    PowerCut(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (
        1u8..41,
        proptest::option::weighted(0.8, prop_oneof![16 => 0usize..64, 8 => 2000usize..8192, 1 => 65_000usize..70_000]),
    );
    prop_oneof![
        12 => proptest::collection::vec(write, 1..8).prop_map(Step::Apply),
        4 => (0u8..41, 0u8..42, 0usize..50, any::<bool>()).prop_map(|(a, b, limit, up)| Step::Scan(a, b, limit, up)),
        2 => prop_oneof![(0usize..12).prop_map(Some), Just(None)].prop_map(Step::Allow),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => Just(Step::Reopen),
    ]
}

/// A store, the model beside it, and both as they were before the last commit.
struct Pair {
    subject: OnDisk,
    model: MemoryStore,
    before: (Dump, Unsynced),
}

impl Pair {
    fn new() -> Self {
        let subject = OnDisk::new();
        let before = (Vec::new(), Unsynced::read(subject.dir.path()));
        Self { subject, model: MemoryStore::new(), before }
    }

    fn apply(&mut self, batch: Batch) {
        // A commit that waits for a checkpoint that stands still would wait for ever.
        self.subject.store.shared.checkpoints.settle_or_allow();
        self.before = (dump(&self.model), Unsynced::read(self.subject.dir.path()));
        self.model.apply(batch.clone()).unwrap();
        self.subject.store.apply(batch).unwrap();
    }

    fn replace(&mut self, subject: OnDisk) {
        self.subject = subject;
        self.before = (dump(&self.model), Unsynced::read(self.subject.dir.path()));
    }

    fn power_cut(&mut self, seed: u64) {
        let mut random = seed | 1;
        let dir = crashed(&self.subject);
        self.before.1.tear(dir.path(), || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random & 3 != 0
        });
        let subject = reopened(dir);
        let found = dump(&subject.store);
        if found != dump(&self.model) {
            assert_eq!(found, self.before.0, "neither with the last commit nor without it");
            self.model = MemoryStore::new();
            let mut batch = Batch::new();
            found.into_iter().for_each(|(key, value)| batch.put(key, value));
            self.model.apply(batch).unwrap();
        }
        self.replace(subject);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn crashes_at_any_time_leave_what_the_model_has(steps in proptest::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Apply(writes) => {
                    let batch = batch(writes.into_iter().map(|(key, value_bytes)| (vec![key], value_bytes)), at);
                    pair.apply(batch);
                }
                Step::Scan(start, end, limit, up) => {
                    let direction = if up { Direction::Forward } else { Direction::Reverse };
                    let expected = pair.model.scan(&[start], &[end], limit, direction).unwrap();
                    prop_assert_eq!(pair.subject.store.scan(&[start], &[end], limit, direction).unwrap(), expected);
                    prop_assert_eq!(pair.subject.store.get(&[start]).unwrap(), pair.model.get(&[start]).unwrap());
                }
                Step::Allow(pieces) => pair.subject.store.shared.checkpoints.allow(pieces),
                Step::Kill => {
                    let dir = crashed(&pair.subject);
                    pair.replace(reopened(dir));
                    prop_assert_eq!(dump(&pair.subject.store), dump(&pair.model));
                }
                Step::PowerCut(seed) => pair.power_cut(seed),
                Step::Reopen => {
                    let dir = pair.subject.dir.path().to_owned();
                    let Pair { subject, model, .. } = pair;
                    let subject = subject.again();
                    prop_assert_eq!(subject.dir.path(), &dir);
                    let before = (dump(&model), Unsynced::read(&dir));
                    pair = Pair { subject, model, before };
                }
            }
        }
        prop_assert_eq!(dump(&pair.subject.again().store), dump(&pair.model));
    }
}

#[test]
fn a_store_killed_at_every_piece_of_a_checkpoint_comes_back_whole() {
    let subject = OnDisk::new();
    let checkpoints = &subject.store.shared.checkpoints;
    checkpoints.allow(Some(0));
    for key in 0..2 * ROWS_OF_A_LAP - 2 {
        subject.store.apply(row(key, ROW_BYTES)).unwrap();
    }
    let expected = dump(&subject.store);
    assert_eq!(expected.len() as u32, 2 * ROWS_OF_A_LAP - 2);
    assert!(subject.store.shared.layers.now().1.is_some(), "a lap was handed over");
    for _ in 0..=ROWS_OF_A_LAP {
        let dir = crashed(&subject);
        // Opening is cut short too: killed as soon as it is done, or before it began.
        let again = crashed(&reopened(dir));
        assert_eq!(dump(&reopened(again).store), expected);
        checkpoints.allow(Some(1));
    }
    checkpoints.allow(None);
    checkpoints.settle();
    assert!(subject.store.shared.layers.now().1.is_none());
    assert_eq!(dump(&subject.store), expected);
    assert_eq!(dump(&reopened(crashed(&subject)).store), expected);
}

#[test]
fn a_store_closed_during_a_checkpoint_does_not_wait_for_it() {
    let subject = OnDisk::new();
    subject.store.shared.checkpoints.allow(Some(2));
    for key in 0..2 * ROWS_OF_A_LAP - 2 {
        subject.store.apply(row(key, ROW_BYTES)).unwrap();
    }
    let expected = dump(&subject.store);
    assert_eq!(dump(&subject.again().store), expected);
}

/// Every commit sets all keys to its own number, so a scan that misses a row, or shows one that was there before the
/// last commit it must show, is found out.
#[test]
fn reads_beside_checkpoints_miss_nothing() {
    const KEYS: u32 = 24;
    const COMMITS: u64 = 200;
    let subject = OnDisk::new();
    let acknowledged = AtomicU64::new(0);
    let commit = |number: u64| {
        let mut batch = Batch::new();
        for key in 0..KEYS {
            let mut value = number.to_be_bytes().to_vec();
            value.resize(800, 0);
            batch.put(plain(key), value);
        }
        subject.store.apply(batch).unwrap();
        acknowledged.store(number, Ordering::Release);
    };
    let number = |value: &Bytes| u64::from_be_bytes(value[..8].try_into().unwrap());
    commit(1);
    std::thread::scope(|scope| {
        for direction in [Direction::Forward, Direction::Reverse] {
            let (store, acknowledged) = (&subject.store, &acknowledged);
            scope.spawn(move || {
                while acknowledged.load(Ordering::Acquire) < COMMITS {
                    let at_least = acknowledged.load(Ordering::Acquire);
                    let rows = store.scan(b"", &prefix_end(b""), usize::MAX, direction).unwrap();
                    assert_eq!(rows.len() as u32, KEYS);
                    assert!(rows.iter().all(|(_, value)| number(value) >= at_least));
                    let value = store.get(&plain(7)).unwrap().unwrap();
                    assert!(number(&value) >= at_least);
                }
            });
        }
        (2..=COMMITS).for_each(commit);
    });
}

#[test]
fn a_commit_that_finds_both_laps_full_waits_and_is_told_of_a_failure_meanwhile() {
    let subject = OnDisk::new();
    subject.store.shared.checkpoints.allow(Some(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut acknowledged = 0;
            loop {
                match subject.store.apply(row(acknowledged, ROW_BYTES)) {
                    Ok(()) => acknowledged += 1,
                    Err(error) => return (acknowledged, error),
                }
            }
        });
        // The writer holds its lock for as long as it waits, and no commit takes that long here.
        let full = || subject.store.shared.checkpoints.someone_waits();
        while !full() {
            std::thread::yield_now();
        }
        subject.store.shared.poison.latch(StoreError::io("test")(std::io::Error::other("injected fault")));
        let (acknowledged, error) = writer.join().unwrap();
        assert!(matches!(error, StoreError::Poisoned { .. }), "{error}");
        assert!(acknowledged < 2 * ROWS_OF_A_LAP, "{acknowledged} commits are more than two laps");
    });
    let logs = log::file_bytes(&subject.store.shared.log_files).unwrap();
    assert!(logs <= 2 * OPTIONS.log_max_bytes as u64, "{logs} bytes of log");
    assert!(subject.store.size_on_disk_bytes().unwrap() > logs);
}

/// Applies until the checkpoint thread's failure is noticed; every acknowledged row is there after the next start.
fn fails_in_a_checkpoint(subject: OnDisk, reason: &str) {
    let acknowledged = (0..).find(|key| subject.store.apply(row(*key, ROW_BYTES)).is_err()).unwrap();
    assert!(subject.store.poisoned().unwrap().contains(reason), "{:?}", subject.store.poisoned());
    assert!(matches!(subject.store.get(b"x"), Err(StoreError::Poisoned { .. })));
    assert!(acknowledged >= ROWS_OF_A_LAP - 2, "it failed before the first checkpoint");
    let subject = subject.again();
    assert_eq!(dump(&subject.store).len() as u32, acknowledged);
    assert!(subject.store.poisoned().is_none());
}

#[test]
fn a_checkpoint_that_cannot_sync_stops_the_store() {
    let subject = OnDisk::new();
    subject.store.shared.map.fail_next_sync();
    fails_in_a_checkpoint(subject, "fdatasync");
}

#[test]
fn a_checkpoint_thread_that_panics_stops_the_store() {
    let subject = OnDisk::new();
    subject.store.shared.checkpoints.panic_next();
    fails_in_a_checkpoint(subject, "panicked");
}

#[test]
fn a_log_damaged_before_its_end_is_refused_by_file_and_offset() {
    let subject = OnDisk::new();
    for key in 0..3 {
        subject.store.apply(row(key, 10)).unwrap();
    }
    let dir = subject.close();
    let lap = LOG_FILES.iter().find(|name| fs::metadata(dir.path().join(name)).unwrap().len() > 4096).unwrap();
    let path = dir.path().join(lap);
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 4096 + 40] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("byte 8192") && text.contains("commit 2"), "{text}");
}

#[test]
fn an_acknowledged_commit_cut_off_the_end_is_refused() {
    let subject = OnDisk::new();
    for key in 0..3 {
        subject.store.apply(row(key, 10)).unwrap();
    }
    let dir = subject.close();
    let lap = LOG_FILES.iter().find(|name| fs::metadata(dir.path().join(name)).unwrap().len() > 4096).unwrap();
    let file = File::options().write(true).open(dir.path().join(lap)).unwrap();
    file.set_len(3 * 4096 + 20).unwrap();
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("ends at commit 2") && error.contains("commit 3 was acknowledged"), "{error}");
    assert!(error.contains(lap), "{error}");
}

#[test]
fn a_commit_larger_than_the_log_is_taken_alone() {
    let subject = OnDisk::new();
    let mut large = Batch::new();
    for key in 0..40u32 {
        large.put(plain(key), vec![key as u8; 8192]);
    }
    for round in 0..3 {
        subject.store.apply(large.clone()).unwrap();
        subject.store.apply(row(100 + round, 10)).unwrap();
    }
    let expected = dump(&subject.store);
    assert_eq!(expected.len(), 43);
    assert_eq!(dump(&subject.again().store), expected);
}
