//! An endpoint's deliveries in log order: those in memory, those still on disk, and its cursor.
//!
//! Offers are taken while there is room. From the first one refused the endpoint is *behind*: later offers only move
//! the mark `offered_upto`. The events between are read from the log, in order, until the endpoint has caught up. So a
//! backlog of any size costs no memory, and the order of first attempts is the order of the log.
//!
//! Pure. Not retries (they have left the log order, see [`super::retries`]).

mod passed;

use model::{Cursor, DeadLetterReason, Event, Seq, UnixMs};
use passed::Passed;
use std::collections::{BTreeSet, VecDeque};

/// Deliveries that reads from the log leave in memory at most.
///
/// This is enough to keep an endpoint busy until the next read. Offers may fill all of the capacity: their payloads are
/// shared with other endpoints, and the payloads of a read are not.
const READ_AHEAD_MAX: usize = 1_024;

/// Deliveries of one endpoint that have not been tried.
#[derive(Debug)]
pub struct Backlog {
    /// Everything up to here was queued, is known not to match, or is a hole to fetch.
    position: Seq,
    /// The last position that this endpoint was offered.
    offered_upto: Seq,
    queue: VecDeque<Event>,
    queued_bytes: usize,
    capacity: usize,
    /// Holes of the stored cursor that are still to be fetched one by one: attempts in flight when the process died.
    holes: VecDeque<Seq>,
    /// Events of holes that were passed over, as far as memory keeps them.
    passed: Passed,
    /// First attempts in flight, holes being fetched included.
    in_flight: BTreeSet<Seq>,
    reading: bool,
    /// The read under way was made with another filter: it is made again.
    stale: bool,
}

/// The answer of an endpoint's content filter about an event that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// It is for the endpoint.
    Yes,
    /// It is not.
    No,
    /// The answer would take too long here.
    Undecided,
}

/// The next read of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// Exclusive.
    pub after: Seq,
    /// Inclusive.
    pub upto: Seq,
    /// At most so many events.
    pub max_events: usize,
}

/// The result of a read of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFound {
    /// Events that match, ascending.
    pub events: Vec<Event>,
    /// The last position that was looked at.
    pub upto: Seq,
    /// The range right behind `after`, both ends included, that retention had removed.
    pub removed: Option<(Seq, Seq)>,
}

impl Backlog {
    /// Starts at the stored cursor, with nothing in memory.
    #[must_use]
    pub fn new(cursor: Cursor, capacity: usize) -> Backlog {
        Backlog {
            position: cursor.upto,
            offered_upto: cursor.upto,
            queue: VecDeque::new(),
            queued_bytes: 0,
            capacity: capacity.max(1),
            holes: cursor.holes.into(),
            passed: Passed::default(),
            in_flight: BTreeSet::new(),
            reading: false,
            stale: false,
        }
    }

    /// Takes events that were offered, ascending. Answers the number of events that found no room.
    ///
    /// Events that were offered before and did not arrive are told first, by [`Backlog::missed`]. Memory may still take
    /// `room_bytes`; an empty queue takes one event whatever its size. `wants` is asked about each event that would be
    /// taken; one that the endpoint does not want is passed.
    pub fn offer<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        room_bytes: usize,
        mut wants: impl FnMut(&Event) -> Wants,
    ) -> usize {
        let mut refused = 0;
        let mut room_bytes = room_bytes;
        for event in events {
            let behind = self.is_behind();
            self.offered_upto = self.offered_upto.max(event.seq);
            if event.seq <= self.position {
                continue;
            }
            let bytes = event.memory_bytes();
            let room = self.queue.is_empty() || (self.queue.len() < self.capacity && bytes <= room_bytes);
            if behind || self.reading || !room {
                refused += 1;
                continue;
            }
            match wants(event) {
                Wants::Yes => {}
                Wants::No => {
                    self.position = event.seq;
                    continue;
                }
                // The read of the log decides, on another thread.
                Wants::Undecided => {
                    refused += 1;
                    continue;
                }
            }
            room_bytes = room_bytes.saturating_sub(bytes);
            self.push(event.clone());
        }
        refused
    }

    /// Events up to `upto` were offered and did not reach this endpoint.
    pub fn missed(&mut self, upto: Seq) {
        self.offered_upto = self.offered_upto.max(upto);
    }

    /// The endpoint's filter changed: untried deliveries are read from the log once more.
    ///
    /// So the filter at a delivery's turn decides. A caller that asks for the state of such a delivery is answered by
    /// that filter too.
    pub fn read_again(&mut self) {
        if let Some(first) = self.queue.front() {
            self.position = first.seq.previous();
            self.queue.clear();
            self.queued_bytes = 0;
        }
        self.forget_passed();
        self.stale = self.reading;
    }

    /// True if a read of the log is under way.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading
    }

    /// True if the read under way will be made again.
    #[must_use]
    pub fn read_is_stale(&self) -> bool {
        self.stale
    }

    /// Takes the result of a read: matching events, ascending, and the last position that was looked at.
    pub fn read_done(&mut self, events: Vec<Event>, upto: Seq) {
        self.reading = false;
        if std::mem::take(&mut self.stale) {
            return;
        }
        for event in events {
            if event.seq > self.position {
                self.push(event);
            }
        }
        self.position = self.position.max(upto);
    }

    /// A read failed or was dropped: it may be asked for again.
    pub fn read_failed(&mut self) {
        self.reading = false;
        self.stale = false;
    }

    /// The read to make now, if one is due.
    ///
    /// One is due when the endpoint is behind, no read is under way, and the queue is at most half full. A full queue
    /// counts here as the deliveries that a read may leave in it. When memory has no room for more, only an empty queue
    /// is refilled.
    pub fn next_read(&mut self, room_bytes: usize) -> Option<LogRead> {
        let ahead_max = self.capacity.min(READ_AHEAD_MAX);
        let wants_more = self.queue.is_empty() || (room_bytes > 0 && self.queue.len() <= ahead_max / 2);
        if self.reading || !self.is_behind() || !wants_more {
            return None;
        }
        self.reading = true;
        let max_events = (ahead_max - self.queue.len()).max(1);
        Some(LogRead { after: self.position, upto: self.offered_upto, max_events })
    }

    /// The next hole to fetch; it counts as in flight from here on.
    pub fn next_hole(&mut self) -> Option<Seq> {
        let seq = self.holes.pop_front()?;
        self.in_flight.insert(seq);
        Some(seq)
    }

    /// A hole could not be fetched: it waits for another turn.
    pub fn hole_returned(&mut self, seq: Seq) {
        if self.in_flight.remove(&seq) {
            self.holes.push_back(seq);
        }
    }

    /// The earliest hole.
    #[must_use]
    pub fn first_hole(&self) -> Option<Seq> {
        self.holes.iter().min().copied()
    }

    /// Takes one hole to fetch; it counts as in flight from here on. `false` when there is no such hole.
    pub fn take_hole(&mut self, seq: Seq) -> bool {
        let found = self.holes.iter().position(|hole| *hole == seq);
        if let Some(index) = found {
            self.holes.remove(index);
            self.in_flight.insert(seq);
        }
        found.is_some()
    }

    /// A hole is settled by another attempt.
    pub fn drop_hole(&mut self, seq: Seq) {
        self.holes.retain(|hole| *hole != seq);
        self.passed.take(seq);
    }

    /// Passes the next event over: it becomes a hole, and is taken or fetched when it may be tried.
    pub fn pass_over(&mut self) {
        if let Some(event) = self.pop() {
            self.in_flight.remove(&event.seq);
            self.holes.push_back(event.seq);
            self.passed.keep(event);
        }
    }

    /// Takes one hole that was passed over; it counts as in flight from here on. None when its event is to be fetched.
    pub fn take_passed(&mut self, seq: Seq) -> Option<Event> {
        self.take_hole(seq);
        self.passed.take(seq)
    }

    /// Events that were passed over are fetched when their turn comes.
    pub fn forget_passed(&mut self) {
        self.passed = Passed::default();
    }

    /// Holes that are not in flight.
    pub fn holes(&self) -> impl Iterator<Item = Seq> + '_ {
        self.holes.iter().copied()
    }

    /// The next event to try; it counts as in flight from here on.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.queued_bytes -= event.memory_bytes();
        self.in_flight.insert(event.seq);
        Some(event)
    }

    /// The reason for which the next event to try is not to be sent any more, if there is one.
    #[must_use]
    pub fn next_is_unsendable(&self, now: UnixMs) -> Option<DeadLetterReason> {
        self.queue.front()?.unsendable(now)
    }

    /// A first attempt ended and its delivery is settled.
    pub fn settled(&mut self, seq: Seq) {
        self.in_flight.remove(&seq);
    }

    /// Drops all untried deliveries, as if they had been tried: for an endpoint that was disabled.
    pub fn skip_all(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.holes.clear();
        self.forget_passed();
        self.position = self.position.max(self.offered_upto);
    }

    /// The endpoint's cursor, as it is to be stored.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let mut upto = match self.queue.front() {
            Some(event) => event.seq.previous(),
            None => self.position,
        };
        let mut holes: Vec<Seq> = self.in_flight.iter().copied().collect();
        // An attempt in flight at the very end needs no hole: the cursor just stops before it.
        while holes.last() == Some(&upto) {
            holes.pop();
            upto = upto.previous();
        }
        if !self.holes.is_empty() {
            holes.extend(self.holes.iter().copied());
            holes.sort_unstable();
        }
        Cursor { upto, holes }
    }

    /// True if deliveries wait on disk.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.position < self.offered_upto
    }

    /// The last position offered.
    #[must_use]
    pub fn offered_upto(&self) -> Seq {
        self.offered_upto
    }

    /// True if something could be tried now.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.queue.is_empty() || !self.holes.is_empty()
    }

    /// True if everything offered is settled.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.is_behind() && !self.has_ready() && self.in_flight.is_empty()
    }

    /// Deliveries that wait in memory.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that wait in memory.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes + self.passed.bytes()
    }

    /// The last position of the log that has left the queue.
    #[must_use]
    pub fn passed_upto(&self) -> Seq {
        self.queue.front().map_or(self.position, |next| next.seq.previous())
    }

    /// Everything that was accepted before this time has left the queue.
    #[must_use]
    pub fn read_upto(&self) -> UnixMs {
        match self.queue.front() {
            Some(next) => next.accepted_at,
            None if self.is_behind() => UnixMs::ZERO,
            None => UnixMs(u64::MAX),
        }
    }

    /// The position from which on the event that waits longest is found, when that is not in memory.
    #[must_use]
    pub fn first_on_disk(&self) -> Option<Seq> {
        let unread = || (self.queue.is_empty() && self.is_behind()).then(|| self.position.next());
        self.holes.front().copied().or_else(unread)
    }

    /// The event that waits longest in memory.
    #[must_use]
    pub fn oldest(&self) -> Option<&Event> {
        self.queue.front()
    }

    fn push(&mut self, event: Event) {
        self.position = event.seq;
        self.queued_bytes += event.memory_bytes();
        self.queue.push_back(event);
    }
}

#[cfg(test)]
mod tests;
