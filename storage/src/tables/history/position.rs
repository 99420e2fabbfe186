//! The position at which a list of attempts goes on.

use model::{Seq, UnixMs};

/// A cut through an endpoint's history, between attempts. The attempts below it and those above it are two lists, and
/// together they hold each attempt once. So one position serves both ways: the older attempts follow it newest first,
/// the newer ones follow it oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPosition {
    /// First attempts at positions below this one lie below the cut.
    pub first_below: Seq,
    /// Further attempts that started before this, or then and at a position below this one, lie below the cut.
    pub later_before: (UnixMs, Seq),
}

impl HistoryPosition {
    /// Below every attempt.
    pub const OLDEST: HistoryPosition = HistoryPosition { first_below: Seq(0), later_before: (UnixMs(0), Seq(0)) };

    /// Above every attempt.
    pub const NEWEST: HistoryPosition =
        HistoryPosition { first_below: Seq(u64::MAX), later_before: (UnixMs(u64::MAX), Seq(u64::MAX)) };
}
