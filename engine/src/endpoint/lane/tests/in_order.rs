//! The stories of a lane that keeps an order.

use super::world::{Answer, BOUNDS, World};
use super::*;
use model::PausedReason;

const NOT_FOUND: Answer = Answer::of(OutcomeClass::ClientError, 404);

fn world(order: Order) -> World {
    World::new(1, LanePolicy { order, ..policy() })
}

/// Finishes the attempt of this delivery.
fn finish(world: &mut World, seq: u64, answer: Answer) {
    let index = world.under_way().iter().position(|other| *other == seq).expect("it is under way");
    world.finish(index, answer);
    world.serve();
}

#[test]
fn an_ordered_endpoint_gets_one_after_the_other_and_one_that_fails_holds_the_rest() {
    let mut world = world(Order::Endpoint);
    world.ingest(3, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1]);
    finish(&mut world, 1, NOT_FOUND);
    assert!(world.under_way().is_empty() && world.lane.holds_for_order(world.now));
    world.now = world.now.plus_ms(1_000);
    world.serve();
    assert_eq!(world.under_way(), [1], "its retry");
    finish(&mut world, 1, Answer::OK);
    assert_eq!(world.under_way(), [2]);
    finish(&mut world, 2, Answer::OK);
    assert_eq!(world.under_way(), [3]);
    world.settle_down();
}

#[test]
fn the_next_one_waits_until_it_is_durable_that_the_one_before_was_given_up() {
    let mut policy = LanePolicy { order: Order::Endpoint, ..policy() };
    policy.retry.max_attempts = 1;
    let mut world = World::new(1, policy);
    world.ingest(2, true, false);
    world.serve();
    world.finish(0, NOT_FOUND);
    world.pump(true);
    world.go_on_loading(false);
    assert!(world.under_way().is_empty(), "its dead letter is on its way to the disk");
    world.crash(|_| false);
    world.serve();
    assert_eq!(world.under_way(), [1], "it is tried once more, and nothing overtook it");
    finish(&mut world, 1, NOT_FOUND);
    assert_eq!(world.under_way(), [2]);
    world.settle_down();
}

#[test]
fn after_a_crash_the_order_holds() {
    for order in [Order::Endpoint, Order::Key] {
        let mut world = world(order);
        world.key_of = |_| Some("k");
        world.ingest(4, true, false);
        world.serve();
        finish(&mut world, 1, Answer::OK);
        finish(&mut world, 2, NOT_FOUND);
        world.crash(|_| false);
        world.serve();
        assert!(world.under_way().is_empty(), "{order:?}: the second is not due yet");
        world.now = world.now.plus_ms(1_000);
        for expected in 2..=4 {
            world.serve();
            assert_eq!(world.under_way(), [expected]);
            world.crash(|_| false);
            world.serve();
            assert_eq!(world.under_way(), [expected], "{order:?}: a repeat, no inversion");
            finish(&mut world, expected, Answer::OK);
        }
        world.settle_down();
    }
}

#[test]
fn messages_with_another_key_or_none_pass_one_that_fails() {
    let mut world = world(Order::Key);
    world.key_of = |seq| [None, Some("a"), Some("a"), Some("b"), None, Some("a")][seq as usize % 6];
    world.ingest(4, true, false);
    world.ingest(1, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1, 3, 4]);
    finish(&mut world, 1, NOT_FOUND);
    finish(&mut world, 3, Answer::OK);
    finish(&mut world, 4, Answer::OK);
    assert!(world.under_way().is_empty() && world.lane.holds_for_order(world.now));
    let cursor = world.progress.position(TARGET);
    assert_eq!((cursor.upto, &cursor.holes[..]), (Seq(5), &[Seq(2), Seq(5)][..]), "it has passed the others");
    world.crash(|_| false);
    world.ingest(1, true, false);
    world.serve();
    assert_eq!(world.under_way(), [6], "it has no key");
    world.now = world.now.plus_ms(1_000);
    world.serve();
    finish(&mut world, 1, Answer::OK);
    assert_eq!(world.under_way(), [6, 2]);
    finish(&mut world, 2, Answer::OK);
    assert_eq!(world.under_way(), [6, 5]);
    world.settle_down();
}

#[test]
fn beyond_the_bound_of_messages_that_are_held_the_endpoint_waits() {
    let mut world = world(Order::Key);
    world.key_of = |seq| (seq < 8).then_some("a");
    for _ in 0..9 {
        world.ingest(1, true, false);
        world.serve();
    }
    assert_eq!(world.under_way(), [1], "four are held, and the sixth finds no room");
    assert_eq!(world.progress.position(TARGET).holes.len(), 1 + BOUND);
    finish(&mut world, 1, Answer::OK);
    finish(&mut world, 2, Answer::OK);
    assert_eq!(world.under_way(), [3, 8, 9], "now the log was read to those without a key");
    world.settle_down();
}

const BOUND: usize = BOUNDS.mailbox_capacity;

#[test]
fn a_delivery_asked_for_by_hand_goes_at_once() {
    for order in [Order::Endpoint, Order::Key] {
        let mut world = world(order);
        world.key_of = |_| Some("k");
        world.ingest(3, true, false);
        world.serve();
        finish(&mut world, 1, Answer::OK);
        finish(&mut world, 2, NOT_FOUND);
        assert!(world.under_way().is_empty());
        world.requeue(Seq(1));
        world.serve();
        assert_eq!(world.under_way(), [1], "{order:?}: the second is not due yet");
        finish(&mut world, 1, Answer::OK);
        assert!(world.under_way().is_empty(), "{order:?}: the third waits for the second");
        world.settle_down();
    }
}

#[test]
fn a_scheduled_message_holds_up_nobody_before_its_time() {
    for order in [Order::Endpoint, Order::Key] {
        let mut world = world(order);
        world.key_of = |_| Some("k");
        world.schedule(950);
        world.ingest(2, true, false);
        world.serve();
        assert_eq!(world.under_way(), [2], "{order:?}");
        finish(&mut world, 2, Answer::OK);
        assert_eq!(world.under_way(), [3], "{order:?}");
        world.now = world.now.plus_ms(950);
        world.ingest(1, true, false);
        world.serve();
        assert_eq!(world.under_way(), [3], "{order:?}: one after the other");
        finish(&mut world, 3, NOT_FOUND);
        assert!(world.under_way().is_empty(), "{order:?}: its time has come while one waits for a retry");
        world.now = world.now.plus_ms(1_000);
        for expected in [3, 1, 4] {
            world.serve();
            assert_eq!(world.under_way(), [expected], "{order:?}: before what was accepted after its time");
            finish(&mut world, expected, Answer::OK);
        }
        world.settle_down();
    }
}

#[test]
fn a_scheduled_message_goes_behind_what_was_accepted_before_its_time() {
    for order in [Order::Endpoint, Order::Key] {
        let mut world = world(order);
        world.key_of = |seq| (seq != 9).then_some("k");
        world.schedule(500);
        for _ in 0..5 {
            world.ingest(1, true, false);
            world.serve();
        }
        assert_eq!(world.under_way(), [2], "{order:?}");
        world.now = world.now.plus_ms(500);
        world.ingest(1, true, false);
        world.crash(|_| false);
        for expected in [2, 3, 4, 5, 6, 1, 7] {
            world.serve();
            assert_eq!(world.under_way(), [expected], "{order:?}");
            finish(&mut world, expected, Answer::OK);
        }
        world.settle_down();
    }
}

#[test]
fn after_a_crash_a_scheduled_message_is_before_what_was_held_and_accepted_after_its_time() {
    let mut world = world(Order::Key);
    world.key_of = |_| Some("k");
    world.schedule(500);
    world.ingest(1, true, false);
    world.serve();
    world.now = world.now.plus_ms(500);
    world.ingest(1, true, false);
    world.serve();
    assert_eq!(world.under_way(), [2], "3 is held, and the mark says so");
    world.ingest(1, true, true);
    world.crash(|_| false);
    for expected in [2, 1] {
        for _ in 0..20 {
            world.pump(true);
            world.go_on_loading(false);
            world.go_on_reading_keys(false);
            world.go_on_fetching(0, false);
            world.report();
            world.apply_report();
        }
        assert_eq!(world.under_way(), [expected], "nothing has been read of the log");
        world.finish(0, Answer::OK);
    }
    world.settle_down();
}

#[test]
fn more_scheduled_messages_than_memory_holds_all_go() {
    for order in [Order::Endpoint, Order::Key] {
        let mut world = world(order);
        world.key_of = |_| Some("k");
        (0..20).for_each(|_| world.schedule(500));
        world.now = world.now.plus_ms(500);
        world.serve();
        finish(&mut world, 1, NOT_FOUND);
        world.settle_down();
    }
}

#[test]
fn another_order_holds_for_what_starts_from_then_on() {
    let mut world = World::new(1, LanePolicy { max_in_flight: 4, ..policy() });
    world.key_of = |seq| Some(if seq.is_multiple_of(2) { "even" } else { "odd" });
    world.ingest(4, true, false);
    world.ingest(4, true, false);
    world.serve();
    assert_eq!(world.under_way(), [1, 2, 3, 4]);
    world.set_order(Order::Endpoint);
    finish(&mut world, 1, NOT_FOUND);
    for seq in 2..=4 {
        assert!(world.under_way().iter().all(|seq| *seq <= 4), "what was started is finished first");
        finish(&mut world, seq, Answer::OK);
    }
    assert!(world.under_way().is_empty(), "the first waits for its retry");
    world.set_order(Order::Key);
    world.serve();
    assert_eq!(world.under_way(), [6], "the odd ones wait for the first");
    world.set_order(Order::None);
    world.serve();
    assert_eq!(world.under_way().len(), 4, "nobody waits for anybody");
    world.settle_down();
}

#[test]
fn a_delivery_that_is_given_up_pauses_the_endpoint_if_its_policy_says_so() {
    let mut policy = LanePolicy { order: Order::Endpoint, on_give_up: OnGiveUp::Pause, ..policy() };
    policy.retry.max_attempts = 1;
    let mut world = World::new(1, policy);
    world.ingest(3, true, false);
    world.serve();
    finish(&mut world, 1, Answer::OK);
    world.finish(0, NOT_FOUND);
    assert!(world.lane.is_paused(), "at once");
    let report = world.lane.report().expect("something to report");
    assert_eq!(report.pause, Some(PausedReason::GaveUp));
    assert!(matches!(report.settled[..], [Settled { seq: Seq(2), .. }]), "in the commit of its dead letter");
    world.reports.push_back(report);
    world.serve();
    assert!(world.under_way().is_empty());
    world.policy.paused = false;
    world.lane.configure(world.policy.clone(), world.now);
    world.serve();
    assert_eq!(world.under_way(), [3], "somebody resumed it");
    world.settle_down();
}
