//! The wheel against single facts; [`model`] has the random operations.
//!
//! Most wheels here are tiny (8 slots a level, three timers a call, two cancelled ones left to lie). So ring ends,
//! clamping, sweeping and calls that stop half-way are the normal case.

use super::*;

mod model;

type Tiny = Wheel<u32, 2>;

/// The first tick beyond the top of a tiny wheel that starts at 0.
const TINY_REACH_MS: u64 = 8 * 16;

fn tiny(now_ms: u64) -> Tiny {
    Tiny::with_bounds(now_ms, 3, 2)
}

/// Advances until nothing more is to be done at `now_ms`; the payloads in the order they fired.
fn settle<const BITS: u32>(wheel: &mut Wheel<u32, BITS>, now_ms: u64) -> Vec<u32> {
    let mut fired = Vec::new();
    let calls_max = 1_000_000;
    for _ in 0..calls_max {
        let advanced = wheel.advance(now_ms, usize::MAX, &mut |payload| fired.push(payload));
        wheel.check();
        if !advanced.more {
            return fired;
        }
    }
    panic!("still more to do after {calls_max} calls at {now_ms}");
}

impl<const BITS: u32> Wheel<u32, BITS> {
    /// Walks every queue: bitmaps agree with queues, every timer lies where it may, each pending one once.
    fn check(&self) {
        let (mut found, mut pending) = (0, 0);
        for level in 0..LEVELS {
            let shift = Levels::<BITS>::shift(level);
            let current = self.cursor_ms >> shift;
            let mut first = None;
            for number in (0..2 << BITS).map_while(|step| current.checked_add(step)) {
                let slot = Levels::<BITS>::slot(level, number);
                let items = self.queues.items(slot);
                assert_eq!(items.len(), self.queues.len_of(slot) as usize);
                if !items.is_empty() {
                    first.get_or_insert(number);
                }
                found += items.len();
                for item in items {
                    let deadline_ms = item.deadline_ms.max(self.cursor_ms);
                    let clamped = level == LEVELS - 1 && deadline_ms >> shift > number;
                    let at_home = deadline_ms >> shift == number;
                    assert!(at_home || clamped, "{item:?} in slot {number} of {level}");
                    pending += usize::from(self.places.is_good(item.key));
                }
            }
            assert_eq!(self.levels.next_occupied(level, current), first, "level {level}");
        }
        assert_eq!((found, pending), (self.len() + self.cancelled(), self.len()));
        assert_eq!(self.next_deadline_ms().is_none(), self.is_empty());
    }
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_a_tick_earlier() {
    for start_ms in [0, 1, 1_023, 1_700_000_000_123] {
        for delay_ms in [1, 2, 2_047, 2_048, 5_000, 300_000, 2_097_151, 2_097_152, 36_000_000] {
            let mut wheel = Wheel::new(start_ms);
            wheel.insert(start_ms + delay_ms, 7);
            assert_eq!(settle(&mut wheel, start_ms + delay_ms - 1), Vec::<u32>::new(), "{start_ms} {delay_ms}");
            assert_eq!(settle(&mut wheel, start_ms + delay_ms), [7], "{start_ms} {delay_ms}");
            assert!(wheel.is_empty());
        }
    }
}

#[test]
fn a_past_deadline_fires_at_the_next_advance_even_at_the_same_now() {
    let mut wheel = tiny(100);
    let advanced = wheel.advance(150, 10, &mut |_| {});
    assert_eq!(advanced, Advanced { fired: 0, more: false });
    wheel.insert(3, 1);
    wheel.insert(150, 2);
    assert_eq!(wheel.next_deadline_ms(), Some(150));
    let mut fired = settle(&mut wheel, 150);
    fired.sort_unstable();
    assert_eq!(fired, [1, 2]);
}

#[test]
fn time_going_backwards_is_ignored() {
    let mut wheel = tiny(100);
    wheel.insert(110, 1);
    assert_eq!(settle(&mut wheel, 105), Vec::<u32>::new());
    assert_eq!(settle(&mut wheel, 7), Vec::<u32>::new());
    wheel.insert(104, 2);
    assert_eq!(settle(&mut wheel, 0), [2], "the wheel still stands at 105");
    assert_eq!(settle(&mut wheel, 110), [1]);
}

#[test]
fn a_cancelled_timer_does_not_fire_and_its_key_is_stale() {
    let mut wheel = tiny(0);
    let keys: Vec<_> = (0..5).map(|payload| wheel.insert(9, payload)).collect();
    for (victim, left) in [(2, 4), (0, 3), (4, 2)] {
        assert!(wheel.cancel(keys[victim]), "middle, tail, head");
        wheel.check();
        assert!(!wheel.cancel(keys[victim]));
        assert_eq!(wheel.len(), left);
    }
    let mut fired = settle(&mut wheel, 9);
    fired.sort_unstable();
    assert_eq!(fired, [1, 3]);
    assert!(!wheel.cancel(keys[1]), "it has fired");
}

#[test]
fn a_reused_place_does_not_answer_to_its_old_key() {
    let mut wheel = tiny(0);
    let old = wheel.insert(5, 1);
    assert!(wheel.cancel(old));
    let new = wheel.insert(5, 2);
    assert_eq!(new.index(), old.index(), "the place was reused");
    assert!(!wheel.cancel(old));
    assert!(wheel.cancel(new));
}

#[test]
fn a_place_with_no_generation_left_is_never_used_again() {
    let mut wheel = tiny(0);
    let key = wheel.insert(5, 1);
    let last = wheel.places.age(key);
    assert!(wheel.cancel(last));
    assert!(!wheel.cancel(last));
    assert_ne!(wheel.insert(5, 2).index(), key.index());
    assert!(!wheel.cancel(last));
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_key_of_a_larger_wheel_is_refused() {
    let mut large = tiny(0);
    let keys: Vec<_> = (0..3).map(|payload| large.insert(5, payload)).collect();
    assert!(!tiny(0).cancel(keys[2]));
}

#[test]
fn what_was_freed_is_reused_before_memory_grows() {
    // More than a chunk, so that the stack of free places fills several.
    let count = 100_000;
    let mut wheel = Wheel::<u32>::new(0);
    for round in 1..=3 {
        let due_ms = round * 10_000;
        let keys: Vec<_> = (0..count).map(|payload| wheel.insert(due_ms, payload)).collect();
        for key in &keys[..keys.len() / 2] {
            assert!(wheel.cancel(*key));
        }
        assert_eq!(wheel.places.made(), count as usize);
        assert!(wheel.queues.blocks_made() <= count as usize / 16 + 2, "all in one slot, then in another");
        let mut fired = 0;
        while wheel.advance(due_ms, usize::MAX, &mut |_| fired += 1).more {}
        assert_eq!(fired, count / 2);
    }
}

#[test]
fn cancelled_timers_do_not_pile_up() {
    // Deadlines over a day and time stands still: nothing but the sweep ever drops one.
    let count = 10_000;
    let mut wheel = Wheel::<u32>::new(0);
    let deadline_ms = |step: u32| u64::from(step.wrapping_mul(2_654_435_761) % 86_400_000);
    let mut keys: Vec<_> = (0..count).map(|step| wheel.insert(deadline_ms(step), step)).collect();
    for step in count..20 * count {
        let at = step.wrapping_mul(2_246_822_519) as usize % keys.len();
        let new = wheel.insert(deadline_ms(step), step);
        assert!(wheel.cancel(std::mem::replace(&mut keys[at], new)));
        assert!(wheel.cancelled() <= (keys.len() + 1 + CANCELLED_MIN) * 5 / 4 + SWEEP, "{}", wheel.cancelled());
    }
    wheel.check();
    assert!(wheel.cancelled() > CANCELLED_MIN, "some may lie");
    // Two blocks more for each of the slots that may be occupied.
    let slots = Levels::<10>::ALL_SLOTS;
    assert!(wheel.queues.blocks_made() <= 9 * keys.len() / 4 / 16 + 2 * slots, "{}", wheel.queues.blocks_made());
    for key in keys {
        assert!(wheel.cancel(key));
    }
    assert!(wheel.is_empty() && wheel.cancelled() <= CANCELLED_MIN + 1, "{}", wheel.cancelled());
    wheel.check();
}

#[test]
fn a_sweep_is_not_confused_by_slots_that_fire_under_it() {
    let mut wheel = Wheel::<u32, 2>::with_bounds(0, 1_000, 0);
    let mut fired = Vec::new();
    for round in 0..50 {
        let now_ms = round * 20;
        let keys: Vec<_> = (0..40).map(|step| wheel.insert(now_ms + 1 + u64::from(step), step)).collect();
        keys.iter().step_by(2).chain(keys.iter().skip(1).step_by(4)).for_each(|key| assert!(wheel.cancel(*key)));
        wheel.check();
        while wheel.advance(now_ms + 20, usize::MAX, &mut |payload| fired.push(payload)).more {}
        wheel.check();
    }
    while wheel.advance(2_000, usize::MAX, &mut |payload| fired.push(payload)).more {}
    assert_eq!(fired.len(), 50 * 10);
    assert!(fired.iter().all(|payload| payload % 4 == 3));
}

#[test]
fn a_deadline_beyond_the_top_waits_and_fires_on_time() {
    for due_ms in [TINY_REACH_MS - 1, TINY_REACH_MS, 1_000, 12_345] {
        let mut wheel = tiny(0);
        wheel.insert(due_ms, 1);
        let mut wakes = 0;
        let mut now_ms = 0;
        while let Some(next_ms) = wheel.next_deadline_ms() {
            assert!(next_ms <= due_ms && (wakes == 0 || next_ms > now_ms));
            now_ms = next_ms;
            let fired = settle(&mut wheel, now_ms);
            assert_eq!(fired.len(), usize::from(now_ms == due_ms));
            wakes += 1;
        }
        assert_eq!(now_ms, due_ms);
    }
}

#[test]
fn the_last_tick_of_all_is_a_deadline_like_any_other() {
    let mut wheel = tiny(0);
    wheel.insert(u64::MAX, 1);
    // From afar and at once: a jump over the whole range stops only where the timer was filed.
    let mut near = tiny(u64::MAX - 3);
    near.insert(u64::MAX, 2);
    assert_eq!(settle(&mut near, u64::MAX - 1), Vec::<u32>::new());
    assert_eq!(settle(&mut near, u64::MAX), [2]);
    assert_eq!(settle(&mut wheel, 1_000), Vec::<u32>::new());
    assert_eq!(wheel.len(), 1);
}

#[test]
fn one_call_never_fires_more_than_it_was_allowed() {
    let mut wheel = Wheel::<u32>::new(0);
    for payload in 0..10 {
        wheel.insert(1, payload);
    }
    let fired = |wheel: &mut Wheel<u32>, max| wheel.advance(1, max, &mut |_| {});
    assert_eq!(fired(&mut wheel, 0), Advanced { fired: 0, more: true });
    assert_eq!(fired(&mut wheel, 4), Advanced { fired: 4, more: true });
    assert_eq!(fired(&mut wheel, 6), Advanced { fired: 6, more: false });
}

#[test]
fn one_call_never_touches_more_timers_than_its_bound() {
    let count = 10 * WORK_PER_ADVANCE;
    let mut wheel = Wheel::<u32>::new(0);
    for payload in 0..count as u32 {
        wheel.insert(3_600_000, payload);
    }
    let mut fired = 0;
    let mut calls = 0;
    loop {
        let advanced = wheel.advance(3_600_000, usize::MAX, &mut |_| {});
        assert!(advanced.fired <= WORK_PER_ADVANCE);
        fired += advanced.fired;
        calls += 1;
        if !advanced.more {
            break;
        }
    }
    assert_eq!(fired, count);
    assert!(calls >= 3 * 10, "two refilings and a firing each: {calls}");
}

#[test]
fn a_crowded_coarse_slot_does_not_delay_its_first_timer() {
    // A shell that obeys `next_deadline_ms` and makes one bounded call per tick while there is more.
    let crowd = 100 * WORK_PER_ADVANCE as u32;
    let mut wheel = Wheel::<u32>::new(0);
    for payload in 0..crowd {
        wheel.insert(10_300, payload);
    }
    wheel.insert(10_240, crowd); // the first tick of the crowd's slot
    let mut fired_at_ms = None;
    let mut now_ms = 0;
    while fired_at_ms.is_none() {
        now_ms = wheel.next_deadline_ms().unwrap().max(now_ms + 1);
        let advanced = wheel.advance(now_ms, usize::MAX, &mut |payload| {
            assert_eq!(payload, crowd);
            fired_at_ms = Some(now_ms);
        });
        assert!(advanced.fired <= 1);
    }
    assert_eq!(fired_at_ms, Some(10_240));
}

#[test]
fn timers_fire_in_the_order_of_their_ticks_across_levels() {
    let mut wheel = tiny(0);
    for payload in (0..200).rev() {
        wheel.insert(u64::from(payload) + 1, payload);
    }
    assert_eq!(settle(&mut wheel, 200), (0..200).collect::<Vec<_>>());
}

#[test]
fn an_empty_range_of_a_thousand_years_is_one_step() {
    let mut wheel = Wheel::<u32>::new(0);
    let millennium_ms = 1_000 * 365 * 86_400_000;
    assert_eq!(wheel.next_deadline_ms(), None);
    let advanced = wheel.advance(millennium_ms, 1, &mut |_| {});
    assert_eq!(advanced, Advanced { fired: 0, more: false });
    wheel.insert(millennium_ms + 1, 1);
    assert_eq!(settle(&mut wheel, millennium_ms + 1), [1]);
}
