//! Wall-clock time, the only kind that is ever persisted.
//!
//! Deliberately not a clock: reading one is for shells. Monotonic time, which schedules sleeps, never leaves `engine`.

use std::fmt;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub u64);

impl UnixMs {
    /// The epoch; also «no time at all» in an encoded key.
    pub const ZERO: UnixMs = UnixMs(0);

    /// This instant plus `delay_ms`, held at the largest value instead of wrapping.
    #[must_use]
    pub fn plus_ms(self, delay_ms: u64) -> UnixMs {
        UnixMs(self.0.saturating_add(delay_ms))
    }

    /// Milliseconds from `earlier` to this instant; 0 when the clock went backwards.
    #[must_use]
    pub fn since_ms(self, earlier: UnixMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the epoch, as the `webhook-timestamp` header wants it.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
