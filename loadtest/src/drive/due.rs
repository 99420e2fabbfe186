//! When scheduled events are due: one after the other, at equal distances.
//!
//! The engine is told the time of day, the ledger the time of the run. Both clocks are read once, together. A time of
//! day that is set meanwhile shows as lateness, or as events that came too early.

use crate::measure::Clock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The times of a row of scheduled events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// The number of the first event.
    first: u64,
    /// Its time of day, in ms since the epoch, and the same in µs of the run.
    at_ms: u64,
    at_us: u64,
    every_ms: u64,
}

impl Due {
    /// Characters of [`Due::text`].
    pub(crate) const TEXT_LEN: usize = 24;

    /// The event `first` is due in `lead`, and each of the next ones `every` later. Both count in whole ms.
    pub(crate) fn new(clock: Clock, lead: Duration, every: Duration, first: u64) -> Due {
        let (now, now_us) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), clock.now_us());
        let at_ms = whole_ms(now.saturating_add(lead));
        let lead = Duration::from_millis(at_ms).saturating_sub(now);
        let lead_us = u64::try_from(lead.as_micros()).unwrap_or(u64::MAX);
        Due { first, at_ms, at_us: now_us.saturating_add(lead_us), every_ms: whole_ms(every) }
    }

    /// When an event is due, in µs of the run.
    pub(crate) fn at_us(&self, number: u64) -> u64 {
        self.at_us.saturating_add(self.after_ms(number).saturating_mul(1_000))
    }

    /// The same as RFC 3339, in UTC.
    pub(crate) fn text(&self, number: u64) -> String {
        rfc3339(self.at_ms.saturating_add(self.after_ms(number)))
    }

    fn after_ms(&self, number: u64) -> u64 {
        number.saturating_sub(self.first).saturating_mul(self.every_ms)
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time in ms since the epoch, by the proleptic Gregorian calendar. Years count from March here, so that a leap day
/// is the last of its year.
fn rfc3339(at_ms: u64) -> String {
    let (days, ms_of_day) = (at_ms / 86_400_000 + 719_468, at_ms % 86_400_000);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (seconds, ms) = (ms_of_day / 1_000, ms_of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_the_calendar_says() {
        for (at_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
        ] {
            assert_eq!(rfc3339(at_ms), text);
            assert_eq!(text.len(), Due::TEXT_LEN);
        }
    }

    #[test]
    fn events_are_due_one_after_the_other_on_both_clocks() {
        let clock = Clock::start();
        let before_us = clock.now_us();
        let due = Due::new(clock, Duration::from_secs(2), Duration::from_millis(5), 100);
        let lead_us = due.at_us(100).saturating_sub(before_us);
        assert!(lead_us + 1_000 >= 2_000_000 && due.at_us(100) <= clock.now_us() + 2_000_000, "{lead_us}");
        assert_eq!(due.at_us(103) - due.at_us(100), 15_000);
        assert_eq!(due.at_us(7), due.at_us(100), "one before the first is due with it");
        assert!(due.text(101) > due.text(100));
    }
}
