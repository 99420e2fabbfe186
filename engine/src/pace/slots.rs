//! The slots of an application with a `maxInFlightTotal`: so many attempts at once over all its endpoints, on all shards.
//!
//! An endpoint **reserves** a slot before it looks for a delivery, and frees it when nothing comes of that, or when the
//! attempt is over. One that finds none free stands in line. Each slot that is freed wakes the next one in line, so
//! endpoints take turns. One that is woken may not come (its endpoint was deleted, its breaker opened): those in line look
//! again every second, and may take whatever is free then.
//!
//! - *Owner of the state:* the engine has one [`AppSlots`] for each application with the setting, shared by its shards.
//! - *Bound:* each endpoint stands in line once.
//! - *When it is full:* the endpoint waits. Its deliveries wait in memory or on disk as always.
//! - *When the process dies here:* nothing is in flight any more, and all slots are free.
//!
//! [`Slots`] is pure. [`AppSlots`] holds it behind a lock for one look, never across an await.

use model::{EndpointRef, UnixMs};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An endpoint that waits looks again after this time, in milliseconds.
pub const LOOK_AGAIN_MS: u64 = 1_000;

/// Wakes an endpoint that stands in line, on whatever shard it lives.
pub trait Wake: Send + Sync + std::fmt::Debug {
    /// Has the endpoint look for work again.
    fn wake(&self, target: EndpointRef);
}

/// The slots of one application, and who waits for one.
#[derive(Debug, Default)]
struct Slots {
    most: u32,
    taken: u32,
    line: VecDeque<EndpointRef>,
    /// Those of [`Slots::line`]; where each is woken.
    waiting: BTreeMap<EndpointRef, Arc<dyn Wake>>,
    /// Woken and not here yet, with the time.
    woken: BTreeMap<EndpointRef, UnixMs>,
    /// The latest time that anybody asked at.
    now: UnixMs,
}

/// Endpoints whose turn it is, and where each is woken.
type Called = Vec<(EndpointRef, Arc<dyn Wake>)>;

/// The slots of one application, shared by shards.
#[derive(Debug, Default)]
pub struct AppSlots(Mutex<Slots>);

impl Slots {
    /// Takes one for an endpoint, or puts it in line. A slot that was freed for another one is left to that.
    fn reserve(&mut self, target: EndpointRef, wake: &Arc<dyn Wake>, now: UnixMs) -> bool {
        self.now = self.now.max(now);
        let was_woken = self.woken.remove(&target).is_some();
        let is_waiting = self.waiting.contains_key(&target);
        let unclaimed = self.taken as usize + self.woken.len() < self.most as usize;
        if self.taken < self.most && (was_woken || is_waiting || unclaimed && self.line.is_empty()) {
            if is_waiting {
                // It looked again by itself: rare, and an application has few endpoints.
                self.waiting.remove(&target);
                self.line.retain(|other| *other != target);
            }
            self.taken += 1;
            return true;
        }
        if self.waiting.insert(target, wake.clone()).is_none() {
            self.line.push_back(target);
        }
        false
    }

    /// Gives slots back. Answers who is to be woken.
    fn free(&mut self, count: u32) -> Called {
        self.taken = self.taken.saturating_sub(count);
        self.next()
    }

    /// An endpoint that was woken has no use for its slot now.
    fn pass(&mut self, target: EndpointRef) -> Called {
        if self.woken.remove(&target).is_some() { self.next() } else { Called::new() }
    }

    fn next(&mut self) -> Called {
        let now = self.now;
        // One that does not come keeps its slot from the others for no longer than that.
        self.woken.retain(|_, at| now.since_ms(*at) < LOOK_AGAIN_MS);
        let mut called = Called::new();
        while self.taken as usize + self.woken.len() < self.most as usize
            && let Some(target) = self.line.pop_front()
        {
            if let Some(wake) = self.waiting.remove(&target) {
                self.woken.insert(target, now);
                called.push((target, wake));
            }
        }
        called
    }
}

impl AppSlots {
    /// Another number of slots from now on. Attempts in flight go on.
    pub fn set_most(&self, most: u32) {
        let called = {
            let mut slots = self.slots();
            slots.most = most;
            slots.next()
        };
        wake_all(called);
    }

    /// Attempts of a shard that were in flight before it knew of these slots.
    pub fn count_in(&self, taken: u32) {
        self.slots().taken += taken;
    }

    /// Takes a slot for an endpoint, or puts it in line.
    #[must_use]
    pub fn reserve(&self, target: EndpointRef, wake: &Arc<dyn Wake>, now: UnixMs) -> bool {
        self.slots().reserve(target, wake, now)
    }

    /// True if an endpoint stands in line.
    #[must_use]
    pub fn has_in_line(&self, target: EndpointRef) -> bool {
        self.slots().waiting.contains_key(&target)
    }

    /// An endpoint that may have been woken starts no more for now: the next one in line may.
    pub fn pass(&self, target: EndpointRef) {
        let called = self.slots().pass(target);
        wake_all(called);
    }

    /// Gives slots back, and wakes those that are next.
    pub fn free(&self, count: u32) {
        if count == 0 {
            return;
        }
        let called = self.slots().free(count);
        wake_all(called);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        // Each change is one call: a panic leaves it in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not under the lock: a shard's inbox has one of its own.
fn wake_all(called: Called) {
    called.into_iter().for_each(|(target, wake)| wake.wake(target));
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, EndpointId};

    const NOW: UnixMs = UnixMs(1_000);

    #[derive(Debug, Default)]
    struct Woken(Mutex<Vec<u32>>);

    impl Wake for Woken {
        fn wake(&self, target: EndpointRef) {
            self.0.lock().unwrap().push(target.endpoint.0);
        }
    }

    fn target(endpoint: u32) -> EndpointRef {
        EndpointRef { app: AppId(1), endpoint: EndpointId(endpoint) }
    }

    fn slots(most: u32) -> (AppSlots, Arc<Woken>, Arc<dyn Wake>) {
        let (slots, woken) = (AppSlots::default(), Arc::new(Woken::default()));
        slots.set_most(most);
        (slots, woken.clone(), woken)
    }

    fn woken(by: &Woken) -> Vec<u32> {
        std::mem::take(&mut *by.0.lock().unwrap())
    }

    #[test]
    fn no_more_are_taken_than_there_are_and_those_in_line_take_turns() {
        let (slots, heard, wake) = slots(2);
        let take = |endpoint| slots.reserve(target(endpoint), &wake, NOW);
        assert_eq!([1, 1, 1, 2, 3, 2].map(take), [true, true, false, false, false, false]);
        slots.free(1);
        assert_eq!(woken(&heard), [1], "each stands in line once");
        assert!(!take(4), "the slot is for the one that was woken");
        assert!(take(1));
        slots.free(2);
        assert_eq!(woken(&heard), [2, 3]);
        assert_eq!([2, 3, 2].map(take), [true, true, false]);
    }

    #[test]
    fn one_that_was_woken_and_does_not_come_holds_nobody_for_longer_than_a_second() {
        let (slots, heard, wake) = slots(1);
        let take = |endpoint| slots.reserve(target(endpoint), &wake, NOW);
        assert_eq!([1, 2, 3].map(take), [true, false, false]);
        slots.free(1);
        assert_eq!(woken(&heard), [2]);
        assert!(take(3), "it looked again, stands in line, and one is free");
        let later = NOW.plus_ms(LOOK_AGAIN_MS);
        assert!(!slots.reserve(target(4), &wake, later));
        slots.free(1);
        assert_eq!(woken(&heard), [4]);
        slots.pass(target(4));
        assert!(take(5), "the one that was woken had no use for it");
    }

    #[test]
    fn another_number_counts_at_once_and_a_smaller_one_as_attempts_end() {
        let (slots, heard, wake) = slots(1);
        slots.count_in(2);
        let take = |endpoint| slots.reserve(target(endpoint), &wake, NOW);
        assert!(!take(1));
        slots.free(1);
        assert!(woken(&heard).is_empty() && !take(1), "one is still in flight");
        slots.set_most(3);
        assert_eq!(woken(&heard), [1]);
        assert_eq!([1, 2, 3].map(take), [true, true, false]);
        slots.set_most(1);
        slots.free(2);
        assert!(woken(&heard).is_empty());
        slots.free(1);
        assert_eq!(woken(&heard), [3]);
    }
}
