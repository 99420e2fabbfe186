//! Things of Pinion's own that an endpoint may wait for: places, lookups, connections, the writer.
//!
//! A lane and its shard note it when something is short, and a caller may ask them. A delivery for which nothing is
//! short costs nothing more. The endpoint's own bounds (its window, its rate, its breaker) are not among them: its
//! settings and its state show those.

use crate::dispatch::Lack;
use model::UnixMs;

/// Something of ours that an endpoint with work to do waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// A place for an attempt on its shard.
    Places,
    /// The writer, which has enough to settle.
    Writer,
    /// Something that an attempt needs.
    Lack(Lack),
}

impl WaitingFor {
    /// For answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WaitingFor::Places => "places",
            WaitingFor::Writer => "writer",
            WaitingFor::Lack(lack) => lack.as_str(),
        }
    }
}

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The thing that is short.
    pub wanted: WaitingFor,
    /// When the wait began.
    pub since: UnixMs,
}
