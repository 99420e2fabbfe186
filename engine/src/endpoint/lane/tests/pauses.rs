//! Stories of lanes that are paused.

use super::world::{Answer, World};
use super::*;

fn pause(world: &mut World, paused: bool) {
    world.policy.paused = paused;
    world.lane.configure(world.policy.clone(), world.now);
}

#[test]
fn a_paused_lane_starts_nothing_keeps_nothing_in_memory_and_may_go() {
    let mut world = World::new(1, policy());
    world.policy.max_in_flight = 1;
    world.lane.configure(world.policy.clone(), world.now);
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1]);
    pause(&mut world, true);
    assert_eq!((world.lane.queued_bytes(), world.lane.waiting().0), (0, 0));
    assert!(!world.lane.has_work(world.now) && !world.lane.would_start(world.now));
    world.finish(0, Answer::of(OutcomeClass::ServerError, 500));
    world.ingest(2, true, false);
    world.now = world.now.plus_ms(3_600_000);
    world.serve();
    assert!(world.under_way().is_empty(), "its retry is due, and waits too");
    assert!(world.lane.is_idle(world.now), "all that it owes is on disk");
    assert_eq!(world.lane.wake_at(), None);
    pause(&mut world, false);
    assert!(!world.lane.is_idle(world.now));
    world.settle_down();
    assert!((1..=5).all(|seq| world.facts[&Seq(seq)].delivered == 1));
}

#[test]
fn a_pause_of_the_application_holds_whatever_the_endpoint_says() {
    let mut world = World::new(1, policy());
    world.lane.pause_with_application(true);
    world.ingest(1, true, false);
    pause(&mut world, false);
    world.serve();
    assert!(world.under_way().is_empty());
    world.lane.pause_with_application(false);
    world.serve();
    assert_eq!(world.under_way(), [1]);
    world.finish(0, Answer::OK);
    world.settle_down();
}

#[test]
fn a_lane_that_is_disabled_while_it_is_paused_drops_what_waits() {
    let mut world = World::new(1, policy());
    pause(&mut world, true);
    world.ingest(2, true, false);
    world.policy.disabled = true;
    world.lane.configure(world.policy.clone(), world.now);
    world.facts.values_mut().for_each(|facts| facts.may_be_skipped = true);
    world.settle_down();
    assert!(world.lane.is_idle(world.now));
}
