//! Limits that the tests of retention go by.

use crate::retention::Limits;

pub(super) const HOUR: u64 = 3_600_000;

/// Some hours of each.
pub(super) const KEEP: Limits = Limits {
    events_ms: 10 * HOUR,
    attempts_ms: 6 * HOUR,
    jobs_ms: 6 * HOUR,
    dead_letters_ms: 8 * HOUR,
    ..Limits::NONE
};
