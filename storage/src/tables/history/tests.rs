//! The history against a model: two sorted maps, listed by the plainest code there is.

use super::*;
use crate::rows::attempt_first::run::tests::{any_record, record, seqs, times};
use crate::tables::testing::{TestStore, target};
use proptest::collection::vec;
use proptest::prelude::*;

/// As after a restart: no run is remembered.
fn put_alone(txn: &mut Txn<'_>, target: EndpointRef, records: Vec<AttemptRecord>) -> Result<(), StoreError> {
    put_first(txn, &mut LastRuns::default(), target, records)
}

/// The attempts that must be found.
#[derive(Default)]
struct Model {
    firsts: BTreeMap<Seq, AttemptRecord>,
    laters: BTreeMap<(UnixMs, Seq), AttemptRecord>,
}

impl Model {
    fn of_message(&self, seq: Seq) -> Vec<AttemptRecord> {
        let laters = self.laters.values().filter(|record| record.seq == seq);
        let mut attempts: Vec<_> = self.firsts.get(&seq).into_iter().chain(laters).cloned().collect();
        attempts.sort_by_key(|record| record.started_at);
        attempts
    }

    /// Everything newest first: the heads of two stacks, the one that started later first.
    fn newest_first(&self) -> Vec<AttemptRecord> {
        let mut firsts: Vec<_> = self.firsts.values().cloned().collect();
        let mut laters: Vec<_> = self.laters.values().cloned().collect();
        let mut merged = Vec::new();
        loop {
            let from_first = match (firsts.last(), laters.last()) {
                (None, None) => return merged,
                (first, later) => first.map(|r| r.started_at.0 + 1) > later.map(|r| r.started_at.0 + 1).or(Some(0)),
            };
            merged.extend(if from_first { firsts.pop() } else { laters.pop() });
        }
    }

    fn oldest_first(&self) -> Vec<AttemptRecord> {
        let mut firsts: Vec<_> = self.firsts.values().rev().cloned().collect();
        let mut laters: Vec<_> = self.laters.values().rev().cloned().collect();
        let mut merged = Vec::new();
        loop {
            let from_first = match (firsts.last(), laters.last()) {
                (None, None) => return merged,
                (Some(first), Some(later)) => first.started_at <= later.started_at,
                (first, _) => first.is_some(),
            };
            merged.extend(if from_first { firsts.pop() } else { laters.pop() });
        }
    }
}

/// Fills a store and a model with the same commits, each of first attempts and of further ones.
fn fill(commits: Vec<(Vec<AttemptRecord>, Vec<AttemptRecord>)>) -> (TestStore, Model) {
    let (store, mut model) = (TestStore::default(), Model::default());
    let mut last_runs = LastRuns::default();
    for (at, (firsts, laters)) in commits.into_iter().enumerate() {
        if at % 4 == 3 {
            // A restart.
            last_runs = LastRuns::default();
        }
        // A delivery has one first attempt, over all commits.
        let fresh: BTreeMap<Seq, AttemptRecord> = firsts
            .into_iter()
            .filter(|record| !model.firsts.contains_key(&record.seq))
            .map(|record| (record.seq, record))
            .collect();
        store.write(|txn| {
            put_first(txn, &mut last_runs, target(1, 1), fresh.values().rev().cloned().collect())?;
            laters.iter().try_for_each(|record| put_later(txn, target(1, 1), record.clone()))?;
            // Neighbours in key order, which must never show.
            put_first(txn, &mut last_runs, target(1, 0), vec![record(1, 1)])?;
            put_later(txn, target(1, 2), record(1, 1))
        });
        model.firsts.extend(fresh.into_iter().map(|(seq, record)| (seq, cut(record))));
        model.laters.extend(laters.into_iter().map(|record| ((record.started_at, record.seq), cut(record))));
    }
    (store, model)
}

fn commits() -> impl Strategy<Value = Vec<(Vec<AttemptRecord>, Vec<AttemptRecord>)>> {
    vec((vec(any_record(), 0..20), vec(any_record(), 0..8)), 0..8)
}

/// Every page until the end, with the position before each.
fn pages(store: &TestStore, limit: usize, direction: Direction) -> Vec<(Option<HistoryPosition>, Vec<AttemptRecord>)> {
    let (mut pages, mut position) = (Vec::new(), None);
    loop {
        let (page, next) = list(store, target(1, 1), position, limit, direction).unwrap();
        assert!(next.is_none() || page.len() == limit, "a page before the last is full");
        pages.push((position, page));
        match next {
            Some(next) => position = Some(next),
            None => return pages,
        }
        assert!(position.is_some() && pages.len() < 1_000, "the list does not end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lookups_find_every_attempt_of_a_delivery_and_no_other(commits in commits(), absent in seqs()) {
        let (store, model) = fill(commits);
        let seqs = model.firsts.keys().chain(model.laters.keys().map(|(_, seq)| seq)).copied();
        for seq in seqs.chain([Seq(absent)]) {
            prop_assert_eq!(of_message(&store, target(1, 1), seq).unwrap(), model.of_message(seq));
        }
    }

    #[test]
    fn pages_show_every_attempt_once_in_order(commits in commits(), limit in 1usize..20) {
        let (store, model) = fill(commits);
        for (direction, expected) in
            [(Direction::Reverse, model.newest_first()), (Direction::Forward, model.oldest_first())]
        {
            let shown: Vec<_> = pages(&store, limit, direction).into_iter().flat_map(|(_, page)| page).collect();
            prop_assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_position_parts_the_history_in_two(commits in commits(), limit in 1usize..20) {
        let (store, _) = fill(commits);
        let address = |record: &AttemptRecord| (record.seq, record.started_at, record.attempt, record.duration_ms);
        let mut before = Vec::new();
        for (position, page) in pages(&store, limit, Direction::Reverse) {
            if position.is_some() {
                let (back, _) = list(&store, target(1, 1), position, usize::MAX, Direction::Forward).unwrap();
                let mut back: Vec<_> = back.iter().map(address).collect();
                back.sort_unstable();
                before.sort_unstable();
                prop_assert_eq!(&back, &before);
            }
            before.extend(page.iter().map(address));
        }
    }

    #[test]
    fn expunging_marks_one_response_and_changes_nothing_else(commits in commits(), pick: prop::sample::Index) {
        let (store, mut model) = fill(commits);
        let all = model.newest_first();
        prop_assume!(!all.is_empty());
        let chosen = &all[pick.index(all.len())];
        let (seq, started_at) = (chosen.seq, chosen.started_at);
        store.write(|txn| {
            assert!(expunge(txn, target(1, 1), seq, started_at)?);
            assert!(!expunge(txn, target(1, 1), seq, UnixMs(u64::MAX))?);
            assert!(!expunge(txn, target(1, 3), seq, started_at)?);
            Ok(())
        });
        let first = model.firsts.get_mut(&seq).filter(|record| record.started_at == started_at);
        let emptied = model.laters.get_mut(&(started_at, seq)).or(first).unwrap();
        emptied.response = EXPUNGED.to_vec();
        emptied.details.iter_mut().for_each(|details| details.response_headers.clear());
        let (shown, _) = list(&store, target(1, 1), None, usize::MAX, Direction::Reverse).unwrap();
        prop_assert_eq!(shown, model.newest_first());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn forgetting_in_steps_takes_what_is_old_or_orphaned_and_nothing_else(
        commits in commits(), begin in seqs(), before in times(), limit in 1usize..9,
    ) {
        let (store, model) = fill(commits);
        let (mut forgotten, mut more) = (0, true);
        for step in 0.. {
            assert!(step < 1_000, "forgetting does not end");
            store.write(|txn| {
                let done = forget(txn, target(1, 1), UnixMs(before), Seq(begin), limit)?;
                forgotten += done.attempts;
                more = done.more;
                Ok(())
            });
            if !more {
                break;
            }
        }
        let (left, _) = list(&store, target(1, 1), None, usize::MAX, Direction::Reverse).unwrap();
        let all = model.newest_first();
        prop_assert_eq!(forgotten as usize + left.len(), all.len());
        let may_go = |record: &AttemptRecord| record.started_at.0 < before || record.seq.0 < begin;
        for record in all {
            let first = model.firsts.get(&record.seq) == Some(&record);
            prop_assert!(may_go(&record) || left.contains(&record), "forgot too much");
            prop_assert!(first || !may_go(&record) || !left.contains(&record), "forgot too little");
        }
        // Runs go from the beginning, so the first one that is left holds something that must stay.
        let runs = attempt_first::of_endpoint(target(1, 1));
        if let Some((_, run)) = scan(&store, &runs, 1, Direction::Forward).unwrap().first() {
            prop_assert!(!run::decode(run).unwrap().iter().all(may_go));
        }
    }

    #[test]
    fn trimming_in_steps_forgets_what_is_old_and_nothing_else(
        commits in commits(), below in seqs(), before in times(), limit in 1usize..9,
    ) {
        let (store, model) = fill(commits);
        let trim_all = |below, before| {
            for step in 0.. {
                assert!(step < 1_000, "trimming does not end");
                let mut more = false;
                store.write(|txn| {
                    more = trim(txn, target(1, 1), below, before, limit)?;
                    Ok(())
                });
                if !more {
                    break;
                }
            }
        };
        trim_all(Seq(below), UnixMs(before));
        let (left, _) = list(&store, target(1, 1), None, usize::MAX, Direction::Reverse).unwrap();
        for record in model.newest_first() {
            let first = model.firsts.get(&record.seq) == Some(&record);
            if first && record.seq.0 >= below || !first && record.started_at.0 >= before {
                prop_assert!(left.contains(&record), "forgot too much");
            }
            // Runs begin at most a span below their records, and stay while they can reach `below`.
            if first && record.seq.0 + MAX_SPAN <= below || !first && record.started_at.0 < before {
                prop_assert!(!left.contains(&record), "forgot too little");
            }
            if !first && record.started_at.0 < before {
                prop_assert!(!of_message(&store, target(1, 1), record.seq).unwrap().contains(&record));
            }
        }
        trim_all(Seq(u64::MAX), UnixMs(u64::MAX));
        for rows in [attempt_first::of_endpoint, attempt_later::of_endpoint, attempt_later_by_seq::of_endpoint] {
            prop_assert!(scan(&store, &rows(target(1, 1)), 1, Direction::Forward).unwrap().is_empty());
        }
    }
}

#[test]
fn a_run_put_again_is_merged_also_when_it_overflows_into_another() {
    let large = |seq: u64| AttemptRecord { response: vec![b'x'; 3_000], ..record(seq, seq) };
    let store = TestStore::default();
    let put = |seqs: &[u64]| {
        store.write(|txn| put_alone(txn, target(1, 1), seqs.iter().map(|seq| large(*seq)).collect()));
    };
    put(&[1, 3]);
    put(&[4, 6]);
    // Joins the first run, pushes 3 out of it; 3 then stands before 4, whose run it does not meet.
    put(&[1, 2]);
    // Meets the run that begins at 4.
    put(&[4, 5]);
    let (shown, next) = list(&store, target(1, 1), None, 100, Direction::Forward).unwrap();
    assert_eq!(shown, (1..=6).map(large).collect::<Vec<_>>());
    assert!(next.is_none());
}

#[test]
fn two_puts_of_one_transaction_are_merged_too() {
    let store = TestStore::default();
    store.write(|txn| {
        put_alone(txn, target(1, 1), vec![record(5, 1), record(9, 1)])?;
        put_alone(txn, target(1, 1), vec![record(5, 2), record(7, 1)])
    });
    assert_eq!(store.row_count(), 1);
    let (shown, _) = list(&store, target(1, 1), None, 100, Direction::Forward).unwrap();
    assert_eq!(shown, [record(5, 2), record(7, 1), record(9, 1)]);
}

#[test]
fn commits_of_few_attempts_share_a_run_until_it_is_long() {
    let (store, mut last_runs) = (TestStore::default(), LastRuns::default());
    let mut put = |seqs: &[u64]| {
        let records = seqs.iter().map(|seq| record(*seq, *seq)).collect();
        store.write(|txn| put_first(txn, &mut last_runs, target(1, 1), records));
        store.row_count()
    };
    // A record that comes after those behind it begins a run of its own; so does one that is too far away.
    assert_eq!([put(&[5]), put(&[7, 8]), put(&[6]), put(&[4]), put(&[9])], [1, 1, 1, 2, 2]);
    assert_eq!([put(&[4 + MAX_SPAN]), put(&[5 + MAX_SPAN])], [3, 3]);
    let seqs = 6 + MAX_SPAN..106 + MAX_SPAN;
    let rows = seqs.clone().map(|seq| put(&[seq])).last().unwrap();
    assert!((7..=13).contains(&rows), "{rows} rows for 100 attempts and three runs");
    let (shown, _) = list(&store, target(1, 1), None, 200, Direction::Forward).unwrap();
    let seqs = (4..=9).chain(4 + MAX_SPAN..106 + MAX_SPAN);
    assert_eq!(shown, seqs.map(|seq| record(seq, seq)).collect::<Vec<_>>());
}

#[test]
fn a_run_that_was_forgotten_does_not_come_back_and_a_damaged_one_stops_nobody() {
    let (store, mut last_runs) = (TestStore::default(), LastRuns::default());
    store.write(|txn| put_first(txn, &mut last_runs, target(1, 1), vec![record(1, 1)]));
    store.write(|txn| forget(txn, target(1, 1), UnixMs(5), Seq::ZERO, 10).map(drop));
    store.write(|txn| put_first(txn, &mut last_runs, target(1, 1), vec![record(2, 7)]));
    let shown = |store| list(store, target(1, 1), None, 200, Direction::Forward).unwrap().0;
    assert_eq!(shown(&store), [record(2, 7)]);
    store.write(|txn| {
        txn.put(attempt_first::encode(target(1, 1), Seq(2)), Bytes::from_static(b"damaged"));
        Ok(())
    });
    store.write(|txn| put_first(txn, &mut last_runs, target(1, 1), vec![record(3, 8)]));
    assert_eq!(shown(&store), [record(3, 8)]);
}

#[test]
fn an_attempt_that_joins_a_run_in_the_commit_that_forgets_it_stays() {
    let (store, mut last_runs) = (TestStore::default(), LastRuns::default());
    store.write(|txn| put_first(txn, &mut last_runs, target(1, 1), vec![record(1, 1)]));
    store.write(|txn| {
        put_first(txn, &mut last_runs, target(1, 1), vec![record(2, 7)])?;
        forget(txn, target(1, 1), UnixMs(5), Seq::ZERO, 10).map(drop)
    });
    assert_eq!(of_message(&store, target(1, 1), Seq(2)).unwrap(), [record(2, 7)]);
    assert_eq!(last_first(&store, target(1, 1)).unwrap(), Some(Seq(2)));
}

#[test]
fn a_slow_delivery_settled_with_much_later_ones_does_not_put_them_out_of_order() {
    let store = TestStore::default();
    // 1 hangs while many commits of others pass; it is settled with 900.
    for seq in 2..900 {
        store.write(|txn| put_alone(txn, target(1, 1), vec![record(seq, seq)]));
    }
    store.write(|txn| put_alone(txn, target(1, 1), vec![record(900, 900), record(1, 1)]));
    let (shown, next) = list(&store, target(1, 1), None, 3, Direction::Reverse).unwrap();
    assert_eq!(shown.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [900, 899, 898]);
    assert!(next.is_some());
}

#[test]
fn the_last_record_of_the_widest_run_comes_in_its_place() {
    let (low, high) = (10, 10 + MAX_SPAN - 1);
    // Single runs between its two records, and some above it so that pages end everywhere.
    for above in 0..3 {
        let store = TestStore::default();
        store.write(|txn| {
            put_alone(txn, target(1, 1), vec![record(low, 1), record(high, 1)])?;
            (low + 1..high)
                .chain(high + 1..=high + above)
                .try_for_each(|seq| put_alone(txn, target(1, 1), vec![record(seq, 1)]))
        });
        let positions = |from, direction| -> Vec<u64> {
            let (shown, _) = list(&store, target(1, 1), from, usize::MAX, direction).unwrap();
            shown.iter().map(|record| record.seq.0).collect()
        };
        assert_eq!(positions(None, Direction::Forward), (low..=high + above).collect::<Vec<_>>());
        assert_eq!(positions(None, Direction::Reverse), (low..=high + above).rev().collect::<Vec<_>>());
        let at_high = HistoryPosition { first_below: Seq(high), ..HistoryPosition::OLDEST };
        assert_eq!(positions(Some(at_high), Direction::Forward), (high..=high + above).collect::<Vec<_>>());
        assert_eq!(of_message(&store, target(1, 1), Seq(high)).unwrap(), [record(high, 1)]);
    }
}

#[test]
fn a_run_that_reaches_beyond_its_page_waits_for_the_runs_between() {
    let store = TestStore::default();
    store.write(|txn| {
        put_alone(txn, target(1, 1), vec![record(1, 1), record(8, 1)])?;
        (2..8).try_for_each(|seq| put_alone(txn, target(1, 1), vec![record(seq, 1)]))
    });
    let (shown, _) = list(&store, target(1, 1), None, 100, Direction::Forward).unwrap();
    assert_eq!(shown.iter().map(|record| record.seq.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}
