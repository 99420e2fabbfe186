//! A start on a damaged map: it shows all, or is refused before sled writes over bytes that a repair needs.

use std::fs;
use std::path::Path;

use super::tests::{Random, Rows, places, salvaged, worn};
use super::*;
use crate::disk::crash_tests::copy_folder;
use crate::disk::map::SEGMENT_BYTES;
use crate::disk::tests::{OPTIONS, OnDisk};
use crate::store::conformance::dump;
use crate::store::{Direction, Store as _, prefix_end};

/// Places in the part of the data file that was written last: behind the last but three of the commit numbers in it.
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
    let leaves = leaves::lay_out(&file, &then).unwrap();
    leaves.missing_value_file(&ValueFiles::new(&dir.join("store/values"))).unwrap().is_some()
}

#[test]
fn a_start_is_refused_where_a_value_file_is_gone_that_the_map_before_the_damage_leads_to() {
    let mut random = Random(18);
    // If the next checkpoint had begun, the log does not reach back, and the start is refused for that.
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
