//! The work that every kind of timer gets. It is exactly the same for all: one seed, one order of calls.

use crate::timers::Timers;
use benches::Random;
use std::time::{Duration, Instant};

/// Deadlines lie within this of their insertion.
pub(crate) const SPREAD_MS: u64 = 3_600_000;

/// The number of calls that are timed in a row, so that reading the clock does not count.
pub(crate) const BATCH: usize = 1024;

/// Timers pending; the number of each is its position in `keys`.
pub(crate) struct Loaded<T: Timers> {
    pub(crate) timers: T,
    keys: Vec<T::Key>,
    random: Random,
    now_ms: u64,
}

impl<T: Timers> Loaded<T> {
    pub(crate) fn new(size: usize) -> Self {
        let mut random = Random::default();
        let mut timers = T::empty();
        let keys = (0..size as u64).map(|number| timers.insert(1 + random.below(SPREAD_MS), number)).collect();
        Self { timers, keys, random, now_ms: 0 }
    }

    /// Nanoseconds per cancel, of half of the timers in random order with nothing in between.
    pub(crate) fn cancel_half_ns(mut self) -> f64 {
        let count = self.keys.len();
        for at in (1..count).rev() {
            self.keys.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        let half = &self.keys[..count / 2];
        let start = Instant::now();
        half.iter().for_each(|key| self.timers.cancel(*key));
        start.elapsed().as_nanos() as f64 / half.len() as f64
    }

    /// Moves time on, in as many calls as are asked for, each of which `timed` is to make and to time; what fires is
    /// inserted anew. Answers how many fired.
    pub(crate) fn step(
        &mut self,
        step_ms: u64,
        fired: &mut Vec<u64>,
        mut timed: impl FnMut(&mut dyn FnMut()),
    ) -> usize {
        self.now_ms += step_ms;
        let mut more = true;
        while more {
            timed(&mut || more = self.timers.advance(self.now_ms, fired));
        }
        let count = fired.len();
        for number in fired.drain(..) {
            let deadline_ms = self.deadline_ms();
            self.keys[number as usize] = self.timers.insert(deadline_ms, number);
        }
        count
    }

    fn deadline_ms(&mut self) -> u64 {
        self.now_ms + 1 + self.random.below(SPREAD_MS)
    }

    /// Calls timed in a row: few enough that random picks among the pending seldom meet twice.
    fn run_length(&self, left: usize) -> usize {
        left.min(BATCH).min(self.keys.len() / 8)
    }

    /// Times inserts on top of those pending.
    pub(crate) fn time_inserts(&mut self, count: u64) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = count as usize;
        let mut keys = Vec::with_capacity(BATCH);
        while left > 0 {
            let deadlines: Vec<_> = (0..self.run_length(left)).map(|_| self.deadline_ms()).collect();
            left -= deadlines.len();
            let numbers = self.keys.len() as u64..;
            let start = Instant::now();
            for (deadline_ms, number) in deadlines.iter().zip(numbers) {
                keys.push(self.timers.insert(*deadline_ms, number));
            }
            total += start.elapsed();
            keys.drain(..).for_each(|key| self.timers.cancel(key));
        }
        total
    }

    /// Times cancels of pending timers, at the positions that `pick` chooses; each is then inserted anew.
    pub(crate) fn time_cancels(&mut self, count: u64, mut pick: impl FnMut(&mut Random) -> usize) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = count as usize;
        while left > 0 {
            let mut positions: Vec<_> = (0..self.run_length(left)).map(|_| pick(&mut self.random)).collect();
            left -= positions.len();
            let keys: Vec<_> = positions.iter().map(|position| self.keys[*position]).collect();
            let start = Instant::now();
            for key in keys {
                self.timers.cancel(key);
            }
            total += start.elapsed();
            // A position may have been picked twice (its second cancel then met a stale key).
            positions.sort_unstable();
            positions.dedup();
            for position in positions {
                let deadline_ms = self.deadline_ms();
                self.keys[position] = self.timers.insert(deadline_ms, position as u64);
            }
        }
        total
    }
}
