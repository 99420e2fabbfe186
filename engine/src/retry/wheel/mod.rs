//! A hierarchical timing wheel: millions of pending timers, 1 ms ticks, and no call that takes long.
//!
//! Pure: time is an argument, timers are plain tokens, and whoever owns the wheel sleeps and acts. It is not a
//! queue to rely on (it lives in memory only) and not a scheduler (it never calls anything by itself).
//!
//! # How it works
//! Three levels of slots, after Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987),
//! scheme 7. With R = 2^`BITS` = 1024:
//!
//! ```text
//! level   slot width      slots (2R)   reaches
//!   0     1 ms            2048         2 s
//!   1     R ms   = 1 s    2048         35 min
//!   2     R^2 ms = 17 min 2048         24.8 days; what lies beyond waits in the last slot and is filed again
//! ```
//!
//! A timer goes to the finest level that reaches its deadline, and is *refiled* to a finer one when its slot
//! comes near: at most twice in its life, unless it lies beyond the top.
//!
//! # Why a level has 2R slots and not R
//! The usual wheel refiles a coarse slot at the very tick the slot begins, so a slot with ten million timers
//! makes the first of them late by as long as it takes to move them all. Here every level reaches one coarse
//! slot further than it must, so the *next* coarse slot can be refiled during the whole width of the one before
//! it, in small steps, after what is due has fired. [`Wheel::advance`] does that and says so with
//! [`Advanced::more`].
//!
//! # Bounds
//! One `advance` touches at most [`WORK_PER_ADVANCE`] timers, whatever it does with them. A timer costs one slab
//! entry: 32 bytes for a payload of 8 bytes, 24 for one of 4, allocated in chunks of 32,768; the fixed part is
//! about 25 KiB. The slab never gives memory back: it is as large as the most timers that were ever pending at
//! once, and a place that stands free costs 4 bytes more.
//!
//! Costs are in `benches/benches/wheel.rs`. What is slow at ten million is only cancelling in random order: it
//! has to reach three entries that no cache holds, the timer and its two neighbours.

mod level;
mod slab;
#[cfg(test)]
mod tests;

pub use slab::TimerKey;

use level::{LEVELS, Levels};
use slab::{NIL, Slab};

/// The most timers that one [`Wheel::advance`] fires or refiles, together.
///
/// Far from each other in a large slab, timers cost a cache miss and a TLB miss each: 100 to 200 ns, twice that
/// with busy neighbours. This keeps a call below half a millisecond even so (the time spent in the caller's own
/// `on_fire` comes on top).
pub const WORK_PER_ADVANCE: usize = 1024;

/// A set of pending timers, each a payload with a deadline in milliseconds on the caller's clock.
///
/// `T` is a small token (an index, a sequence number), copied in and out. `BITS` is the logarithm of the ratio
/// between the slot widths of two levels; only tests choose another than the default.
pub struct Wheel<T, const BITS: u32 = 10> {
    slab: Slab<T>,
    levels: Levels<BITS>,
    /// The tick being worked on. Whatever was due before it has fired; it trails `now_ms` only between two calls
    /// of which the first reported more.
    cursor_ms: u64,
    /// The latest time that `advance` was told.
    now_ms: u64,
    work_max: usize,
}

/// What one [`Wheel::advance`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`more` asks for another call at the same time"]
pub struct Advanced {
    /// How many timers fired.
    pub fired: usize,
    /// Whether a bound ended the call early: timers due at this `now` remain, or a coarse slot is only partly
    /// refiled. Call again, after giving other work a turn.
    pub more: bool,
}

/// What is left of the two bounds of one `advance`.
struct Budget {
    work: usize,
    fires: usize,
}

impl Budget {
    /// Takes one unit of work, if there is one.
    fn work(&mut self) -> bool {
        let had = self.work > 0;
        self.work = self.work.saturating_sub(1);
        had
    }
}

// === impl Wheel ===

impl<T: Copy> Wheel<T> {
    /// An empty wheel that starts at `now_ms`.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self::with_work_max(now_ms, WORK_PER_ADVANCE)
    }
}

impl<T: Copy, const BITS: u32> Wheel<T, BITS> {
    fn with_work_max(now_ms: u64, work_max: usize) -> Self {
        Self { slab: Slab::new(), levels: Levels::new(), cursor_ms: now_ms, now_ms, work_max }
    }

    /// How many timers are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a timer that fires at the first [`advance`](Self::advance) whose `now_ms` is `deadline_ms` or later;
    /// one whose deadline has passed fires at the next `advance`, even one at an unchanged `now_ms`.
    ///
    /// # Panics
    /// At 2^31 timers (64 GiB of them): the owner bounds [`len`](Self::len) far below that.
    pub fn insert(&mut self, deadline_ms: u64, payload: T) -> TimerKey {
        let key = self.slab.insert(deadline_ms, payload);
        self.file(key.index(), deadline_ms);
        key
    }

    /// Removes a pending timer and returns its payload; `None` if it has fired or was cancelled.
    ///
    /// A key is only good for the wheel that issued it: another wheel may take it for one of its own.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        if !self.slab.is_live(key) {
            return None;
        }
        Some(self.remove(key.index()))
    }

    /// Moves time to `now_ms` and hands the payloads of due timers to `on_fire`, at most `max_fired` of them,
    /// tick by tick; the order within one tick is unspecified. A `now_ms` earlier than the last one counts as
    /// the last one.
    ///
    /// Never fires early. Bounded by `max_fired` and by [`WORK_PER_ADVANCE`]: when [`Advanced::more`] comes back
    /// true, call again with the same `now_ms` or a later one. Between such calls timers may be inserted and
    /// cancelled freely.
    pub fn advance(&mut self, now_ms: u64, max_fired: usize, on_fire: &mut impl FnMut(T)) -> Advanced {
        self.now_ms = self.now_ms.max(now_ms);
        let mut budget = Budget { work: self.work_max, fires: max_fired };
        self.run_due(&mut budget, on_fire);
        self.refile_ahead(&mut budget);
        Advanced {
            fired: max_fired - budget.fires,
            more: self.next_deadline_ms().is_some_and(|at_ms| at_ms <= self.now_ms),
        }
    }

    /// When `advance` next has something to do, `None` if no timer is pending: a lower bound of the earliest
    /// deadline, to sleep until.
    ///
    /// It is earlier than that deadline when timers further away want refiling first, so a wake-up may find
    /// nothing due; alone in the wheel, a timer causes at most two of these (more beyond 24 days). It is in the
    /// past, at or before the last `now_ms`, while that call's `more` stands or a timer was added already due.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let tick = self.levels.next_occupied(0, self.cursor_ms);
        let coarse = (1..LEVELS).filter_map(|level| {
            let shift = Levels::<BITS>::shift(level);
            let current = self.cursor_ms >> shift;
            let slot = self.levels.next_occupied(level, current)?;
            // A slot may be refiled as soon as the cursor stands in the slot before it.
            Some((slot.saturating_sub(1) << shift).max(self.cursor_ms))
        });
        tick.into_iter().chain(coarse).min()
    }

    /// Walks the cursor to `now_ms`, stopping only where something is filed, and fires every tick it passes.
    fn run_due(&mut self, budget: &mut Budget, on_fire: &mut impl FnMut(T)) {
        loop {
            // Coarse before fine, so that all that belongs to this tick is in its slot before the slot fires.
            for level in (1..LEVELS).rev() {
                let current = self.cursor_ms >> Levels::<BITS>::shift(level);
                if !self.refile(Levels::<BITS>::slot(level, current), budget) {
                    return;
                }
            }
            if !self.fire(Levels::<BITS>::slot(0, self.cursor_ms), budget, on_fire) {
                return;
            }
            if self.cursor_ms == self.now_ms || !budget.work() {
                return;
            }
            self.cursor_ms = self.next_stop_ms().map_or(self.now_ms, |at_ms| at_ms.min(self.now_ms));
        }
    }

    /// The next tick with an occupied slot, or at which an occupied coarse slot begins.
    ///
    /// Wants the cursor's own slots empty on every level: so nothing is ever left behind the cursor.
    fn next_stop_ms(&self) -> Option<u64> {
        (0..LEVELS)
            .filter_map(|level| {
                let shift = Levels::<BITS>::shift(level);
                let slot = self.levels.next_occupied(level, self.cursor_ms >> shift)?;
                Some(slot << shift)
            })
            .min()
    }

    /// Spends what is left of the budget on the coarse slots that come next, the most urgent level first.
    fn refile_ahead(&mut self, budget: &mut Budget) {
        for level in 1..LEVELS {
            let next = (self.cursor_ms >> Levels::<BITS>::shift(level)) + 1;
            if !self.refile(Levels::<BITS>::slot(level, next), budget) {
                return;
            }
        }
    }

    /// Moves the timers of a coarse slot to where they belong by now; false if the budget ended first.
    ///
    /// The slot is the cursor's own or the next one, so no timer can come back to it (see [`Levels::place`]).
    fn refile(&mut self, slot: u32, budget: &mut Budget) -> bool {
        loop {
            let index = self.levels.head(slot);
            if index == NIL {
                return true;
            }
            if !budget.work() {
                return false;
            }
            self.unlink(index);
            let deadline_ms = self.slab.entry(index).deadline_ms;
            self.file(index, deadline_ms);
        }
    }

    /// Fires the timers of one tick; false if the budget ended first.
    fn fire(&mut self, slot: u32, budget: &mut Budget, on_fire: &mut impl FnMut(T)) -> bool {
        loop {
            let index = self.levels.head(slot);
            if index == NIL {
                return true;
            }
            if budget.fires == 0 || !budget.work() {
                return false;
            }
            budget.fires -= 1;
            on_fire(self.remove(index));
        }
    }

    /// Puts an entry at the head of the slot it belongs to.
    fn file(&mut self, index: u32, deadline_ms: u64) {
        let slot = Levels::<BITS>::place(self.cursor_ms, deadline_ms);
        let next = self.levels.head(slot);
        let entry = self.slab.entry_mut(index);
        entry.prev = slab::slot_link(slot);
        entry.next = next;
        if next != NIL {
            self.slab.entry_mut(next).prev = index;
        }
        self.levels.set_head(slot, index);
    }

    /// Takes an entry out of its slot's list, wherever in it it stands.
    fn unlink(&mut self, index: u32) {
        let entry = self.slab.entry(index);
        let (prev, next) = (entry.prev, entry.next);
        if next != NIL {
            self.slab.entry_mut(next).prev = prev;
        }
        match slab::linked_slot(prev) {
            Some(slot) => self.levels.set_head(slot, next),
            None => self.slab.entry_mut(prev).next = next,
        }
    }

    fn remove(&mut self, index: u32) -> T {
        self.unlink(index);
        self.slab.release(index)
    }
}
