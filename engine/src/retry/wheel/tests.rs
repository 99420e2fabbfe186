//! The wheel against single facts; [`model`] has the random operations.
//!
//! Most wheels here are tiny (8 slots a level, three timers a call), so that ring ends, clamping and calls that
//! stop half-way are the normal case.

use super::*;

mod model;

type Tiny = Wheel<u32, 2>;

/// The first tick beyond the top of a tiny wheel that starts at 0.
const TINY_REACH_MS: u64 = 8 * 16;

fn tiny(now_ms: u64) -> Tiny {
    Tiny::with_work_max(now_ms, 3)
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
    /// Walks every list: links agree both ways, bitmaps agree with heads, every entry lies where it may.
    fn check(&self) {
        let mut found = 0;
        for level in 0..LEVELS {
            let shift = Levels::<BITS>::shift(level);
            let current = self.cursor_ms >> shift;
            let mut first = None;
            for number in (0..2 << BITS).map_while(|step| current.checked_add(step)) {
                let slot = Levels::<BITS>::slot(level, number);
                let mut prev = slab::slot_link(slot);
                let mut index = self.levels.head(slot);
                if index != NIL {
                    first.get_or_insert(number);
                }
                while index != NIL {
                    let entry = self.slab.entry(index);
                    assert_eq!(entry.prev, prev, "back link of {index}");
                    let deadline_ms = entry.deadline_ms.max(self.cursor_ms);
                    let clamped = level == LEVELS - 1 && deadline_ms >> shift > number;
                    let at_home = deadline_ms >> shift == number;
                    assert!(at_home || clamped, "{deadline_ms} in slot {number} of {level}");
                    found += 1;
                    (prev, index) = (index, entry.next);
                }
            }
            assert_eq!(self.levels.next_occupied(level, current), first, "level {level}");
        }
        assert_eq!(found, self.len());
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
        assert_eq!(wheel.cancel(keys[victim]), Some(victim as u32), "middle, tail, head");
        wheel.check();
        assert_eq!(wheel.cancel(keys[victim]), None);
        assert_eq!(wheel.len(), left);
    }
    let mut fired = settle(&mut wheel, 9);
    fired.sort_unstable();
    assert_eq!(fired, [1, 3]);
    assert_eq!(wheel.cancel(keys[1]), None, "it has fired");
}

#[test]
fn a_reused_place_does_not_answer_to_its_old_key() {
    let mut wheel = tiny(0);
    let old = wheel.insert(5, 1);
    assert_eq!(wheel.cancel(old), Some(1));
    let new = wheel.insert(5, 2);
    assert_eq!(new.index(), old.index(), "the place was reused");
    assert_eq!(wheel.cancel(old), None);
    assert_eq!(wheel.cancel(new), Some(2));
}

#[test]
fn a_place_with_no_generation_left_is_never_used_again() {
    let mut wheel = tiny(0);
    let index = wheel.insert(5, 1).index();
    let last = wheel.slab.age(index);
    assert_eq!(wheel.cancel(last), Some(1));
    assert_eq!(wheel.cancel(last), None);
    assert_ne!(wheel.insert(5, 2).index(), index);
    assert_eq!(wheel.cancel(last), None);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_key_of_a_larger_wheel_is_refused() {
    let mut large = tiny(0);
    let keys: Vec<_> = (0..3).map(|payload| large.insert(5, payload)).collect();
    assert_eq!(tiny(0).cancel(keys[2]), None);
}

#[test]
fn freed_places_are_reused_before_the_slab_grows() {
    // More than a chunk, so that the stack of free places fills several.
    let count = 100_000;
    let mut wheel = Wheel::<u32>::new(0);
    for round in 1..=3 {
        let due_ms = round * 10_000;
        let keys: Vec<_> = (0..count).map(|payload| wheel.insert(due_ms, payload)).collect();
        for key in &keys[..keys.len() / 2] {
            assert!(wheel.cancel(*key).is_some());
        }
        assert_eq!(wheel.slab.places(), count as usize);
        let mut fired = 0;
        while wheel.advance(due_ms, usize::MAX, &mut |_| fired += 1).more {}
        assert_eq!(fired, count / 2);
    }
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
fn an_empty_stretch_of_a_thousand_years_is_one_step() {
    let mut wheel = Wheel::<u32>::new(0);
    let millennium_ms = 1_000 * 365 * 86_400_000;
    assert_eq!(wheel.next_deadline_ms(), None);
    let advanced = wheel.advance(millennium_ms, 1, &mut |_| {});
    assert_eq!(advanced, Advanced { fired: 0, more: false });
    wheel.insert(millennium_ms + 1, 1);
    assert_eq!(settle(&mut wheel, millennium_ms + 1), [1]);
}
