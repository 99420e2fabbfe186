//! The one clock of a run: µs since its start, the same for senders and receivers.

use std::time::Instant;

/// The clock of a run. Monotonic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// µs since the start.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
