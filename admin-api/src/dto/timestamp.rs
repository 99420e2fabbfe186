//! Times as the API writes them: RFC 3339 in UTC with milliseconds, e.g. `2026-11-20T05:47:41.564Z`.
//!
//! Reading is more forgiving, since clients differ: any offset, any fraction, and no zone at all, which means UTC.
//! It reads no clock.

use model::UnixMs;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};
use utoipa::ToSchema;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-20T05:47:41.564Z")]
pub(crate) struct Timestamp(pub(crate) UnixMs);

impl Timestamp {
    /// The text form.
    fn text(self) -> [u8; 24] {
        self.0.iso8601()
    }

    /// Reads a client's text. `None` for no time, or one before 1970.
    pub(crate) fn parse(text: &str) -> Option<Timestamp> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| without_zone(text))?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(|ms| Timestamp(UnixMs(ms)))
    }
}

fn without_zone(text: &str) -> Option<OffsetDateTime> {
    // The standard form with `Z` put behind it: only a text without a zone becomes valid by that.
    let at = PrimitiveDateTime::parse(&format!("{text}Z"), &Rfc3339).ok()?;
    Some(at.assume_utc())
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Every byte is ASCII.
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time from 1970 on")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> Option<u64> {
        Timestamp::parse(text).map(|at| at.0.0)
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        let expected = Some(1_795_153_661_564);
        for text in [
            "2026-11-20T05:47:41.564Z",
            "2026-11-20T05:47:41.564007Z",
            "2026-11-20T05:47:41.564007+00:00",
            "2026-11-20T06:47:41.564+01:00",
            "2026-11-20T05:47:41.564007",
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
        assert_eq!(ms("1970-01-01T00:00:00"), Some(0));
        assert_eq!(Timestamp(UnixMs(1_795_153_661_564)).to_string(), "2026-11-20T05:47:41.564Z");
        assert_eq!(serde_json::to_string(&Timestamp(UnixMs(7))).unwrap(), "\"1970-01-01T00:00:00.007Z\"");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "2026-11-20", "1795153661", "1969-12-31T23:59:59Z", "2026-13-20T05:47:41Z", "yesterday"] {
            assert_eq!(ms(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(at in 0u64..253_402_300_799_000) {
            let text = Timestamp(UnixMs(at)).to_string();
            prop_assert_eq!(text.len(), 24);
            prop_assert_eq!(ms(&text), Some(at));
        }
    }
}
