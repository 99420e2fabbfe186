//! A whole sector is nonsense, more than a checksum can put right. `pinion repair` saves the rest and names the loss.
//! Every message that it does not name is there as it was sent.
//!
//! `PINION_SECTORS` sets how many (default 16), `PINION_SECTOR_SEED` which.

use super::flipped::{EVENTS, Original, copy, files, make};
use super::{APP, push};
use crate::events::{list_events, number_of, payload};
use crate::harness::{Random, Server, from_environment, repair, seconds, seed};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR_BYTES: usize = 512;

/// More messages than one record of the log, or the up to three leaves that a sector reaches into, have of them here.
const LOST_MAX: usize = 50;

/// Path of the damaged store, as the report names it.
pub(super) fn kept_in(folder: &Path, report: &str) -> PathBuf {
    let (_, rest) = report.split_once("The damaged store is in ").expect("the report says where");
    folder.join("data").join(rest.split(';').next().unwrap())
}

/// Overwrites a sector of the store that holds something.
fn damage(folder: &Path, random: &mut Random) -> (PathBuf, usize) {
    let of_store = |path: &PathBuf| {
        path.components().any(|part| ["sled", "log", "values"].iter().any(|folder| part.as_os_str() == *folder))
    };
    let files: Vec<PathBuf> = files(folder).into_iter().filter(of_store).collect();
    let path = files[random.below(files.len() as u64) as usize].clone();
    let mut bytes = fs::read(&path).unwrap();
    let used: Vec<usize> = (0..bytes.len()).step_by(SECTOR_BYTES).collect();
    let used: Vec<usize> =
        used.into_iter().filter(|at| bytes[*at..].iter().take(SECTOR_BYTES).any(|byte| *byte != 0)).collect();
    let at = used[random.below(used.len() as u64) as usize];
    let end = (at + SECTOR_BYTES).min(bytes.len());
    bytes[at..end].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
    fs::write(&path, bytes).unwrap();
    (path, at)
}

/// Repairs, starts and compares; how many messages are lost.
fn comes_back(original: &Original, folder: Arc<tempfile::TempDir>) -> usize {
    let report = match repair(folder.path()) {
        Ok(report) => report,
        Err(refused) => panic!("it cannot be repaired: {refused}"),
    };
    eprintln!("{report}");
    let server = Server::try_start_in(folder, &[], &[]).unwrap_or_else(|exited| panic!("{report}: {exited:?}"));
    let client = server.client();
    let all_is_said_to_be_there = report.contains("Nothing is lost.");
    if client.json("GET", &format!("/api/v1/app/{APP}"), Value::Null).0 == 404 {
        let named = report.contains("rows from") || report.contains("commits ") || report.contains("rows of a kind");
        assert!(named && !all_is_said_to_be_there, "the application is lost without a word: {report}");
        return 0;
    }
    let there = list_events(&client, APP).unwrap().unwrap_or_else(|answer| panic!("{report}: {answer:?}"));
    for (id, there) in &there {
        assert!(original.acked.get(id).is_none_or(|number| payload(*number) == *there), "{id} is another one");
    }
    let lost = original.acked.keys().filter(|id| !there.contains_key(*id)).count();
    assert!(lost == 0 || !all_is_said_to_be_there, "{lost} are lost without a word: {report}");
    assert!(lost <= LOST_MAX, "{lost} are lost: {report}");
    let new = push(&client, EVENTS + 3).unwrap().unwrap_or_else(|answer| panic!("{report}: {answer:?}"));
    assert!(!original.acked.contains_key(&new), "an id is given out twice");
    // An endpoint that is left gets new messages, and the lost positions hold nothing up.
    let endpoints = client.json("GET", &format!("/api/v1/app/{APP}/endpoint"), Value::Null).1;
    if endpoints["data"].as_array().is_some_and(|endpoints| !endpoints.is_empty()) {
        original.receiver.wait_until(seconds(20), |requests| requests.iter().any(|request| request.id() == new));
    }
    let good = original.receiver.requests().iter().all(|request| number_of(&request.body).is_some());
    assert!(good, "another payload was delivered than was sent");
    lost
}

#[test]
fn a_damaged_sector_costs_what_the_report_says() {
    let mut random = Random::new(seed("PINION_SECTOR_SEED"));
    let sectors = from_environment("PINION_SECTORS", 16);
    let (small, large) = ("--store-log-bytes=64KiB", "--store-log-bytes=16MiB");
    let originals = [make(false, small), make(true, small), make(false, large), make(true, large)];
    let mut lost = 0;
    for nth in 0..sectors {
        let original = &originals[nth as usize % 4];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        copy(original.folder.path(), folder.path());
        let (path, at) = damage(folder.path(), &mut random);
        eprintln!("{} at {at}:", path.strip_prefix(folder.path()).unwrap().display());
        lost += comes_back(original, folder);
    }
    eprintln!("{sectors} sectors cost {lost} messages of {}", sectors * EVENTS);
}

#[test]
fn a_directory_in_use_or_without_a_store_is_left_alone() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let missing = repair(folder.path()).unwrap_err();
    assert!(missing.contains("there is no store in"), "{missing}");
    let server = Server::try_start_in(Arc::clone(&folder), &[], &[]).unwrap();
    let in_use = repair(folder.path()).unwrap_err();
    assert!(in_use.contains("is in use by another process"), "{in_use}");
    drop(server);
    let report = repair(folder.path()).unwrap();
    assert!(report.contains("No damage was found in the store. Nothing is lost."), "{report}");
}
