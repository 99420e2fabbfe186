//! What is read without sled is what sled would have read, and damage costs what the findings say and no more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::store::conformance::dump;
use crate::store::sled::OpenOptions;
use crate::store::sled::crash_tests::{copy_folder, crashed};
use crate::store::sled::open::SEGMENT_BYTES;
use crate::store::sled::tests::{OPTIONS, OnDisk, row};
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
            // In both trees.
            let key = [&[6 + (key[3] % 4)], &key[..]].concat();
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
    let found = read(&dir.join("store"), OPTIONS.apart).unwrap();
    let mut rows = Rows::new();
    let in_values = found
        .rows(|batch| {
            for (key, write) in batch.iter() {
                let Write::Put(value) = write else { panic!("a deletion") };
                assert!(rows.insert(key.clone(), value.clone()).is_none(), "a row came twice");
            }
            Ok::<_, io::Error>(())
        })
        .unwrap();
    (rows, [found.findings, in_values].concat())
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
            let right = |finding: &Finding| *finding == Finding::Corrected("sled/db".into(), at as u64);
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
        // Value files have more under those keys: what was removed.
        let of_lost_leaf = |key: &Bytes| {
            let in_it = |finding: &Finding| matches!(finding, Finding::LostKeys(from, to) if key >= from && (to.is_empty() || key < to));
            findings.iter().any(in_it)
        };
        let risen = there.iter().find(|(key, value)| of_lost_leaf(key) && rows.get(*key) != Some(value));
        assert!(risen.is_none() || findings.contains(&Finding::Unknown), "sector at {sector}: {risen:?}");
        let wrong_rows = rows.iter().filter(|(key, value)| there.get(*key) != Some(value)).count();
        assert!(wrong_rows <= 60, "sector at {sector} costs {wrong_rows} rows: {findings:?}");
        lossless += usize::from(wrong_rows == 0);
    }
    assert!(lossless > 0);
}

/// Places in what was written to the data file last: behind the last but three of the commit numbers in it.
fn last_places(dir: &Path, random: &mut Random, count: usize) -> Vec<usize> {
    let path = dir.join("store/sled/db");
    let bytes = fs::read(&path).unwrap();
    let pages = segments::scan(&mut DataFile::open(&path).unwrap(), 0, i64::MAX).unwrap();
    let from = *pages.seals.keys().nth_back(2).unwrap();
    let written = (0..bytes.len()).filter(|at| {
        let begin = at / SEGMENT_BYTES * SEGMENT_BYTES;
        let position = message::segment_position(&bytes[begin..]);
        bytes[*at] != 0 && position.is_some_and(|position| position + (at - begin) as i64 > from)
    });
    let written: Vec<usize> = written.collect();
    (0..count).map(|_| written[random.below(written.len())]).collect()
}

/// A random value file, and what is in it.
fn value_file(dir: &Path, random: &mut Random) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(dir.join("store/values")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| fs::metadata(path).unwrap().len() > 0).collect();
    files.sort();
    let path = files.swap_remove(random.below(files.len()));
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

fn is_of(finding: &Finding, path: &Path) -> bool {
    let (Finding::Corrected(name, _) | Finding::Unreadable(name, ..) | Finding::Missing(name)) = finding else {
        return false;
    };
    path.ends_with(name.as_ref())
}

#[test]
fn one_flipped_bit_of_a_value_file_costs_nothing() {
    let (dir, rows) = worn(13, true);
    let (mut random, mut corrected) = (Random(14), 0);
    for _ in 0..60 {
        let (path, whole) = value_file(dir.path(), &mut random);
        let (mut wrong, at) = (whole.clone(), random.below(whole.len()));
        wrong[at] ^= 1 << random.below(8);
        fs::write(&path, wrong).unwrap();
        let (there, findings) = salvaged(dir.path());
        // Nothing, where the entry is of a value that is dead.
        corrected += findings.len();
        assert!(findings.len() <= 1 && findings.iter().all(|finding| is_of(finding, &path)), "{findings:?}");
        assert!(findings.iter().all(|finding| matches!(finding, Finding::Corrected(..))), "{findings:?}");
        assert!(there == rows, "byte {at} of {}", path.display());
        fs::write(&path, whole).unwrap();
    }
    assert!(corrected > 10);
}

#[test]
fn more_damage_of_a_value_file_costs_the_values_in_it() {
    let (dir, rows) = worn(15, true);
    let (mut random, mut damaged) = (Random(16), 0);
    for nth in 0..60 {
        let (path, whole) = value_file(dir.path(), &mut random);
        let at = random.below(whole.len());
        let mut wrong = whole.clone();
        match nth % 3 {
            0 => wrong[at..(at + 512).min(whole.len())].iter_mut().for_each(|byte| *byte ^= 0x55),
            1 => wrong.truncate(at),
            _ => {}
        }
        fs::write(&path, wrong).unwrap();
        if nth % 3 == 2 {
            fs::remove_file(&path).unwrap();
        }
        let (there, findings) = salvaged(dir.path());
        assert!(findings.iter().all(|finding| is_of(finding, &path)), "{findings:?}");
        assert!(there.keys().eq(rows.keys()), "a row whose value is lost is there, to be found damaged");
        let wrong_rows = there.iter().filter(|(key, value)| rows.get(*key) != Some(value)).count();
        let said = findings.iter().filter(|finding| !matches!(finding, Finding::Corrected(..))).count();
        assert!(if nth % 3 == 2 { said <= 1 } else { said == wrong_rows }, "{wrong_rows} {findings:?}");
        assert!(nth % 3 != 0 || wrong_rows <= 3, "{wrong_rows}");
        damaged += wrong_rows;
        fs::write(&path, whole).unwrap();
    }
    assert!(damaged > 60, "{damaged}");
}

#[test]
fn trees_are_told_apart_without_the_page_that_names_them() {
    for close in [true, false] {
        let (dir, rows) = worn(17, close);
        let path = dir.path().join("store/sled/db");
        let mut wrong = fs::read(&path).unwrap();
        let name = super::super::apart::TREE.as_bytes();
        let named: Vec<usize> = (0..wrong.len() - 12).filter(|at| wrong[*at..].starts_with(name)).collect();
        for at in &named {
            wrong[*at..at + name.len()].fill(0x55);
        }
        fs::write(&path, wrong).unwrap();
        let (there, findings) = salvaged(dir.path());
        assert!(!named.is_empty() && !findings.is_empty());
        assert!(!findings.iter().any(|finding| matches!(finding, Finding::LostKeys(..))), "{findings:?}");
        assert!(there == rows, "{} rows of {}: {findings:?}", there.len(), rows.len());
    }
}

#[test]
fn rows_of_an_older_format_are_read_with_those_that_were_moved() {
    let older = OpenOptions { apart: ApartKeys { from: 0, to: 0 }, ..OPTIONS };
    let dir = tempfile::tempdir().unwrap();
    let store = older.open(dir.path()).unwrap();
    for key in 0..400u32 {
        store.apply(row(key << 18, if key % 3 == 0 { 20 } else { 700 })).unwrap();
    }
    let rows: Rows = dump(&store).into_iter().collect();
    drop(store);
    let (there, findings) = salvaged(dir.path());
    assert_eq!(findings, []);
    assert!(there == rows);
    drop(OPTIONS.open(dir.path()).unwrap());
    let (there, findings) = salvaged(dir.path());
    assert_eq!(findings, []);
    assert!(there == rows);
}

#[test]
fn a_start_shows_all_or_is_refused_and_all_is_there_to_be_repaired() {
    let (mut refused, mut whole_after_all) = (0, 0);
    for close in [true, false] {
        let (original, rows) = worn(11, close);
        let mut random = Random(12);
        let mut places = places(original.path(), &mut random, 30);
        places.extend(last_places(original.path(), &mut random, 50));
        for at in places {
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

fn one_is_gone_since_the_last_but_one_checkpoint(dir: &Path) -> bool {
    let mut file = DataFile::open(&dir.join("store/sled/db")).unwrap();
    let seals = segments::scan(&mut file, 0, i64::MAX).unwrap().seals;
    let last = seals.values().next_back();
    let Some((position, _)) = seals.iter().rev().find(|(_, commit)| Some(*commit) != last) else { return false };
    let then = segments::scan(&mut file, 0, position + 1).unwrap();
    let leaves = leaves::lay_out(&file, &then, OPTIONS.apart, true).unwrap();
    leaves.missing_value_file(&ValueFiles::new(&dir.join("store/values"))).unwrap().is_some()
}

#[test]
fn a_start_is_refused_where_a_value_file_is_gone_that_the_map_before_the_damage_leads_to() {
    let mut random = Random(18);
    // Where the next checkpoint had begun, the log does not reach back, and it is refused for that.
    assert!((0..20).any(|_| some_starts_are_refused_for_a_file_that_is_gone(&mut random)));
}

fn some_starts_are_refused_for_a_file_that_is_gone(random: &mut Random) -> bool {
    let mut subject = OnDisk::new();
    // Most of each lap makes older values dead, so that files are swept all the time.
    let mut commits = 0..5_000u32;
    let (original, rows) = loop {
        let commit = commits.next().expect("no file is ever swept between two checkpoints");
        let mut batch = Batch::new();
        batch.put(vec![6, random.below(60) as u8], vec![commit as u8; 1_500]);
        subject.store.apply(batch).unwrap();
        if commit > 300 && one_is_gone_since_the_last_but_one_checkpoint(subject.dir.path()) {
            let rows: Rows = dump(&subject.store).into_iter().collect();
            let dir = subject.close();
            if one_is_gone_since_the_last_but_one_checkpoint(dir.path()) {
                break (dir, rows);
            }
            // There was one more checkpoint meanwhile.
            subject = OnDisk { store: OPTIONS.open(dir.path()).unwrap(), dir };
        }
    };
    assert!(salvaged(original.path()) == (rows.clone(), Vec::new()));
    let mut gone = 0;
    for at in last_places(original.path(), random, 60) {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(original.path(), dir.path());
        let path = dir.path().join("store/sled/db");
        let mut wrong = fs::read(&path).unwrap();
        wrong[at..(at + 9).min(SEGMENT_BYTES)].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, wrong).unwrap();
        let (there, findings) = salvaged(dir.path());
        // The damage says that rows may be older ones.
        let is_value = |finding: &Finding| matches!(finding, Finding::Missing(name) if name.starts_with("values/"));
        let is_older = |finding: &Finding| matches!(finding, Finding::Unknown | Finding::OutdatedKeys(..));
        let explained = !findings.iter().any(is_value) || findings.iter().any(is_older);
        assert!(explained, "byte {at}: {findings:?}");
        match OPTIONS.open(dir.path()) {
            Err(error) if error.to_string().contains("of then is gone") => gone += 1,
            Err(error) => assert!(error.to_string().contains("is not in the log"), "byte {at}: {error}"),
            Ok(store) => {
                assert!(dump(&store).into_iter().eq(rows.clone()), "byte {at}: rows are lost without a word");
                assert!(there == rows, "byte {at}: {findings:?}");
            }
        }
    }
    gone > 0
}
