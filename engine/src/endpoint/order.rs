//! The order of an endpoint's deliveries: which of them may be tried for the first time now.
//!
//! | order | a first try starts |
//! |---|---|
//! | none | whenever there is room |
//! | endpoint | when everything before it was delivered or given up, and nothing is in flight |
//! | key | when everything before it with the same key was delivered or given up; one without a key whenever there is room |
//!
//! A retry and whatever was asked for by hand start at their own time. «Given up» means durably so: after a crash a
//! delivery that was given up in memory only is tried once more, and that must not happen behind its successor's back.
//!
//! With `key`, a message whose turn in the log comes while its key is busy is *held*: the lane goes on to the next one.
//!
//! - *Who owns the state:* the lane.
//! - *What bounds it:* [`HELD_MAX`] for those that are held; as many as the window and the retries in memory for those that
//!   were started. Each is a position and a number: events are read again when their turn comes.
//! - *When it is full:* the endpoint reads no further. The same goes for an endpoint with more retries than memory holds.
//! - *When the process dies here:* those that are held are holes of the cursor. The next lane reads their keys, and those of
//!   pending retries, before it tries anything for the first time.
//! - *Hostile input:* keys are kept as hashes of 64 bits. Two keys with one hash wait for each other, and that is all.
//!
//! Pure.

use foldhash::fast::FixedState;
use foldhash::{HashMap, HashSet};
use model::{Event, Order, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

/// Messages of one endpoint that wait behind their keys. With the widest window they fit the holes of one cursor.
pub const HELD_MAX: usize = 256;

/// Keys that are asked for at once.
const ASKED_MAX: usize = 64;

/// An ordering key, as far as it is kept.
pub type KeyHash = u64;

/// The key of a message, if it has one.
#[must_use]
pub fn key_of(event: &Event) -> Option<KeyHash> {
    event.ordering_key().map(|key| FixedState::default().hash_one(key))
}

/// The order that a lane keeps, with what it has to remember for that.
#[derive(Debug)]
pub enum Turns {
    /// None.
    Any,
    /// One after the other.
    Endpoint,
    /// One after the other of each key.
    Key(Box<Lines>),
}

/// The keys of an endpoint's deliveries, as far as they are known.
#[derive(Debug)]
pub struct Lines {
    held_max: usize,
    /// Deliveries that were tried and are not over: in flight, or waiting for a retry.
    started: HashMap<Seq, Option<KeyHash>>,
    /// Deliveries that were not tried and that the log's reading has passed.
    held: BTreeMap<Seq, Option<KeyHash>>,
    /// How many there are of both, for each key.
    lines: HashMap<KeyHash, Line>,
    /// Those held that may be tried now: the first of its key, when that is not busy, and all without a key.
    ready: BTreeSet<Seq>,
    /// Deliveries whose keys have to be read first, of either kind.
    unknown_started: BTreeSet<Seq>,
    unknown_held: BTreeSet<Seq>,
    asking: bool,
    /// The next message in the log is to be held, and there is no room.
    stuck: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    started: u32,
    held: u32,
}

// === impl Turns ===

impl Turns {
    /// Those of a lane that has such holes. Retries that wait are told by [`Lines::reconcile`].
    #[must_use]
    pub fn new(order: Order, held_max: usize, holes: impl IntoIterator<Item = Seq>) -> Turns {
        match order {
            Order::None => Turns::Any,
            Order::Endpoint => Turns::Endpoint,
            Order::Key => Turns::Key(Box::new(Lines::new(held_max, holes))),
        }
    }

    /// The policy that this keeps.
    #[must_use]
    pub fn order(&self) -> Order {
        match self {
            Turns::Any => Order::None,
            Turns::Endpoint => Order::Endpoint,
            Turns::Key(_) => Order::Key,
        }
    }

    /// True if there is an order to keep at all.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !matches!(self, Turns::Any)
    }

    /// The keys, where they matter.
    pub fn lines(&mut self) -> Option<&mut Lines> {
        if let Turns::Key(lines) = self { Some(lines) } else { None }
    }
}

// === impl Lines ===

impl Lines {
    /// Holes of a cursor are held until their keys are known.
    #[must_use]
    pub fn new(held_max: usize, holes: impl IntoIterator<Item = Seq>) -> Lines {
        Lines {
            held_max: held_max.clamp(1, HELD_MAX),
            started: HashMap::default(),
            held: BTreeMap::new(),
            lines: HashMap::default(),
            ready: BTreeSet::new(),
            unknown_started: BTreeSet::new(),
            unknown_held: holes.into_iter().collect(),
            asking: false,
            stuck: false,
        }
    }

    /// True if no key has to be read before the next first try.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.unknown_started.is_empty() && self.unknown_held.is_empty()
    }

    /// True if one of those held may be tried, or the log may have one. `queued` says that some of the log is in memory.
    #[must_use]
    pub fn may_have_one(&self, queued: bool) -> bool {
        self.knows_all() && (!self.ready.is_empty() || (queued && !self.stuck))
    }

    /// The deliveries whose keys to read now, if some are wanted and none are being read. [`Lines::learnt`] follows.
    pub fn next_ask(&mut self) -> Option<Vec<Seq>> {
        if self.asking || self.knows_all() {
            return None;
        }
        self.asking = true;
        Some(self.unknown_held.iter().chain(&self.unknown_started).take(ASKED_MAX).copied().collect())
    }

    /// The keys that were asked for; none when the read failed. A message that is gone has no key: it ends when its turn
    /// comes.
    pub fn learnt(&mut self, found: Option<Vec<(Seq, Option<KeyHash>)>>) {
        self.asking = false;
        for (seq, key) in found.into_iter().flatten() {
            // It may be over by now.
            if self.unknown_held.remove(&seq) {
                self.hold(seq, key);
            }
            if self.unknown_started.remove(&seq) {
                self.start(seq, key);
            }
        }
        self.look_again();
    }

    /// True if a message that is next in the log may be tried: no earlier one of its key is under way or held.
    #[must_use]
    pub fn may_start(&self, key: Option<KeyHash>) -> bool {
        key.is_none_or(|key| !self.lines.contains_key(&key))
    }

    /// A first try starts.
    pub fn start(&mut self, seq: Seq, key: Option<KeyHash>) {
        let before = self.started.insert(seq, key);
        self.count(key, |line| line.started += 1);
        if let Some(before) = before {
            self.count(before, |line| line.started -= 1);
        }
    }

    /// Takes the first of those held that may be tried; it is started.
    pub fn take_ready(&mut self) -> Option<Seq> {
        let seq = self.ready.pop_first()?;
        let key = self.held.remove(&seq)?;
        self.count(key, |line| line.held -= 1);
        self.start(seq, key);
        self.stuck = false;
        Some(seq)
    }

    /// Holds the message that is next in the log, if there is room.
    #[must_use]
    pub fn hold_next(&mut self, seq: Seq, key: Option<KeyHash>) -> bool {
        self.stuck = self.held.len() >= self.held_max;
        if !self.stuck {
            self.hold(seq, key);
        }
        !self.stuck
    }

    /// Nothing came of a first try: it is the next of its key again.
    pub fn back(&mut self, seq: Seq) {
        match self.started.get(&seq).copied() {
            Some(key) => {
                self.hold(seq, key);
                self.over(seq);
            }
            None => {
                self.unknown_started.remove(&seq);
                self.unknown_held.insert(seq);
            }
        }
    }

    /// A delivery was made, or durably given up: the next of its key may be tried.
    pub fn over(&mut self, seq: Seq) {
        self.unknown_started.remove(&seq);
        let Some(key) = self.started.remove(&seq) else { return };
        let Some(hash) = key else { return };
        self.stuck = false;
        self.count(key, |line| line.started -= 1);
        if self.lines.get(&hash).is_some_and(|line| line.started == 0) {
            let first = self.held.iter().find(|(_, held)| **held == key);
            self.ready.extend(first.map(|(seq, _)| *seq));
        }
    }

    /// Nothing that was not tried will be: the endpoint was disabled.
    pub fn drop_held(&mut self) {
        self.unknown_held.clear();
        self.ready.clear();
        for key in std::mem::take(&mut self.held).into_values() {
            self.count(key, |line| line.held -= 1);
        }
        self.stuck = false;
    }

    /// The queue holds other messages now.
    pub fn unstick(&mut self) {
        self.stuck = false;
    }

    /// These are in flight or wait for a retry, as memory and disk now agree: whatever else was started is over, and the
    /// keys of those not heard of before have to be read.
    pub fn reconcile(&mut self, out: &HashSet<Seq>) {
        let gone: Vec<Seq> = self.started.keys().filter(|seq| !out.contains(*seq)).copied().collect();
        gone.into_iter().for_each(|seq| self.over(seq));
        self.unknown_started = out.iter().filter(|seq| !self.started.contains_key(*seq)).copied().collect();
        self.look_again();
    }

    /// Messages that are held, for tests and for what is shown.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len() + self.unknown_held.len()
    }

    fn hold(&mut self, seq: Seq, key: Option<KeyHash>) {
        if self.held.insert(seq, key).is_some() {
            return;
        }
        self.count(key, |line| line.held += 1);
        if key.is_none() {
            self.ready.insert(seq);
        }
    }

    /// Counts one more or less of a key; one without any is forgotten.
    fn count(&mut self, key: Option<KeyHash>, change: impl FnOnce(&mut Line)) {
        let Some(key) = key else { return };
        let line = self.lines.entry(key).or_default();
        change(line);
        if line.started == 0 && line.held == 0 {
            self.lines.remove(&key);
        }
    }

    /// Finds those held that may be tried anew: keys became known in any order.
    fn look_again(&mut self) {
        let mut seen: HashSet<KeyHash> = HashSet::default();
        let lines = &self.lines;
        let mut is_ready = |key: &Option<KeyHash>| match key {
            None => true,
            Some(key) => seen.insert(*key) && lines.get(key).is_none_or(|line| line.started == 0),
        };
        self.ready = self.held.iter().filter(|(_, key)| is_ready(key)).map(|(seq, _)| *seq).collect();
        self.stuck = false;
    }
}

#[cfg(test)]
mod tests;
