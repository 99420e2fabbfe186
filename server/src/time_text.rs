//! Times as people read them. The API has a format of its own.

use model::UnixMs;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 in UTC, by whole seconds; `None` beyond the year 9999.
pub(crate) fn time_text(at: UnixMs) -> Option<String> {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}
