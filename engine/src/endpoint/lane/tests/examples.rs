//! Whatever an endpoint answers to an example says nothing about the endpoint.

use super::*;
use crate::endpoint::breaker::State;
use crate::outcome::decide::Decision;
use model::{OnGiveUp, Verdict};
use rand::SeedableRng;
use rand::rngs::StdRng;

const NOW: UnixMs = UnixMs(1_000_000);
const BOUNDS: LaneBounds = LaneBounds { mailbox_capacity: 100, retries_in_memory: 100 };
const ROOM: Room = Room { attempt: true, bytes: usize::MAX };

fn example(seq: u64, is_example: bool) -> Event {
    Event { only_for: is_example.then_some(TARGET.endpoint), ..event(seq, MATCHING, NOW) }
}

/// Without retries, so that nothing but what is offered is in line.
fn lane() -> Lane {
    let retry = RetryPolicy { max_attempts: 1, ..policy().retry };
    let policy = LanePolicy { retry, ..policy() };
    Lane::new(TARGET, policy, BOUNDS, BreakerConfig::default(), LaneStart::default(), NOW)
}

/// Offers a message, has it tried, and the endpoint answers so.
fn answered(lane: &mut Lane, event: Event, (outcome, status): (OutcomeClass, u16), now: UnixMs) -> Ruled {
    let (seq, mut rng) = (event.seq, StdRng::seed_from_u64(1));
    lane.offer([event].iter(), usize::MAX, |_| Wants::Yes);
    let action = lane.next_action(now, ROOM, &mut RetryBudget::new(BudgetConfig::default(), now.0));
    assert!(matches!(&action, Some(Action::Start(attempt)) if attempt.event.seq == seq), "{action:?}");
    lane.finished(answer(seq, now, outcome, status), now, &mut rng).unwrap()
}

#[test]
fn failed_examples_open_no_breaker_and_slow_nothing_down() {
    for (is_example, expected) in [(true, true), (false, false)] {
        let mut lane = lane();
        let failed = |lane: &mut Lane, seq| {
            lane.offer([example(seq, is_example)].iter(), usize::MAX, |_| Wants::Yes);
            lane.next_action(NOW, ROOM, &mut RetryBudget::new(BudgetConfig::default(), NOW.0)).is_some_and(|_| {
                let finished = answer(Seq(seq), NOW, OutcomeClass::ServerError, 503);
                lane.finished(finished, NOW, &mut StdRng::seed_from_u64(1)).is_some()
            })
        };
        let tried = (1..=9).filter(|seq| failed(&mut lane, *seq)).count();
        assert_eq!(tried == 9, expected, "{tried} were tried");
        assert_eq!(lane.report().unwrap().health.is_none(), expected);
        assert!(lane.all_slots_back());
    }
}

#[test]
fn an_example_that_is_gone_is_given_up_and_the_endpoint_stays_enabled() {
    let mut lane = lane();
    let ruled = answered(&mut lane, example(1, true), (OutcomeClass::Gone, 410), NOW);
    assert_eq!(ruled.disabled, None);
    let report = lane.report().unwrap();
    assert_eq!(report.disable, None);
    assert!(matches!(
        report.settled[0].verdict,
        Verdict::DeadLetter(DeadLetter { reason: DeadLetterReason::Gone, .. })
    ));
    let ruled = answered(&mut lane, example(2, false), (OutcomeClass::Gone, 410), NOW);
    assert_eq!(ruled.disabled, Some(DisabledReason::Gone));
}

#[test]
fn an_example_that_is_given_up_pauses_nobody() {
    for (is_example, expected) in [(true, None), (false, Some(PausedReason::GaveUp))] {
        let mut lane = lane();
        lane.configure(LanePolicy { on_give_up: OnGiveUp::Pause, ..lane.policy.clone() }, NOW);
        let ruled = answered(&mut lane, example(1, is_example), (OutcomeClass::ServerError, 500), NOW);
        assert!(matches!(ruled.decision, Decision::DeadLetter(_)), "{:?}", ruled.decision);
        assert_eq!((ruled.paused, lane.report().unwrap().pause), (expected, expected));
    }
}

#[test]
fn an_example_that_was_the_probe_leaves_the_question_to_the_next_message() {
    let mut lane = lane();
    for seq in 1..=5 {
        answered(&mut lane, example(seq, false), (OutcomeClass::ConnectError, 0), NOW);
    }
    let State::Open { until } = lane.breaker_state() else { panic!("{:?}", lane.breaker_state()) };
    let probe = lane_probe(&mut lane, until);
    assert!(probe.is_none(), "{probe:?}");
    assert!(matches!(lane.breaker_state(), State::Open { .. }), "it was not judged");
}

/// Sends an example as the probe; it succeeds. Answers what the breaker did.
fn lane_probe(lane: &mut Lane, now: UnixMs) -> Option<Transition> {
    lane.offer([example(9, true)].iter(), usize::MAX, |_| Wants::Yes);
    let mut budget = RetryBudget::new(BudgetConfig::default(), now.0);
    let action = lane.next_action(now, ROOM, &mut budget);
    assert!(matches!(&action, Some(Action::Start(attempt)) if attempt.event.seq == Seq(9)), "{action:?}");
    assert_eq!(lane.breaker_state(), State::HalfOpen);
    let finished = answer(Seq(9), now, OutcomeClass::Success, 200);
    lane.finished(finished, now, &mut StdRng::seed_from_u64(1)).unwrap().transition
}
