//! Tests of [`super`], and a property test against a due index.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn key(due: u64, seq: u64) -> DueKey {
    (UnixMs(due), Seq(seq))
}

#[test]
fn a_retry_put_back_by_hand_during_its_attempt_comes_after_it() {
    let mut retries = Retries::new(8, false);
    retries.add(key(5, 1));
    let (first, _) = retries.pop_due(UnixMs(9), false).unwrap();
    retries.add(key(7, 1));
    assert_eq!(retries.pop_due(UnixMs(9), false), None);
    retries.settled(first);
    assert_eq!(retries.pop_due(UnixMs(9), true), None, "it was not put there by hand here");
    assert_eq!(retries.pop_due(UnixMs(9), false), Some((key(7, 1), Urgency::Scheduled)));
}

#[test]
fn a_load_that_began_before_rows_were_added_by_hand_is_made_again() {
    let mut retries = Retries::new(8, true);
    let load = retries.next_load().unwrap();
    retries.reload();
    retries.loaded(load, vec![]);
    assert!(!retries.is_clean());
    let load = retries.next_load().unwrap();
    assert_eq!(load.after, None);
    retries.loaded(load, vec![(key(1, 1), Urgency::Manual)]);
    assert_eq!(retries.pop_due(UnixMs(1), true), Some((key(1, 1), Urgency::Manual)));
}

proptest! {
    /// Against a disk that takes decisions at once, as the barrier before each load makes it look: every retry is
    /// popped exactly once, never early, and memory stays bounded.
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
                .map(|k| (k, Urgency::Scheduled)).collect()
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
                2 => if let Some((k, _)) = retries.pop_due(UnixMs(now), false) {
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
            while let Some((k, _)) = retries.pop_due(UnixMs(1_000_000), false) { prop_assert!(!out.contains(&k)); out.push(k); }
            if let Some(asked) = retries.next_load() { let rows = run_load(&disk, asked); retries.loaded(asked, rows); }
        }
        prop_assert!(disk.is_empty(), "left on disk: {:?}", disk);
        prop_assert!(retries.is_clean());
    }
}
