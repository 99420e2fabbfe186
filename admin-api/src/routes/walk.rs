//! Walking an application's log for a page of messages, with filters and bounds.
//!
//! The log is in order of time, so a span of time is a span of positions, found by bisection. A page looks at a bounded
//! number of messages whether or not they pass the filter, more of them while it has found nothing: a filter that lets
//! nothing through gives short pages with `done: false`, not a request that reads a year of messages. There is no index by
//! type or channel.

use crate::dto::fields::ListResponse;
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::limits::{PAGE_PAYLOAD_BYTES, PAGE_SCAN_MAX, PAGE_SEARCH_BYTES, PAGE_SEARCH_MAX};
use crate::paging::Page;
use model::id::{IdKind, IdParts};
use model::{AppId, Event, Seq, UnixMs};
use std::collections::HashSet;
use storage::Direction;
use storage::read::Read;
use storage::tables::log;
use utoipa::ToSchema;

/// Messages read in one step at most.
const STEP_EVENTS: usize = 16;
/// Messages read in the first step, and the payloads of a step after which the next ones are of one message: many
/// requests read at once, and what they read is beside what they answer.
const FIRST_STEP_EVENTS: usize = 4;
const STEP_BYTES: usize = 256 * 1024;

/// Which messages a list shows.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageFilter {
    /// Of one of these types, comma-joined as it came; all when empty.
    event_types: HashSet<String>,
    /// With this channel.
    channel: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Taken before this.
    before: Option<UnixMs>,
    /// Taken then or after.
    after: Option<UnixMs>,
}

impl MessageFilter {
    /// Of the parameters of a query.
    pub(super) fn new(
        event_types: Option<&str>,
        channel: Option<String>,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> MessageFilter {
        let names = event_types.unwrap_or("").split(',').map(str::trim).filter(|name| !name.is_empty());
        MessageFilter {
            event_types: names.map(str::to_owned).collect(),
            channel,
            tag: None,
            before: before.map(|at| at.0),
            after: after.map(|at| at.0),
        }
    }

    /// Only those with this tag, if any is named.
    pub(super) fn with_tag(self, tag: Option<String>) -> MessageFilter {
        MessageFilter { tag, ..self }
    }

    /// Whether type, channel and tag fit.
    pub(super) fn fits(&self, event: &Event) -> bool {
        let is_type = self.event_types.is_empty() || self.event_types.contains(&*event.event_type);
        let is_channel = self.channel.as_ref().is_none_or(|name| event.channels.iter().any(|other| **other == **name));
        let is_tag = self.tag.as_ref().is_none_or(|name| event.tags().contains(name));
        is_type && is_channel && is_tag
    }

    /// Whether a time lies between the bounds: at `after` is, at `before` is not.
    pub(super) fn is_within(&self, at: UnixMs) -> bool {
        self.before.is_none_or(|before| at < before) && self.after.is_none_or(|after| at >= after)
    }

    /// Whether everything fits.
    pub(super) fn keeps(&self, event: &Event) -> bool {
        self.fits(event) && self.is_within(event.accepted_at)
    }

    /// The positions that the bounds of time leave.
    pub(super) fn span(&self, read: &(impl Read + ?Sized), app: AppId) -> Result<Span, ApiError> {
        Ok(Span {
            floor: match self.after {
                Some(after) => log::before_time(read, app, after)?,
                None => Seq::ZERO,
            },
            ceiling: match self.before {
                Some(before) => log::before_time(read, app, before)?.next(),
                None => Seq::MAX,
            },
        })
    }
}

/// Positions above `floor` and below `ceiling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Exclusive.
    pub(super) floor: Seq,
    /// Exclusive.
    pub(super) ceiling: Seq,
}

/// Whether to look at the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Yes.
    On,
    /// No.
    Stop,
}

/// Shows messages of a span to `look`, from `from` on (exclusive), until it stops. Answers whether the span ended.
pub(super) fn each(
    read: &(impl Read + ?Sized),
    app: AppId,
    span: Span,
    (from, direction): (Option<Seq>, Direction),
    mut look: impl FnMut(&Event) -> Result<Step, ApiError>,
) -> Result<bool, ApiError> {
    let mut at = match direction {
        Direction::Reverse => from.unwrap_or(Seq::MAX).min(span.ceiling),
        Direction::Forward => from.unwrap_or(Seq::ZERO).max(span.floor),
    };
    let mut step = FIRST_STEP_EVENTS;
    loop {
        let events = match direction {
            Direction::Reverse => log::read_before(read, app, at, step)?,
            Direction::Forward => log::read_after(read, app, at, step, STEP_BYTES)?,
        };
        let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
        step = if bytes > STEP_BYTES { 1 } else { (2 * step).min(STEP_EVENTS) };
        for event in &events {
            if event.seq <= span.floor || event.seq >= span.ceiling {
                return Ok(true);
            }
            if look(event)? == Step::Stop {
                return Ok(false);
            }
            at = event.seq;
        }
        if events.is_empty() {
            return Ok(true);
        }
    }
}

/// The key of a page of messages.
pub(super) fn key_of(app: AppId) -> impl Fn(&str) -> Option<Seq> {
    move |text| {
        IdParts::from_text(IdKind::Message, text).filter(|parts| parts.number == app.0).map(|parts| Seq(parts.low))
    }
}

/// One page of messages, newest first, each shown by `show` unless that leaves it out.
pub(super) fn page_of<T: ToSchema>(
    read: &(impl Read + ?Sized),
    app: AppId,
    filter: &MessageFilter,
    page: &Page<Seq>,
    mut show: impl FnMut(&Event) -> Result<Option<T>, ApiError>,
) -> Result<ListResponse<T>, ApiError> {
    let is_back = page.is_back();
    let (mut data, mut ids) = (Vec::new(), Vec::new());
    let (mut seen, mut read_bytes, mut bytes, mut farthest) = (0, 0, 0, None);
    let look = |event: &Event| {
        let has_looked_enough = match data.is_empty() {
            true => seen >= PAGE_SEARCH_MAX || read_bytes >= PAGE_SEARCH_BYTES,
            false => seen >= PAGE_SCAN_MAX,
        };
        if data.len() == page.limit || has_looked_enough || bytes >= PAGE_PAYLOAD_BYTES {
            return Ok(Step::Stop);
        }
        seen += 1;
        read_bytes += event.payload.len();
        farthest = Some(event.message_id());
        if filter.keeps(event)
            && let Some(item) = show(event)?
        {
            bytes += event.payload.len();
            ids.push(event.message_id());
            data.push(item);
        }
        Ok(Step::On)
    };
    let ended = each(read, app, filter.span(read, app)?, (page.after, page.direction()), look)?;
    let nearest = ids.first().cloned().or_else(|| farthest.clone());
    if is_back {
        data.reverse();
    }
    let (newest, oldest) = if is_back { (farthest, nearest) } else { (nearest, farthest) };
    Ok(ListResponse {
        done: ended,
        iterator: page.next_iterator(oldest),
        prev_iterator: newest.map(|id| format!("-{id}")),
        data,
    })
}
