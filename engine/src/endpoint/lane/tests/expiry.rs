//! Messages that expire, and the first attempt of one that was scheduled.

use super::world::BOUNDS;
use super::*;
use crate::outcome::decide::Decision;
use model::{EventMore, Verdict};
use rand::SeedableRng;
use rand::rngs::StdRng;

const T0: UnixMs = UnixMs(1_000_000);

fn lane(policy: LanePolicy, retries_on_disk: bool) -> Lane {
    let start = LaneStart { retries_on_disk, ..LaneStart::default() };
    Lane::new(TARGET, policy, BOUNDS, BreakerConfig::default(), start, T0)
}

fn expiring(seq: u64, at: UnixMs) -> Event {
    let more = EventMore { expires_at: Some(at), ..EventMore::default() };
    Event { more: Some(Arc::new(more)), ..event(seq, MATCHING, T0) }
}

fn next(lane: &mut Lane, now: UnixMs) -> Option<Action> {
    let mut budget = RetryBudget::new(BudgetConfig::default(), T0.0);
    lane.next_action(now, Room { attempt: true, bytes: usize::MAX }, &mut budget)
}

/// Reasons of the dead letters of the next report, with the positions.
fn given_up(lane: &mut Lane) -> Vec<(u64, DeadLetterReason)> {
    let settled = lane.report().map(|report| report.settled).unwrap_or_default();
    let reason = |settled: &Settled| match &settled.verdict {
        Verdict::DeadLetter(letter) => Some((settled.seq.0, letter.reason)),
        _ => None,
    };
    settled.iter().filter_map(reason).collect()
}

#[test]
fn what_waits_in_memory_ends_in_its_turn_once_it_has_expired() {
    let mut lane = lane(LanePolicy { max_in_flight: 1, ..policy() }, false);
    let at = T0.plus_ms(500);
    let events = [event(1, MATCHING, T0), expiring(2, at), expiring(3, at), expiring(4, at.plus_ms(1))];
    lane.offer(events.iter(), usize::MAX, |_| Wants::Yes);
    let Some(Action::Start(first)) = next(&mut lane, T0) else { panic!("the first one starts") };
    assert!(next(&mut lane, T0.plus_ms(1)).is_none(), "its window is full");
    assert!(next(&mut lane, at).is_none());
    assert_eq!(given_up(&mut lane), [(2, DeadLetterReason::PastExpiry), (3, DeadLetterReason::PastExpiry)]);
    lane.finished(answer(first.event.seq, T0, OutcomeClass::Success, 200), at, &mut StdRng::seed_from_u64(1));
    let Some(Action::Start(last)) = next(&mut lane, at) else { panic!("the last one is in time") };
    assert_eq!(last.event.seq, Seq(4));
}

#[test]
fn a_retry_is_made_before_the_expiry_and_not_at_it() {
    for (lives_ms, expected) in [(1_001, None), (1_000, Some(DeadLetterReason::PastExpiry))] {
        let mut lane = lane(policy(), false);
        lane.offer([expiring(1, T0.plus_ms(lives_ms))].iter(), usize::MAX, |_| Wants::Yes);
        assert!(matches!(next(&mut lane, T0), Some(Action::Start(_))));
        let failed = answer(Seq(1), T0, OutcomeClass::ServerError, 500);
        let ruled = lane.finished(failed, T0, &mut StdRng::seed_from_u64(1)).unwrap();
        let reason = if let Decision::DeadLetter(reason) = ruled.decision { Some(reason) } else { None };
        assert_eq!(reason, expected, "{lives_ms}");
    }
}

#[test]
fn a_row_that_is_fetched_too_late_ends_and_the_first_attempt_of_a_scheduled_message_takes_no_budget() {
    let (due, expires_at) = (T0.plus_ms(5), T0.plus_ms(100));
    for (now, starts) in [(due, true), (expires_at, false)] {
        let mut lane = lane(policy(), true);
        let Some(Action::LoadDue(load)) = next(&mut lane, T0) else { panic!("it loads") };
        lane.due_loaded(load, Some(vec![((due, Seq(7)), Urgency::Manual)]));
        assert!(next(&mut lane, T0).is_none(), "it is not due");
        assert_eq!(lane.wake_at(), Some(due));
        let Some(Action::Fetch(fetch)) = next(&mut lane, now) else { panic!("it is due") };
        let row = Pending { attempts: 0, due, last_outcome: None, trigger: Trigger::Scheduled };
        let attempt = lane.fetched(fetch, Some(expiring(7, expires_at)), Some(row), now);
        assert_eq!(attempt.is_some(), starts);
        let Some(attempt) = attempt else {
            assert_eq!(given_up(&mut lane), [(7, DeadLetterReason::PastExpiry)]);
            continue;
        };
        assert_eq!((attempt.number, attempt.due), (1, Some(due)));
        let ended = answer(Seq(7), now, OutcomeClass::Success, 200);
        let ruled = lane.finished(ended, now, &mut StdRng::seed_from_u64(1)).unwrap();
        assert!(!ruled.gives_back, "it took none");
    }
}
