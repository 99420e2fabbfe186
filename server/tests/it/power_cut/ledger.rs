//! Sent and acknowledged changes with their positions in the record: they tell the content that each cut must leave.
//!
//! No opinion on the right content: that is `check`.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An event that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Acked {
    pub(super) event: Event,
    pub(super) id: String,
    /// The record was this long when the answer was there.
    pub(super) mark: u64,
    /// Its `Idempotency-Key`, if it was sent alone with one.
    pub(super) key: Option<String>,
}

/// An event that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) app: &'static str,
    pub(super) number: u64,
    /// Of a scheduled one, in milliseconds of the wall clock.
    pub(super) deliver_at: Option<u64>,
}

/// An answer that showed the switch of the failover.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The record was this long when the answer was there.
    pub(super) mark: u64,
    pub(super) shown: Value,
}

/// A change of one object of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Stated {
    /// The value that reading it shows afterwards; `None`: it is gone.
    pub(super) shows: Option<Value>,
    /// The record's length before it was sent.
    pub(super) sent: u64,
    /// And when it was answered, if it was.
    pub(super) acked: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    sent: HashMap<u64, Event>,
    acked: Vec<Acked>,
    /// By path.
    objects: BTreeMap<String, Vec<Stated>>,
    /// In the order of the answers.
    looks: Vec<Look>,
}

/// The notes of all threads.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

// === impl Ledger ===

impl Ledger {
    pub(super) fn sending(&self, events: &[Event]) {
        self.lock().sent.extend(events.iter().map(|event| (event.number, *event)));
    }

    pub(super) fn acked(&self, acked: Acked) {
        self.lock().acked.push(acked);
    }

    /// The object at `path` is about to be changed.
    pub(super) fn stating(&self, path: &str, shows: Option<Value>, sent: u64) {
        self.lock().objects.entry(path.to_owned()).or_default().push(Stated { shows, sent, acked: None });
    }

    /// The last change of it was acknowledged.
    pub(super) fn stated(&self, path: &str, mark: u64) {
        let mut state = self.lock();
        let last = state.objects.get_mut(path).and_then(|history| history.last_mut());
        last.expect("it was about to be changed").acked = Some(mark);
    }

    /// The API showed the switch so.
    pub(super) fn looked(&self, look: Look) {
        self.lock().looks.push(look);
    }

    /// The last answer with the switch before a cut at `until`.
    pub(super) fn last_look(&self, until: u64) -> Option<Value> {
        let state = self.lock();
        let before = state.looks.partition_point(|look| look.mark <= until);
        before.checked_sub(1).map(|last| state.looks[last].shown.clone())
    }

    /// An event that was sent.
    pub(super) fn sent(&self, number: u64) -> Option<Event> {
        self.lock().sent.get(&number).copied()
    }

    /// The events that were acknowledged when the record was no longer than `until`.
    pub(super) fn acked_until(&self, until: u64) -> Vec<Acked> {
        self.lock().acked.iter().filter(|acked| acked.mark <= until).cloned().collect()
    }

    pub(super) fn events(&self) -> usize {
        self.lock().acked.len()
    }

    /// Positions right after something was acknowledged.
    pub(super) fn marks(&self) -> Vec<u64> {
        let state = self.lock();
        let objects = state.objects.values().flatten().filter_map(|stated| stated.acked);
        let looks = state.looks.iter().map(|look| look.mark);
        state.acked.iter().map(|acked| acked.mark).chain(objects).chain(looks).collect()
    }

    /// The values that each object may show after a cut at `until`: the last acknowledged one, or one on its way.
    pub(super) fn objects(&self, until: u64) -> Vec<(String, Vec<Option<Value>>)> {
        let state = self.lock();
        let may_show = state.objects.iter().map(|(path, history)| {
            let last = history.iter().rposition(|stated| stated.acked.is_some_and(|mark| mark <= until));
            let first = last.map(|last| history[last].shows.clone()).unwrap_or_default();
            let later = &history[last.map_or(0, |last| last + 1)..];
            let on_the_way = later.iter().filter(|stated| stated.sent <= until).map(|stated| stated.shows.clone());
            (path.clone(), std::iter::once(first).chain(on_the_way).collect())
        });
        may_show.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
