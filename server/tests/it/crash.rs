//! `kill -9` at random instants under load, again and again, and one ledger over all of it.
//!
//! The promises: an acknowledged event arrives at every endpoint. A delivery that was seen as done is not sent again.
//! Only deliveries under way or unsettled at a kill come twice, always with the same id. A request repeated with its
//! `Idempotency-Key` counts once.
//!
//! Some endpoints have policies, and each holds over the kills. With an order, no event comes for the first time before
//! an earlier one of its line is over. A scheduled event never comes before its time. An endpoint that fails many times in
//! a row has a backup: each of its deliveries reaches one of the two sides, signed by that side, and a switch that
//! the API showed stays, and is in the audit log.
//!
//! `PINION_CRASH_CYCLES` sets the number of kills (default 20), `PINION_CRASH_SEED` repeats a run. Not a
//! power cut: the kernel survives here, and power cuts are in `power_cut`.

mod failover;
mod ledger;
mod load;
mod routes;

use crate::audit::check_switches;
use crate::harness::{Random, Receiver, Server, from_environment, poll_until, seconds, seed};
use crate::turns::given_up;
use failover::Switch;
use ledger::{Ledger, Life};
use load::Front;
use routes::{APPS, MAX_IN_FLIGHT, ROUTES};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Deliveries that may be left to do, about: a test of a thousand cycles ends soon after the last one.
const BEHIND_MAX: usize = 20_000;

/// Connections that push at the same time.
const PUSHERS: usize = 8;

/// Deliveries that may come twice after one kill: the attempts in flight, and those that one commit settles. The latter
/// are this many at the rate of this load if a commit takes a third of a second.
const TWICE_PER_KILL_MAX: usize = ROUTES.len() * MAX_IN_FLIGHT + 500;

/// A settlement waits for the commit under way and its own, never for more. A commit has taken 1.06 s on a disk that
/// compilers wrote to.
const UNSETTLED_MAX: Duration = Duration::from_secs(3);

/// Longest time that one process lives.
const LIFE_MAX_MS: u64 = 2_000;

#[test]
fn killed_under_load_again_and_again_it_loses_nothing_and_repeats_only_what_was_unsettled() {
    let seed = seed("PINION_CRASH_SEED");
    let cycles = from_environment("PINION_CRASH_CYCLES", 20);
    eprintln!("PINION_CRASH_CYCLES={cycles}");
    let mut random = Random::new(seed);
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    routes::create(&server, &receiver);
    let (front, ledger, switch) = (Front::new(server.client()), Ledger::default(), Switch::default());
    // Each event has the routes of one application.
    let behind = || ledger.counts().0 * ROUTES.len() / APPS.len() > receiver.count() + BEHIND_MAX;
    let mut lives: Vec<Life> = Vec::new();
    let mut longest_start = Duration::ZERO;
    std::thread::scope(|scope| {
        // The threads end, whichever check fails below.
        let _ends = front.ends_when_dropped();
        for pusher in 0..PUSHERS {
            let mut random = Random::new(seed.wrapping_add(1 + pusher as u64));
            let (front, ledger, behind) = (&front, &ledger, &behind);
            scope.spawn(move || load::push(front, ledger, pusher, &mut random, behind));
        }
        scope.spawn(|| load::watch_attempts(&front, &ledger));
        let mut of_switch = Random::new(seed.wrapping_sub(1));
        let (front, switch) = (&front, &switch);
        scope.spawn(move || switch.watch(front, &mut of_switch));
        for _ in 0..cycles {
            // Not a wait for something: the instant of the kill is the input of this test.
            std::thread::sleep(Duration::from_millis(random.below(LIFE_MAX_MS)));
            let killed = Instant::now();
            server.kill();
            front.down();
            // Requests that the dead process sent and nobody has read would else count for the next one.
            receiver.wait_for_the_last_words(seconds(30));
            lives.push(Life { killed, over: Instant::now() });
            server.start_again();
            longest_start = longest_start.max(lives.last().unwrap().over.elapsed());
            front.up(server.client());
        }
        front.finish();
    });
    let owed = ledger.owed();
    let (accepted, repeated) = ledger.counts();
    eprintln!("{accepted} events acknowledged, {repeated} requests sent again; longest start {longest_start:?}");
    assert!(accepted as u64 > cycles * 50, "hardly any load: {accepted} events");
    let dead_letters = |route: &routes::Route| given_up(&server.client(), route.app, route.uid);
    ledger::wait_for_all(&receiver, owed, seconds(120), dead_letters);
    for app in APPS {
        let path = format!("/api/v1/app/{app}/scheduled-msg");
        let is_over = || server.api_expect(200, "GET", &path, Value::Null)["data"] == json!([]);
        poll_until("that nothing is scheduled any more", seconds(20), || is_over().then_some(()));
    }
    // In this order: what was given up before a request came is among the dead letters then.
    let requests = receiver.requests();
    let given_up = ROUTES.iter().map(|route| (route.path, dead_letters(route))).collect();
    let twice = ledger.check(&requests, &lives, &given_up);
    for route in ROUTES.iter().filter(|route| route.backup.is_some()) {
        switch.check(&requests, route.path, &lives);
        check_switches(&server.client(), &format!("/api/v1/app/{}/endpoint/{}", route.app, route.uid));
    }
    eprintln!("twice after each kill: {:?}; oldest {:?} before its kill", twice.per_kill, twice.oldest);
    assert!(twice.per_kill.iter().all(|count| *count <= TWICE_PER_KILL_MAX), "{:?}", twice.per_kill);
    assert!(twice.oldest <= UNSETTLED_MAX, "unsettled for {:?} when the process was killed", twice.oldest);
}
