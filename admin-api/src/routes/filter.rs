//! The filter of lists of messages, as their parameters say it.

use crate::dto::timestamp::Timestamp;
use control::query::log::MessageFilter;

/// The filter; `event_types` are joined by commas.
pub(super) fn message_filter(
    event_types: Option<&str>,
    channel: Option<String>,
    tag: Option<String>,
    (after, before): (Option<Timestamp>, Option<Timestamp>),
) -> MessageFilter {
    let names = event_types.unwrap_or("").split(',').map(str::trim).filter(|name| !name.is_empty());
    MessageFilter {
        event_types: names.map(str::to_owned).collect(),
        channel,
        tag,
        event_id: None,
        before: before.map(|Timestamp(at)| at),
        after: after.map(|Timestamp(at)| at),
    }
}
