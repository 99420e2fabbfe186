//! What is read without sled is what sled would have read, and damage costs what the findings say and no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::store::conformance::dump;
use crate::store::sled::crash_tests::{copy_folder, crashed};
use crate::store::sled::tests::{OPTIONS, OnDisk};
use crate::store::{Direction, Store as _, prefix_end};

type Rows = BTreeMap<Bytes, Bytes>;

/// Commits of the store that is damaged; its log has room for about fifteen.
const COMMITS: u64 = 600;

/// SplitMix64: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// A store that rows were written to, rewritten and deleted again, so that pages have split and merged; opened again in
/// between. `close`: ended in good order.
fn worn(seed: u64, close: bool) -> (tempfile::TempDir, Rows) {
    let mut random = Random(seed);
    let mut subject = OnDisk::new();
    for commit in 0..COMMITS {
        let mut batch = Batch::new();
        for _ in 0..8 {
            let key = (random.below(900) as u32).to_be_bytes();
            let key = [&[1 + (key[3] % 3)], &key[..]].concat();
            // Much goes in the second half.
            if random.below(10) < if commit > COMMITS / 2 { 7 } else { 1 } {
                batch.delete(key);
            } else {
                batch.put(key, vec![commit as u8; random.below(700)]);
            }
        }
        subject.store.apply(batch).unwrap();
        if commit % 200 == 199 {
            subject = subject.again();
        }
    }
    let rows = dump(&subject.store).into_iter().collect();
    if close { (subject.close(), rows) } else { (crashed(&subject), rows) }
}

fn salvaged(dir: &Path) -> (Rows, Vec<Finding>) {
    let found = read(&dir.join("store")).unwrap();
    let mut rows = Rows::new();
    found
        .rows(|batch| {
            for (key, write) in batch.iter() {
                let Write::Put(value) = write else { panic!("a deletion") };
                assert!(rows.insert(key.clone(), value.clone()).is_none(), "a row came twice");
            }
            Ok::<_, io::Error>(())
        })
        .unwrap();
    (rows, found.findings)
}

#[test]
fn a_whole_store_is_read_as_sled_reads_it() {
    for seed in 0..4 {
        let (dir, rows) = worn(seed, seed % 2 == 0);
        let (there, findings) = salvaged(dir.path());
        assert_eq!(findings, []);
        assert!(there == rows, "{} rows of {}", there.len(), rows.len());
    }
}

/// Places in the data file that hold something.
fn places(dir: &Path, random: &mut Random, count: usize) -> Vec<usize> {
    let bytes = fs::read(dir.join("store/sled/db")).unwrap();
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    (0..count).map(|_| used[random.below(used.len())]).collect()
}

#[test]
fn one_flipped_bit_of_the_data_file_costs_nothing() {
    for close in [true, false] {
        let (dir, rows) = worn(7, close);
        let path = dir.path().join("store/sled/db");
        let whole = fs::read(&path).unwrap();
        let mut random = Random(8);
        for at in places(dir.path(), &mut random, 120) {
            let mut wrong = whole.clone();
            wrong[at] ^= 1 << random.below(8);
            fs::write(&path, wrong).unwrap();
            let (there, findings) = salvaged(dir.path());
            let right = |finding: &Finding| *finding == Finding::Corrected("sled/db", at as u64);
            assert!(findings.iter().all(right), "byte {at}: {findings:?}");
            assert!(there == rows, "byte {at}: {} rows of {}", there.len(), rows.len());
        }
    }
}

#[test]
fn a_damaged_sector_costs_what_is_said_of_it() {
    let (dir, rows) = worn(9, true);
    let path = dir.path().join("store/sled/db");
    let whole = fs::read(&path).unwrap();
    let mut lossless = 0;
    for at in places(dir.path(), &mut Random(10), 160) {
        let mut wrong = whole.clone();
        // A sector, or a few bytes within one message.
        let (sector, bytes) = if at % 2 == 0 { (at / 512 * 512, 512) } else { (at, 9) };
        let end = (sector + bytes).min(wrong.len());
        wrong[sector..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, wrong).unwrap();
        let (there, findings) = salvaged(dir.path());
        let named = |key: &Bytes| {
            findings.iter().any(|finding| match finding {
                Finding::LostKeys(from, to) | Finding::OutdatedKeys(from, to, _) => {
                    key >= from && (to.is_empty() || key < to)
                }
                Finding::Unknown => true,
                _ => false,
            })
        };
        for (key, value) in &rows {
            assert!(there.get(key) == Some(value) || named(key), "sector at {sector}: {key:?}: {findings:?}");
        }
        assert!(there.keys().all(|key| rows.contains_key(key) || named(key)), "sector at {sector}");
        let wrong_rows = rows.iter().filter(|(key, value)| there.get(*key) != Some(value)).count();
        assert!(wrong_rows <= 60, "sector at {sector} costs {wrong_rows} rows: {findings:?}");
        lossless += usize::from(wrong_rows == 0);
    }
    assert!(lossless > 0);
}

#[test]
fn a_start_shows_all_or_is_refused_and_all_is_there_to_be_repaired() {
    let (mut refused, mut whole_after_all) = (0, 0);
    for close in [true, false] {
        let (original, rows) = worn(11, close);
        let mut random = Random(12);
        for at in places(original.path(), &mut random, 40) {
            let dir = tempfile::tempdir().unwrap();
            copy_folder(original.path(), dir.path());
            let path = dir.path().join("store/sled/db");
            let mut wrong = fs::read(&path).unwrap();
            wrong[at] ^= 1 << random.below(8);
            fs::write(&path, &wrong).unwrap();
            match OPTIONS.open(dir.path()) {
                Err(_) => {
                    refused += 1;
                    assert!(salvaged(dir.path()).0 == rows, "byte {at}: the refusal cost rows");
                }
                Ok(store) => match store.scan(&[], &prefix_end(&[]), usize::MAX, Direction::Forward) {
                    Ok(there) => {
                        whole_after_all += 1;
                        assert!(there.into_iter().eq(rows.clone()), "byte {at}: rows are lost without a word");
                    }
                    // An older page, found damaged when it is read.
                    Err(_) => assert!(store.poisoned().is_some()),
                },
            }
        }
    }
    assert!(refused > 0 && whole_after_all > 0, "{refused} {whole_after_all}");
}
