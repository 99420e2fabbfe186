//! Places of a shard: how many attempts it has in flight, who may have one more, and who waits for one.
//!
//! Places are shared by application ([`Shares`]): an application may hold as many as are free, so whatever one tenant's
//! receivers do, as many as it holds are left for the others. Within an application the same rule holds once more: an
//! endpoint may hold as many as its application may still take. An endpoint that does not keep up gets one at a time once
//! its application holds half of what it may.
//!
//! - *Who owns the state:* the shard's thread.
//! - *What bounds it:* `max_in_flight_per_shard`; each lane waits once.
//! - *When it is full:* the lane waits, one of each application in turn.
//! - *When the process dies here:* attempts in flight are holes of their cursors.
//!
//! Pure.

use super::core::LaneCell;
use crate::fairness::{Answer, Shares, Turns};
use model::AppId;
use std::rc::Rc;

/// The places of one shard.
pub struct Places {
    shares: Shares<AppId>,
    waiting: Turns<AppId, Rc<LaneCell>>,
}

impl Places {
    /// So many, all of them free.
    #[must_use]
    pub fn new(capacity: usize) -> Places {
        Places { shares: Shares::new(capacity), waiting: Turns::default() }
    }

    /// Places taken: attempts in flight, those included that ended and whose lanes have not been told, and deliveries whose
    /// rows are being fetched for one.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.shares.used()
    }

    /// Places of these that an application has.
    #[must_use]
    pub fn taken_by(&self, app: AppId) -> usize {
        self.shares.held_by(app)
    }

    /// Whether none is free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shares.free() == 0
    }

    /// Whether this application may have one more.
    #[must_use]
    pub fn open_for(&self, app: AppId) -> bool {
        self.shares.may_take(app, 1)
    }

    /// Whether an endpoint of this application that has `in_flight` may have one more. `keeps_up` is asked only when it
    /// matters. One that is turned away here while its application may go asks again when its own attempt ends.
    #[must_use]
    pub fn open_for_endpoint(&self, app: AppId, in_flight: usize, keeps_up: impl FnOnce() -> bool) -> bool {
        if in_flight == 0 {
            return self.open_for(app);
        }
        // To be below what is left over is to be within the application's share as well.
        let (held, free) = (self.shares.held_by(app), self.shares.free());
        // Alone it may hold half of all: half of that is held when three times as much is free.
        let half_held = held >= free / 3;
        in_flight < free.saturating_sub(held) && (!half_held || keeps_up())
    }

    /// Takes a place. `false` when the application may not have one: the caller asked before, so that is a defect.
    pub fn take(&mut self, app: AppId) -> bool {
        self.shares.take(app, 1) == Answer::Granted
    }

    /// Gives places back.
    pub fn give_back(&mut self, app: AppId, count: usize) {
        self.shares.give_back(app, count);
    }

    /// Puts a lane in line. Each stands there once: see [`LaneCell::waiting`].
    pub fn wait(&mut self, cell: Rc<LaneCell>) {
        self.waiting.push(cell.target.app, cell);
    }

    /// The lane that is to look for work next, of an application that may have a place.
    pub fn next_in_line(&mut self) -> Option<Rc<LaneCell>> {
        let shares = &self.shares;
        self.waiting.pop(|app| shares.may_take(app, 1)).map(|(_, cell)| cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: AppId = AppId(1);
    const GOOD: AppId = AppId(2);

    #[test]
    fn an_application_whose_endpoints_go_silent_leaves_half_of_the_places() {
        let mut places = Places::new(64);
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
        let mut places = Places::new(64);
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
        let mut places = Places::new(64);
        let alone = (0..).take_while(|n| places.open_for_endpoint(MEAN, *n, || false) && places.take(MEAN)).count();
        assert_eq!(alone, 16, "half of the half that it may hold");
        assert!(places.open_for_endpoint(MEAN, 0, || false) && places.open_for_endpoint(MEAN, 1, || true));
    }
}
