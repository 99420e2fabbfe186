//! Every verdict against every state its row can be in, and no row of an index left behind.

use super::*;
use crate::rows;
use crate::store::{Direction, Store};
use crate::tables::testing::{TestStore, target};
use model::{Cursor, DeadLetter, DeadLetterReason, EndpointHealth, OutcomeClass, Pending, Seq, UnixMs, Urgency};
use std::collections::BTreeSet;

const SEQ: Seq = Seq(7);
/// The due time that the attempt was made for.
const DUE: UnixMs = UnixMs(500);
/// The time at which it was put back in line by hand.
const BY_HAND: UnixMs = UnixMs(800);
const RETRY_AT: UnixMs = UnixMs(900);

fn apply(txn: &mut Txn<'_>, settlement: &mut Settlement) -> Result<(), StoreError> {
    super::apply(txn, &mut LastRuns::default(), settlement)
}

fn row(due: UnixMs, attempts: u16, trigger: Trigger) -> Pending {
    Pending { attempts, due, last_outcome: Some(OutcomeClass::Timeout), trigger }
}

fn letter(last_outcome: Option<OutcomeClass>) -> DeadLetter {
    let reason = DeadLetterReason::AttemptsExhausted;
    DeadLetter { at: UnixMs(1), attempts: 4, reason, last_outcome, last_status: 0 }
}

/// The row that the store holds when the settlement comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Row {
    Missing,
    AsExpected,
    Requeued,
}

fn record(seq: Seq, trigger: Trigger) -> AttemptRecord {
    AttemptRecord {
        seq,
        started_at: UnixMs(600),
        duration_ms: 3,
        attempt: 1,
        trigger,
        outcome: OutcomeClass::ServerError,
        status: 500,
        response: b"no".to_vec(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

fn settlement(was_due: Option<UnixMs>, verdict: Verdict, record: Option<AttemptRecord>) -> Settlement {
    let settled = Settled { seq: SEQ, accepted_at: UnixMs(1), was_due, record, verdict };
    Settlement {
        target: target(1, 1),
        cursor: Cursor::default(),
        settled: vec![settled],
        expired: None,
        health: None,
        disable: None,
        pause: None,
        switches: Vec::new(),
    }
}

fn prepare(row_is: Row) -> TestStore {
    let store = TestStore::default();
    store.write(|txn| {
        // A neighbour that must not be touched.
        delivery::put_pending(txn, target(1, 1), Seq(8), None, &row(DUE, 1, Trigger::Scheduled));
        if row_is != Row::Missing {
            delivery::put_pending(txn, target(1, 1), SEQ, None, &row(DUE, 3, Trigger::Scheduled));
        }
        Ok(())
    });
    if row_is == Row::Requeued {
        store.write(|txn| delivery::requeue(txn, target(1, 1), SEQ, BY_HAND));
    }
    store
}

/// Checks that index and rows agree, in both directions.
fn check_index(store: &TestStore) {
    let rows = |range: rows::KeyRange| Store::scan(store, &range.start, &range.end, usize::MAX, Direction::Forward);
    let pending: BTreeSet<_> = rows(rows::pending::of_endpoint(target(1, 1)))
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let row = rows::pending::from_value(value).unwrap();
            (row.due, rows::pending::decode(key).unwrap().1, row.urgency() as u8)
        })
        .collect();
    let due = delivery::list_due(store, target(1, 1), None, usize::MAX).unwrap();
    let due: BTreeSet<_> = due.into_iter().map(|(due, seq, urgency)| (due, seq, urgency as u8)).collect();
    assert_eq!(pending, due);
    assert!(due.contains(&(DUE, Seq(8), Urgency::Retry as u8)), "the neighbour");
}

/// The rest of the delivery: its next due time, and its dead letter.
type Left = (Option<UnixMs>, Option<DeadLetter>);

fn check(row_is: Row, was_due: Option<UnixMs>, verdict: &Verdict, expected: Left) {
    let store = prepare(row_is);
    store.write(|txn| apply(txn, &mut settlement(was_due, verdict.clone(), None)));
    let due = delivery::pending(&store, target(1, 1), SEQ).unwrap().map(|row| row.due);
    let letter = dead_letter::get(&store, target(1, 1), SEQ).unwrap();
    assert_eq!((due, letter), expected, "{row_is:?}, attempt made for {was_due:?}, {verdict:?}");
    check_index(&store);
}

#[test]
fn a_delivery_moves_only_from_where_its_attempt_found_it() {
    let retry = Verdict::Retry(row(RETRY_AT, 4, Trigger::Scheduled));
    let retry_same_time = Verdict::Retry(row(DUE, 4, Trigger::Scheduled));
    let known = letter(Some(OutcomeClass::ServerError));
    let dead = Verdict::DeadLetter(known.clone());

    // A first try: it has no row.
    check(Row::Missing, None, &Verdict::Done, (None, None));
    check(Row::Missing, None, &retry, (Some(RETRY_AT), None));
    check(Row::Missing, None, &dead, (None, Some(known.clone())));
    check(Row::Missing, None, &Verdict::Cancelled, (None, None));
    // A retry.
    check(Row::AsExpected, Some(DUE), &Verdict::Done, (None, None));
    check(Row::AsExpected, Some(DUE), &retry, (Some(RETRY_AT), None));
    check(Row::AsExpected, Some(DUE), &retry_same_time, (Some(DUE), None));
    check(Row::AsExpected, Some(DUE), &dead, (None, Some(known)));
    // Looked for too early, before its row was there: the row stands.
    check(Row::AsExpected, Some(DUE), &Verdict::Cancelled, (Some(DUE), None));
    // Asked for by hand meanwhile, while a retry or the first try was in flight: that attempt is still to come.
    for verdict in [&Verdict::Done, &retry, &retry_same_time, &dead, &Verdict::Cancelled] {
        check(Row::Requeued, Some(DUE), verdict, (Some(BY_HAND), None));
        check(Row::Requeued, None, verdict, (Some(BY_HAND), None));
        // The row is gone: the delivery ended otherwise, and is not brought back.
        check(Row::Missing, Some(DUE), verdict, (None, None));
    }
}

#[test]
fn given_up_without_an_attempt_it_says_what_its_row_knew() {
    let verdict = Verdict::DeadLetter(letter(None));
    let expected = DeadLetter { attempts: 3, ..letter(Some(OutcomeClass::Timeout)) };
    check(Row::AsExpected, Some(DUE), &verdict, (None, Some(expected)));
    check(Row::Missing, None, &verdict, (None, Some(letter(None))));
}

#[test]
fn a_damaged_row_is_taken_for_the_one_that_the_attempt_was_made_for() {
    for verdict in [Verdict::Done, Verdict::Retry(row(RETRY_AT, 1, Trigger::Scheduled))] {
        let store = prepare(Row::AsExpected);
        store.write(|txn| {
            txn.put(rows::pending::encode(target(1, 1), SEQ), "what is this");
            Ok(())
        });
        assert!(delivery::pending(&store, target(1, 1), SEQ).is_err());
        let taken = delivery::pending_at(&store, target(1, 1), SEQ, DUE).unwrap().unwrap();
        assert_eq!((taken.due, taken.attempts), (DUE, 0));
        store.write(|txn| apply(txn, &mut settlement(Some(DUE), verdict.clone(), None)));
        let due = delivery::pending(&store, target(1, 1), SEQ).unwrap().map(|row| row.due);
        assert_eq!(due, (verdict != Verdict::Done).then_some(RETRY_AT));
        check_index(&store);
    }
}

#[test]
fn an_index_row_without_its_delivery_goes() {
    let store = prepare(Row::Missing);
    store.write(|txn| {
        txn.put(rows::due::encode(target(1, 1), DUE, SEQ), "");
        Ok(())
    });
    store.write(|txn| apply(txn, &mut settlement(Some(DUE), Verdict::Done, None)));
    check_index(&store);
}

#[test]
fn two_settlements_of_one_commit_follow_each_other() {
    let store = prepare(Row::AsExpected);
    store.write(|txn| {
        apply(txn, &mut settlement(Some(DUE), Verdict::Retry(row(RETRY_AT, 4, Trigger::Scheduled)), None))?;
        apply(txn, &mut settlement(Some(RETRY_AT), Verdict::Done, None))
    });
    assert_eq!(delivery::pending(&store, target(1, 1), SEQ).unwrap(), None);
    check_index(&store);
}

#[test]
fn a_redrive_forgets_the_dead_letter_and_may_earn_another() {
    let store = prepare(Row::Missing);
    let dead = Verdict::DeadLetter(letter(Some(OutcomeClass::Gone)));
    store.write(|txn| apply(txn, &mut settlement(None, dead.clone(), None)));
    store.write(|txn| delivery::requeue(txn, target(1, 1), SEQ, BY_HAND));
    assert_eq!(dead_letter::get(&store, target(1, 1), SEQ).unwrap(), None);
    check_index(&store);
    store.write(|txn| apply(txn, &mut settlement(Some(BY_HAND), dead, None)));
    assert!(dead_letter::get(&store, target(1, 1), SEQ).unwrap().is_some());
    check_index(&store);
}

#[test]
fn every_attempt_is_in_the_history_whatever_became_of_the_row() {
    let of = |store: &TestStore| history::of_message(store, target(1, 1), SEQ).unwrap();
    for (row_is, was_due, trigger) in [
        (Row::Missing, None, Trigger::Scheduled),
        (Row::Missing, None, Trigger::Manual),
        (Row::AsExpected, Some(DUE), Trigger::Scheduled),
        (Row::Requeued, Some(DUE), Trigger::Scheduled),
        (Row::Missing, Some(DUE), Trigger::Manual),
    ] {
        let store = prepare(row_is);
        store.write(|txn| apply(txn, &mut settlement(was_due, Verdict::Done, Some(record(SEQ, trigger)))));
        assert_eq!(of(&store), [record(SEQ, trigger)], "{row_is:?} {was_due:?} {trigger:?}");
        let range = rows::attempt_first::of_endpoint(target(1, 1));
        let runs = Store::scan(&store, &range.start, &range.end, 9, Direction::Forward).unwrap().len();
        let is_first = was_due.is_none() && trigger == Trigger::Scheduled;
        assert_eq!(runs, usize::from(is_first), "only first tries are packed: {row_is:?} {was_due:?} {trigger:?}");
    }
    let store = prepare(Row::Missing);
    store.write(|txn| apply(txn, &mut settlement(None, Verdict::Done, None)));
    assert!(of(&store).is_empty(), "no attempt, no history");
}

#[test]
fn health_is_written_when_it_changed_and_forgotten_when_all_is_well() {
    let store = TestStore::default();
    let ill = EndpointHealth { failing_since: Some(UnixMs(5)), ..EndpointHealth::default() };
    let apply_health = |health| {
        let settlement = Settlement { health, settled: Vec::new(), ..settlement(None, Verdict::Done, None) };
        store.write(|txn| apply(txn, &mut settlement.clone()));
        delivery::health(&store, target(1, 1)).unwrap()
    };
    assert_eq!(apply_health(Some(ill)), ill);
    assert_eq!(apply_health(None), ill);
    assert_eq!(apply_health(Some(EndpointHealth::default())), EndpointHealth::default());
    assert_eq!(store.row_count(), 0);
}

#[test]
fn a_retry_that_succeeds_after_its_event_was_expunged_is_no_failure() {
    let of = |reason| DeadLetter { reason, ..letter(None) };
    for (reason, verdict, kept) in [
        (DeadLetterReason::Expunged, Verdict::Done, false),
        (DeadLetterReason::Expunged, Verdict::Retry(row(RETRY_AT, 4, Trigger::Scheduled)), true),
        (DeadLetterReason::Expired, Verdict::Done, true),
    ] {
        let store = prepare(Row::Missing);
        store.write(|txn| dead_letter::put(txn, target(1, 1), SEQ, &of(reason)));
        store.write(|txn| apply(txn, &mut settlement(Some(DUE), verdict.clone(), None)));
        let left = dead_letter::get(&store, target(1, 1), SEQ).unwrap();
        assert_eq!(left.is_some(), kept, "{reason:?} {verdict:?}");
        assert_eq!(delivery::pending(&store, target(1, 1), SEQ).unwrap(), None);
    }
}
