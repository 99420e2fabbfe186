//! Tests of [`super`], and a property test against a log.

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
        more: None,
        payload: Bytes::from_static(b"{}"),
    }
}

fn offer(backlog: &mut Backlog, seqs: &[u64]) -> usize {
    let events: Vec<Event> = seqs.iter().map(|seq| event(*seq)).collect();
    backlog.offer(events.iter(), usize::MAX, |_| Wants::Yes)
}

fn fresh(capacity: usize) -> Backlog {
    Backlog::new(Cursor::default(), capacity)
}

#[test]
fn a_full_queue_makes_it_behind_and_reading_catches_it_up_in_order() {
    let mut backlog = fresh(2);
    assert_eq!(offer(&mut backlog, &[1, 2, 3]), 1);
    assert!(backlog.is_behind());
    assert_eq!(offer(&mut backlog, &[4]), 1);
    assert_eq!(backlog.next_read(usize::MAX), None, "the queue is full");
    backlog.pop();
    let read = backlog.next_read(usize::MAX).unwrap();
    assert_eq!((read.after, read.upto), (Seq(2), Seq(4)));
    backlog.read_done(vec![event(3)], Seq(3));
    assert!(backlog.is_behind());
    assert_eq!(backlog.pop().unwrap().seq, Seq(2));
    assert_eq!(backlog.pop().unwrap().seq, Seq(3));
    let read = backlog.next_read(usize::MAX).unwrap();
    assert_eq!((read.after, read.upto), (Seq(3), Seq(4)));
}

#[test]
fn an_offer_that_was_lost_on_the_way_is_noticed_by_the_next() {
    let mut backlog = fresh(10);
    offer(&mut backlog, &[1]);
    backlog.missed(Seq(5));
    assert_eq!(offer(&mut backlog, &[6]), 1, "2 to 5 did not arrive");
    assert_eq!(backlog.next_read(usize::MAX).unwrap().upto, Seq(6));
}

#[test]
fn with_another_filter_all_that_was_not_tried_is_read_again() {
    let mut backlog = fresh(10);
    offer(&mut backlog, &[1, 2, 4]);
    backlog.pop();
    backlog.read_again();
    assert_eq!((backlog.cursor().upto, backlog.queued_bytes()), (Seq(0), 0), "the first is in flight");
    backlog.missed(Seq(5));
    let read = backlog.next_read(usize::MAX).unwrap();
    assert_eq!((read.after, read.upto), (Seq(1), Seq(5)));
    // Another change while a read is under way: that read was made with the old filter.
    backlog.read_again();
    assert!(backlog.read_is_stale());
    backlog.read_done(vec![event(2)], Seq(5));
    assert_eq!((backlog.queued(), backlog.next_read(usize::MAX)), (0, Some(read)));
    backlog.read_done(vec![event(3)], Seq(5));
    backlog.settled(Seq(1));
    assert_eq!((backlog.pop().unwrap().seq, backlog.cursor()), (Seq(3), Cursor { upto: Seq(5), holes: vec![Seq(3)] }));
}

#[test]
fn without_room_only_an_empty_queue_is_refilled() {
    let mut backlog = fresh(8);
    offer(&mut backlog, &[1]);
    backlog.missed(Seq(9));
    assert_eq!(backlog.next_read(0), None);
    backlog.pop();
    assert!(backlog.next_read(0).is_some());
}

#[test]
fn reads_leave_less_in_memory_than_offers_may() {
    let mut backlog = fresh(4 * READ_AHEAD_MAX);
    let seqs: Vec<u64> = (1..=3_000).collect();
    assert_eq!(offer(&mut backlog, &seqs), 0);
    backlog.missed(Seq(10_000));
    let mut left = 3_000;
    let read = loop {
        if let Some(read) = backlog.next_read(usize::MAX) {
            break read;
        }
        backlog.pop().unwrap();
        left -= 1;
    };
    assert_eq!((left, read.max_events), (READ_AHEAD_MAX / 2, READ_AHEAD_MAX / 2));
}

#[test]
fn a_read_that_finds_nothing_moves_the_cursor() {
    let mut backlog = fresh(10);
    backlog.missed(Seq(50));
    backlog.next_read(usize::MAX).unwrap();
    backlog.read_done(Vec::new(), Seq(50));
    assert!(backlog.is_clean());
    assert_eq!(backlog.cursor(), Cursor { upto: Seq(50), holes: Vec::new() });
}

#[test]
fn overtaken_deliveries_are_holes_and_the_last_ones_in_flight_are_not() {
    let mut backlog = fresh(10);
    offer(&mut backlog, &[1, 2, 3, 4]);
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
    assert_eq!(backlog.offer(events.iter(), 0, |_| Wants::Yes), 1);
}

proptest! {
    /// In any order of offers, reads and settlements, every matching event is tried exactly once, in log order. A
    /// cursor never claims an unsettled event nor forgets a settled one.
    #[test]
    fn nothing_is_lost_repeated_or_claimed_early(
        capacity in 1usize..6,
        steps in proptest::collection::vec((0u8..6, 1u64..4, any::<prop::sample::Index>()), 1..200),
    ) {
        let mut backlog = fresh(capacity);
        let (mut log, mut tried, mut open) = (Vec::<u64>::new(), Vec::new(), Vec::<u64>::new());
        let mut head = 0u64;
        let mut settled = BTreeSet::new();
        let mut read = None;
        for (step, amount, index) in steps {
            match step {
                0 => {
                    head += amount;
                    offer(&mut backlog, &[head]);
                    log.push(head);
                }
                1 => { head += 1; log.push(head); backlog.missed(Seq(head)); }
                2 => if let Some(event) = backlog.pop() { tried.push(event.seq.0); open.push(event.seq.0); },
                3 => if !open.is_empty() {
                    let seq = open.swap_remove(index.index(open.len()));
                    backlog.settled(Seq(seq));
                    settled.insert(seq);
                },
                4 => backlog.read_again(),
                _ => match read.take() {
                    None => read = backlog.next_read(usize::MAX),
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

#[test]
fn an_event_that_is_not_wanted_is_passed_and_one_that_is_undecided_is_read_from_the_log() {
    let mut backlog = Backlog::new(Cursor { upto: Seq(0), holes: Vec::new() }, 8);
    let events: Vec<Event> = (1..=5).map(event).collect();
    let wants = |event: &Event| match event.seq.0 {
        1 | 3 => Wants::No,
        4 => Wants::Undecided,
        _ => Wants::Yes,
    };
    assert_eq!(backlog.offer(events.iter(), usize::MAX, wants), 2, "4, and 5 behind it");
    assert_eq!(backlog.cursor().upto, Seq(1));
    assert_eq!(backlog.pop().map(|event| event.seq), Some(Seq(2)));
    assert_eq!(backlog.next_read(usize::MAX).map(|read| (read.after, read.upto)), Some((Seq(3), Seq(5))));
    backlog.settled(Seq(2));
    assert_eq!(backlog.cursor(), Cursor { upto: Seq(3), holes: Vec::new() });
}
