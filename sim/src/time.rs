//! Virtual time: what really passes, and what the wall clock of the machine says.
//!
//! The engine's clock is the wall's at its start, advanced by what really passes, as `engine::clock` does it. So a jump
//! of the wall clock shows at the next start, and at once only where the wall itself is asked.

use model::UnixMs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The start of every run: in November 2023.
const START_MS: u64 = 1_700_000_000_000;

/// Time of the whole world.
#[derive(Clone, Debug)]
pub struct Time {
    real_ms: u64,
    wall_ahead_ms: i64,
}

/// The clock of one life of the process.
#[derive(Clone, Debug)]
pub struct EngineClock {
    ahead_ms: i64,
    now_ms: Arc<AtomicU64>,
}

impl Default for Time {
    fn default() -> Time {
        Time { real_ms: START_MS, wall_ahead_ms: 0 }
    }
}

impl Time {
    /// The real time, which the receivers' clocks show.
    #[must_use]
    pub fn real(&self) -> UnixMs {
        UnixMs(self.real_ms)
    }

    /// The time that the wall clock of the machine shows.
    #[must_use]
    pub fn wall(&self) -> UnixMs {
        UnixMs(self.real_ms.saturating_add_signed(self.wall_ahead_ms))
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        self.real_ms += ms;
    }

    /// The wall clock is set.
    pub fn jump(&mut self, ms: i64) {
        self.wall_ahead_ms += ms;
    }

    /// The clock of a process that starts now.
    #[must_use]
    pub fn start_clock(&self) -> EngineClock {
        EngineClock { ahead_ms: self.wall_ahead_ms, now_ms: Arc::new(AtomicU64::new(self.wall().0)) }
    }
}

impl EngineClock {
    /// Shows the time as it is now.
    pub fn set(&self, time: &Time) {
        self.now_ms.store(time.real_ms.saturating_add_signed(self.ahead_ms), Ordering::Relaxed);
    }

    /// The engine's time.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        UnixMs(self.now_ms.load(Ordering::Relaxed))
    }

    /// The real time at which this clock shows `at`.
    #[must_use]
    pub fn to_real(&self, at: UnixMs) -> UnixMs {
        UnixMs(at.0.saturating_add_signed(-self.ahead_ms))
    }
}
