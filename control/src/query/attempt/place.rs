//! Where pages of attempts begin.

use model::id::IdParts;

/// A cut through the history of an endpoint, between attempts: a page ends there, and both neighbours begin there.
pub type Cut = storage::tables::history::HistoryPosition;

/// Where a page of an endpoint's attempts begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointPlace {
    /// At the end of another page.
    Cut(Cut),
    /// Beside the attempt of this id.
    Beside(IdParts),
}

/// Where a page of a message's attempts begins, or an attempt stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessagePlace {
    /// The stretch of endpoints begins behind this one.
    pub from: u32,
    /// It ends with this one; none when it is the last, or has not been looked at. Kept, so that the stretch stays the
    /// same when endpoints are deleted.
    pub upto: Option<u32>,
    /// The attempt that the page begins behind.
    pub after: Option<IdParts>,
}
