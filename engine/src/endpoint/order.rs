//! The order of an endpoint's deliveries: which of them may be tried for the first time now.
//!
//! | order | a first try starts |
//! |---|---|
//! | none | whenever there is room |
//! | endpoint | when everything before it was delivered or given up, and nothing is in flight |
//! | key | when everything before it with the same key was delivered or given up; one without a key whenever there is room |
//!
//! A retry and whatever was asked for by hand start at their own time. «Given up» means durably so: after a crash a
//! delivery that was given up in memory only is tried once more, and that must not happen behind its successor's back.
//!
//! A scheduled message takes its place when its time comes: behind what was accepted before that time and what was
//! started, before what is accepted later. It has a row in the due index a little earlier, which holds up nobody.
//!
//! With `key`, a message whose turn in the log comes while its key is busy is *held*: the lane goes on to the next one.
//!
//! - *Who owns the state:* the lane.
//! - *What bounds it:* [`HELD_MAX`] for those that are held; as many as the window and the retries in memory for those that
//!   were started, and for scheduled messages. Each is a position and a number: [`super::backlog`] keeps some events.
//! - *When it is full:* the endpoint reads no further. The same goes for an endpoint with more retries than memory holds.
//!   There scheduled messages keep no order: what they would wait for may be among the rows that only the disk has.
//! - *When the process dies here:* those that are held are holes of the cursor. The next lane reads their keys, and those of
//!   pending retries, before it tries anything for the first time.
//! - *Hostile input:* keys are kept as hashes of 64 bits. Two keys with one hash wait for each other, and that is all.
//!
//! Pure.

mod lines;

pub use lines::{Keyed, Lines, NextHeld};

use foldhash::fast::FixedState;
use model::{Event, Order, Seq};
use std::hash::BuildHasher;

/// Messages of one endpoint that wait behind their keys. With the widest window they fit the holes of one cursor.
pub const HELD_MAX: usize = 256;

/// An ordering key, as far as it is kept.
pub type KeyHash = u64;

/// The key of a message, if it has one.
#[must_use]
fn key_of(event: &Event) -> Option<KeyHash> {
    event.ordering_key().map(|key| FixedState::default().hash_one(key))
}

/// The order that a lane keeps, with what it has to remember for that.
#[derive(Debug)]
pub enum Turns {
    /// None.
    Any,
    /// One after the other.
    Endpoint,
    /// One after the other of each key.
    Key(Box<Lines>),
}

// === impl Turns ===

impl Turns {
    /// Those of a lane that has such holes. Retries that wait are told by [`Lines::reconcile`].
    #[must_use]
    pub fn new(order: Order, held_max: usize, holes: impl IntoIterator<Item = Seq>) -> Turns {
        match order {
            Order::None => Turns::Any,
            Order::Endpoint => Turns::Endpoint,
            Order::Key => Turns::Key(Box::new(Lines::new(held_max, holes))),
        }
    }

    /// The policy that this keeps.
    #[must_use]
    pub fn order(&self) -> Order {
        match self {
            Turns::Any => Order::None,
            Turns::Endpoint => Order::Endpoint,
            Turns::Key(_) => Order::Key,
        }
    }

    /// True if there is an order to keep at all.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !matches!(self, Turns::Any)
    }

    /// The keys, where they matter.
    pub fn lines(&mut self) -> Option<&mut Lines> {
        if let Turns::Key(lines) = self { Some(lines) } else { None }
    }
}
