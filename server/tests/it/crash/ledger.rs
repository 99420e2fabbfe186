//! Acknowledged events, deliveries seen as done, and arrived requests: compared at the end.
//!
//! Events carry a number of the pusher's own, so that one event under two ids would be found.

use super::routes::{ROUTES, Route, secret};
use crate::harness::{Received, Receiver, poll_until};
use crate::turns::{check_order, position};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Numbers of one pusher.
pub(super) const NUMBERS_OF_ONE: u64 = 1_000_000;

/// A process that was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Just before it was.
    pub(super) killed: Instant,
    /// The process is dead, its requests are read, and the next one has not begun.
    pub(super) over: Instant,
}

/// An event that was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) app: &'static str,
    pub(super) number: u64,
    /// Of a scheduled one, in milliseconds of the wall clock.
    pub(super) deliver_at: Option<u64>,
}

/// Deliveries that came twice.
#[derive(Debug)]
pub(super) struct Twice {
    /// Deliveries that succeeded before this kill and again after it.
    pub(super) per_kill: Vec<usize>,
    /// The longest time from the first success of one of them to the kill.
    pub(super) oldest: Duration,
}

/// The path of an endpoint, and the id of a message.
pub(super) type Delivery = (&'static str, String);

/// The records of all threads.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number: the id.
    acknowledged: BTreeMap<u64, String>,
    /// Everything that was ever sent, acknowledged or not.
    sent: HashMap<u64, Event>,
    /// By path and id: when the API first showed it as delivered.
    seen_delivered: HashMap<Delivery, Instant>,
    repeated: usize,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn sending(&self, events: &[Event]) {
        self.lock().sent.extend(events.iter().map(|event| (event.number, *event)));
    }

    pub(super) fn sending_again(&self) {
        self.lock().repeated += 1;
    }

    pub(super) fn acknowledged(&self, number: u64, id: String) {
        let before = self.lock().acknowledged.insert(number, id);
        assert!(before.is_none(), "event {number} was acknowledged twice");
    }

    /// The API showed these as delivered.
    pub(super) fn seen_delivered(&self, path: &'static str, ids: Vec<String>) {
        let now = Instant::now();
        let mut state = self.lock();
        for id in ids {
            state.seen_delivered.entry((path, id)).or_insert(now);
        }
    }

    /// Acknowledged events, and requests sent again.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.acknowledged.len(), state.repeated)
    }

    /// Every delivery that must arrive, or be given up where that may be.
    pub(super) fn owed(&self) -> HashSet<Delivery> {
        let state = self.lock();
        let owed = state.acknowledged.iter().flat_map(|(number, id)| {
            let event = state.sent[number];
            ROUTES.iter().filter(move |route| route.wants(&event)).map(|route| (route.path, id.clone()))
        });
        owed.collect()
    }

    /// Compares the arrived requests with all that is known. `given_up` has the dead letters of each path.
    ///
    /// # Panics
    /// When an event arrived that nobody sent, or under two ids. When a delivery succeeded twice in one life, or was
    /// made again after the API had shown it as delivered. When one came before its time, out of order, or to a side
    /// that did not sign it.
    pub(super) fn check(
        &self,
        requests: &[Received],
        lives: &[Life],
        given_up: &HashMap<&str, HashSet<String>>,
    ) -> Twice {
        let state = self.lock();
        let mut ids: HashMap<u64, &str> = HashMap::new();
        let mut successes: HashMap<(&str, &str), Vec<Instant>> = HashMap::new();
        let (mut after_seen, mut scheduled) = (Vec::new(), 0);
        for request in requests {
            let number = request.json()["number"].as_u64().expect("a number");
            let route = Route::of_path(&request.path).expect("a known path");
            let event = state.sent.get(&number).unwrap_or_else(|| panic!("nobody sent event {number}"));
            assert!(route.wants(event), "{event:?} at {}", route.path);
            assert_eq!(*ids.entry(number).or_insert(request.id()), request.id(), "event {number} under two ids");
            if let Some(id) = state.acknowledged.get(&number) {
                assert_eq!(id, request.id(), "event {number}");
            }
            if let Some(at) = event.deliver_at {
                let came = request.at_wall.duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
                assert!(u128::from(at) <= came, "{event:?} came {} ms early", u128::from(at) - came);
                scheduled += 1;
            }
            assert!(request.is_signed_with(&secret(&request.path)), "{event:?} at {}", request.path);
            let seen = state.seen_delivered.get(&(route.path, request.id().to_owned()));
            if seen.is_some_and(|seen| *seen < request.at) {
                after_seen.push((route.path, request.id()));
            }
            if request.answered == 200 {
                successes.entry((route.path, request.id())).or_default().push(request.at);
            }
        }
        assert!(after_seen.is_empty(), "made again after they were shown as delivered: {after_seen:?}");
        eprintln!("{} deliveries of {} seen as delivered meanwhile", state.seen_delivered.len(), successes.len());
        eprintln!("{scheduled} requests for scheduled events, none before its time");
        state.accepted_in_order();
        ids.extend(state.acknowledged.iter().map(|(number, id)| (*number, id.as_str())));
        state.arrived_in_order(&ids, requests, given_up, lives);
        twice(&successes, lives)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// A pusher waits for each answer. So the log has its events in the order in which it sent them.
    fn accepted_in_order(&self) {
        let mut last: HashMap<(u64, &str), (u64, u64)> = HashMap::new();
        for (number, id) in &self.acknowledged {
            let place = (number / NUMBERS_OF_ONE, self.sent[number].app);
            let before = last.insert(place, (position(id), *number));
            assert!(before.is_none_or(|(before, _)| before < position(id)), "{number} is before {before:?}");
        }
    }

    /// No event came for the first time before an earlier one of its line was over.
    fn arrived_in_order(
        &self,
        ids: &HashMap<u64, &str>,
        requests: &[Received],
        given_up: &HashMap<&str, HashSet<String>>,
        lives: &[Life],
    ) {
        for route in ROUTES.iter().filter(|route| route.order != "none") {
            let of_route = ids.iter().filter(|(number, _)| {
                let event = &self.sent[number];
                route.wants(event) && event.deliver_at.is_none()
            });
            let messages = of_route.filter_map(|(number, id)| Some((*id, route.line(*number)?)));
            let came = requests.iter().filter(|request| request.path == route.path);
            let given_up = &given_up[route.path];
            let failed = |id: &str| came.clone().filter(|one| one.id() == id && one.answered != 200).count();
            for id in self.acknowledged.values().filter(|id| given_up.contains(*id)) {
                assert!(failed(id) >= route.attempts as usize, "{id} was given up after {} attempts", failed(id));
            }
            let requests = came.clone().map(|request| (request.id(), request.answered));
            let behind = check_order(messages, requests, given_up).unwrap_or_else(|early| {
                for (nth, request) in came.enumerate().filter(|(_, request)| early.contains(request.id())) {
                    let life = lives.iter().filter(|life| life.over <= request.at).count();
                    let after = request.at.duration_since(lives[0].killed);
                    eprintln!(
                        "request {nth}: {} answered {} in life {life}, {after:?}",
                        request.id(),
                        request.answered
                    );
                }
                panic!("{}: {early}", route.path)
            });
            eprintln!("{}: {behind} came in order, {} given up", route.path, given_up.len());
            assert!(behind > 0, "nothing had to wait at {}", route.path);
        }
    }
}

/// Finds which deliveries succeeded more than once.
fn twice(successes: &HashMap<(&str, &str), Vec<Instant>>, lives: &[Life]) -> Twice {
    let mut twice = Twice { per_kill: vec![0; lives.len()], oldest: Duration::ZERO };
    for (delivery, arrivals) in successes {
        for pair in arrivals.windows(2) {
            let life_of = |at: Instant| lives.iter().filter(|life| life.over <= at).count();
            let (first, second) = (life_of(pair[0]), life_of(pair[1]));
            let began = first.checked_sub(1).map(|before| pair[0].saturating_duration_since(lives[before].over));
            let later = pair[1].saturating_duration_since(pair[0]);
            assert!(first < second, "{delivery:?} succeeded twice in one life: at {began:?}, and {later:?} later");
            twice.per_kill[first] += 1;
            twice.oldest = twice.oldest.max(lives[first].killed.saturating_duration_since(pair[0]));
        }
    }
    twice
}

/// Waits until everything owed was answered 200 by one of its sides, or was given up where that may be. `dead_letters`
/// reads the ids of an endpoint's dead letters.
///
/// # Panics
/// At the deadline, with the missing deliveries.
pub(super) fn wait_for_all(
    receiver: &Receiver,
    owed: HashSet<Delivery>,
    deadline: Duration,
    dead_letters: impl Fn(&Route) -> HashSet<String>,
) {
    let route_of = |path: &str| Route::of_path(path).expect("a known path");
    let (mut may_end, mut owed): (HashSet<_>, HashSet<_>) =
        owed.into_iter().partition(|(path, _)| route_of(path).gives_up());
    let until = Instant::now() + deadline;
    let mut looked_at = 0;
    receiver.wait_until(deadline + Duration::from_secs(5), |requests| {
        for request in requests[looked_at..].iter().filter(|request| request.answered == 200) {
            owed.remove(&(route_of(&request.path).path, request.id().to_owned()));
        }
        looked_at = requests.len();
        let missing: Vec<_> = owed.iter().take(10).collect();
        assert!(Instant::now() < until || owed.is_empty(), "{} missing, such as {missing:?}", owed.len());
        owed.is_empty()
    });
    for route in ROUTES.iter().filter(|route| route.gives_up()) {
        poll_until("that each is delivered or given up", deadline, || {
            let over = dead_letters(route);
            may_end.retain(|(path, id)| *path != route.path || !over.contains(id));
            for request in receiver.requests_to(route.path).iter().filter(|request| request.answered == 200) {
                may_end.remove(&(route.path, request.id().to_owned()));
            }
            may_end.iter().all(|(path, _)| *path != route.path).then_some(())
        });
    }
}
