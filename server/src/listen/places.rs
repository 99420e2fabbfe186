//! The connections of a listener by where they come from, and which one makes room for another.
//!
//! A listener that is full closes the connection that was idle for longest, of the address that holds most. So a stranger
//! who opens connections pushes out their own, and a new client always gets a place. A connection with a request in
//! progress is never closed for this.
//!
//! - *Owner of the state:* the listener, behind one lock that accepting and ending take, and no request does.
//! - *Bound:* the listener's `max_connections`.
//! - *When it is full:* see above. When no connection is idle the new one is refused. That needs slow requests with a
//!   key, as the API takes fewer requests at once than it has places.
//! - *When the input is hostile:* a choice looks at [`LOOKED_AT`] connections of an address at most.
//!
//! Pure: the time and the connections' states are arguments.

use engine::fairness::{Answer, Shares};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Connections of one address that one choice looks at.
const LOOKED_AT: usize = 256;

/// The origin of a client: an IPv4 address, or the /64 of an IPv6 address, as providers give each customer a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// An address.
    V4(u32),
    /// The upper half of an address.
    V6(u64),
}

/// The state of a connection, as the choice of which to close needs it.
pub(super) trait Standing {
    /// Since when no request is in progress, in milliseconds of the caller's clock; none while one is.
    fn idle_since_ms(&self) -> Option<u64>;
}

/// The number of a connection, for as long as the listener lives.
pub(super) type Number = u64;

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places<C> {
    limit: usize,
    shares: Shares<Origin>,
    /// Of each address, by the time that a connection was last known to be idle since. That may be too early, never too
    /// late: it is looked at again before it counts.
    by_age: HashMap<Origin, BTreeMap<(u64, Number), C>>,
    /// The place of each in `by_age`.
    known: HashMap<Number, (Origin, u64)>,
    next: Number,
}

/// A place that was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given<C> {
    /// For [`Places::leave`].
    pub(super) number: Number,
    /// The connection that is to be closed for it. It has no place any more.
    pub(super) closed: Option<C>,
}

// === impl Origin ===

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(address) => Origin::V4(address.to_bits()),
            IpAddr::V6(address) => Origin::V6((address.to_bits() >> 64) as u64),
        }
    }
}

// === impl Places ===

impl<C: Standing> Places<C> {
    /// No connections, and room for `limit`.
    pub(super) fn new(limit: usize) -> Places<C> {
        // A place can be taken back, so one address may hold all of them until another one asks. Of twice as many its
        // share is never below that.
        let shares = Shares::new(limit.saturating_mul(2));
        Places { limit, shares, by_age: HashMap::new(), known: HashMap::new(), next: 0 }
    }

    /// A place for a connection that is idle since now; none when all others have a request in progress.
    pub(super) fn admit(&mut self, now_ms: u64, origin: Origin, connection: C) -> Option<Given<C>> {
        let closed = if self.known.len() < self.limit { None } else { Some(self.make_room(now_ms, origin)?) };
        if self.shares.take(origin, 1) == Answer::Wait {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.known.insert(number, (origin, now_ms));
        self.by_age.entry(origin).or_default().insert((now_ms, number), connection);
        Some(Given { number, closed })
    }

    /// Takes the place back from the connection that was idle for longest: of the address that holds most, or else of
    /// `origin`, or else of any.
    pub(super) fn make_room(&mut self, now_ms: u64, origin: Origin) -> Option<C> {
        let largest = self.shares.largest().map(|(largest, _)| largest);
        for candidate in largest.into_iter().chain([origin]) {
            if let Some(closed) = self.take_oldest_idle(now_ms, candidate) {
                return Some(closed);
            }
        }
        let others: Vec<Origin> = self.by_age.keys().copied().collect();
        others.into_iter().find_map(|other| self.take_oldest_idle(now_ms, other))
    }

    fn take_oldest_idle(&mut self, now_ms: u64, origin: Origin) -> Option<C> {
        for _ in 0..LOOKED_AT {
            let of_origin = self.by_age.get_mut(&origin)?;
            let ((since_ms, number), connection) = of_origin.pop_first()?;
            let really_ms = connection.idle_since_ms();
            if really_ms.is_some_and(|really_ms| really_ms <= since_ms) {
                self.forget(number, origin);
                return Some(connection);
            }
            // One that is busy goes behind all that are idle, those of this millisecond too.
            let again_ms = really_ms.unwrap_or(now_ms + 1).max(since_ms);
            of_origin.insert((again_ms, number), connection);
            self.known.insert(number, (origin, again_ms));
            if really_ms.is_none() && since_ms > now_ms {
                // All others were busy just now as well.
                return None;
            }
        }
        None
    }

    /// A connection ended. Nothing happens when its place was taken back already.
    pub(super) fn leave(&mut self, number: Number) {
        let Some(&(origin, since_ms)) = self.known.get(&number) else { return };
        if let Some(of_origin) = self.by_age.get_mut(&origin) {
            of_origin.remove(&(since_ms, number));
        }
        self.forget(number, origin);
    }

    fn forget(&mut self, number: Number, origin: Origin) {
        self.known.remove(&number);
        self.shares.give_back(origin, 1);
        if self.by_age.get(&origin).is_some_and(BTreeMap::is_empty) {
            self.by_age.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// A connection of a test: named, and idle since a time or busy.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Fake(&'static str, Rc<Cell<Option<u64>>>);

    impl Standing for Fake {
        fn idle_since_ms(&self) -> Option<u64> {
            self.1.get()
        }
    }

    fn fake(name: &'static str, since: u64) -> Fake {
        Fake(name, Rc::new(Cell::new(Some(since))))
    }

    fn at(text: &str) -> Origin {
        Origin::from(text.parse::<IpAddr>().unwrap())
    }

    /// The name of the one that made room.
    fn closed(given: Option<Given<Fake>>) -> Option<&'static str> {
        given.unwrap().closed.map(|fake| fake.0)
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_the_upper_half_of_an_ipv6_address() {
        assert_eq!(at("10.0.0.1"), at("::ffff:10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
    }

    #[test]
    fn one_address_may_have_every_place_and_then_its_oldest_idle_one_makes_room() {
        let mut places = Places::new(3);
        let all: Vec<Fake> = ["a", "b", "c"].into_iter().zip(1..).map(|(name, at)| fake(name, at)).collect();
        for (now, one) in (1..).zip(&all) {
            assert_eq!(closed(places.admit(now, at("10.0.0.1"), one.clone())), None);
        }
        // The oldest has had a request since, the next has one now.
        all[0].1.set(Some(5));
        all[1].1.set(None);
        assert_eq!(closed(places.admit(6, at("10.0.0.1"), fake("d", 6))), Some("c"));
        assert_eq!(closed(places.admit(7, at("10.0.0.1"), fake("e", 7))), Some("a"));
        assert_eq!(closed(places.admit(8, at("10.0.0.1"), fake("f", 8))), Some("d"));
    }

    #[test]
    fn the_address_that_holds_most_makes_room_for_others() {
        let mut places = Places::new(4);
        assert_eq!(closed(places.admit(1, at("10.0.0.2"), fake("old", 1))), None);
        for now in 2..5 {
            assert_eq!(closed(places.admit(now, at("10.0.0.1"), fake("greedy", now))), None);
        }
        assert_eq!(closed(places.admit(5, at("10.0.0.3"), fake("new", 5))), Some("greedy"));
        assert_eq!(closed(places.admit(6, at("10.0.0.1"), fake("greedy", 6))), Some("greedy"));
    }

    #[test]
    fn one_with_a_request_in_progress_keeps_its_place() {
        let mut places = Places::new(2);
        let busy = [fake("a", 1), fake("b", 1)];
        let numbers: Vec<Number> =
            busy.iter().map(|one| places.admit(1, at("10.0.0.1"), one.clone()).unwrap().number).collect();
        busy.iter().for_each(|one| one.1.set(None));
        assert!(places.admit(2, at("10.0.0.2"), fake("c", 2)).is_none(), "nothing is idle");
        places.leave(numbers[0]);
        places.leave(numbers[0]);
        assert_eq!(closed(places.admit(3, at("10.0.0.2"), fake("c", 3))), None);
        assert_eq!(closed(places.admit(4, at("10.0.0.3"), fake("d", 4))), Some("c"));
    }

    #[test]
    fn one_that_is_busy_does_not_hide_one_that_is_idle_since_the_same_millisecond() {
        let mut places = Places::new(2);
        let busy = fake("busy", 1);
        assert_eq!(closed(places.admit(1, at("10.0.0.1"), busy.clone())), None);
        busy.1.set(None);
        assert_eq!(closed(places.admit(1, at("10.0.0.1"), fake("a", 1))), None);
        assert_eq!(closed(places.admit(1, at("10.0.0.1"), fake("b", 1))), Some("a"));
        assert_eq!(closed(places.admit(1, at("10.0.0.1"), fake("c", 1))), Some("b"));
    }

    #[test]
    fn what_left_is_forgotten() {
        let mut places = Places::new(10);
        for now in 0..100 {
            let given = places.admit(now, at("10.0.0.1"), fake("a", now)).unwrap();
            places.leave(given.number);
        }
        assert!(places.known.is_empty() && places.by_age.is_empty());
        assert_eq!(places.shares.used(), 0);
    }
}
