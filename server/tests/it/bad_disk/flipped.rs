//! One bit of one file is another one, after a stop or a kill: it is found and named, or it does not matter. Where a server
//! does not start then, or ends, `pinion repair` gets everything back.
//!
//! `PINION_FLIPS` sets how many bits (default 40), `PINION_FLIP_SEED` which.

use super::repaired::kept_in;
use super::{APP, create, nothing_is_lost, push};
use crate::events::{list_events, number_of, payload};
use crate::harness::{Client, Random, Receiver, Server, from_environment, repair, seconds, seed};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Events of the store that is damaged.
pub(super) const EVENTS: u64 = 60;

/// A data directory, its content, and the receiver that its endpoint leads to.
pub(super) struct Original {
    pub(super) folder: Arc<TempDir>,
    pub(super) receiver: Receiver,
    pub(super) acked: BTreeMap<String, u64>,
}

/// `log` is how large the store's log is: with a small one, most is in the map below.
pub(super) fn make(killed: bool, log: &str) -> Original {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let receiver = Receiver::start();
    let mut server = Server::try_start_in(Arc::clone(&folder), &[log], &[]).unwrap();
    assert!(create(&server, &receiver).unwrap());
    let client = server.client();
    let numbers = (0..EVENTS).filter(|number| number % 97 != 7);
    let acked = numbers.map(|number| (push(&client, number).unwrap().unwrap(), number)).collect();
    if killed {
        server.kill();
    } else {
        assert!(server.terminate(seconds(20)).success());
    }
    Original { folder, receiver, acked }
}

pub(super) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Bytes at the end of a file, zeros aside, that hold the newest writes.
const LAST_BYTES: u64 = 300;

/// Flips a random bit of a random file, and returns the file and the offset of the byte. The byte is mostly not among
/// zeros, and often among the newest writes.
fn flip(folder: &Path, random: &mut Random) -> (PathBuf, usize) {
    let files = files(folder);
    let path = files[random.below(files.len() as u64) as usize].clone();
    let mut bytes = fs::read(&path).unwrap();
    let anywhere = random.below(bytes.len() as u64) as usize;
    let at = match random.below(6) {
        0 => anywhere,
        1 | 2 => {
            let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(anywhere);
            last.saturating_sub(random.below(LAST_BYTES) as usize)
        }
        _ => (anywhere..bytes.len()).chain(0..anywhere).find(|at| bytes[*at] != 0).unwrap_or(anywhere),
    };
    bytes[at] ^= 1 << random.below(8);
    fs::write(&path, bytes).unwrap();
    (path, at)
}

/// The result of one flipped bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It did not start and named the damaged part.
    Refused,
    /// It ended when it came to it.
    Stopped,
    /// Some messages cannot be read, and requests for them say so.
    Contained,
    /// Everything is there.
    Harmless,
    /// The root key itself is another one now.
    OtherKey,
}

/// All of the store is there again after a repair, and nothing damaged is delivered. Two cases are left out: a damaged
/// root key, which nothing remembers, and a version that reads as a newer one. Only the operator can tell that damage
/// from a newer version.
fn everything_comes_back(original: &Original, folder: Arc<TempDir>, path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap();
    if name == "root.key" {
        return;
    }
    let report = match repair(folder.path()) {
        Ok(report) => report,
        Err(refused) => {
            assert!(name == "FORMAT" && refused.contains("was written by a newer version"), "{name}: {refused}");
            return;
        }
    };
    assert!(report.contains("Nothing is lost."), "{name}: {report}");
    assert!(kept_in(folder.path(), &report).join("store/sled").exists(), "the damaged store is not kept: {report}");
    let server = Server::try_start_in(folder, &[], &[]).unwrap_or_else(|exited| panic!("{report}: {exited:?}"));
    nothing_is_lost(&server, &original.receiver, &original.acked);
    assert!(push(&server.client(), EVENTS + 2).unwrap().is_ok(), "it takes nothing in any more");
}

fn comes_of(original: &Original, folder: Arc<TempDir>) -> Came {
    let begun = Instant::now();
    let mut server = match Server::try_start_in(Arc::clone(&folder), &[], &[]) {
        Ok(server) => server,
        Err(exited) => {
            assert_eq!(exited.status.code(), Some(1), "{exited:?}");
            let named = exited.stderr.contains(folder.path().to_str().unwrap());
            let of_store = exited.stderr.contains("is damaged");
            assert!(!of_store || exited.stderr.contains("pinion repair --data-dir"), "it names no way on: {exited:?}");
            assert!(named && begun.elapsed() < seconds(20), "it does not say what is damaged: {exited:?}");
            return Came::Refused;
        }
    };
    let came = reads_well(&server, original);
    let deliveries_are_good = original.receiver.requests().iter().all(|request| number_of(&request.body).is_some());
    assert!(deliveries_are_good, "another payload was delivered than was sent");
    match came {
        Some(came) => came,
        None => {
            assert_eq!(server.wait_exit(seconds(20)).code(), Some(1), "{:#?}", server.logs());
            let logs = server.logs();
            let named = logs.iter().any(|line| line.contains("damage") || line.contains("embedded store"));
            assert!(named, "it does not say what is damaged: {logs:#?}");
            Came::Stopped
        }
    }
}

/// Reads everything and pushes one more; `None` when the server ended over it.
fn reads_well(server: &Server, original: &Original) -> Option<Came> {
    let client = Client::new(server.api_address()).with_bearer(&root_key(original));
    let mut unreadable = Vec::new();
    for (id, number) in &original.acked {
        let answer = client.send("GET", &format!("/api/v1/app/{APP}/msg/{id}"), &[], None).ok()?;
        match answer.status {
            200 => {
                let expected = format!("\"payload\":{}", payload(*number));
                assert!(answer.text().contains(&expected), "event {number} was read as another one");
            }
            500 => unreadable.push(*number),
            401 => return Some(other_key(server)),
            status => {
                if server_ended(server) {
                    return None;
                }
                panic!("event {number} is lost without a word: {status} {}", answer.text());
            }
        }
    }
    let listed = list_events(&client, APP).ok()?;
    match listed {
        Ok(there) if unreadable.is_empty() => assert_eq!(there.len(), original.acked.len()),
        Ok(there) => assert_eq!(there.len(), original.acked.len() - unreadable.len(), "{unreadable:?}"),
        Err(_) => assert!(!unreadable.is_empty() || server_ended(server), "they cannot be listed"),
    }
    match push(&client, EVENTS + 1) {
        Ok(Ok(_)) => {}
        Ok(Err((503, _))) | Err(_) => return None,
        Ok(Err(answer)) => panic!("{answer:?}"),
    }
    // Each was pushed by itself, so a block has one.
    assert!(unreadable.len() <= 1, "{unreadable:?}");
    Some(if unreadable.is_empty() { Came::Harmless } else { Came::Contained })
}

/// It takes a moment from a failed store to the end of the process.
fn server_ended(server: &Server) -> bool {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let ready = Client::new(server.metrics_address()).send("GET", "/readyz", &[], None);
        if !ready.is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

fn root_key(original: &Original) -> String {
    fs::read_to_string(original.folder.path().join("data/root.key")).unwrap().trim().to_owned()
}

/// The root key itself was damaged: there is another one now, and the file says which.
fn other_key(server: &Server) -> Came {
    assert_eq!(server.client().json("GET", "/api/v1/app/shop", serde_json::Value::Null).0, 200);
    Came::OtherKey
}

#[test]
fn a_flipped_bit_is_found_or_does_not_matter() {
    let mut random = Random::new(seed("PINION_FLIP_SEED"));
    let flips = from_environment("PINION_FLIPS", 40);
    let (small, large) = ("--store-log-bytes=64KiB", "--store-log-bytes=16MiB");
    let originals = [make(false, small), make(true, small), make(false, large), make(true, large)];
    let mut came: BTreeMap<(String, Came), u64> = BTreeMap::new();
    for nth in 0..flips {
        let original = &originals[nth as usize % 4];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        copy(original.folder.path(), folder.path());
        let (path, at) = flip(folder.path(), &mut random);
        let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        eprint!("{name} at {at}: ");
        let what = comes_of(original, Arc::clone(&folder));
        eprintln!("{what:?}");
        if matches!(what, Came::Refused | Came::Stopped) {
            everything_comes_back(original, folder, &path);
        }
        *came.entry((name, what)).or_default() += 1;
    }
    eprintln!("{came:#?}");
}
