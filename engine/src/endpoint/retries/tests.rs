//! Tests of [`super`], and a property test against a due index.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn key(due: u64, seq: u64) -> DueKey {
    (UnixMs(due), Seq(seq))
}

fn pop(retries: &mut Retries, now: u64) -> Option<DueKey> {
    let key = retries.first_due(UnixMs(now), |_| true, |_| false)?;
    retries.take(key);
    Some(key)
}

fn by_hand(urgency: Urgency) -> bool {
    urgency == Urgency::Manual
}

fn scheduled(keys: &[DueKey]) -> Vec<(DueKey, Urgency)> {
    keys.iter().map(|key| (*key, Urgency::Retry)).collect()
}

fn load(retries: &mut Retries, rows: &[DueKey]) {
    let asked = retries.next_load().unwrap();
    retries.loaded(asked, scheduled(rows));
}

#[test]
fn a_retry_put_back_by_hand_during_its_attempt_comes_after_it() {
    let mut retries = Retries::new(8, false);
    retries.add(key(5, 1));
    let first = pop(&mut retries, 9).unwrap();
    retries.reload();
    load(&mut retries, &[key(7, 1)]);
    assert_eq!(pop(&mut retries, 9), None, "its delivery is in flight");
    retries.settled(first);
    load(&mut retries, &[key(7, 1)]);
    assert_eq!(pop(&mut retries, 9), Some(key(7, 1)));
}

#[test]
fn a_delivery_in_its_first_try_is_not_tried_beside_it() {
    let mut retries = Retries::new(8, true);
    load(&mut retries, &[key(1, 1), key(2, 2)]);
    assert_eq!(retries.first_due(UnixMs(9), |_| true, |seq| seq == Seq(1)), Some(key(2, 2)));
    assert_eq!(retries.next_load(), None);
    retries.landed(Seq(1));
    load(&mut retries, &[key(1, 1), key(2, 2)]);
    assert_eq!(pop(&mut retries, 9), Some(key(1, 1)));
}

#[test]
fn a_load_that_began_before_rows_were_added_by_hand_is_made_again() {
    let mut retries = Retries::new(8, true);
    let asked = retries.next_load().unwrap();
    retries.reload();
    retries.loaded(asked, vec![]);
    assert!(!retries.is_clean());
    let asked = retries.next_load().unwrap();
    assert_eq!(asked.after, None);
    retries.loaded(asked, vec![(key(1, 1), Urgency::Manual)]);
    assert_eq!(retries.first_due(UnixMs(1), by_hand, |_| false), Some(key(1, 1)));
}

#[test]
fn what_was_asked_for_by_hand_does_not_wait_for_room() {
    let mut retries = Retries::new(2, false);
    (1..=4).for_each(|seq| retries.add(key(1_000, seq)));
    retries.reload();
    let asked = retries.next_load().expect("at once");
    retries.loaded(asked, vec![(key(1, 9), Urgency::Manual), (key(1_000, 1), Urgency::Retry)]);
    assert_eq!(retries.next_due(), Some(UnixMs(1)));
    assert_eq!(retries.waiting(), 2, "the disk has the rest");
}

#[test]
fn what_memory_let_go_of_during_a_load_is_loaded_again() {
    let mut retries = Retries::new(2, true);
    load(&mut retries, &[key(1, 1), key(100, 2)]);
    pop(&mut retries, 1).map(|key| retries.settled(key)).unwrap();
    let asked = retries.next_load().unwrap();
    (11..=14).for_each(|seq| retries.add(key(50, seq)));
    retries.loaded(asked, vec![]);
    (11..=14).for_each(|seq| {
        assert_eq!(pop(&mut retries, 50), Some(key(50, seq)));
        retries.settled(key(50, seq));
    });
    load(&mut retries, &[key(100, 2)]);
    assert_eq!(retries.next_due(), Some(UnixMs(100)));
}

#[test]
fn more_decided_during_a_load_than_memory_takes_is_found_on_disk() {
    let mut retries = Retries::new(2, true);
    let asked = retries.next_load().unwrap();
    (1..=8).for_each(|seq| retries.add(key(900, seq)));
    retries.add(key(700, 9));
    retries.add(key(800, 10));
    retries.loaded(asked, scheduled(&[key(10, 11)]));
    assert_eq!(pop(&mut retries, 1_000), Some(key(10, 11)));
    assert_eq!(pop(&mut retries, 1_000), None, "what comes next is one of those that were not kept");
    load(&mut retries, &[key(700, 9), key(800, 10)]);
    assert_eq!(pop(&mut retries, 1_000), Some(key(700, 9)));
}

#[test]
fn a_load_from_the_beginning_forgets_what_means_nothing_any_more() {
    let mut retries = Retries::new(8, false);
    retries.add(key(500, 1));
    retries.reload();
    load(&mut retries, &[key(5, 1)]);
    assert_eq!(retries.waiting(), 1);
}

proptest! {
    /// Every retry is popped exactly once, never early, and memory stays bounded. The disk here takes decisions at
    /// once, as the barrier before each load makes it look.
    #[test]
    fn every_retry_comes_once_and_memory_is_bounded(
        steps in proptest::collection::vec((0u8..5, 0u64..60), 1..300), on_disk in 0u64..40,
    ) {
        let capacity = 4;
        let mut disk: BTreeSet<DueKey> = (1..=on_disk).map(|n| key(n * 7 % 50, n)).collect();
        let mut retries = Retries::new(capacity, on_disk > 0);
        let (mut next_seq, mut now, mut load) = (1_000, 0, None::<(DueLoad, Vec<(DueKey, Urgency)>)>);
        let mut out: Vec<DueKey> = Vec::new();
        let run_load = |disk: &BTreeSet<DueKey>, asked: DueLoad| -> Vec<(DueKey, Urgency)> {
            disk.iter().copied().filter(|k| asked.after.is_none_or(|after| *k > after)).take(asked.limit)
                .map(|k| (k, Urgency::Retry)).collect()
        };
        let drain = |retries: &mut Retries, disk: &mut BTreeSet<DueKey>, out: &mut Vec<DueKey>| {
            let settled = out.pop();
            if let Some(key) = settled { disk.remove(&key); retries.settled(key); }
            settled.is_some()
        };
        for (step, amount) in steps {
            match step {
                0 => { let k = key(now + amount, next_seq); next_seq += 1; disk.insert(k); retries.add(k); }
                1 => now += amount / 8,
                2 => if let Some(k) = pop(&mut retries, now) {
                    prop_assert!(k.0.0 <= now && disk.contains(&k) && !out.contains(&k));
                    out.push(k);
                },
                3 => { drain(&mut retries, &mut disk, &mut out); }
                _ => match load.take() {
                    None => load = retries.next_load().map(|asked| (asked, run_load(&disk, asked))),
                    Some((asked, rows)) => retries.loaded(asked, rows),
                },
            }
            prop_assert!(retries.waiting() <= capacity * 6);
        }
        // In the end everything comes out.
        if let Some((asked, rows)) = load.take() { retries.loaded(asked, rows); }
        for _ in 0..2_000 {
            while drain(&mut retries, &mut disk, &mut out) {}
            while let Some(k) = pop(&mut retries, 1_000_000) { prop_assert!(!out.contains(&k)); out.push(k); }
            if let Some(asked) = retries.next_load() { let rows = run_load(&disk, asked); retries.loaded(asked, rows); }
        }
        prop_assert!(disk.is_empty(), "left on disk: {:?}", disk);
        prop_assert!(retries.is_clean());
    }
}
