//! Erasing: nothing of a value that was replaced is left in any file, whatever happened before and meanwhile, and
//! nothing else is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::crash_tests::{crashed, reopened};
use super::tests::OnDisk;
use crate::store::{Batch, Store};

/// The bytes that the map holds in place of a value that was expunged.
const REPLACED: &[u8] = b"gone";

/// Nothing else on the disk has these bytes.
fn marker(number: usize) -> Vec<u8> {
    format!("<marker-{number:06}>").into_bytes()
}

/// A value of about so many bytes with the marker at its end.
fn marked(number: usize, bytes: usize) -> Vec<u8> {
    [vec![b'x'; bytes], marker(number)].concat()
}

fn put(key: u8, value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    // Of a kind whose values are apart.
    batch.put(vec![1, key], value.to_vec());
    batch
}

/// The files below `dir` that have these bytes.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else {
            // A value file that is swept goes while it is looked for.
            let held = fs::read(&path).unwrap_or_default();
            if held.split(|byte| *byte == b'<').any(|rest| rest.starts_with(&bytes[1..])) {
                found.push(path);
            }
        }
    }
    found
}

/// Another row whose value is apart.
fn separated(number: u8, bytes: usize) -> Batch {
    let mut batch = Batch::new();
    batch.put(vec![7, number], vec![number; bytes]);
    batch
}

/// Commits of other rows, enough for some laps.
fn traffic(subject: &OnDisk) {
    (0..30).for_each(|key| subject.store.apply(separated(key, 8_000)).unwrap());
}

#[test]
fn a_value_of_any_length_is_gone_from_every_file_wherever_it_had_come_to() {
    for bytes in [0, 40, 300, 8_000, 100_000] {
        for (name, between) in [
            ("in the lap of its own", (|_| {}) as fn(&OnDisk)),
            ("checkpointed", traffic),
            ("in both log files", |subject: &OnDisk| subject.store.erase().unwrap()),
        ] {
            let subject = OnDisk::new();
            subject.store.apply(put(1, &marked(1, bytes))).unwrap();
            subject.store.apply(put(2, &marked(2, bytes))).unwrap();
            between(&subject);
            assert!(!files_with(subject.dir.path(), &marker(1)).is_empty(), "{name}: it is on the disk before");
            subject.store.apply(put(1, REPLACED)).unwrap();
            subject.store.erase().unwrap();
            assert_eq!(files_with(subject.dir.path(), &marker(1)), Vec::<PathBuf>::new(), "{name}, {bytes} bytes");
            assert_eq!(subject.store.get(&[1, 1]).unwrap().as_deref(), Some(REPLACED));
            let neighbour = Bytes::from(marked(2, bytes));
            assert_eq!(subject.store.get(&[1, 2]).unwrap(), Some(neighbour.clone()), "{name}, {bytes} bytes");
            let subject = subject.again();
            assert_eq!(subject.store.get(&[1, 2]).unwrap(), Some(neighbour));
            assert_eq!(files_with(subject.dir.path(), &marker(1)), Vec::<PathBuf>::new());
        }
    }
}

#[test]
fn commits_and_reads_go_on_while_values_are_erased() {
    let subject = OnDisk::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut key = 0;
            while !over.load(Ordering::SeqCst) {
                key = (key + 1) % 200;
                subject.store.apply(separated(key, 6_000)).unwrap();
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let value = subject.store.get(&[1, 1]).unwrap();
                let whole = value.is_none_or(|value| value == REPLACED || value.ends_with(b">"));
                assert!(whole, "a reader saw a value that was wiped");
            }
        });
        for number in 0..5 {
            subject.store.apply(put(1, &marked(number, 3_000))).unwrap();
            std::thread::yield_now();
            subject.store.apply(put(1, REPLACED)).unwrap();
            subject.store.erase().unwrap();
            assert_eq!(files_with(&subject.dir.path().join("store"), &marker(number)), Vec::<PathBuf>::new());
        }
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn an_erasure_right_after_another_and_one_of_nothing_leave_a_store_that_opens() {
    let subject = OnDisk::new();
    subject.store.erase().unwrap();
    let subject = subject.again();
    subject.store.apply(put(1, b"a")).unwrap();
    subject.store.erase().unwrap();
    subject.store.erase().unwrap();
    // Both log files are as if they had never been used.
    let subject = reopened(crashed(&subject));
    assert_eq!(subject.store.get(&[1, 1]).unwrap().as_deref(), Some(&b"a"[..]));
    subject.store.apply(put(2, b"b")).unwrap();
    let subject = subject.again();
    assert_eq!(subject.store.get(&[1, 2]).unwrap().as_deref(), Some(&b"b"[..]));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, usize),
    Replace(u8),
    Delete(u8),
    Traffic,
    Allow(Option<usize>),
    Kill,
    Reopen,
    Erase,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..20, prop_oneof![2 => 0usize..400, 1 => 2_000usize..8_000]).prop_map(|(key, n)| Step::Put(key, n)),
        4 => (0u8..20).prop_map(Step::Replace),
        2 => (0u8..20).prop_map(Step::Delete),
        2 => Just(Step::Traffic),
        1 => prop_oneof![(0usize..12).prop_map(Some), Just(None)].prop_map(Step::Allow),
        1 => Just(Step::Kill),
        1 => Just(Step::Reopen),
        2 => Just(Step::Erase),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_before_nothing_replaced_is_left_and_nothing_else_is_lost(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut subject = OnDisk::new();
        // Marker and value of each key that has one, and the markers of values that were replaced.
        let (mut living, mut replaced) = (BTreeMap::<u8, (usize, Vec<u8>)>::new(), Vec::<usize>::new());
        for (number, step) in steps.into_iter().chain([Step::Erase]).enumerate() {
            if !matches!(step, Step::Allow(_) | Step::Kill) {
                // A commit that waits for a checkpoint that stands still would wait for ever.
                subject.store.shared.checkpoints.settle_or_allow();
            }
            match step {
                // A payload is written once: here a key has another value only in place of one that is gone.
                Step::Put(key, bytes) if !living.contains_key(&key) => {
                    let value = marked(number, bytes);
                    subject.store.apply(put(key, &value)).unwrap();
                    living.insert(key, (number, value));
                }
                Step::Replace(key) => {
                    if let Some((marker, _)) = living.remove(&key) {
                        subject.store.apply(put(key, REPLACED)).unwrap();
                        replaced.push(marker);
                    }
                }
                Step::Delete(key) => {
                    if living.remove(&key).is_some() {
                        let mut batch = Batch::new();
                        batch.delete(vec![1, key]);
                        subject.store.apply(batch).unwrap();
                    }
                }
                Step::Put(..) => {}
                Step::Traffic => traffic(&subject),
                Step::Allow(pieces) => subject.store.shared.checkpoints.allow(pieces),
                Step::Kill => subject = reopened(crashed(&subject)),
                Step::Reopen => subject = subject.again(),
                Step::Erase => {
                    subject.store.erase().unwrap();
                    for marker in replaced.drain(..).map(marker) {
                        prop_assert_eq!(files_with(subject.dir.path(), &marker), Vec::<PathBuf>::new());
                    }
                }
            }
            for (key, (_, value)) in &living {
                let found = subject.store.get(&[1, *key]).unwrap();
                prop_assert!(found.as_deref() == Some(&value[..]), "key {}", key);
            }
        }
    }
}
