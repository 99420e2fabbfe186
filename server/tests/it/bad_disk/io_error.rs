//! An I/O error at one call after the other: of each kind, the first, the second, and so on.
//!
//! `PINION_IO_ERRORS` sets how many of all places are tried (default 40; 0: every one), `PINION_IO_ERROR_SEED` which.

use super::{create, nothing_is_lost, push};
use crate::disk::{Call, Shim};
use crate::harness::{Random, Receiver, Server, from_environment, poll_until, seconds, seed};
use std::collections::BTreeMap;
use std::panic;
use std::sync::Arc;
use tempfile::TempDir;

const KINDS: [Call; 8] =
    [Call::Open, Call::Read, Call::Write, Call::Sync, Call::Rename, Call::Mkdir, Call::Unlink, Call::Resize];

/// Events pushed one after the other; the last ones are large.
const NUMBERS: [u64; 14] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 3, 32];

/// So that there are checkpoints.
const SMALL_LOG: &str = "--store-log-bytes=64KiB";

/// Pushed before that, where a store is begun with that holds something.
const BEFORE: [u64; 4] = [14, 15, 16, 61];

/// The folder that a run begins on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// An empty folder.
    New,
    /// The data directory of a killed process.
    Killed,
}

/// The result of one run.
#[derive(Debug)]
enum Came {
    /// It did not start, and said why.
    Refused,
    /// It ended by itself.
    Exited,
    /// It stopped when it was told to, as if nothing had happened.
    WentOn,
}

struct Run {
    folder: Arc<TempDir>,
    shim: Shim,
    receiver: Receiver,
    acked: BTreeMap<String, u64>,
}

impl Run {
    fn new(begin: Begin) -> Run {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let shim = Shim::new(folder.path(), false);
        let mut run = Run { folder, shim, receiver: Receiver::start(), acked: BTreeMap::new() };
        if begin == Begin::Killed {
            let mut server = run.start().unwrap();
            run.work(&server, &BEFORE);
            assert_eq!(run.acked.len(), BEFORE.len());
            server.kill();
        }
        run
    }

    fn start(&self) -> Result<Server, crate::harness::Exited> {
        Server::try_start_in(Arc::clone(&self.folder), &[SMALL_LOG], &self.shim.environment())
    }

    /// Starts, works, and is stopped; with a failure on the way if one is set.
    fn live(&mut self, kind: Call) -> Came {
        let mut server = match self.start() {
            Ok(server) => server,
            Err(exited) => {
                assert_eq!(exited.status.code(), Some(1), "{exited:?}");
                let folder = self.folder.path().to_str().unwrap();
                assert!(exited.stderr.contains(folder), "it does not say what failed: {exited:?}");
                return Came::Refused;
            }
        };
        self.work(&server, &NUMBERS);
        // A file that could not be removed takes room and does no harm.
        if self.shim.failed() > 0 && kind != Call::Unlink {
            // A failure in the background is noticed a moment later.
            poll_until("not ready", seconds(10), || (!server_is_well(&server)).then_some(()));
            assert_eq!(server.wait_exit(seconds(30)).code(), Some(1), "{:#?}", server.logs());
            return Came::Exited;
        }
        match server.terminate(seconds(30)).code() {
            // Whatever call fails this late, every acknowledged event is durable.
            Some(0) => Came::WentOn,
            code => {
                assert!(self.shim.failed() > 0, "it ended with {code:?} for no reason: {:#?}", server.logs());
                Came::Exited
            }
        }
    }

    fn work(&mut self, server: &Server, numbers: &[u64]) {
        if self.acked.is_empty() && !create(server, &self.receiver).unwrap_or(false) {
            return;
        }
        let client = server.client();
        for number in numbers {
            match push(&client, *number) {
                Ok(Ok(id)) => drop(self.acked.insert(id, *number)),
                Ok(Err((status, code))) => assert!(status == 503, "event {number}: {status} {code}"),
                // It is gone, or about to be.
                Err(_) => {}
            }
        }
    }
}

fn server_is_well(server: &Server) -> bool {
    let ready = crate::harness::Client::new(server.metrics_address()).send("GET", "/readyz", &[], None);
    ready.is_ok_and(|response| response.status == 200)
}

/// Counts the calls of a kind in a run without a failure.
fn count(kind: Call, begin: Begin) -> u64 {
    let mut run = Run::new(begin);
    run.shim.fail(kind, 0, false);
    assert!(matches!(run.live(kind), Came::WentOn));
    run.shim.calls()
}

fn fails_well(kind: Call, at: u64, stays: bool, begin: Begin) -> Option<Came> {
    let mut run = Run::new(begin);
    run.shim.fail(kind, at, stays);
    let came = run.live(kind);
    if run.shim.failed() == 0 {
        return None;
    }
    run.shim.heal();
    let server = run.start().unwrap_or_else(|exited| panic!("{kind:?} {at}: it does not start again: {exited:?}"));
    nothing_is_lost(&server, &run.receiver, &run.acked);
    Some(came)
}

#[test]
fn an_io_error_anywhere_stops_the_server_and_a_restart_loses_nothing() {
    let mut random = Random::new(seed("PINION_IO_ERROR_SEED"));
    let wanted = from_environment("PINION_IO_ERRORS", 40);
    let mut places = Vec::new();
    for (kind, begin) in KINDS.into_iter().flat_map(|kind| [(kind, Begin::New), (kind, Begin::Killed)]) {
        let calls = count(kind, begin);
        eprintln!("{kind:?}, {begin:?}: {calls} calls");
        places.extend((1..=calls).map(|at| (kind, at, begin)));
    }
    if wanted > 0 {
        while places.len() as u64 > wanted {
            places.swap_remove(random.below(places.len() as u64) as usize);
        }
    }
    let (mut came, mut wrong) = (BTreeMap::<String, u64>::new(), Vec::new());
    for (kind, at, begin) in places {
        let stays = random.below(4) == 0;
        // All of them are tried, whatever the result of one is.
        match panic::catch_unwind(|| fails_well(kind, at, stays, begin)) {
            Ok(what) => *came.entry(format!("{kind:?}, {begin:?}: {what:?}")).or_default() += 1,
            Err(_) => wrong.push(format!("{kind:?} {at}{}, {begin:?}", if stays { " and on" } else { "" })),
        }
    }
    eprintln!("{came:#?}");
    assert!(wrong.is_empty(), "see above for what went wrong with {wrong:?}");
}
