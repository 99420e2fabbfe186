//! Everything at once, beside a neighbour: silent endpoints, names that never answer, floods of HTTP/2, and strangers.
//!
//! Short by default. By hand, against a release build and in full size:
//! `PINION_HOSTILE_SECONDS=60 PINION_TEST_BINARY=…/target/release/pinion cargo test -p server --test it together --
//! --nocapture`
//!
//! Not each attack alone: those are in the other files, with the harm that each of them does.

use super::attackers::{Attackers, Size};
use super::authority::Authority;
use super::edge::Ends;
use super::names;
use super::neighbour::{Neighbour, Seen};
use crate::harness::{Server, from_environment, is_release, poll_until, seconds};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two pushes of the neighbour.
const GAP: Duration = Duration::from_millis(20);
const GROWTH_MAX_MIB: u64 = 256;
/// Time in which the attackers' applications must be served again, once their receivers are well.
const RECOVERED_WITHIN: Duration = Duration::from_secs(90);
/// Attempts in flight that are near none.
const FEW: usize = 16;

/// The promises to the neighbour.
struct Promise {
    /// Of its normal rate.
    rate_min: f64,
    /// The longest that a shard or the writer may do nothing else.
    stall_max: Duration,
}

/// The promise of a release build.
const RELEASE: Promise = Promise { rate_min: 0.90, stall_max: Duration::from_millis(500) };
/// A debug build is some ten times as slow, and the attackers take as much of the machine as they are given. So this
/// promise only tells a slow neighbour from a starved one.
const DEBUG: Promise = Promise { rate_min: 0.50, stall_max: Duration::from_secs(4) };

/// The server's measurements while it was watched.
#[derive(Debug, Default)]
struct Shown {
    most_kib: u64,
    in_flight: usize,
    connections: usize,
    descriptors: usize,
    stalls: BTreeMap<String, Duration>,
}

// === impl Shown ===

impl Shown {
    /// Looks every 500 ms until `ended`.
    fn watch(server: &Server, ended: &AtomicBool) -> Shown {
        let mut shown = Shown::default();
        while !ended.load(Ordering::SeqCst) {
            shown.look(server);
            std::thread::sleep(Duration::from_millis(500));
        }
        shown.look(server);
        shown
    }

    fn look(&mut self, server: &Server) {
        self.most_kib = self.most_kib.max(server.resident_kib());
        let text = server.monitor("/metrics").text();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        for (name, value) in samples {
            let value = value.parse::<f64>().unwrap_or_default();
            let most = |most: &mut usize| *most = (*most).max(value as usize);
            match name.split('{').next() {
                Some("pinion_attempts_in_flight") => most(&mut self.in_flight),
                Some("process_open_fds") => most(&mut self.descriptors),
                Some("pinion_http_connections") if name.contains("api") => most(&mut self.connections),
                Some("pinion_longest_stall_seconds") => {
                    let thread = name.split('"').nth(1).unwrap_or_default().to_owned();
                    let longest = self.stalls.entry(thread).or_default();
                    *longest = (*longest).max(Duration::from_secs_f64(value));
                }
                _ => {}
            }
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { in_flight, connections, descriptors, stalls, .. } = self;
        write!(f, "{in_flight} attempts in flight, {connections} API connections, {descriptors} descriptors, ")?;
        stalls.iter().try_for_each(|(thread, stall)| write!(f, "{thread} stalled {} ms at most, ", stall.as_millis()))
    }
}

// === impl Promise ===

impl Promise {
    /// A step of the writer has an fdatasync in it: the disk is as slow as its neighbours make it, attack or not.
    fn assert_nobody_starved(&self, shown: &Shown, alone: &Seen) {
        let writer_max = self.stall_max + alone.max;
        let max = |thread: &str| if thread == "writer" { writer_max } else { self.stall_max };
        assert_eq!(shown.stalls.len(), 3, "{shown}");
        let starved = shown.stalls.iter().find(|(thread, stall)| **stall > max(thread));
        assert_eq!(starved, None, "{shown}");
    }
}

/// Deliveries per second of a neighbour that was watched for `time`.
fn rate(seen: &Seen, time: Duration) -> f64 {
    seen.delivered as f64 / time.as_secs_f64()
}

#[test]
fn all_attacks_at_once_leave_a_neighbour_its_rate_and_all_recovers_by_itself() {
    let time = seconds(from_environment("PINION_HOSTILE_SECONDS", 8));
    let size = Size::of(time);
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (ca_file, answered) = (authority.file(), folder.path().join("answered"));
    let arguments =
        ["--ca-file", ca_file.to_str().unwrap(), "--retry-schedule", "1s,2s,5s,5s,10s,20s,30s,60s", "--shards", "2"];
    let environment = [("LD_PRELOAD", names::library()), ("NAMES_ANSWERED", answered.to_str().unwrap())];
    let data = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::try_start_in(data, &arguments, &environment).expect("the server starts");
    let mut neighbour = Neighbour::new(&server);
    let mut attackers = Attackers::prepare(&server, &size);
    // The first pushes open files and connections.
    neighbour.watch(seconds(1), GAP);
    let alone_for = (time / 4).max(seconds(3));
    let alone = neighbour.watch(alone_for, GAP);
    let before_kib = server.resident_kib();

    let ended = AtomicBool::new(false);
    let (beside, shown) = std::thread::scope(|scope| {
        // The attack ends, whichever check fails.
        let ends = Ends(&ended);
        attackers.begin(&server);
        let watching = scope.spawn(|| Shown::watch(&server, &ended));
        let flooding = scope.spawn(|| attackers.flood(&server, &authority, &ended));
        let beside = neighbour.watch(time, GAP);
        drop(ends);
        let floods = flooding.join().expect("floods end");
        eprintln!("{size:?}; {floods} receivers flooded, {} strangers", attackers.strangers());
        (beside, watching.join().expect("watching ends"))
    });
    let grown_mib = shown.most_kib.saturating_sub(before_kib) / 1024;
    let (alone_rate, beside_rate) = (rate(&alone, alone_for), rate(&beside, time));
    eprintln!("  alone: {alone}, {alone_rate:.1}/s\n beside: {beside}, {beside_rate:.1}/s");
    eprintln!("  memory +{grown_mib} MiB, {shown}");

    let stopped = Instant::now();
    std::fs::write(&answered, "").unwrap();
    attackers.stop(&server);
    let expected = attackers.endpoints();
    poll_until("a new message at every endpoint of the attackers", RECOVERED_WITHIN, || {
        (attackers.served() >= expected).then_some(())
    });
    let served = stopped.elapsed();
    let in_flight = || server.metric("pinion_attempts_in_flight", &[]) as usize;
    poll_until("few attempts in flight", RECOVERED_WITHIN, || (in_flight() <= FEW).then_some(()));
    let after = neighbour.watch(seconds(2), GAP);
    eprintln!("  {expected} endpoints served after {served:?}, idle after {:?}\n  after: {after}", stopped.elapsed());

    let promise = if is_release() { RELEASE } else { DEBUG };
    assert!(beside_rate >= promise.rate_min * alone_rate, "{beside_rate:.1} of {alone_rate:.1} per second");
    assert!(grown_mib <= GROWTH_MAX_MIB, "+{grown_mib} MiB");
    promise.assert_nobody_starved(&shown, &alone);
}
