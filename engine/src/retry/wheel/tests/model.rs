//! Random operations on a wheel, in lock-step with an ordered set that does the same slowly.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Insert { delay_ms: i64 },
    Cancel { pick: usize },
    Advance { step_ms: u64, max_fired: usize },
    Settle,
}

fn op() -> impl Strategy<Value = Op> {
    let delay_ms = prop_oneof![-5i64..10, 0i64..40, 0i64..3 * TINY_REACH_MS as i64];
    let step_ms = prop_oneof![Just(0u64), 1u64..4, 0u64..40, 0u64..2 * TINY_REACH_MS];
    prop_oneof![
        6 => delay_ms.prop_map(|delay_ms| Op::Insert { delay_ms }),
        2 => any::<usize>().prop_map(|pick| Op::Cancel { pick }),
        3 => (step_ms, 0usize..6).prop_map(|(step_ms, max_fired)| Op::Advance { step_ms, max_fired }),
        1 => Just(Op::Settle),
    ]
}

/// The wheel and the set, each timer under the tick at which it may fire.
struct LockStep<const BITS: u32> {
    wheel: Wheel<u32, BITS>,
    pending: BTreeSet<(u64, u32)>,
    /// Every key ever issued, by payload, with its tick.
    issued: Vec<(TimerKey, u64)>,
    now_ms: u64,
    /// The most timers that were pending at once.
    len_max: usize,
}

impl<const BITS: u32> LockStep<BITS> {
    fn insert(&mut self, delay_ms: i64) {
        let payload = self.issued.len() as u32;
        let deadline_ms = self.now_ms.saturating_add_signed(delay_ms);
        let tick_ms = deadline_ms.max(self.wheel.cursor_ms);
        let key = self.wheel.insert(deadline_ms, payload);
        self.issued.push((key, tick_ms));
        self.pending.insert((tick_ms, payload));
        self.len_max = self.len_max.max(self.pending.len());
    }

    fn cancel(&mut self, pick: usize) {
        if self.issued.is_empty() {
            return;
        }
        let payload = pick % self.issued.len();
        let (key, tick_ms) = self.issued[payload];
        let payload = payload as u32;
        let expected = self.pending.remove(&(tick_ms, payload));
        assert_eq!(self.wheel.cancel(key), expected);
    }

    fn advance(&mut self, step_ms: u64, max_fired: usize) -> bool {
        self.now_ms += step_ms;
        let mut fired = Vec::new();
        let advanced = self.wheel.advance(self.now_ms, max_fired, &mut |payload| fired.push(payload));
        assert_eq!(advanced.fired, fired.len());
        assert!(fired.len() <= max_fired.min(self.wheel.work_max));
        for payload in fired {
            // Each timer that fires is due, pending, and of the earliest tick that is pending.
            let tick_ms = self.issued[payload as usize].1;
            assert!(tick_ms <= self.now_ms, "{payload} fired early");
            assert_eq!(self.pending.first().map(|&(first_ms, _)| first_ms), Some(tick_ms));
            assert!(self.pending.remove(&(tick_ms, payload)), "{payload} fired twice");
        }
        advanced.more
    }

    fn check(&self, more: bool) {
        self.wheel.check();
        assert_eq!(self.wheel.len(), self.pending.len());
        let cancelled_max = (self.len_max + self.wheel.cancelled_min) * 5 / 4 + SWEEP;
        assert!(self.wheel.cancelled() <= cancelled_max, "{} cancelled timers lie about", self.wheel.cancelled());
        let first_ms = self.pending.first().map(|&(tick_ms, _)| tick_ms);
        assert!(more || first_ms.is_none_or(|tick_ms| tick_ms > self.now_ms), "a due timer was left");
        if let (Some(bound_ms), Some(first_ms)) = (self.wheel.next_deadline_ms(), first_ms) {
            assert!(bound_ms <= first_ms, "sleeping until {bound_ms} misses {first_ms}");
        }
    }
}

fn lock_step<const BITS: u32>(wheel: Wheel<u32, BITS>, ops: Vec<Op>) {
    let (pending, issued) = (BTreeSet::new(), Vec::new());
    let now_ms = wheel.now_ms;
    let mut both = LockStep { wheel, pending, issued, now_ms, len_max: 0 };
    for op in ops.into_iter().chain([Op::Settle]) {
        let more = match op {
            Op::Insert { delay_ms } => {
                both.insert(delay_ms);
                true
            }
            Op::Cancel { pick } => {
                both.cancel(pick);
                true
            }
            Op::Advance { step_ms, max_fired } => both.advance(step_ms, max_fired),
            Op::Settle => {
                // A call does at least one unit of work. From here on, a timer, cancelled or not, is clamped once in
                // each reach of the top level between the cursor (which trails when nothing may fire) and its deadline.
                // Then it is refiled twice and fired, each after at most one step of the cursor.
                let last_ms = both.pending.last().map_or(0, |&(tick_ms, _)| tick_ms).max(both.now_ms);
                let reaches = (last_ms - both.wheel.cursor_ms) >> (BITS as usize * LEVELS);
                let timers = both.pending.len() + both.wheel.cancelled();
                let calls_max = 20 + 2 * timers * (reaches as usize + 4);
                let calls = (0..calls_max).take_while(|_| both.advance(0, usize::MAX)).count();
                assert!(calls < calls_max, "no end after {calls} calls");
                false
            }
        };
        both.check(more);
    }
}

proptest! {
    #[test]
    fn a_tiny_wheel_agrees_with_an_ordered_set(
        start_ms in 0u64..1_000,
        work_max in 1usize..8,
        cancelled_min in 0usize..20,
        ops in prop::collection::vec(op(), 0..200),
    ) {
        lock_step(Wheel::<u32, 2>::with_bounds(start_ms, work_max, cancelled_min), ops);
    }

    #[test]
    fn a_wheel_of_several_bitmap_words_agrees_with_an_ordered_set(
        start_ms in 0u64..100_000,
        work_max in 1usize..40,
        cancelled_min in 0usize..20,
        scale in 1i64..2_000,
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let ops = ops.into_iter().map(|op| match op {
            Op::Insert { delay_ms } => Op::Insert { delay_ms: delay_ms * scale },
            Op::Advance { step_ms, max_fired } => Op::Advance { step_ms: step_ms * scale as u64, max_fired },
            other => other,
        });
        lock_step(Wheel::<u32, 6>::with_bounds(start_ms, work_max, cancelled_min), ops.collect());
    }
}
