//! The power goes at random instants, and the disk holds any content that a disk may then hold. The real binary starts
//! on it, and every acknowledged event is there and arrives.
//!
//! The server runs under load once or twice, and everything that it does to its files is written down (`disk`). From
//! that record any number of disks is built. Each is cut at another instant and loses other parts of the unsynced
//! changes. Then:
//!
//! - it starts, with the keys it had; every acknowledged event is there, byte for byte, and no event that nobody sent;
//! - each is delivered, unless it was delivered before the cut, or is a dead letter, or was removed by retention.
//!   Retention only takes the oldest. A request repeated with its `Idempotency-Key` counts once;
//! - acknowledged configuration is there, and the switch of a failover that was shown. The deliveries go to the active
//!   side, signed by it;
//! - where there is an order, no event comes for the first time before an earlier one of its line is over, be that before
//!   or after the cut. A scheduled event is on its list until its time comes, and never arrives before.
//!
//! All of this also holds when the power goes a second time, while the server starts on the disk of the first cut.
//!
//! `PINION_CUT_POINTS` sets the number of cuts (default 100), `PINION_CUT_SEED` the random choices. The seed fixes the
//! cuts only: the load is never the same twice, so a failure keeps its disk. Not the kill of a process:
//! that is in `crash`.

mod check;
mod ledger;
mod load;
mod policies;
mod recording;
mod routes;

use crate::disk::{Disk, Record, Shim, Survives};
use crate::harness::{Random, Server, from_environment, seed};

use check::Check;
use recording::{Recording, Scenario};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The instant of a power cut, and the changes that survive it.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// After this step of the record.
    step: usize,
    survives: Survives,
    seed: u64,
}

/// Chooses `count` cuts, in the order of the record. Half of them are anywhere. The other half are right after an
/// acknowledgement, where most is at stake. Each way of losing unsynced changes comes equally often.
fn choose(recording: &Recording, count: u64, random: &mut Random) -> Vec<Cut> {
    let steps = &recording.record.steps;
    let marks = recording.ledger.marks();
    let mut cuts: Vec<Cut> = (0..count)
        .map(|nth| {
            let anywhere = random.below(steps.len() as u64) as usize;
            let mark = marks[random.below(marks.len() as u64) as usize];
            let after_mark = steps.partition_point(|step| step.end < mark).min(steps.len() - 1);
            let step = if nth / 4 % 2 == 0 { anywhere } else { after_mark };
            Cut { step, survives: Survives::ALL[nth as usize % 4], seed: random.below(u64::MAX) }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.step);
    cuts
}

/// Names the cut when the test fails, and keeps its disk.
struct Explains(Cut, Arc<TempDir>);

impl Drop for Explains {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}; its disk is kept in {}", self.0, self.1.path().display());
            std::mem::forget(Arc::clone(&self.1));
        }
    }
}

/// One disk of this many is cut again while the server starts on it.
const CUT_AGAIN: u64 = 5;

/// Cuts of one recording.
const CUTS_PER_RECORDING: u64 = 100;

fn every_cut_holds(scenario: &Scenario, count: u64, random: &mut Random) {
    let mut left = count;
    while left > 0 {
        let cuts = left.min(CUTS_PER_RECORDING);
        cuts_of_one_recording_hold(scenario, cuts, random);
        left -= cuts;
    }
}

/// Starts on a disk that was cut, and cuts it again before or soon after the start is through.
fn cut_again(disk: Arc<TempDir>, scenario: &Scenario, survives: Survives, draws: &mut Random) -> Arc<TempDir> {
    let mut model = Disk::of_folder(disk.path());
    let shim = Shim::new(disk.path(), true);
    let environment = [scenario.environment, &shim.environment()].concat();
    let started = Server::try_start_in(Arc::clone(&disk), scenario.check_arguments, &environment);
    drop(started.unwrap_or_else(|exited| panic!("the server does not start: {exited:?}")));
    let steps = Record::read(&shim.record_path()).steps;
    steps[..draws.below(steps.len() as u64) as usize].iter().for_each(|step| model.apply(step));
    let left = Arc::new(tempfile::tempdir().expect("a temporary folder"));
    model.write_cut(survives, &mut |bound| draws.below(bound), left.path());
    left
}

fn cuts_of_one_recording_hold(scenario: &Scenario, count: u64, random: &mut Random) {
    let begun = Instant::now();
    let recording = Recording::make(scenario, random.below(u64::MAX));
    let (events, steps) = (recording.ledger.events(), recording.record.steps.len());
    eprintln!("{}: {events} events acknowledged, {steps} changes, recorded in {:?}", scenario.name, begun.elapsed());
    let mut disk = Disk::new(recording.root());
    let (mut played, mut check, begun, mut longest_start) = (0, Check::new(&recording), Instant::now(), Duration::ZERO);
    for cut in choose(&recording, count, random) {
        while played <= cut.step {
            disk.apply(&recording.record.steps[played]);
            played += 1;
        }
        let left = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let explains = Explains(cut, Arc::clone(&left));
        let mut draws = Random::new(cut.seed);
        disk.write_cut(cut.survives, &mut |bound| draws.below(bound), left.path());
        let left = if draws.below(CUT_AGAIN) == 0 { cut_again(left, scenario, cut.survives, &mut draws) } else { left };
        let starting = Instant::now();
        let server = Server::try_start_in(left, scenario.check_arguments, scenario.environment)
            .unwrap_or_else(|exited| panic!("the server does not start: {exited:?}"));
        longest_start = longest_start.max(starting.elapsed());
        check.run(server, recording.record.steps[cut.step].end, &mut draws);
        drop(explains);
    }
    eprintln!("{}: {count} cuts in {:?}, longest start {longest_start:?}; {check}", scenario.name, begun.elapsed());
}

#[test]
fn the_record_misses_nothing() {
    let recording = Recording::make(&recording::PLAIN, 1);
    let mut disk = Disk::new(recording.root());
    recording.record.steps.iter().for_each(|step| disk.apply(step));
    let played = tempfile::tempdir().unwrap();
    disk.write_seen(played.path());
    recording::assert_same(recording.root(), played.path());
}

#[test]
fn whatever_a_power_cut_leaves_nothing_acknowledged_is_lost() {
    let mut random = Random::new(seed("PINION_CUT_SEED"));
    let count = from_environment("PINION_CUT_POINTS", 100);
    eprintln!("PINION_CUT_POINTS={count}");
    every_cut_holds(&recording::PLAIN, count - count / 3, &mut random);
    every_cut_holds(&recording::RETENTION, count / 3, &mut random);
}
