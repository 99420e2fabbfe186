//! An endpoint's deliveries in log order: what waits in memory, what is still on disk, and where its cursor stands.
//!
//! Offers are taken while there is room. From the first one refused the endpoint is *behind*: later offers only move the
//! mark `offered_upto`, and what lies between is read from the log, in order, until it has caught up. So a backlog of
//! any size costs no memory, and the order of first attempts is the order of the log.
//!
//! Pure. Deliberately not retries (they have left the log order, see [`super::retries`]).

use model::{Cursor, Event, Seq};
use std::collections::{BTreeSet, VecDeque};

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
    /// First attempts in flight, holes being fetched included.
    in_flight: BTreeSet<Seq>,
    reading: bool,
}

/// What to read from the log next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// Exclusive.
    pub after: Seq,
    /// Inclusive.
    pub upto: Seq,
    /// At most so many events.
    pub max_events: usize,
}

impl Backlog {
    /// Starts where the stored cursor says, with nothing in memory.
    #[must_use]
    pub fn new(cursor: Cursor, capacity: usize) -> Backlog {
        Backlog {
            position: cursor.upto,
            offered_upto: cursor.upto,
            queue: VecDeque::new(),
            queued_bytes: 0,
            capacity: capacity.max(1),
            holes: cursor.holes.into(),
            in_flight: BTreeSet::new(),
            reading: false,
        }
    }

    /// Takes events that match, ascending, whose predecessor for this endpoint was `previous`. Answers how many found
    /// no room. `room_bytes` is what memory may still take; an empty queue takes one event whatever its size.
    pub fn offer<'a>(&mut self, previous: Seq, events: impl Iterator<Item = &'a Event>, room_bytes: usize) -> usize {
        let mut refused = 0;
        let mut room_bytes = room_bytes;
        self.offered_upto = self.offered_upto.max(previous);
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
            room_bytes = room_bytes.saturating_sub(bytes);
            self.push(event.clone());
        }
        refused
    }

    /// Events up to `upto` were offered and did not reach this endpoint.
    pub fn missed(&mut self, upto: Seq) {
        self.offered_upto = self.offered_upto.max(upto);
    }

    /// Takes what a read found: matching events, ascending, and up to where the log was looked at.
    pub fn read_done(&mut self, events: Vec<Event>, upto: Seq) {
        self.reading = false;
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
    }

    /// The read to make now, if one is due: behind, none under way, and the queue at most half full.
    pub fn next_read(&mut self) -> Option<LogRead> {
        if self.reading || !self.is_behind() || self.queue.len() > self.capacity / 2 {
            return None;
        }
        self.reading = true;
        let max_events = (self.capacity - self.queue.len()).max(1);
        Some(LogRead { after: self.position, upto: self.offered_upto, max_events })
    }

    /// The next hole to fetch; it counts as in flight from here on.
    pub fn next_hole(&mut self) -> Option<Seq> {
        let seq = self.holes.pop_front()?;
        self.in_flight.insert(seq);
        Some(seq)
    }

    /// The next event to try; it counts as in flight from here on.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.queued_bytes -= event.memory_bytes();
        self.in_flight.insert(event.seq);
        Some(event)
    }

    /// A first attempt ended and its delivery is settled.
    pub fn settled(&mut self, seq: Seq) {
        self.in_flight.remove(&seq);
    }

    /// Drops all that has not been tried, as if it had been: for an endpoint that was disabled.
    pub fn skip_all(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.holes.clear();
        self.position = self.position.max(self.offered_upto);
    }

    /// Where the endpoint stands, as it is to be stored.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let mut upto = match self.queue.front() {
            Some(event) => event.seq.previous(),
            None => self.position,
        };
        let mut holes: Vec<Seq> = self.in_flight.iter().copied().collect();
        // What is in flight at the very end needs no hole: the cursor just stops before it.
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

    /// Whether deliveries wait on disk.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.position < self.offered_upto
    }

    /// The last position offered.
    #[must_use]
    pub fn offered_upto(&self) -> Seq {
        self.offered_upto
    }

    /// Whether something could be tried now.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.queue.is_empty() || !self.holes.is_empty()
    }

    /// Whether everything offered is settled.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.is_behind() && !self.has_ready() && self.in_flight.is_empty()
    }

    /// Bytes that wait in memory.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
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
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::{AppId, UnixMs};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn event(seq: u64) -> Event {
        Event {
            app: AppId(1),
            seq: Seq(seq),
            accepted_at: UnixMs(seq),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn offer(backlog: &mut Backlog, previous: u64, seqs: &[u64]) -> usize {
        let events: Vec<Event> = seqs.iter().map(|seq| event(*seq)).collect();
        backlog.offer(Seq(previous), events.iter(), usize::MAX)
    }

    fn fresh(capacity: usize) -> Backlog {
        Backlog::new(Cursor::default(), capacity)
    }

    #[test]
    fn a_full_queue_makes_it_behind_and_reading_catches_it_up_in_order() {
        let mut backlog = fresh(2);
        assert_eq!(offer(&mut backlog, 0, &[1, 2, 3]), 1);
        assert!(backlog.is_behind());
        assert_eq!(offer(&mut backlog, 3, &[4]), 1);
        assert_eq!(backlog.next_read(), None, "the queue is full");
        backlog.pop();
        let read = backlog.next_read().unwrap();
        assert_eq!((read.after, read.upto), (Seq(2), Seq(4)));
        backlog.read_done(vec![event(3)], Seq(3));
        assert!(backlog.is_behind());
        assert_eq!(backlog.pop().unwrap().seq, Seq(2));
        assert_eq!(backlog.pop().unwrap().seq, Seq(3));
        let read = backlog.next_read().unwrap();
        assert_eq!((read.after, read.upto), (Seq(3), Seq(4)));
    }

    #[test]
    fn an_offer_that_was_lost_on_the_way_is_noticed_by_the_next() {
        let mut backlog = fresh(10);
        offer(&mut backlog, 0, &[1]);
        assert_eq!(offer(&mut backlog, 5, &[6]), 1, "2 to 5 did not arrive");
        assert_eq!(backlog.next_read().unwrap().upto, Seq(6));
    }

    #[test]
    fn a_read_that_finds_nothing_moves_the_cursor() {
        let mut backlog = fresh(10);
        backlog.missed(Seq(50));
        backlog.next_read().unwrap();
        backlog.read_done(Vec::new(), Seq(50));
        assert!(backlog.is_clean());
        assert_eq!(backlog.cursor(), Cursor { upto: Seq(50), holes: Vec::new() });
    }

    #[test]
    fn overtaken_deliveries_are_holes_and_the_last_ones_in_flight_are_not() {
        let mut backlog = fresh(10);
        offer(&mut backlog, 0, &[1, 2, 3, 4]);
        for _ in 0..4 {
            backlog.pop();
        }
        backlog.settled(Seq(2));
        assert_eq!(backlog.cursor(), Cursor { upto: Seq(2), holes: vec![Seq(1)] });
        backlog.settled(Seq(4));
        assert_eq!(backlog.cursor(), Cursor { upto: Seq(4), holes: vec![Seq(1), Seq(3)] });
    }

    #[test]
    fn stored_holes_are_fetched_first_and_stay_holes_until_settled() {
        let mut backlog = Backlog::new(Cursor { upto: Seq(9), holes: vec![Seq(3), Seq(5)] }, 10);
        assert_eq!(backlog.next_hole(), Some(Seq(3)));
        assert_eq!(backlog.cursor().holes, vec![Seq(3), Seq(5)]);
        backlog.settled(Seq(3));
        assert_eq!(backlog.cursor().holes, vec![Seq(5)]);
    }

    #[test]
    fn an_event_larger_than_all_room_still_gets_through_an_empty_queue() {
        let mut backlog = fresh(10);
        let events = [event(1), event(2)];
        assert_eq!(backlog.offer(Seq(0), events.iter(), 0), 1);
    }

    proptest! {
        /// Whatever is offered, read and settled in whatever order: every matching event is tried exactly once, in
        /// order, and a cursor never claims what is not settled nor forgets what is.
        #[test]
        fn nothing_is_lost_repeated_or_claimed_early(
            capacity in 1usize..6,
            steps in proptest::collection::vec((0u8..5, 1u64..4, any::<prop::sample::Index>()), 1..200),
        ) {
            let mut backlog = fresh(capacity);
            let (mut log, mut tried, mut open) = (Vec::<u64>::new(), Vec::new(), Vec::<u64>::new());
            let (mut head, mut last_offered) = (0u64, 0u64);
            let mut settled = BTreeSet::new();
            let mut read = None;
            for (step, amount, index) in steps {
                match step {
                    0 => {
                        head += amount;
                        offer(&mut backlog, last_offered, &[head]);
                        log.push(head);
                        last_offered = head;
                    }
                    1 => { head += 1; log.push(head); backlog.missed(Seq(head)); last_offered = head; }
                    2 => if let Some(event) = backlog.pop() { tried.push(event.seq.0); open.push(event.seq.0); },
                    3 => if !open.is_empty() {
                        let seq = open.swap_remove(index.index(open.len()));
                        backlog.settled(Seq(seq));
                        settled.insert(seq);
                    },
                    _ => match read.take() {
                        None => read = backlog.next_read(),
                        Some(LogRead { after, upto, max_events }) => {
                            let found: Vec<Event> = log.iter().copied().filter(|s| *s > after.0 && *s <= upto.0)
                                .take(max_events).map(event).collect();
                            let looked = if found.len() == max_events { found.last().unwrap().seq } else { upto };
                            backlog.read_done(found, looked);
                        }
                    },
                }
                let cursor = backlog.cursor();
                for seq in &log {
                    let claimed = *seq <= cursor.upto.0 && !cursor.holes.contains(&Seq(*seq));
                    if claimed { prop_assert!(settled.contains(seq), "{} is claimed", seq); }
                    if settled.contains(seq) { prop_assert!(claimed, "{} is forgotten", seq); }
                }
            }
            prop_assert_eq!(&tried[..], &log[..tried.len()]);
        }
    }
}
