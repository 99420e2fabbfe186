//! `kill -9` at random instants under load, again and again, and one ledger over all of it.
//!
//! The promises: an acknowledged event arrives at every endpoint. A delivery that was seen as done is not sent again.
//! Only deliveries under way or unsettled at a kill come twice, always with the same id. A request repeated with its
//! `Idempotency-Key` counts once.
//!
//! `PINION_CRASH_CYCLES` sets the number of kills (default 20), `PINION_CRASH_SEED` repeats a run. Deliberately not a
//! power cut: the kernel survives here, and power cuts are in `power_cut`.

mod ledger;
mod load;

use crate::harness::{Behaviour, Random, Receiver, Server, from_environment, seconds, seed};
use ledger::{Ledger, Life};
use load::Front;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The routes that events of an application go to. Each way of failing heals, so that everything can arrive.
const ROUTES: [Route; 5] = [
    Route { app: "north", uid: "healthy", path: "/north/healthy" },
    Route { app: "north", uid: "flaky", path: "/north/flaky" },
    Route { app: "north", uid: "late", path: "/north/late" },
    Route { app: "south", uid: "healthy", path: "/south/healthy" },
    Route { app: "south", uid: "slow", path: "/south/slow" },
];

/// Attempts at once to one endpoint.
const MAX_IN_FLIGHT: usize = 32;

/// Deliveries that may be left to do, about: a test of a thousand cycles ends soon after the last one.
const BEHIND_MAX: usize = 20_000;

/// Connections that push at the same time.
const PUSHERS: usize = 8;

/// Deliveries that may come twice after one kill: the attempts in flight, and those that one commit settles. The latter
/// are this many at the rate of this load if a commit takes a third of a second.
const TWICE_PER_KILL_MAX: usize = ROUTES.len() * MAX_IN_FLIGHT + 500;

/// A settlement waits for the commit under way and its own, never for more: far below this even on a loaded machine.
const UNSETTLED_MAX: Duration = Duration::from_secs(1);

/// Longest time that one process lives.
const LIFE_MAX_MS: u64 = 2_000;

/// An endpoint, and the application that it gets events of.
#[derive(Clone, Copy, Debug)]
struct Route {
    app: &'static str,
    uid: &'static str,
    path: &'static str,
}

fn create(server: &Server, receiver: &Receiver) {
    let one_in_ten = |at| if at % 10 == 0 { Behaviour::status(500) } else { Behaviour::status(200) };
    receiver.script("/north/flaky", (0..100_000).map(one_in_ten));
    // Enough to open the breaker twice, which then stays open over a few kills.
    let late = (0..6).map(|_| Behaviour::status(500)).chain([Behaviour::status(200)]);
    receiver.script("/north/late", late);
    receiver.script("/south/slow", [Behaviour::delayed(200, Duration::from_millis(40))]);
    for app in ["north", "south"] {
        server.api_expect(201, "POST", "/api/v1/app", json!({"name": app, "uid": app}));
    }
    for route in ROUTES {
        let endpoint = json!({
            "url": receiver.url(route.path),
            "uid": route.uid,
            "maxInFlight": MAX_IN_FLIGHT,
            "retryPolicy": {"type": "fixed", "delayMs": 100, "maxAttempts": 100, "jitter": "none"},
        });
        let created = server.api_expect(201, "POST", &format!("/api/v1/app/{}/endpoint", route.app), endpoint);
        assert_eq!(created["disabled"], Value::Bool(false), "{created}");
    }
}

#[test]
fn killed_under_load_again_and_again_it_loses_nothing_and_repeats_only_what_was_unsettled() {
    let seed = seed("PINION_CRASH_SEED");
    let cycles = from_environment("PINION_CRASH_CYCLES", 20);
    eprintln!("PINION_CRASH_CYCLES={cycles}");
    let mut random = Random::new(seed);
    let (mut server, receiver) = (Server::start(&[]), Receiver::start());
    create(&server, &receiver);
    let (front, ledger) = (Front::new(server.client()), Ledger::default());
    // Each event has two or three of the five routes.
    let behind = || ledger.counts().0 * ROUTES.len() / 2 > receiver.count() + BEHIND_MAX;
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
    let owed = ledger.owed(&ROUTES);
    let (accepted, repeated) = ledger.counts();
    eprintln!("{accepted} events acknowledged, {repeated} requests sent again; longest start {longest_start:?}");
    assert!(accepted as u64 > cycles * 50, "hardly any load: {accepted} events");
    let requests = ledger::wait_for_all(&receiver, owed, seconds(120));
    let twice = ledger.check(&ROUTES, &requests, &lives);
    eprintln!("twice after each kill: {:?}; oldest {:?} before its kill", twice.per_kill, twice.oldest);
    assert!(twice.per_kill.iter().all(|count| *count <= TWICE_PER_KILL_MAX), "{:?}", twice.per_kill);
    assert!(twice.oldest <= UNSETTLED_MAX, "unsettled for {:?} when the process was killed", twice.oldest);
}
