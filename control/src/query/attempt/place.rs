//! The places in which pages of attempts begin.

use model::id::IdParts;

/// A cut through the history of an endpoint, between attempts: a page ends there, and both neighbours begin there.
pub type Cut = storage::tables::history::HistoryPosition;

/// The beginning of a page of an endpoint's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointPlace {
    /// At the end of another page.
    Cut(Cut),
    /// Beside the attempt of this id.
    Beside(IdParts),
}

/// The beginning of a page of a message's attempts, or the place of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessagePlace {
    /// The range of endpoints begins behind this one.
    pub from: u32,
    /// It ends with this one; none when it is the last, or has not been looked at. Kept, so that the range stays the
    /// same when endpoints are deleted.
    pub upto: Option<u32>,
    /// The attempt that the page begins behind.
    pub after: Option<IdParts>,
}
