//! A count over the recent past: ten slots of equal width that expire one by one.
//!
//! The shared base of the breaker's success rate and the retry budget's deposits. It is approximate at the old
//! end: a span of `span_ms` remembers between nine tenths and all of it.

/// Number of slots that a span is cut into.
const SLOTS: usize = 10;

/// Ten slots of `T`, the newest at the current time.
#[derive(Clone, Debug)]
pub(crate) struct Recent<T> {
    slots: [T; SLOTS],
    width_ms: u64,
    /// The absolute number of the newest slot: time / width.
    newest: u64,
}

impl<T: Copy + Default> Recent<T> {
    /// Empty slots that together cover `span_ms` (at least 10 ms).
    pub(crate) fn new(span_ms: u64) -> Recent<T> {
        Recent { slots: [T::default(); SLOTS], width_ms: (span_ms / SLOTS as u64).max(1), newest: 0 }
    }

    /// The slot of this moment, after dropping what expired.
    ///
    /// A clock that stepped back a little adds to the newest slot; one that stepped back by more than the span empties
    /// everything, because nothing would expire until it had caught up.
    pub(crate) fn at(&mut self, now_ms: u64) -> &mut T {
        let current = now_ms / self.width_ms;
        if current.abs_diff(self.newest) >= SLOTS as u64 {
            self.slots = [T::default(); SLOTS];
            self.newest = current;
        }
        while self.newest < current {
            self.newest += 1;
            self.slots[Self::index(self.newest)] = T::default();
        }
        &mut self.slots[Self::index(self.newest)]
    }

    /// All slots, in no order, as of the last [`Recent::at`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter()
    }

    /// Calls `visit` for every slot, the one that expires first first, as of the last [`Recent::at`].
    pub(crate) fn for_each_oldest_first(&mut self, mut visit: impl FnMut(&mut T)) {
        // In a ring, the slot after the newest is the oldest.
        let oldest = Self::index(self.newest) + 1;
        for offset in 0..SLOTS {
            visit(&mut self.slots[(oldest + offset) % SLOTS]);
        }
    }

    fn index(number: u64) -> usize {
        (number % SLOTS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(recent: &mut Recent<u32>, now_ms: u64) -> u32 {
        recent.at(now_ms);
        recent.iter().sum()
    }

    #[test]
    fn a_count_is_seen_for_nine_to_ten_slots() {
        let mut recent = Recent::new(10_000);
        *recent.at(50_999) += 1;
        assert_eq!(sum(&mut recent, 59_999), 1);
        assert_eq!(sum(&mut recent, 60_000), 0);
        *recent.at(60_000) += 1;
        assert_eq!(sum(&mut recent, 69_999), 1);
        assert_eq!(sum(&mut recent, 70_000), 0);
    }

    #[test]
    fn slots_expire_one_by_one() {
        let mut recent = Recent::new(10_000);
        (0..10).for_each(|slot| *recent.at(100_000 + slot * 1_000) += 1);
        let seen: Vec<u32> = (9..20).map(|slot| sum(&mut recent, 100_000 + slot * 1_000)).collect();
        assert_eq!(seen, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn oldest_comes_first() {
        let mut recent = Recent::new(100);
        (25..=33).for_each(|slot| *recent.at(slot * 10) = slot);
        let mut seen = vec![];
        recent.for_each_oldest_first(|&mut slot| seen.push(slot));
        assert_eq!(seen, [0, 25, 26, 27, 28, 29, 30, 31, 32, 33]);
    }

    #[test]
    fn a_clock_that_steps_back_keeps_a_little_and_forgets_a_lot() {
        let mut recent = Recent::new(10_000);
        *recent.at(50_000) += 1;
        assert_eq!(sum(&mut recent, 45_000), 1);
        assert_eq!(sum(&mut recent, 40_000), 0);
        *recent.at(40_500) += 1;
        assert_eq!(sum(&mut recent, 49_000), 1);
        assert_eq!(sum(&mut recent, 50_000), 0);
    }
}
