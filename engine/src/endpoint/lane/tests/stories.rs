//! The main stories of a lane, told one by one in the small world.

use super::world::{Answer, World};
use super::*;
use crate::endpoint::breaker::State;
use model::Verdict;

const NOT_FOUND: Answer = Answer::of(OutcomeClass::ClientError, 404);

fn world() -> World {
    World::new(1, policy())
}

/// A world with one delivery whose first try has just failed; it is due again in 1 s.
fn with_one_retry() -> World {
    let mut world = world();
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, NOT_FOUND);
    world.serve();
    world
}

/// A world after a crash, with one delivery settled. The first try of the delivery before it was under way.
fn with_an_interrupted_first_try() -> World {
    let mut world = world();
    world.ingest(2, true, false);
    world.serve();
    world.finish(1, Answer::OK);
    world.serve();
    world.crash(|_| false);
    world
}

#[test]
fn a_retry_goes_before_first_tries() {
    let mut world = with_one_retry();
    world.policy.max_in_flight = 1;
    world.lane.configure(world.policy.clone(), world.now);
    assert_eq!(world.lane.wake_at(), Some(world.now.plus_ms(1_000)));
    world.now = world.now.plus_ms(1_000);
    world.ingest(2, true, false);
    for expected in [1, 2, 3] {
        world.serve();
        assert_eq!(world.under_way(), [expected]);
        world.finish(0, Answer::OK);
    }
    world.settle_down();
}

#[test]
fn the_budget_limits_retries_of_the_schedule_and_not_those_by_hand() {
    let mut world = World::new(1, LanePolicy { max_in_flight: 64, ..policy() });
    for _ in 0..4 {
        world.ingest(4, true, false);
        world.serve();
    }
    (0..16).for_each(|_| world.finish(0, NOT_FOUND));
    world.serve();
    world.now = world.now.plus_ms(1_000);
    world.serve();
    assert_eq!(world.under_way().len(), 13, "10 for the floor and 20 % of 16 first tries");
    let wake_at = world.lane.wake_at().expect("it says when there is budget again");
    assert_eq!(wake_at, world.now.plus_ms(80), "0.2 tokens are left, and it earns 10 a second");
    let waiting = (1..=16).find(|seq| !world.under_way().contains(seq)).unwrap();
    // In the millisecond in which it is due anyway, `requeue` would make it due one later.
    world.now = world.now.plus_ms(1);
    world.requeue(Seq(waiting));
    world.serve();
    assert_eq!(world.under_way().last(), Some(&waiting));
    world.settle_down();
}

#[test]
fn only_the_attempt_that_was_asked_for_is_manual() {
    let mut world = world();
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, Answer::OK);
    world.requeue(Seq(1));
    world.serve();
    world.finish(0, NOT_FOUND);
    world.serve();
    let (_, row) = world.row(Seq(1));
    assert_eq!(row.map(|row| (row.attempts, row.trigger)), Some((1, Trigger::Scheduled)));
    world.settle_down();
}

#[test]
fn a_rate_limit_says_when_the_next_one_may_go_and_loses_nothing() {
    let mut world = World::new(1, LanePolicy { rate_limit: Some(5), ..policy() });
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1], "one and a half are saved up");
    assert_eq!(world.lane.wake_at(), Some(world.now.plus_ms(100)));
    world.now = world.now.plus_ms(100);
    world.serve();
    assert_eq!(world.under_way(), [1, 2], "however often it was asked meanwhile");
    world.settle_down();
}

#[test]
fn an_endpoint_that_asks_for_less_is_left_alone_for_so_long() {
    let mut world = world();
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, Answer { retry_after_ms: Some(30_000), ..Answer::of(OutcomeClass::Throttled, 429) });
    world.ingest(1, true, false);
    world.serve();
    assert_eq!((world.under_way().len(), world.lane.wake_at()), (0, Some(world.now.plus_ms(30_000))));
    assert!(!world.lane.is_idle(world.now));
    world.now = world.now.plus_ms(30_000);
    world.serve();
    assert_eq!(world.under_way(), [2, 1], "the retry had to be fetched");
    world.settle_down();
}

#[test]
fn a_pause_that_an_endpoint_asked_for_outlives_a_restart() {
    let mut world = world();
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, Answer { retry_after_ms: Some(600_000), ..Answer::of(OutcomeClass::ServerError, 503) });
    world.serve();
    let until = world.now.plus_ms(600_000);
    world.crash(|_| false);
    world.ingest(1, true, false);
    world.serve();
    assert_eq!((world.under_way().len(), world.lane.wake_at()), (0, Some(until)));
    world.now = until;
    world.serve();
    assert_eq!(world.under_way().len(), 2);
    (0..2).for_each(|_| world.finish(0, Answer::OK));
    let health = world.lane.report().and_then(|report| report.health);
    assert_eq!(health, Some(EndpointHealth::default()), "a pause that is over is not kept");
}

#[test]
fn the_second_after_any_503_costs_no_row() {
    let mut world = world();
    world.ingest(2, true, false);
    world.serve();
    world.finish(0, Answer::of(OutcomeClass::ServerError, 503));
    let health = world.lane.report().and_then(|report| report.health).expect("it fails now");
    assert_eq!(health.paused_until, None);
    world.finish(0, Answer::of(OutcomeClass::ServerError, 503));
    assert_eq!(world.lane.report().and_then(|report| report.health), None);
}

#[test]
fn gone_disables_the_endpoint_and_gives_up_what_waits() {
    let mut world = with_one_retry();
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(world.under_way(), [2, 3, 4]);
    world.finish(0, Answer::of(OutcomeClass::Gone, 410));
    assert!(world.lane.policy.disabled, "at once");
    world.finish(0, Answer::OK);
    world.finish(0, NOT_FOUND);
    world.serve();
    assert!(world.policy.disabled, "and durably");
    let reason = |seq| world.dead_letter(Seq(seq)).map(|letter| letter.reason);
    assert_eq!(reason(2), Some(DeadLetterReason::Gone));
    assert_eq!([reason(1), reason(3)], [Some(DeadLetterReason::EndpointDisabled); 2]);
    assert_eq!(reason(4), None, "its attempt was under way and went well");
    world.settle_down();
}

#[test]
fn a_change_of_other_settings_does_not_undo_a_disabling_that_is_on_its_way() {
    let mut world = World::new(1, LanePolicy { max_in_flight: 1, ..policy() });
    world.ingest(3, true, false);
    world.serve();
    world.finish(0, Answer::of(OutcomeClass::Gone, 410));
    world.pump(true);
    assert!(!world.lane.backlog.has_ready(), "what it had in line is skipped");
    // Read from a row that was written before.
    world.lane.configure(LanePolicy { max_in_flight: 2, ..world.policy.clone() }, world.now);
    world.lane.moved();
    assert!(world.lane.policy.disabled, "nothing is sent until the row says so too");
    world.serve();
    assert!(world.policy.disabled, "the row says why they were skipped");
    world.settle_down();
}

#[test]
fn a_retry_given_up_with_its_endpoint_keeps_what_is_known_of_it() {
    let mut world = with_one_retry();
    world.set_disabled(true);
    world.serve();
    let letter = world.dead_letter(Seq(1)).unwrap();
    assert_eq!((letter.attempts, letter.last_outcome), (1, Some(OutcomeClass::ClientError)));
    assert_eq!((letter.reason, letter.at), (DeadLetterReason::EndpointDisabled, world.now));
    world.settle_down();
}

#[test]
fn an_endpoint_that_only_fails_is_disabled_after_its_period() {
    let mut world = World::new(1, LanePolicy { disable_after_failing_ms: 10_000, ..policy() });
    for _ in 0..=10 {
        assert!(!world.policy.disabled);
        world.ingest(1, true, false);
        world.serve();
        world.finish(0, NOT_FOUND);
        world.now = world.now.plus_ms(1_000);
        world.serve();
    }
    (0..8).for_each(|_| world.finish(0, NOT_FOUND));
    world.serve();
    assert!(world.policy.disabled);
}

#[test]
fn an_endpoint_that_failed_once_long_ago_is_not() {
    let mut policy = LanePolicy { disable_after_failing_ms: 10_000, ..policy() };
    policy.retry.max_attempts = 1;
    let mut world = World::new(1, policy);
    for _ in 0..3 {
        world.ingest(1, true, false);
        world.serve();
        world.finish(0, NOT_FOUND);
        world.serve();
        world.now = world.now.plus_ms(10_000);
    }
    assert!(!world.policy.disabled);
    world.crash(|_| false);
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, NOT_FOUND);
    assert!(!world.lane.policy.disabled, "nor after a restart");
}

#[test]
fn a_delivery_whose_event_expired_becomes_a_dead_letter() {
    let mut world = with_one_retry();
    world.expire_one();
    world.now = world.now.plus_ms(1_000);
    world.serve();
    let letter = world.dead_letter(Seq(1)).unwrap();
    assert_eq!((letter.reason, letter.attempts), (DeadLetterReason::Expired, 1));
    world.settle_down();
}

#[test]
fn a_retry_due_in_the_same_moment_has_a_place_of_its_own() {
    let mut world = with_one_retry();
    world.now = world.now.plus_ms(1_000);
    world.serve();
    let was_due = world.operations.attempts[0].due.unwrap();
    assert_eq!(was_due, world.now);
    // As if the policy's gap were none.
    world.policy.retry.spacing = Spacing::Fixed { delay_ms: 0 };
    world.lane.configure(world.policy.clone(), world.now);
    world.finish(0, NOT_FOUND);
    world.serve();
    let (_, row) = world.row(Seq(1));
    assert_eq!(row.map(|row| (row.attempts, row.due)), Some((2, was_due.plus_ms(1))));
    world.settle_down();
}

#[test]
fn a_delivery_asked_for_by_hand_before_its_turn_goes_once() {
    let mut world = World::new(1, LanePolicy { max_in_flight: 2, ..policy() });
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1, 2]);
    world.requeue(Seq(3));
    world.serve();
    world.finish(0, Answer::OK);
    world.serve();
    world.finish(0, Answer::OK);
    world.serve();
    assert_eq!(world.under_way(), [3]);
    world.settle_down();
    assert_eq!(world.facts[&Seq(3)].delivered, 1);
}

#[test]
fn a_read_that_fails_is_not_made_again_at_once() {
    let mut world = with_one_retry();
    world.now = world.now.plus_ms(1_000);
    world.pump(true);
    world.go_on_fetching(0, true);
    world.ingest(1, true, false);
    world.serve();
    assert_eq!(world.under_way(), [2], "what needs no read goes on");
    assert_eq!(world.lane.wake_at(), Some(world.now.plus_ms(1_000)));
    world.now = world.now.plus_ms(1_000);
    world.serve();
    assert_eq!(world.under_way(), [2, 1]);
    world.settle_down();
}

#[test]
fn an_interrupted_first_try_that_cannot_be_fetched_waits_for_another_turn() {
    let mut world = with_an_interrupted_first_try();
    world.pump(true);
    world.go_on_fetching(0, true);
    world.serve();
    assert_eq!((world.under_way().len(), world.lane.wake_at()), (0, Some(world.now.plus_ms(1_000))));
    world.now = world.now.plus_ms(1_000);
    world.serve();
    assert_eq!(world.under_way(), [1]);
    world.settle_down();
    assert_eq!(world.facts[&Seq(2)].delivered, 1);
}

#[test]
fn one_put_back_in_line_while_its_first_try_cannot_be_fetched_is_found_again() {
    let mut world = with_an_interrupted_first_try();
    // Its rows are being fetched for a first try, which the log owes.
    world.pump(true);
    world.requeue(Seq(1));
    world.tell_requeued();
    (0..2).for_each(|_| {
        world.pump(true);
        world.go_on_loading(false);
    });
    // Its new key is in memory and set aside, for its rows are being fetched already.
    world.pump(true);
    world.go_on_fetching(0, true);
    world.set_disabled(true);
    world.serve();
    world.now = world.now.plus_ms(1_000);
    world.serve();
    let given_up = world.dead_letter(Seq(1)).map(|dead| dead.reason);
    assert_eq!(given_up, Some(DeadLetterReason::EndpointDisabled));
    world.settle_down();
}

#[test]
fn a_probe_that_finds_nothing_it_may_send_is_not_spent() {
    let mut world = world();
    world.ingest(4, true, false);
    world.ingest(1, true, true);
    world.serve();
    (0..5).for_each(|_| world.finish(0, Answer::of(OutcomeClass::ConnectError, 0)));
    world.serve();
    world.now = world.now.plus_ms(60_000);
    while world.shard_budget.try_withdraw(world.now.0).is_ok() {}
    world.serve();
    let wake_at = world.lane.wake_at().expect("when the shard has budget again");
    assert_eq!((world.under_way().len(), wake_at), (0, world.now.plus_ms(100)));
    world.now = wake_at;
    world.serve();
    assert_eq!(world.under_way().len(), 1, "the probe");
    world.settle_down();
}

#[test]
fn a_lane_may_go_once_its_breakers_hold_is_over() {
    let mut policy = policy();
    policy.retry.max_attempts = 1;
    let mut world = World::new(1, policy);
    world.ingest(4, true, false);
    world.ingest(1, true, true);
    world.serve();
    (0..5).for_each(|_| world.finish(0, Answer::of(OutcomeClass::ConnectError, 0)));
    world.serve();
    assert!(matches!(world.lane.breaker_state(), State::Open { .. }));
    assert!(!world.lane.is_idle(world.now), "it knows to wait");
    assert!(world.lane.is_idle(world.now.plus_ms(5_000)), "the stored health knows the rest");
}

#[test]
fn who_mends_an_endpoint_does_not_wait_for_the_end_of_a_hold() {
    let mut world = world();
    world.ingest(4, true, false);
    world.ingest(1, true, true);
    world.serve();
    (0..5).for_each(|_| world.finish(0, Answer::of(OutcomeClass::ConnectError, 0)));
    world.serve();
    world.ingest(1, true, false);
    world.serve();
    assert!(world.under_way().is_empty());
    assert_eq!(world.lane.moved(), Some(Transition::Closed));
    let health = world.lane.report().and_then(|report| report.health);
    assert_eq!(health, Some(EndpointHealth::default()));
    world.serve();
    assert_eq!(world.under_way(), [6]);
}

#[test]
fn events_without_a_payload_end_without_an_attempt_and_hold_nothing_up() {
    let now = UnixMs(1_000);
    let bounds = LaneBounds { mailbox_capacity: 16, retries_in_memory: 16 };
    let one_at_once = LanePolicy { max_in_flight: 1, ..policy() };
    let mut lane = Lane::new(TARGET, one_at_once, bounds, BreakerConfig::default(), LaneStart::default(), now);
    let gone = |seq| Event { payload: Bytes::new(), ..event(seq, MATCHING, now) };
    let events = [gone(1), gone(2), event(3, MATCHING, now), gone(4)];
    assert_eq!(lane.offer(events.iter(), usize::MAX, |_| Wants::Yes), 0);
    let mut budget = RetryBudget::new(BudgetConfig::default(), now.0);
    let room = Room { attempt: true, bytes: usize::MAX };
    let asked = lane.next_action(now, room, &mut budget);
    assert!(matches!(&asked, Some(Action::Start(attempt)) if attempt.event.seq == Seq(3)), "{asked:?}");
    assert!(lane.next_action(now, room, &mut budget).is_none());
    let report = lane.report().unwrap();
    let ended = report.settled.iter().map(|settled| match &settled.verdict {
        Verdict::DeadLetter(letter) if settled.record.is_none() => (settled.seq.0, letter.reason),
        other => panic!("{other:?}"),
    });
    let expunged = |seq| (seq, DeadLetterReason::Expunged);
    assert_eq!(ended.collect::<Vec<_>>(), [expunged(1), expunged(2), expunged(4)]);
    assert_eq!(report.cursor, Cursor { upto: Seq(4), holes: vec![Seq(3)] });
}
