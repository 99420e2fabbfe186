//! A recording: three lives of the real server under load, one after the other, with everything that they did to their
//! files. The first is killed, the second is stopped, the third ends the record.
//!
//! Ignorant of the store: it sees HTTP and file operations.

use super::ledger::Ledger;
use super::load::{APPS, Load};
use super::policies::check_times;
use super::routes::{PRIMARY, ROUTES, Route, misbehave};
use crate::disk::{Record, Shim};
use crate::harness::{Behaviour, Random, Received, Receiver, Server, seconds};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Threads that push.
const PUSHERS: u64 = 3;

/// The settings of a recording and of the checks of its cuts.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    arguments: &'static [&'static str],
    pub(super) check_arguments: &'static [&'static str],
    /// Of all processes.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Events may be gone, the oldest first, when there were more bytes than this; 0: none may.
    pub(super) forgets: u64,
    /// Requests of each pusher in each life.
    requests: u64,
}

const BODIES: &str = "--max-body-bytes=2MiB";

/// Everything is kept. A small log comes round a few times.
pub(super) const PLAIN: Scenario = Scenario {
    name: "plain",
    arguments: &[BODIES, "--max-batch-body-bytes=8MiB", "--store-log-bytes=512KiB"],
    check_arguments: &[BODIES, "--max-batch-body-bytes=8MiB"],
    environment: &[],
    forgets: 0,
    requests: 20,
};

/// Retention removes events, attempts and dead letters all the time. Not during the check: that looks at the content of
/// the disk, not at its later fate.
pub(super) const RETENTION: Scenario = Scenario {
    name: "retention",
    arguments: &[BODIES, "--max-batch-body-bytes=8MiB", "--retain-bytes=2MiB", "--store-log-bytes=64KiB"],
    check_arguments: &[BODIES, "--max-batch-body-bytes=8MiB"],
    // No key files, whose creation makes entries of the folder durable that are not theirs.
    environment: &[
        ("PINION_ROOT_KEY", "a-root-key-of-the-tests"),
        ("PINION_MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ],
    forgets: 2 << 20,
    requests: 30,
};

/// The changes to the files, and the promises that were made meanwhile.
pub(super) struct Recording {
    folder: Arc<TempDir>,
    pub(super) record: Record,
    pub(super) ledger: Ledger,
    /// Still running: the endpoints' URLs lead to it.
    pub(super) receiver: Receiver,
    /// By the endpoint's path and id: the position when it first arrived and was answered 200.
    pub(super) delivered: HashMap<(&'static str, String), u64>,
    /// Everything that arrived, without the bodies.
    pub(super) requests: Vec<Received>,
    pub(super) root_key: String,
    /// As its scenario says.
    pub(super) forgets: u64,
}

// === impl Recording ===

impl Recording {
    pub(super) fn make(scenario: &Scenario, seed: u64) -> Recording {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let shim = Shim::new(folder.path(), true);
        let receiver = Receiver::start();
        let ledger = Ledger::default();
        let path = shim.record_path();
        let position = move || std::fs::metadata(&path).map_or(0, |file| file.len());
        receiver.stamp_with(position.clone());
        misbehave(&receiver);
        let environment = [scenario.environment, &shim.environment()].concat();
        let start = || {
            Server::try_start_in(Arc::clone(&folder), scenario.arguments, &environment)
                .unwrap_or_else(|exited| panic!("the server does not start: {exited:?}"))
        };

        let mut server = start();
        let root_key = server.root_key();
        create(&server, &receiver, &ledger, &position);
        live(&server, &ledger, &position, seed, 0, scenario.requests, || shim.die_at_next_change());
        server.wait_exit(seconds(30));
        shim.live();

        let mut server_again = start();
        live(&server_again, &ledger, &position, seed, 1, scenario.requests, || {});
        assert!(server_again.terminate(seconds(30)).success());

        // Enough failures in a row to open its breaker.
        receiver.script("/south-late", [Behaviour::status(503)]);
        let mut server_last = start();
        live(&server_last, &ledger, &position, seed, 2, scenario.requests / 2, || {});
        assert!(server_last.terminate(seconds(30)).success());

        let mut requests = receiver.requests();
        // A check looks at the requests of its own server only.
        receiver.clear();
        check_times(&requests, &ledger);
        let mut delivered = HashMap::new();
        for request in requests.iter_mut() {
            request.body.clear();
            if request.answered == 200 {
                let route = Route::of_path(&request.path).expect("a known path");
                delivered.entry((route.path, request.id().to_owned())).or_insert(request.stamp);
            }
        }
        for path in ROUTES.iter().flat_map(Route::paths) {
            receiver.script(path, [Behaviour::status(200)]);
        }
        let record = Record::read(&shim.record_path());
        let forgets = scenario.forgets;
        Recording { folder, record, ledger, receiver, delivered, requests, root_key, forgets }
    }

    /// The folder that was recorded, as the last process left it.
    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }
}

fn create(server: &Server, receiver: &Receiver, ledger: &Ledger, position: &dyn Fn() -> u64) {
    for app in APPS {
        ledger.stating(&format!("/api/v1/app/{app}"), Some(json!(app)), position());
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
        ledger.stated(&format!("/api/v1/app/{app}"), position());
    }
    for (app, endpoint) in ROUTES.iter().flat_map(|route| route.endpoints(receiver)) {
        let object = format!("/api/v1/app/{app}/endpoint/{}", endpoint["uid"].as_str().expect("a text"));
        ledger.stating(&object, Some(endpoint["description"].clone()), position());
        server.api_expect(201, "POST", &format!("/api/v1/app/{app}/endpoint"), endpoint);
        ledger.stated(&object, position());
    }
}

/// One life: everybody does their share; `end` is called when the first of them is through.
fn live(
    server: &Server,
    ledger: &Ledger,
    position: &(dyn Fn() -> u64 + Sync),
    seed: u64,
    life: u64,
    requests: u64,
    end: impl Fn() + Sync,
) {
    let client = server.client();
    let load = Load { client: &client, ledger, position };
    let ended = AtomicBool::new(false);
    let ends = || {
        if !ended.swap(true, Ordering::SeqCst) {
            end();
        }
    };
    std::thread::scope(|scope| {
        for pusher in 0..PUSHERS {
            let ends = &ends;
            scope.spawn(move || {
                let mut random = Random::new(seed.wrapping_add(life * PUSHERS + pusher));
                let next = load.push((life * PUSHERS + pusher) * 10_000, requests, &mut random);
                ends();
                // Into the end, so that it comes under load.
                load.push(next, 5, &mut random);
            });
        }
        scope.spawn(move || load.configure(life * 100, requests / 4));
        let mut random = Random::new(seed.wrapping_sub(1 + life));
        scope.spawn(move || load.switch(&format!("{PRIMARY}/failover"), requests * 2, &mut random));
    });
}

/// Both folders hold the same files with the same bytes.
pub(super) fn assert_same(one: &Path, other: &Path) {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(one), names(other), "{}", one.display());
    for name in names(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        if one.is_dir() {
            assert_same(&one, &other);
        } else {
            let same = std::fs::read(&one).expect("a file") == std::fs::read(&other).expect("a file");
            assert!(same, "{} is another one in the replay", one.display());
        }
    }
}
