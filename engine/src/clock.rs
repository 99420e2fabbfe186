//! The clock of the shells: wall-clock milliseconds that never jump.
//!
//! It is read once from the wall at the start, and the monotonic clock advances it from then on. So a step of the
//! system clock neither fires a day's retries at once nor stalls them. Signed messages carry the wall's own time, see
//! [`wall_now`]. No other file of the engine reads the wall clock.

use model::UnixMs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that moves forward only.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_at_start: UnixMs,
    started: Instant,
}

impl Clock {
    /// Starts at the wall's time.
    #[must_use]
    pub fn start() -> Clock {
        Clock { wall_at_start: wall_now(), started: Instant::now() }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        // An overflow is 580 million years away.
        self.wall_at_start.plus_ms(self.started.elapsed().as_millis() as u64)
    }
}

/// The wall's time now; the epoch when it stands before that.
#[must_use]
pub fn wall_now() -> UnixMs {
    UnixMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}
