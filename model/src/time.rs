//! Wall-clock time, the only kind that is ever persisted.
//!
//! Not a clock: reading one is for shells. Monotonic time, which schedules sleeps, never leaves `engine`.

use std::fmt;

const DAY_MS: u64 = 86_400_000;

/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;

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

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-20T05:47:41.564Z`; all ASCII. Beyond the year 9999, where only a
    /// clock that is wrong leads, the epoch.
    ///
    /// Written digit by digit, as each message's answer has one and `write!` takes twenty times as long.
    #[must_use]
    pub fn iso8601(self) -> [u8; 24] {
        let ms = if self.0 > LAST_MS { 0 } else { self.0 };
        let (days, of_day) = (ms / DAY_MS, ms % DAY_MS);
        let (year, month, day) = date_of(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |place: std::ops::Range<usize>, mut number: u64| {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month);
        put(8..10, day);
        put(11..13, of_day / 3_600_000);
        put(14..16, of_day / 60_000 % 60);
        put(17..19, of_day / 1_000 % 60);
        put(20..23, of_day % 1_000);
        text
    }
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Counted in years that begin with March: then the leap day is the last one of its year, and a month's first day is
/// `(153 * month + 2) / 5` for months from 0 for March.
fn date_of(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01. 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
