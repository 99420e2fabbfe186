//! Lines of keys: any sequence of what can happen keeps messages of one key apart and in order.

use super::*;
use proptest::prelude::*;

const KEY: Option<KeyHash> = Some(7);
const OTHER: Option<KeyHash> = Some(8);

fn lines(held_max: usize) -> Lines {
    Lines::new(held_max, [])
}

/// A message of the log, accepted at a time that is its position.
fn message(seq: u64, key: Option<KeyHash>) -> Keyed {
    Keyed { seq: Seq(seq), key, ready_at: UnixMs(seq) }
}

/// The next of those held.
fn take(lines: &mut Lines) -> Option<u64> {
    lines.take_ready().map(|next| next.seq.0)
}

/// Nothing that is scheduled is in line.
fn nothing(_: (UnixMs, Seq)) -> bool {
    false
}

#[test]
fn a_key_is_busy_until_its_delivery_is_over_and_others_pass() {
    let mut lines = lines(9);
    lines.start(message(1, KEY));
    assert!(!lines.may_start(KEY) && lines.may_start(OTHER) && lines.may_start(None));
    assert!(lines.hold_next(message(2, KEY)) && lines.hold_next(message(3, KEY)));
    assert_eq!(take(&mut lines), None);
    lines.over(Seq(1));
    assert!(!lines.may_start(KEY), "two are held");
    assert_eq!((take(&mut lines), take(&mut lines)), (Some(2), None));
    lines.over(Seq(2));
    assert_eq!(take(&mut lines), Some(3));
    lines.over(Seq(3));
    assert!(lines.may_start(KEY) && lines.lines.is_empty() && lines.held() == 0);
}

#[test]
fn no_more_are_held_than_there_is_room_for() {
    let mut lines = lines(1);
    lines.start(message(1, KEY));
    assert!(lines.hold_next(message(2, KEY)) && lines.may_have_one(true));
    assert!(!lines.hold_next(message(3, KEY)));
    assert!(!lines.may_have_one(true), "the log's next one is to be held");
    lines.over(Seq(1));
    assert_eq!(take(&mut lines), Some(2));
    assert!(lines.may_have_one(true) && lines.hold_next(message(3, KEY)));
}

#[test]
fn a_first_try_that_was_not_made_is_the_next_of_its_key_again() {
    let mut lines = lines(9);
    lines.start(message(1, KEY));
    lines.start(message(2, None));
    assert!(lines.hold_next(message(3, KEY)));
    lines.back(Seq(1));
    lines.back(Seq(2));
    assert_eq!((take(&mut lines), take(&mut lines), take(&mut lines)), (Some(1), Some(2), None));
    lines.over(Seq(1));
    assert_eq!(take(&mut lines), Some(3));
}

#[test]
fn nothing_is_tried_before_all_keys_are_known() {
    let mut lines = Lines::new(9, [Seq(3), Seq(4), Seq(5)]);
    assert!(!lines.knows_all() && !lines.may_have_one(true));
    lines.reconcile(&HashSet::from_iter([Seq(1)]), nothing);
    let asked = lines.next_ask().unwrap();
    assert_eq!((asked.len(), lines.next_ask()), (4, None), "one question at a time");
    lines.learnt(None);
    assert_eq!(lines.next_ask().map(|asked| asked.len()), Some(4), "it failed: asked again");
    lines.learnt(Some(vec![message(5, None), message(4, OTHER), message(3, KEY), message(1, KEY)]));
    assert!(lines.knows_all());
    assert_eq!((take(&mut lines), take(&mut lines), take(&mut lines)), (Some(4), Some(5), None));
    lines.reconcile(&HashSet::from_iter([Seq(4), Seq(5)]), nothing);
    assert_eq!(take(&mut lines), Some(3), "the retry is over");
}

#[test]
fn an_endpoint_that_is_disabled_holds_nothing() {
    let mut lines = Lines::new(9, [Seq(9)]);
    lines.start(message(1, KEY));
    assert!(lines.hold_next(message(2, KEY)));
    lines.drop_held();
    lines.over(Seq(1));
    assert_eq!((take(&mut lines), lines.held(), lines.lines.len()), (None, 0, 0));
}

#[test]
fn a_scheduled_message_has_its_place_from_its_time_on() {
    let mut lines = lines(9);
    lines.start(message(1, KEY));
    assert!(lines.hold_next(message(20, KEY)) && lines.hold_next(message(40, KEY)));
    let due = (UnixMs(30), Seq(5));
    lines.place(UnixMs(35), Seq(40), [due].into_iter());
    assert_eq!(lines.next_ask(), Some(vec![Seq(5)]));
    assert!(!lines.may_have_one(true), "its key may be the one that is next");
    // It is no hole of the log, so the time in its row is what counts.
    lines.learnt(Some(vec![Keyed { seq: Seq(5), key: KEY, ready_at: UnixMs(3) }]));
    lines.over(Seq(1));
    assert_eq!(take(&mut lines), Some(20), "accepted before its time");
    lines.over(Seq(20));
    let scheduled = NextHeld { seq: Seq(5), scheduled: Some(UnixMs(30)) };
    assert_eq!((lines.take_ready(), lines.take_ready()), (Some(scheduled), None));
    lines.over(Seq(5));
    assert_eq!(take(&mut lines), Some(40));
}

#[test]
fn all_is_read_that_was_accepted_before_the_last_one_held() {
    let mut lines = lines(9);
    assert_eq!(lines.held_upto(), UnixMs::ZERO);
    assert!(lines.hold_next(message(20, KEY)) && lines.hold_next(message(40, KEY)));
    assert_eq!(lines.held_upto(), UnixMs(40));
    lines.place(UnixMs(45), Seq(40), [(UnixMs(45), Seq(5))].into_iter());
    lines.learnt(Some(vec![message(5, KEY)]));
    assert_eq!(lines.held_upto(), UnixMs::ZERO, "the scheduled message is the last");
}

#[test]
fn scheduled_messages_go_by_their_times_however_much_of_the_log_was_read_in_between() {
    let mut lines = lines(9);
    lines.start(message(1, KEY));
    for (due, seq, passed) in [(30, 5, 2), (20, 6, 40), (30, 4, 50)] {
        lines.place(UnixMs(35), Seq(passed), [(UnixMs(due), Seq(seq))].into_iter());
        lines.learnt(Some(vec![message(seq, KEY)]));
    }
    lines.over(Seq(1));
    for expected in [6, 4, 5] {
        assert_eq!(take(&mut lines), Some(expected));
        lines.over(Seq(expected));
    }
}

#[test]
fn a_scheduled_message_that_left_the_line_holds_up_nobody() {
    let mut lines = lines(9);
    lines.start(message(1, KEY));
    let (stays, leaves, unread) = ((UnixMs(30), Seq(5)), (UnixMs(30), Seq(6)), (UnixMs(30), Seq(7)));
    lines.place(UnixMs(35), Seq(40), [stays, leaves].into_iter());
    assert!(lines.next_ask().is_some());
    lines.learnt(Some(vec![message(5, KEY), message(6, OTHER)]));
    lines.place(UnixMs(35), Seq(40), [stays, leaves, unread].into_iter());
    assert_eq!(lines.next_ask(), Some(vec![Seq(7)]), "the others have their place");
    lines.reconcile(&HashSet::from_iter([Seq(1)]), |row| row == stays);
    lines.learnt(Some(vec![message(7, OTHER)]));
    assert!(lines.may_start(OTHER) && lines.knows_all());
    assert_eq!((lines.placed_upto(), lines.held()), (UnixMs::ZERO, 1));
    lines.over(Seq(1));
    assert_eq!(take(&mut lines), Some(5));
}

proptest! {
    #[test]
    fn messages_of_one_key_never_overlap_and_never_overtake(
        keys in proptest::collection::vec(proptest::option::of(0u64..3), 1..40),
        steps in proptest::collection::vec((0u8..4, any::<u8>()), 1..200),
        held_max in 1usize..6,
    ) {
        let mut lines = lines(held_max);
        let (mut next, mut out, mut over) = (0, Vec::<usize>::new(), Vec::<usize>::new());
        let started = |index: usize, out: &mut Vec<usize>, over: &Vec<usize>| {
            let earlier = (0..index).filter(|other| keys[*other].is_some() && keys[*other] == keys[index]);
            for other in earlier {
                assert!(over.contains(&other), "{index} starts before {other} is over");
            }
            out.push(index);
        };
        for (kind, arg) in steps {
            match kind {
                0 | 1 if next < keys.len() => {
                    if lines.may_start(keys[next]) {
                        lines.start(message(next as u64, keys[next]));
                        started(next, &mut out, &over);
                        next += 1;
                    } else if lines.hold_next(message(next as u64, keys[next])) {
                        next += 1;
                    }
                }
                2 if !out.is_empty() => {
                    let index = out.swap_remove(usize::from(arg) % out.len());
                    if arg.is_multiple_of(3) {
                        lines.back(Seq(index as u64));
                    } else {
                        lines.over(Seq(index as u64));
                        over.push(index);
                    }
                }
                _ => {
                    if let Some(seq) = take(&mut lines) {
                        started(seq as usize, &mut out, &over);
                    }
                }
            }
            prop_assert!(lines.held() <= held_max + out.len() + keys.len());
        }
        // Whatever is left comes to its end.
        for _ in 0..keys.len() * 3 {
            for index in std::mem::take(&mut out) {
                lines.over(Seq(index as u64));
                over.push(index);
            }
            while let Some(seq) = take(&mut lines) {
                started(seq as usize, &mut out, &over);
            }
            if next < keys.len() && lines.may_start(keys[next]) {
                lines.start(message(next as u64, keys[next]));
                started(next, &mut out, &over);
                next += 1;
            }
        }
        prop_assert_eq!(over.len(), keys.len());
        prop_assert!(lines.lines.is_empty() && lines.held() == 0);
    }
}
