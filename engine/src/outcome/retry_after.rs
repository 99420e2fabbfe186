//! The `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date.
//!
//! A fraction of a second, which the RFC does not have and some receivers send, is rounded up. A value that is neither
//! seconds nor a date is ignored, never guessed. `outcome::decide` says on which answers the header is honoured.

use model::UnixMs;
use std::time::UNIX_EPOCH;

/// The longest wait that an endpoint may ask for: 24 h.
pub const MAX_RETRY_AFTER_MS: u64 = 24 * 60 * 60 * 1_000;

/// Longer values are not looked at; the longest date form has 33 bytes.
const MAX_VALUE_LEN: usize = 64;

/// The wait in ms that a `Retry-After` value asks for, held within 0 and 24 h; none when the value is neither seconds
/// nor an HTTP date. A date in the past asks for no wait.
#[must_use]
pub fn parse(value: &[u8], now: UnixMs) -> Option<u64> {
    if value.len() > MAX_VALUE_LEN {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if let Some(seconds) = seconds(text) {
        return Some(seconds.saturating_mul(1_000).min(MAX_RETRY_AFTER_MS));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let at_ms = date.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Some(UnixMs(at_ms).since_ms(now).min(MAX_RETRY_AFTER_MS))
}

/// Whole seconds; of a decimal fraction, the next more.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    // All digits, so the only failure is a number too large for the type: a very long wait.
    let seconds: u64 = whole.parse().unwrap_or(u64::MAX);
    Some(seconds.saturating_add(u64::from(fraction.bytes().any(|digit| digit != b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const EXAMPLE: UnixMs = UnixMs(784_111_777_000);

    fn check(value: &str, expected: Option<u64>) {
        assert_eq!(parse(value.as_bytes(), UnixMs(EXAMPLE.0 - 90_500)), expected, "{value:?}");
    }

    #[test]
    fn seconds() {
        check("0", Some(0));
        check("120", Some(120_000));
        check(" \t7 ", Some(7_000));
        check("007", Some(7_000));
        check("86400", Some(MAX_RETRY_AFTER_MS));
        check("86401", Some(MAX_RETRY_AFTER_MS));
        check("18446744073709551615", Some(MAX_RETRY_AFTER_MS));
        check("99999999999999999999999", Some(MAX_RETRY_AFTER_MS));
        check("1.5", Some(2_000));
        check("0.001", Some(1_000));
        check("3.0", Some(3_000));
        check("3.", Some(3_000));
    }

    #[test]
    fn dates_in_all_three_forms() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(90_500));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(90_500));
        check("Sun Nov  6 08:49:37 1994", Some(90_500));
        check("Sun, 06 Nov 1994 08:40:00 GMT", Some(0));
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(MAX_RETRY_AFTER_MS));
    }

    #[test]
    fn garbage_is_ignored() {
        for value in [
            "",
            " ",
            "-1",
            "+5",
            "-1.5",
            ".5",
            ".",
            "1.5.2",
            "1,5",
            "5s",
            "1e3",
            "0x10",
            "soon",
            "5, 10",
            "٣",
            "Sun, 06 Nov 1994",
        ] {
            check(value, None);
        }
        check(&"1".repeat(65), None);
        assert_eq!(parse(b"\xff\x00", EXAMPLE), None);
    }

    proptest! {
        #[test]
        fn no_value_panics_or_escapes_the_bounds(value: Vec<u8>, now: u64) {
            prop_assert!(parse(&value, UnixMs(now)).is_none_or(|ms| ms <= MAX_RETRY_AFTER_MS));
        }

        #[test]
        fn seconds_are_read_as_written(seconds in 0_u64..=86_400, now: u64) {
            prop_assert_eq!(parse(seconds.to_string().as_bytes(), UnixMs(now)), Some(seconds * 1_000));
        }
    }
}
