//! Round trips by example, then the accounts of any history.

use super::*;
use proptest::prelude::*;

fn fill(window: &mut Window) -> Vec<Slot> {
    std::iter::from_fn(|| window.try_acquire()).collect()
}

/// One round trip with a full window, all with the same feedback.
fn round(window: &mut Window, feedback: Feedback) -> u16 {
    fill(window).into_iter().for_each(|slot| window.release(slot, feedback));
    window.limit()
}

#[test]
fn it_doubles_until_the_first_congestion_and_then_grows_by_one() {
    let mut window = Window::new(1_000);
    assert_eq!(window.limit(), 16);
    assert_eq!([0; 3].map(|_| round(&mut window, Feedback::Coped)), [32, 64, 128]);
    assert_eq!(round(&mut window, Feedback::Congested), 64);
    assert_eq!([0; 3].map(|_| round(&mut window, Feedback::Coped)), [65, 66, 67]);
}

#[test]
fn under_steady_load_slow_start_adds_one_per_success() {
    let mut window = Window::new(64);
    let mut slots = std::collections::VecDeque::from(fill(&mut window));
    for success in 1..=48 {
        window.release(slots.pop_front().unwrap(), Feedback::Coped);
        slots.extend(fill(&mut window));
        assert_eq!(window.limit(), 16 + success);
    }
    window.release(slots.pop_front().unwrap(), Feedback::Coped);
    assert_eq!(window.limit(), 64, "the maximum holds");
}

#[test]
fn a_round_trip_of_failures_halves_once() {
    let mut window = Window::new(64);
    assert_eq!(round(&mut window, Feedback::Congested), 8);
    assert_eq!(round(&mut window, Feedback::Congested), 4);
    assert_eq!([0; 5].map(|_| round(&mut window, Feedback::Congested)), [2, 1, 1, 1, 1]);
}

#[test]
fn a_shrunk_window_gives_nothing_until_it_drained() {
    let mut window = Window::new(64);
    let mut slots = fill(&mut window);
    window.release(slots.pop().unwrap(), Feedback::Congested);
    assert_eq!((window.limit(), window.in_flight(), window.room()), (8, 15, 0));
    assert_eq!(window.try_acquire(), None);
    for slot in slots.drain(..8) {
        window.release(slot, Feedback::Coped);
    }
    assert_eq!((window.limit(), window.room()), (8, 1), "successes from before the halving do not grow it");
}

#[test]
fn a_lightly_used_window_does_not_grow() {
    let mut window = Window::new(64);
    for _ in 0..100 {
        let slot = window.try_acquire().unwrap();
        window.release(slot, Feedback::Coped);
    }
    assert_eq!(window.limit(), INITIAL_LIMIT);
    let slots: Vec<Slot> = (0..9).filter_map(|_| window.try_acquire()).collect();
    slots.into_iter().for_each(|slot| window.release(slot, Feedback::Coped));
    assert_eq!(window.limit(), 18, "up to twice what was in flight");
    assert_eq!(round(&mut window, Feedback::Congested), 9);
    for _ in 0..100 {
        let slot = window.try_acquire().unwrap();
        window.release(slot, Feedback::Coped);
    }
    assert_eq!(window.limit(), 9, "that busy time is over");
}

#[test]
fn a_restart_climbs_fast_again() {
    let mut window = Window::new(64);
    let old = window.try_acquire().unwrap();
    assert_eq!([0; 5].map(|_| round(&mut window, Feedback::Congested)), [8, 4, 2, 1, 1]);
    window.restart();
    window.release(old, Feedback::Congested);
    assert_eq!(window.limit(), 1);
    assert_eq!([0; 6].map(|_| round(&mut window, Feedback::Coped)), [2, 4, 8, 16, 32, 64]);
}

#[test]
fn bounds_are_kept_at_the_edges() {
    assert_eq!(Window::new(0).limit(), 1);
    assert_eq!(Window::new(5).limit(), 5);
    let mut window = Window::new(64);
    window.set_max(3);
    assert_eq!((window.limit(), round(&mut window, Feedback::Coped)), (3, 3));
    window.set_max(0);
    assert_eq!(window.limit(), 1);
}

#[test]
fn every_outcome_has_its_feedback() {
    let with = |feedback| OutcomeClass::ALL.into_iter().filter(move |&class| Feedback::of(class) == feedback);
    assert!(with(Feedback::Congested).eq([
        OutcomeClass::Throttled,
        OutcomeClass::Timeout,
        OutcomeClass::ConnectError,
        OutcomeClass::TransportError,
    ]));
    assert_eq!(with(Feedback::Coped).count(), 5);
    assert_eq!(with(Feedback::Nothing).count(), 5);
}

proptest! {
    #[test]
    fn any_history_keeps_the_accounts(max in 1_u16..100, steps in prop::collection::vec((0_u8..6, any::<u16>()), 0..400)) {
        let (mut window, mut slots, mut max) = (Window::new(max), vec![], max);
        for (step, pick) in steps {
            let before = window.limit();
            match step {
                0 | 1 => slots.extend(window.try_acquire()),
                2 | 3 if !slots.is_empty() => {
                    let slot = slots.swap_remove(usize::from(pick) % slots.len());
                    window.release(slot, if step == 2 { Feedback::Coped } else { Feedback::Congested });
                    prop_assert!(window.limit() >= before / 2 && window.limit() <= before + 1);
                }
                4 if pick % 50 == 0 => window.restart(),
                5 if pick % 20 == 0 => { max = pick % 80 + 1; window.set_max(max) }
                _ => {}
            }
            prop_assert_eq!(usize::from(window.in_flight()), slots.len());
            prop_assert!((1..=max).contains(&window.limit()));
            prop_assert!(window.room() == 0 || window.in_flight() + window.room() == window.limit());
        }
    }
}
