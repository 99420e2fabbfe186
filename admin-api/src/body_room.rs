//! Memory for larger bodies of requests and answers, shared by the keys that they belong to.
//!
//! Room for a request's body is taken as its bytes arrive, so a body that was only announced takes none. Room for an
//! answer is taken when it is made, and given back when its last byte was handed to the system. A client that asks and
//! does not read holds it.
//!
//! - *Who owns the state:* the API has one [`Room`] for requests and one for answers. A request holds its part until it
//!   is answered.
//! - *What bounds it:* [`ApiLimits::bodies_bytes`] and [`ApiLimits::answers_bytes`]. Small bodies take none of it, so
//!   they pass while large ones wait.
//! - *When it is full:* the request is refused, and told to come again.
//! - *When the input is hostile:* a key gets half of the room at most. A body that comes slower than
//!   [`ApiLimits::body_bytes_per_s`] is given up.
//!
//! [`ApiLimits::bodies_bytes`]: crate::limits::ApiLimits::bodies_bytes
//! [`ApiLimits::answers_bytes`]: crate::limits::ApiLimits::answers_bytes
//! [`ApiLimits::body_bytes_per_s`]: crate::limits::ApiLimits::body_bytes_per_s

use crate::extract::announced_length;
use crate::limits::SMALL_BODY_BYTES_MAX;
use axum::body::HttpBody as _;
use axum::extract::Request;
use bytes::Bytes;
use control::Reach;
use engine::fairness::{Answer, Shares};
use metrics::Gauge;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a unit. Each unit takes the lock once, so it is not much smaller than one read.
pub(crate) const UNIT_BYTES: usize = 16 * 1024;

/// Memory in units of [`UNIT_BYTES`].
#[derive(Debug)]
pub(crate) struct Room {
    shares: Mutex<Shares<Reach>>,
    in_use: Gauge,
}

/// The part of a [`Room`] that a request or an answer holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    reach: Reach,
    units: usize,
}

/// The room of one request's body, on its way with the request; the edge holds it until the answer is there.
#[derive(Clone, Debug)]
pub(crate) struct BodyTicket(Arc<Mutex<Held>>);

/// There is not enough room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

// === impl Room ===

impl Room {
    /// Room for `bytes`, or for two of `largest_bytes` if that is more: one always fits, as a key may have half.
    pub(crate) fn new(bytes: usize, largest_bytes: usize, in_use: Gauge) -> Arc<Room> {
        let units = (bytes / UNIT_BYTES).max(2 * largest_bytes.div_ceil(UNIT_BYTES)).max(1);
        in_use.set(0.0);
        Arc::new(Room { shares: Mutex::new(Shares::new(units)), in_use })
    }

    /// Nothing yet, for the holder of a key.
    pub(crate) fn nothing(self: &Arc<Self>, reach: Reach) -> Held {
        Held { room: Arc::clone(self), reach, units: 0 }
    }

    fn shares(&self) -> MutexGuard<'_, Shares<Reach>> {
        // A panic in between leaves the books as they were: each change is one call.
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Takes the room that is missing to hold `bytes` in all.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.div_ceil(UNIT_BYTES).saturating_sub(self.units);
        if more == 0 {
            return Ok(());
        }
        if self.room.shares().take(self.reach, more) == Answer::Wait {
            return Err(Full);
        }
        self.units += more;
        self.room.in_use.increment((more * UNIT_BYTES) as f64);
        Ok(())
    }

    /// `bytes`, which hold this until the last part of them is dropped.
    pub(crate) fn with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Owner { bytes, _held: self })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.units > 0 {
            self.room.shares().give_back(self.reach, self.units);
            self.room.in_use.decrement((self.units * UNIT_BYTES) as f64);
        }
    }
}

// === impl BodyTicket ===

impl BodyTicket {
    /// For a body that may not be small; a small one needs none.
    pub(crate) fn of(room: &Arc<Room>, reach: Reach, request: &Request) -> Option<BodyTicket> {
        let announced = announced_length(request.headers());
        let is_small =
            request.body().is_end_stream() || announced.is_some_and(|len| len <= SMALL_BODY_BYTES_MAX as u64);
        (!is_small).then(|| BodyTicket(Arc::new(Mutex::new(room.nothing(reach)))))
    }

    /// See [`Held::grow_to`].
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<(), Full> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow_to(bytes)
    }
}

/// Bytes and their room.
struct Owner {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::AppId;

    fn room(units: usize) -> Arc<Room> {
        Room::new(units * UNIT_BYTES, 0, Gauge::noop())
    }

    #[test]
    fn room_is_taken_as_a_body_grows_and_given_back_with_it() {
        let room = room(8);
        let mut body = room.nothing(Reach::Everything);
        assert_eq!(room.shares().used(), 0, "what was only announced takes nothing");
        assert_eq!(body.grow_to(UNIT_BYTES + 1), Ok(()));
        assert_eq!(body.grow_to(2 * UNIT_BYTES), Ok(()));
        assert_eq!(room.shares().used(), 2);
        drop(body);
        assert_eq!(room.shares().used(), 0);
    }

    #[test]
    fn one_key_leaves_half_to_others() {
        let room = room(8);
        let reach = |app| Reach::Application(AppId(app));
        let mut greedy: Vec<Held> = (0..4).map(|_| room.nothing(reach(1))).collect();
        assert!(greedy.iter_mut().all(|body| body.grow_to(UNIT_BYTES).is_ok()));
        assert_eq!(room.nothing(reach(1)).grow_to(1), Err(Full));
        let mut other = room.nothing(reach(2));
        assert_eq!(other.grow_to(2 * UNIT_BYTES), Ok(()));
    }

    #[test]
    fn the_largest_body_always_fits_an_empty_room() {
        let room = Room::new(UNIT_BYTES, 10 * UNIT_BYTES, Gauge::noop());
        assert_eq!(room.nothing(Reach::Everything).grow_to(10 * UNIT_BYTES), Ok(()));
    }

    #[test]
    fn an_answer_holds_its_room_until_its_last_part_is_dropped() {
        let room = room(8);
        let mut held = room.nothing(Reach::Everything);
        held.grow_to(UNIT_BYTES).unwrap();
        let mut answer = held.with(Bytes::from(vec![7; UNIT_BYTES]));
        let part = answer.split_to(10);
        drop(answer);
        assert_eq!((room.shares().used(), &part[..2]), (1, &[7, 7][..]));
        drop(part);
        assert_eq!(room.shares().used(), 0);
    }
}
