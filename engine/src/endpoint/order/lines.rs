//! The ordering keys of one endpoint's deliveries: which keys have a delivery under way, which deliveries wait for their
//! key, and which of those is tried next.
//!
//! Pure. No events and no rows: the lane knows where each delivery is found.

use super::{HELD_MAX, KeyHash, key_of};
use foldhash::{HashMap, HashSet};
use model::{Event, Seq, UnixMs};
use std::collections::{BTreeMap, BTreeSet};

/// Keys that are asked for at once.
const ASKED_MAX: usize = 64;

/// The place of a delivery among those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Its position in the log. A scheduled message is behind the last one that was accepted before its time.
    behind: Seq,
    /// The due time of its row, if it is a scheduled message.
    scheduled: Option<UnixMs>,
    seq: Seq,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Lines {
    held_max: usize,
    /// Deliveries that were tried and are not over: in flight, or waiting for a retry.
    started: HashMap<Seq, Known>,
    /// Deliveries that were not tried: the log's reading has passed them, or they are scheduled messages that are due.
    held: BTreeMap<Place, Known>,
    /// Both, for each key.
    lines: HashMap<KeyHash, Line>,
    /// Those held that may be tried now: the first of its key, when that is not busy, and all without a key.
    ready: BTreeSet<Place>,
    /// Deliveries whose keys have to be read first, of either kind. Scheduled messages come with their time.
    unknown_started: BTreeSet<Seq>,
    unknown_held: BTreeMap<Seq, Option<UnixMs>>,
    asking: bool,
    /// The next message in the log is to be held, and there is no room.
    stuck: bool,
    /// Scheduled messages up to this time have their place.
    placed_upto: UnixMs,
    /// The log was read up to here then.
    passed_upto: Seq,
}

/// The reading of a message whose key was not known. One that is gone has neither a key nor a time: it ends when its turn
/// comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The message.
    pub seq: Seq,
    /// Its key.
    pub key: Option<KeyHash>,
    /// From when on it may be sent.
    pub ready_at: UnixMs,
}

/// The next of those held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHeld {
    /// The message.
    pub seq: Seq,
    /// The due time of its row, if it is a scheduled message.
    pub scheduled: Option<UnixMs>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    key: Option<KeyHash>,
    ready_at: UnixMs,
}

#[derive(Clone, Debug, Default)]
struct Line {
    started: u32,
    held: BTreeSet<Place>,
}

// === impl Keyed ===

impl Keyed {
    /// Of a message as it was found.
    #[must_use]
    pub fn of(seq: Seq, event: Option<&Event>) -> Keyed {
        Keyed { seq, key: event.and_then(key_of), ready_at: event.map_or(UnixMs::ZERO, Event::ready_at) }
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
            unknown_held: holes.into_iter().map(|seq| (seq, None)).collect(),
            asking: false,
            stuck: false,
            placed_upto: UnixMs::ZERO,
            passed_upto: Seq::ZERO,
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
        Some(self.unknown_held.keys().chain(&self.unknown_started).take(ASKED_MAX).copied().collect())
    }

    /// The keys that were asked for; none when the read failed.
    pub fn learnt(&mut self, found: Option<Vec<Keyed>>) {
        self.asking = false;
        for keyed in found.into_iter().flatten() {
            // It may be over by now.
            match self.unknown_held.remove(&keyed.seq) {
                Some(Some(due)) => self.hold_scheduled(keyed, due),
                Some(None) => self.hold(keyed),
                None => {}
            }
            if self.unknown_started.remove(&keyed.seq) {
                self.start(keyed);
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
    pub fn start(&mut self, first: Keyed) {
        let Keyed { seq, key, ready_at } = first;
        let before = self.started.insert(seq, Known { key, ready_at });
        self.change(key, |line| line.started += 1);
        if let Some(before) = before {
            self.change(before.key, |line| line.started -= 1);
        }
    }

    /// Takes the first of those held that may be tried; it is started.
    pub fn take_ready(&mut self) -> Option<NextHeld> {
        let place = self.ready.pop_first()?;
        let Known { key, ready_at } = self.let_go(place)?;
        let Place { seq, scheduled, .. } = place;
        self.start(Keyed { seq, key, ready_at });
        self.stuck = false;
        Some(NextHeld { seq, scheduled })
    }

    /// Holds the message that is next in the log, if there is room.
    #[must_use]
    pub fn hold_next(&mut self, next: Keyed) -> bool {
        self.stuck = self.held.len() >= self.held_max;
        if !self.stuck {
            self.hold(next);
        }
        !self.stuck
    }

    /// True if the key and the time of every message is known that is held.
    #[must_use]
    pub fn knows_held(&self) -> bool {
        self.unknown_held.is_empty()
    }

    /// The time up to which scheduled messages have their place.
    #[must_use]
    pub fn placed_upto(&self) -> UnixMs {
        self.placed_upto
    }

    /// When the last one of those held was accepted: all that was accepted before has been read. Zero if nothing is held, or
    /// the last is a scheduled message.
    #[must_use]
    pub fn held_upto(&self) -> UnixMs {
        let last = self.held.last_key_value().filter(|(place, _)| place.scheduled.is_none());
        last.map_or(UnixMs::ZERO, |(_, known)| known.ready_at)
    }

    /// Scheduled messages that are due by `upto` get their place, once their keys are known. The log was read to `passed`.
    pub fn place(&mut self, upto: UnixMs, passed: Seq, due: impl Iterator<Item = (UnixMs, Seq)>) {
        (self.placed_upto, self.passed_upto) = (upto, passed);
        for (due, seq) in due {
            let is_held = self.held.keys().any(|place| place.seq == seq && place.scheduled == Some(due));
            if !is_held {
                self.unknown_held.insert(seq, Some(due));
            }
        }
    }

    /// Nothing came of a first try: it is the next of its key again. A scheduled message is found by [`Lines::reconcile`].
    pub fn back(&mut self, seq: Seq) {
        match self.started.get(&seq).copied() {
            Some(Known { key, ready_at }) => {
                self.hold(Keyed { seq, key, ready_at });
                self.over(seq);
            }
            None => {
                self.unknown_started.remove(&seq);
                self.unknown_held.insert(seq, None);
            }
        }
    }

    /// A delivery was made, or durably given up: the next of its key may be tried.
    pub fn over(&mut self, seq: Seq) {
        self.unknown_started.remove(&seq);
        let Some(Known { key: Some(key), .. }) = self.started.remove(&seq) else { return };
        self.stuck = false;
        self.change(Some(key), |line| line.started -= 1);
        if let Some(line) = self.lines.get(&key).filter(|line| line.started == 0) {
            self.ready.extend(line.held.first());
        }
    }

    /// Nothing that was not tried will be: the endpoint was disabled.
    pub fn drop_held(&mut self) {
        self.unknown_held.clear();
        self.ready.clear();
        while let Some((place, _)) = self.held.first_key_value() {
            self.let_go(*place);
        }
        self.stuck = false;
    }

    /// The queue holds other messages now.
    pub fn unstick(&mut self) {
        self.stuck = false;
    }

    /// As memory and disk now agree, `out` are in flight or wait for a retry: whatever else was started is over, and the
    /// keys of those not heard of before have to be read. Of the scheduled messages, those stay that are still
    /// `in_line`; all that are due are placed anew.
    pub fn reconcile(&mut self, out: &HashSet<Seq>, in_line: impl Fn((UnixMs, Seq)) -> bool) {
        let gone: Vec<Seq> = self.started.keys().filter(|seq| !out.contains(*seq)).copied().collect();
        gone.into_iter().for_each(|seq| self.over(seq));
        let left = |place: &&Place| place.scheduled.is_some_and(|due| !in_line((due, place.seq)));
        let gone: Vec<Place> = self.held.keys().filter(left).copied().collect();
        for place in gone {
            self.let_go(place);
        }
        self.unknown_held.retain(|seq, scheduled| scheduled.is_none_or(|at| in_line((at, *seq))));
        self.placed_upto = UnixMs::ZERO;
        self.unknown_started = out.iter().filter(|seq| !self.started.contains_key(*seq)).copied().collect();
        self.look_again();
    }

    /// Messages that are held, for tests and for what is shown.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len() + self.unknown_held.len()
    }

    fn hold(&mut self, message: Keyed) {
        let Keyed { seq, key, ready_at } = message;
        self.hold_at(Place { behind: seq, scheduled: None, seq }, Known { key, ready_at });
    }

    /// In front of the first one in the log that was accepted at its time or later (the clock may have been set back since), and
    /// of the first scheduled one that is due later: that one may have got its place when less of the log was read.
    fn hold_scheduled(&mut self, message: Keyed, due: UnixMs) {
        let is_later = |(place, known): &(&Place, &Known)| match place.scheduled {
            None => known.ready_at >= due,
            Some(other) => (other, place.seq) > (due, message.seq),
        };
        let behind = match self.held.iter().find(is_later) {
            Some((place, _)) if place.scheduled.is_none() => place.seq.previous(),
            Some((place, _)) => place.behind,
            None => self.passed_upto,
        };
        let place = Place { behind, scheduled: Some(due), seq: message.seq };
        self.hold_at(place, Known { key: message.key, ready_at: due });
    }

    fn hold_at(&mut self, place: Place, known: Known) {
        if self.held.insert(place, known).is_some() {
            return;
        }
        self.change(known.key, |line| line.held.extend([place]));
        if known.key.is_none() {
            self.ready.insert(place);
        }
    }

    fn let_go(&mut self, place: Place) -> Option<Known> {
        let held = self.held.remove(&place)?;
        self.ready.remove(&place);
        self.change(held.key, |line| {
            line.held.remove(&place);
        });
        Some(held)
    }

    /// Changes the line of a key; one that is empty is forgotten.
    fn change(&mut self, key: Option<KeyHash>, change: impl FnOnce(&mut Line)) {
        let Some(key) = key else { return };
        let line = self.lines.entry(key).or_default();
        change(line);
        if line.started == 0 && line.held.is_empty() {
            self.lines.remove(&key);
        }
    }

    /// Finds those held that may be tried anew: keys became known in any order.
    fn look_again(&mut self) {
        let free = self.lines.values().filter(|line| line.started == 0);
        let first = free.filter_map(|line| line.held.first().copied());
        let without_key = self.held.iter().filter(|(_, known)| known.key.is_none()).map(|(place, _)| *place);
        self.ready = first.chain(without_key).collect();
        self.stuck = false;
    }
}

#[cfg(test)]
mod tests;
