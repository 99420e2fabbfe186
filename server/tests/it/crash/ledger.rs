//! Acknowledged events, deliveries seen as done, and arrived requests: compared at the end.
//!
//! Events carry a number of the pusher's own, so that one event under two ids would be found.

use super::Route;
use crate::harness::{Received, Receiver};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A process that was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Just before it was.
    pub(super) killed: Instant,
    /// The process is dead, its requests are read, and the next one has not begun.
    pub(super) over: Instant,
}

/// Deliveries that came twice.
#[derive(Debug)]
pub(super) struct Twice {
    /// Deliveries that succeeded before this kill and again after it.
    pub(super) per_kill: Vec<usize>,
    /// The longest time from the first success of one of them to the kill.
    pub(super) oldest: Duration,
}

/// The records of all threads.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number: application and id.
    acknowledged: HashMap<u64, (&'static str, String)>,
    /// Everything that was ever sent, acknowledged or not.
    sent: HashMap<u64, &'static str>,
    /// By path and id: when the API first showed it as delivered.
    seen_delivered: HashMap<(&'static str, String), Instant>,
    repeated: usize,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn sending(&self, app: &'static str, numbers: &[u64]) {
        self.lock().sent.extend(numbers.iter().map(|number| (*number, app)));
    }

    pub(super) fn sending_again(&self) {
        self.lock().repeated += 1;
    }

    pub(super) fn acknowledged(&self, app: &'static str, number: u64, id: String) {
        let before = self.lock().acknowledged.insert(number, (app, id));
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

    /// Every delivery that must arrive: path and id.
    pub(super) fn owed(&self, routes: &[Route]) -> HashSet<(String, String)> {
        let state = self.lock();
        let owed = state.acknowledged.values().flat_map(|(app, id)| {
            routes.iter().filter(move |route| route.app == *app).map(|route| (route.path.to_owned(), id.clone()))
        });
        owed.collect()
    }

    /// Compares the arrived requests with all that is known.
    ///
    /// # Panics
    /// When an event arrived that nobody sent, or under two ids. When a delivery succeeded twice in one life, or was
    /// made again after the API had shown it as delivered.
    pub(super) fn check(&self, routes: &[Route], requests: &[Received], lives: &[Life]) -> Twice {
        let state = self.lock();
        let mut ids: HashMap<u64, &str> = HashMap::new();
        let mut successes: HashMap<(&str, &str), Vec<Instant>> = HashMap::new();
        let mut after_seen = Vec::new();
        for request in requests {
            let number = request.json()["number"].as_u64().expect("a number");
            let route = routes.iter().find(|route| route.path == request.path).expect("a known path");
            assert_eq!(state.sent.get(&number), Some(&route.app), "event {number} at {}", route.path);
            assert_eq!(*ids.entry(number).or_insert(request.id()), request.id(), "event {number} under two ids");
            if let Some((_, id)) = state.acknowledged.get(&number) {
                assert_eq!(id, request.id(), "event {number}");
            }
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
        twice(&successes, lives)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            let apart = pair[1].saturating_duration_since(pair[0]);
            assert!(first < second, "{delivery:?} succeeded twice in one life: at {began:?}, and {apart:?} later");
            twice.per_kill[first] += 1;
            twice.oldest = twice.oldest.max(lives[first].killed.saturating_duration_since(pair[0]));
        }
    }
    twice
}

/// Waits until everything owed was answered 200, and returns all that arrived.
///
/// # Panics
/// At the deadline, with the missing deliveries.
pub(super) fn wait_for_all(
    receiver: &Receiver,
    mut owed: HashSet<(String, String)>,
    deadline: Duration,
) -> Vec<Received> {
    let until = Instant::now() + deadline;
    let mut looked_at = 0;
    receiver.wait_until(deadline + Duration::from_secs(5), |requests| {
        for request in requests[looked_at..].iter().filter(|request| request.answered == 200) {
            owed.remove(&(request.path.clone(), request.id().to_owned()));
        }
        looked_at = requests.len();
        let missing: Vec<_> = owed.iter().take(10).collect();
        assert!(Instant::now() < until || owed.is_empty(), "{} missing, such as {missing:?}", owed.len());
        owed.is_empty()
    })
}
