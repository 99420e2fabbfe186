//! Times as people read them. The API has a format of its own.

use model::UnixMs;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC, by whole seconds; `None` beyond the year 9999.
pub(crate) fn time_text(at: UnixMs) -> Option<String> {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

/// The time of an RFC 3339 text, as the API writes it.
///
/// # Errors
/// Why it is none, or one before 1970.
pub(crate) fn time_of(text: &str) -> Result<UnixMs, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| error.to_string())?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(UnixMs).map_err(|error| error.to_string())
}
