//! A hierarchical timing wheel: millions of pending timers, 1 ms ticks, and no call that takes long.
//!
//! Pure: time is an argument, timers are plain tokens, and the owner of the wheel sleeps and acts. It is not a
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
//! # How a timer is cancelled
//! Its key is made stale, four bytes in memory, and nothing else: the timer stays where it lies and is dropped when its
//! slot is refiled or fires. Taking it out at once would mean reaching for it and its neighbours in a memory that no
//! cache holds. So that cancelled timers do not pile up, a cancel that leaves more of them than pending ones (and
//! [`CANCELLED_MIN`]) looks at the next [`SWEEP`] timers, slot by slot and round and round, and drops the cancelled
//! ones among them. A round drops all that were cancelled before it and takes no more than a cancel for each `SWEEP`
//! timers: so no more of them lie about than five fourths of the most timers that were ever pending (and of
//! `CANCELLED_MIN`).
//!
//! # Bounds
//! One `advance` looks at no more than [`WORK_PER_ADVANCE`] timers, whatever it does with them; one `cancel` at no more
//! than [`SWEEP`]. A pending timer takes 29 bytes for a payload of 8 bytes, a cancelled one 25 until it is dropped,
//! each occupied slot up to two blocks of 392 bytes that are not full, and the fixed part is 100 KiB. Memory is never
//! given back: it is what the most timers took that were ever there at once.
//!
//! Costs are in `benches/benches/wheel`.

mod level;
mod places;
mod queues;
#[cfg(test)]
mod tests;

pub use places::TimerKey;

use level::{LEVELS, Levels};
use places::Places;
use queues::{Item, Queues};

/// The most timers that one [`Wheel::advance`] fires, refiles or drops, together.
///
/// Each may cost a cache miss and a TLB miss or two, 200 ns with busy neighbours. This keeps a call below a quarter of
/// a millisecond even so (the time spent in the caller's own `on_fire` comes on top).
pub const WORK_PER_ADVANCE: usize = 1024;

/// The most timers that one [`Wheel::cancel`] looks at.
pub const SWEEP: usize = 256;

/// Timers that are taken from a slot together.
const BATCH: usize = 64;

/// Cancelled timers that are always left to lie.
pub const CANCELLED_MIN: usize = 1024;

/// A set of pending timers, each a payload with a deadline in milliseconds on the caller's clock.
///
/// `T` is a small token (an index, a sequence number), copied in and out. `BITS` is the logarithm of the ratio
/// between the slot widths of two levels; only tests choose another than the default.
pub struct Wheel<T, const BITS: u32 = 10> {
    places: Places,
    queues: Queues<T>,
    levels: Levels<BITS>,
    sweep: Sweep,
    /// Empty but for its memory.
    batch: Batch<T>,
    /// The tick being worked on. All timers due before it have fired; it trails `now_ms` only between two calls
    /// of which the first reported more, or ran out of work with nothing but cancelled timers left.
    cursor_ms: u64,
    /// The latest time that `advance` was told.
    now_ms: u64,
    work_max: usize,
    cancelled_min: usize,
}

/// Progress of the search for cancelled timers.
#[derive(Default)]
struct Sweep {
    slot: u32,
    /// Timers of this slot that are still to be looked at.
    left: u32,
}

/// Timers taken from a slot.
struct Batch<T> {
    /// Those that are pending.
    pending: Vec<Item<T>>,
    /// Timers looked at, cancelled ones included.
    looked_at: usize,
}

/// The result of one [`Wheel::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "`more` asks for another call at the same time"]
pub struct Advanced {
    /// Number of timers that fired.
    pub fired: usize,
    /// True when a bound ended the call early: timers due at this `now` remain, or a coarse slot is only partly
    /// refiled. Call again, after giving other work a turn.
    pub more: bool,
}

/// The rest of the two bounds of one `advance`.
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
        Self::with_bounds(now_ms, WORK_PER_ADVANCE, CANCELLED_MIN)
    }
}

impl<T: Copy, const BITS: u32> Wheel<T, BITS> {
    fn with_bounds(now_ms: u64, work_max: usize, cancelled_min: usize) -> Self {
        Self {
            places: Places::default(),
            queues: Queues::new(Levels::<BITS>::ALL_SLOTS),
            levels: Levels::new(),
            sweep: Sweep::default(),
            batch: Batch::default(),
            cursor_ms: now_ms,
            now_ms,
            work_max,
            cancelled_min,
        }
    }

    /// Number of pending timers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.pending()
    }

    /// Number of cancelled timers that still take memory.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.queues.len() - self.places.pending()
    }

    /// True when no timer is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a timer that fires at the first [`advance`](Self::advance) whose `now_ms` is `deadline_ms` or later;
    /// one whose deadline has passed fires at the next `advance`, even one at an unchanged `now_ms`.
    ///
    /// # Panics
    /// At 2^32 timers (116 GiB of them): the owner bounds [`len`](Self::len) far below that.
    #[inline]
    pub fn insert(&mut self, deadline_ms: u64, payload: T) -> TimerKey {
        let key = self.places.issue();
        self.file(Item { deadline_ms, payload, key });
        key
    }

    /// Cancels a pending timer: it will not fire. False if it has fired or was cancelled before.
    ///
    /// A key is only good for the wheel that issued it: another wheel may take it for one of its own.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> bool {
        if !self.places.release(key) {
            return false;
        }
        if self.cancelled() > self.len() + self.cancelled_min {
            self.sweep();
        }
        true
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
    /// It is earlier than that deadline when timers further away want refiling first, or where a cancelled one
    /// still lies, so a wake-up may find nothing due; alone in the wheel, a timer causes at most two of these
    /// (more beyond 24 days), and a cancelled one at most three. It is in the past, at or before the last `now_ms`,
    /// while that call's `more` stands or a timer was added already due.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
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

    /// Spends the rest of the budget on the coarse slots that come next, the most urgent level first.
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
        while self.queues.len_of(slot) > 0 {
            if budget.work == 0 {
                return false;
            }
            let mut batch = self.take(slot, budget.work);
            budget.work -= batch.looked_at;
            batch.pending.drain(..).for_each(|item| self.file(item));
            self.batch = batch;
        }
        true
    }

    /// Fires the timers of one tick; false if the budget ended first.
    fn fire(&mut self, slot: u32, budget: &mut Budget, on_fire: &mut impl FnMut(T)) -> bool {
        while self.queues.len_of(slot) > 0 {
            if budget.fires == 0 || budget.work == 0 {
                return false;
            }
            let mut batch = self.take(slot, budget.work.min(budget.fires));
            budget.work -= batch.looked_at;
            budget.fires -= batch.pending.len();
            for item in batch.pending.drain(..) {
                self.places.release(item.key);
                on_fire(item.payload);
            }
            self.batch = batch;
        }
        true
    }

    /// Looks at the next few timers for cancelled ones, which it drops. Pending ones go to the end of their slot.
    #[cold]
    fn sweep(&mut self) {
        let mut left = SWEEP;
        while left > 0 {
            if self.sweep.left == 0 {
                let Some(slot) = self.levels.occupied_after(self.sweep.slot) else { return };
                self.sweep = Sweep { slot, left: self.queues.len_of(slot) };
            }
            let slot = self.sweep.slot;
            let mut batch = self.take(slot, left.min(self.sweep.left as usize));
            left -= batch.looked_at;
            // Of a slot that was fired or refiled since, less is there.
            self.sweep.left = if batch.looked_at == 0 { 0 } else { self.sweep.left - batch.looked_at as u32 };
            if !batch.pending.is_empty() {
                self.queues.extend(slot, batch.pending.drain(..));
                self.levels.mark(slot, true);
            }
            self.batch = batch;
        }
    }

    /// Puts a timer where it belongs by now.
    #[inline]
    fn file(&mut self, item: Item<T>) {
        let slot = Levels::<BITS>::place(self.cursor_ms, item.deadline_ms);
        self.queues.extend(slot, [item]);
        self.levels.mark(slot, true);
    }

    /// Takes timers of a slot, at most `max` and [`BATCH`]; some, if there are any and `max` is not 0. The caller puts
    /// the batch back, emptied, when it is done with it.
    fn take(&mut self, slot: u32, max: usize) -> Batch<T> {
        let mut batch = std::mem::take(&mut self.batch);
        let items = &mut batch.pending;
        let max = max.min(BATCH);
        while items.len() < max && self.queues.len_of(slot) > 0 {
            self.queues.take(slot, max - items.len(), items);
        }
        if self.queues.len_of(slot) == 0 {
            self.levels.mark(slot, false);
        }
        batch.looked_at = items.len();
        // First all are asked for, so that their places come from memory side by side; one after the other, each would
        // wait for what the processor made of the last. Then, without a branch that it would have to guess, the good
        // ones move up.
        let mut good = [false; BATCH];
        for (good, item) in good.iter_mut().zip(&*items) {
            *good = self.places.is_good(item.key);
        }
        let mut kept = 0;
        for (at, good) in good.into_iter().enumerate().take(items.len()) {
            items[kept] = items[at];
            kept += usize::from(good);
        }
        items.truncate(kept);
        batch
    }
}

// === impl Batch ===

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { pending: Vec::new(), looked_at: 0 }
    }
}
