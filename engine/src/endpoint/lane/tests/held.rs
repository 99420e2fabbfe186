//! The answer of a lane that is asked why it sends nothing, and the run of failed deliveries that disables it.

use super::world::{Answer, World};
use super::*;
use crate::waiting::{Gate, Held};

const NOT_FOUND: Answer = Answer::of(OutcomeClass::ClientError, 404);
const THROTTLED: Answer = Answer::of(OutcomeClass::Throttled, 429);
const FAILED: Answer = Answer::of(OutcomeClass::ServerError, 500);

fn held(world: &mut World) -> Option<(Gate, Option<u64>)> {
    let mut budget = RetryBudget::new(BudgetConfig::default(), world.now.0);
    let now = world.now;
    world.lane.held(now, &mut budget).map(|Held { by, until }| (by, until.map(|at| at.since_ms(now))))
}

#[test]
fn the_first_closed_gate_is_named_with_the_time_at_which_it_opens() {
    let mut world = World::new(1, LanePolicy { max_in_flight: 1, rate_limit: Some(1), burst: Some(1), ..policy() });
    assert_eq!(held(&mut world), None, "it has nothing to send");
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(held(&mut world), Some((Gate::Window, None)));
    world.finish(0, THROTTLED);
    assert_eq!(held(&mut world), Some((Gate::RetryAfter, Some(1_000))));
    world.now = world.now.plus_ms(1_000);
    assert_eq!(held(&mut world), None, "the next goes");
    world.serve();
    world.finish(0, Answer::OK);
    assert_eq!(held(&mut world), Some((Gate::Rate, Some(1_000))));
}

#[test]
fn an_open_breaker_and_a_retry_that_is_not_due_hold_back() {
    let mut world = World::new(1, policy());
    world.ingest(6, true, false);
    world.serve();
    (0..5).for_each(|_| world.finish(0, FAILED));
    world.now = world.now.plus_ms(1);
    world.ingest(1, true, false);
    assert!(matches!(held(&mut world), Some((Gate::Breaker, Some(_)))), "{:?}", held(&mut world));

    let mut world = World::new(2, policy());
    world.ingest(1, true, false);
    world.serve();
    world.finish(0, NOT_FOUND);
    world.serve();
    assert_eq!(held(&mut world), Some((Gate::RetrySchedule, Some(1_000))));
}

/// Deliveries one after the other, each tried as often as the policy says.
fn use_up(world: &mut World, deliveries: usize) {
    for _ in 0..deliveries {
        world.ingest(1, true, false);
        for _ in 0..world.policy.retry.max_attempts {
            world.serve();
            world.finish(0, NOT_FOUND);
            world.serve();
            world.now = world.now.plus_ms(1_000);
        }
    }
}

#[test]
fn deliveries_that_used_up_their_attempts_in_a_row_disable_it_over_a_restart_too() {
    let limited = LanePolicy { disable_after_failed_deliveries: Some(3), disable_after_failing_ms: 0, ..policy() };
    let mut world = World::new(1, limited);
    use_up(&mut world, 2);
    world.crash(|_| true);
    assert!(!world.lane.policy.disabled);
    use_up(&mut world, 1);
    assert!(world.lane.policy.disabled);
}

#[test]
fn a_success_in_between_starts_the_run_anew() {
    let limited = LanePolicy { disable_after_failed_deliveries: Some(2), disable_after_failing_ms: 0, ..policy() };
    let mut world = World::new(1, limited);
    for _ in 0..3 {
        use_up(&mut world, 1);
        world.ingest(1, true, false);
        world.serve();
        world.finish(0, Answer::OK);
        world.serve();
    }
    assert!(!world.lane.policy.disabled);
}
