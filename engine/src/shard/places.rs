//! Places that one partition has on a shard thread: its attempts in flight, and the lanes that wait for a place.
//!
//! Places are shared by application ([`Held`]): an application may hold as many as are free on the thread. So whatever
//! one tenant's receivers do, as many as it holds are left for the others. Within an application the same rule holds
//! once more: an endpoint may hold as many as its application may still take. Once its application holds half of its
//! maximum, an endpoint that does not keep up gets one place at a time.
//!
//! - *Who owns the state:* the shard's thread; [`ThreadShares`] counts the free places.
//! - *What bounds it:* `max_in_flight_per_shard`, over all partitions; each lane waits once.
//! - *When it is full:* the lane waits, one of each application in turn.
//! - *When the process dies here:* attempts in flight are holes of their cursors.
//!
//! Pure.

use super::core::LaneCell;
use super::thread_shares::ThreadShares;
use crate::fairness::{Held, Turns};
use model::AppId;
use std::rc::Rc;

/// The places of one partition on one shard thread.
pub struct Places {
    thread: Rc<ThreadShares>,
    held: Held<AppId>,
    waiting: Turns<AppId, Rc<LaneCell>>,
}

impl Places {
    /// None taken yet of those of `thread`.
    #[must_use]
    pub fn new(thread: Rc<ThreadShares>) -> Places {
        Places { thread, held: Held::default(), waiting: Turns::default() }
    }

    /// Places taken, by attempts in flight and by deliveries whose rows are being fetched for an attempt.
    ///
    /// An attempt that ended counts until its lane has been told.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.held.total()
    }

    /// Places of these that an application has.
    #[must_use]
    pub fn taken_by(&self, app: AppId) -> usize {
        self.held.by(app)
    }

    /// True if none is free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.thread.places_free() == 0
    }

    /// True if this application may have one more.
    #[must_use]
    pub fn open_for(&self, app: AppId) -> bool {
        self.held.may_take(app, 1, self.thread.places_free())
    }

    /// True if an endpoint of this application that has `in_flight` attempts may have one more.
    ///
    /// `keeps_up` is called only when it matters. An endpoint that is turned away here while its application may go
    /// asks again when its own attempt ends.
    #[must_use]
    pub fn open_for_endpoint(&self, app: AppId, in_flight: usize, keeps_up: impl FnOnce() -> bool) -> bool {
        if in_flight == 0 {
            return self.open_for(app);
        }
        // An endpoint below `free - held` is within its application's share as well.
        let (held, free) = (self.held.by(app), self.thread.places_free());
        // An application alone may hold half of all places. It holds half of that when three times as many are free.
        let half_held = held >= free / 3;
        in_flight < free.saturating_sub(held) && (!half_held || keeps_up())
    }

    /// Takes a place. `false` when the application may not have one: a defect, for the caller asked before.
    pub fn take(&mut self, app: AppId) -> bool {
        if !self.open_for(app) {
            return false;
        }
        self.held.add(app, 1);
        self.thread.take_place();
        true
    }

    /// Gives places back.
    pub fn give_back(&mut self, app: AppId, count: usize) {
        self.thread.give_places_back(self.held.remove(app, count));
    }

    /// Gives everything back and leaves the line: the partition ends.
    pub fn end(&mut self) {
        self.thread.give_places_back(std::mem::take(&mut self.held).total());
        while self.waiting.pop(|_| true).is_some() {
            self.thread.line_shrank();
        }
    }

    /// Puts a lane in line. Each stands there once: see [`LaneCell::waiting`].
    pub fn wait(&mut self, cell: Rc<LaneCell>) {
        self.waiting.push(cell.target.app, cell);
        self.thread.line_grew();
    }

    /// The lane that is to look for work next, of an application that may have a place.
    pub fn next_in_line(&mut self) -> Option<Rc<LaneCell>> {
        let (held, free) = (&self.held, self.thread.places_free());
        let (_, cell) = self.waiting.pop(|app| held.may_take(app, 1, free))?;
        self.thread.line_shrank();
        Some(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: AppId = AppId(1);
    const GOOD: AppId = AppId(2);

    fn places_of(thread: &Rc<ThreadShares>) -> Places {
        Places::new(thread.clone())
    }

    #[test]
    fn partitions_share_the_places_of_a_thread_as_applications_do() {
        let thread = ThreadShares::new(64, 0);
        let (mut one, mut other) = (places_of(&thread), places_of(&thread));
        let take_all = |places: &mut Places, app| (0..).take_while(|_| places.take(app)).count();
        assert_eq!(
            (take_all(&mut one, MEAN), take_all(&mut other, MEAN)),
            (32, 16),
            "of one number, yet of two partitions"
        );
        assert_eq!((one.taken(), other.taken(), thread.places_free()), (32, 16, 16));
        one.end();
        assert_eq!((one.taken(), thread.places_free()), (0, 48));
        one.give_back(MEAN, 1);
        assert_eq!(thread.places_free(), 48, "what ends late gives nothing back twice");
        assert_eq!(take_all(&mut other, GOOD), 24);
    }

    #[test]
    fn an_application_whose_endpoints_go_silent_leaves_half_of_the_places() {
        let mut places = places_of(&ThreadShares::new(64, 0));
        let mut in_flight = [0usize; 24];
        for endpoint in (0..24).cycle().take(24 * 512) {
            if places.open_for_endpoint(MEAN, in_flight[endpoint], || true) {
                assert!(places.take(MEAN));
                in_flight[endpoint] += 1;
            }
        }
        assert_eq!((places.taken(), places.taken_by(MEAN)), (32, 32));
        assert!(!places.open_for(MEAN) && places.open_for(GOOD));
        assert!(in_flight.iter().all(|count| *count >= 1), "{in_flight:?}");
    }

    #[test]
    fn one_endpoint_never_takes_the_last_place_of_its_application() {
        let mut places = places_of(&ThreadShares::new(64, 0));
        let mut of_the_first = 0;
        while places.open_for_endpoint(MEAN, of_the_first, || true) {
            assert!(places.take(MEAN));
            of_the_first += 1;
        }
        assert_eq!(of_the_first, 22, "a third");
        assert!(places.open_for_endpoint(MEAN, 0, || false));
    }

    #[test]
    fn one_that_does_not_keep_up_gets_one_at_a_time_once_half_is_held() {
        let mut places = places_of(&ThreadShares::new(64, 0));
        let alone = (0..).take_while(|n| places.open_for_endpoint(MEAN, *n, || false) && places.take(MEAN)).count();
        assert_eq!(alone, 16, "half of the half that it may hold");
        assert!(places.open_for_endpoint(MEAN, 0, || false) && places.open_for_endpoint(MEAN, 1, || true));
    }
}
