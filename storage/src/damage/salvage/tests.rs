//! Reading without sled finds the rows that sled would have read, and damage costs as much as the findings say and no
//! more.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::message::{Kind, Message, SEGMENT_HEAD_BYTES};
use super::*;
use crate::disk::crash_tests::crashed;
use crate::disk::map::SEGMENT_BYTES;
use crate::disk::tests::{OPTIONS, OnDisk};
use crate::store::Store as _;
use crate::store::conformance::dump;

pub(crate) type Rows = BTreeMap<Bytes, Bytes>;

/// Commits of the store that is damaged; its log has room for about fifteen.
const COMMITS: u64 = 600;

/// SplitMix64: the same numbers each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// A store that rows were written to, rewritten and deleted again, so that pages have split and merged; opened again in
/// between. `close`: ended in good order.
pub(crate) fn worn(seed: u64, close: bool) -> (tempfile::TempDir, Rows) {
    let mut random = Random(seed);
    let mut subject = OnDisk::new();
    for commit in 0..COMMITS {
        let mut batch = Batch::new();
        for _ in 0..8 {
            let key = (random.below(900) as u32).to_be_bytes();
            // Of kinds whose values are apart, and of others.
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

pub(crate) fn salvaged(dir: &Path) -> (Rows, Vec<Finding>) {
    let found = read(&dir.join("store")).unwrap();
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
pub(crate) fn places(dir: &Path, random: &mut Random, count: usize) -> Vec<usize> {
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

/// Rows that are missing or another one are named, and none is there that was removed. How many are wrong.
fn costs_what_is_said(rows: &Rows, there: &Rows, findings: &[Finding], what: &str) -> usize {
    let within = |key: &Bytes, from: &Bytes, to: &Bytes| key >= from && (to.is_empty() || key < to);
    let lost =
        |key: &Bytes| findings.iter().any(|it| matches!(it, Finding::LostKeys(from, to) if within(key, from, to)));
    let older = |key: &Bytes| {
        findings.iter().any(|it| match it {
            Finding::OutdatedKeys(from, to, _) => within(key, from, to),
            Finding::Unknown => true,
            _ => false,
        })
    };
    for (key, value) in rows {
        assert!(there.get(key) == Some(value) || lost(key) || older(key), "{what}: {key:?}: {findings:?}");
    }
    // Value files have more under the keys of a lost leaf: the removed values.
    for (key, value) in there {
        assert!(rows.get(key) == Some(value) || older(key), "{what}: {key:?} is there: {findings:?}");
    }
    let wrong_rows = rows.iter().filter(|(key, value)| there.get(*key) != Some(value)).count();
    assert!(wrong_rows <= 60, "{what} costs {wrong_rows} rows: {findings:?}");
    wrong_rows
}

/// The offsets of pages and of changes of them in the first segment of the data file.
fn messages(bytes: &[u8]) -> Vec<(usize, Message)> {
    let mut messages = Vec::new();
    let mut at = SEGMENT_HEAD_BYTES;
    while let Some(message) = Message::read(&bytes[at..bytes.len().min(SEGMENT_BYTES)]) {
        if matches!(message.kind, Kind::Node | Kind::Link) {
            messages.push((at, message));
        }
        at += message.bytes();
    }
    messages
}

#[test]
fn a_damaged_page_or_change_costs_what_is_said_of_it() {
    let (dir, rows) = worn(19, true);
    let path = dir.path().join("store/sled/db");
    let whole = fs::read(&path).unwrap();
    let (mut lost_separated, mut lost_plain) = (0, 0);
    let messages = messages(&whole);
    let (links, pages): (Vec<_>, Vec<_>) = messages.into_iter().partition(|(_, message)| message.kind == Kind::Link);
    // Those that were written last are in use.
    let links = links.iter().rev().step_by(5).take(40);
    for (nth, (at, message)) in pages.iter().rev().take(100).chain(links).enumerate() {
        let mut wrong = whole.clone();
        let body = at + message.head_bytes;
        // The number of the page it is of, in the header; or its content.
        match nth % 3 {
            0 => wrong[body - 1] ^= 0x41,
            _ => wrong[body + message.body_bytes / 2..][..message.body_bytes.min(18) / 2].fill(0x55),
        }
        fs::write(&path, wrong).unwrap();
        let (there, findings) = salvaged(dir.path());
        costs_what_is_said(&rows, &there, &findings, &format!("{message:?} at {at}"));
        let gone = |key: &&Bytes| !there.contains_key(*key);
        let (separated, plain): (Vec<_>, Vec<_>) =
            rows.keys().filter(gone).partition(|key| OPTIONS.separated.contains(key));
        (lost_separated, lost_plain) = (lost_separated + separated.len(), lost_plain + plain.len());
    }
    assert!(lost_separated > 0 && lost_plain > 0, "{lost_separated} {lost_plain}");
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
        let wrong_rows = costs_what_is_said(&rows, &there, &findings, &format!("sector at {sector}"));
        lossless += usize::from(wrong_rows == 0);
    }
    assert!(lossless > 0);
}

/// A random value file, and its content.
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
        // If the damage ends within the sum of an entry, that entry is said to be damaged, and its value is right.
        let as_said = (wrong_rows..=wrong_rows + 1).contains(&said);
        assert!(if nth % 3 == 2 { said <= 1 } else { as_said }, "{wrong_rows} {findings:?}");
        assert!(nth % 3 != 0 || wrong_rows <= 8, "{wrong_rows}");
        damaged += wrong_rows;
        fs::write(&path, whole).unwrap();
    }
    assert!(damaged > 60, "{damaged}");
}
