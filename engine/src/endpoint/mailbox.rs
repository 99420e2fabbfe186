//! The messages to an endpoint, and the mailbox that takes them.
//!
//! Not the owner that empties the mailbox: an actor in the engine, a simulation when its turn comes.

use crate::endpoint::backlog::LogFound;
use crate::endpoint::lane::Fetch;
use crate::endpoint::offer::Offer;
use crate::endpoint::order::Keyed;
use crate::endpoint::retries::{DueKey, DueLoad, Urgency};
use model::{Event, Pending};
use std::ops::Range;
use std::sync::Arc;

/// Offers that may wait in one mailbox; each carries the events that one commit has for the endpoint.
pub const OFFERS_MAX: usize = 64;

/// A message to an endpoint.
pub enum Input {
    /// A commit's events that match.
    Offer {
        /// The commit's events and the endpoints that get them.
        offer: Arc<Offer>,
        /// This endpoint's part of the targets.
        range: Range<usize>,
    },
    /// Look at the lane: attempts ended, a time has come, room was made, settings changed.
    Poke,
    /// A read of the log ended; none when it failed.
    LogRead(Option<LogFound>),
    /// A load of the due index ended; none when it failed.
    DueLoaded(DueLoad, Option<Vec<(DueKey, Urgency)>>),
    /// A delivery's rows were read; none when that failed.
    Fetched(Fetch, Option<(Option<Event>, Option<Pending>)>),
    /// Ordering keys were read; none when that failed.
    KeysRead(Option<Vec<Keyed>>),
    /// The endpoint is gone or idle.
    Stop,
}

/// A bounded mailbox in front of a lane.
pub trait Mailbox {
    /// Puts something in without waiting. `false` when there is no room.
    #[must_use]
    fn try_send(&self, input: Input) -> bool;

    /// Makes its owner look at the lane. With a full mailbox it does so anyway, so nothing is lost without room.
    fn poke(&self) {
        let _full = self.try_send(Input::Poke);
    }

    /// Stops its owner; the messages in the mailbox are dropped. When there is no room the owner runs on, and finds its
    /// endpoint gone.
    fn stop(&self) {
        let _full = self.try_send(Input::Stop);
    }
}
