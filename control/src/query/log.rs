//! Walking an application's log for a page of messages, with filters and bounds.
//!
//! The log is in order of time, so a span of time is a span of positions, found by bisection. A page looks at a bounded
//! number of messages, more of them while it has found nothing. So a filter that lets nothing through gives short pages
//! that are not at the end, and no request reads a year of messages. There is no index by type or channel.

use super::bounds::{PAGE_PAYLOAD_BYTES, PAGE_SCAN_MAX, PAGE_SEARCH_BYTES, PAGE_SEARCH_MAX};
use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{AppId, Event, Seq, UnixMs};
use std::collections::HashSet;
use storage::tables::{event_uid, log};
use storage::{Direction, Read};

/// Messages read in one step at most.
const STEP_EVENTS: usize = 16;
/// Messages read in the first step, and the bytes of payload in a step after which the next steps are of one message.
/// Many requests read at once, and the memory of these messages is not counted with the answers.
const FIRST_STEP_EVENTS: usize = 4;
const STEP_BYTES: usize = 256 * 1024;

/// Which messages a list shows.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Of one of these types; all when empty.
    pub event_types: HashSet<String>,
    /// With this channel.
    pub channel: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// With this id of the tenant's own.
    pub event_id: Option<String>,
    /// Taken before this.
    pub before: Option<UnixMs>,
    /// Taken then or after.
    pub after: Option<UnixMs>,
}

impl MessageFilter {
    /// True if type, channel and tag fit.
    pub(super) fn fits(&self, event: &Event) -> bool {
        let is_type = self.event_types.is_empty() || self.event_types.contains(&*event.event_type);
        let is_channel = self.channel.as_ref().is_none_or(|name| event.channels.iter().any(|other| **other == **name));
        let is_tag = self.tag.as_ref().is_none_or(|name| event.tags().contains(name));
        let is_id = self.event_id.as_deref().is_none_or(|id| event.event_id.as_deref() == Some(id));
        is_type && is_channel && is_tag && is_id
    }

    /// True if a time lies between the bounds: `after` itself is within, `before` is not.
    pub(super) fn is_within(&self, at: UnixMs) -> bool {
        self.before.is_none_or(|before| at < before) && self.after.is_none_or(|after| at >= after)
    }

    /// The positions that the bounds of time leave, or the one that an id leads to.
    pub(super) fn span(&self, read: &(impl Read + ?Sized), app: AppId) -> Result<Span, Error> {
        if let Some(id) = &self.event_id {
            // Nothing else is looked at. Without a message of this id, nothing is.
            let at = event_uid::get(read, app, id)?;
            return Ok(at.map_or(Span::NONE, |seq| Span { floor: seq.previous(), ceiling: seq.next() }));
        }
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
    floor: Seq,
    /// Exclusive.
    ceiling: Seq,
}

impl Span {
    /// No position.
    const NONE: Span = Span { floor: Seq::ZERO, ceiling: Seq::ZERO };
}

/// Tells whether to look at the next message.
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
    mut look: impl FnMut(Event) -> Result<Step, Error>,
) -> Result<bool, Error> {
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
        if events.is_empty() {
            return Ok(true);
        }
        let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
        step = if bytes > STEP_BYTES { 1 } else { (2 * step).min(STEP_EVENTS) };
        for event in events {
            if event.seq <= span.floor || event.seq >= span.ceiling {
                return Ok(true);
            }
            at = event.seq;
            if look(event)? == Step::Stop {
                return Ok(false);
            }
        }
    }
}

/// One page of messages, each with the value that `keep` gives for it. A message for which `keep` gives none is left
/// out.
pub(super) fn page_of<T>(
    read: &(impl Read + ?Sized),
    app: AppId,
    filter: &MessageFilter,
    page: &Page<IdParts>,
    mut keep: impl FnMut(&Event) -> Result<Option<T>, Error>,
) -> Result<Listed<(Event, T), IdParts>, Error> {
    let mut items: Vec<(Event, T)> = Vec::new();
    let (mut seen, mut read_bytes, mut bytes, mut farthest) = (0, 0, 0, None);
    let look = |event: Event| {
        let has_looked_enough = match items.is_empty() {
            true => seen >= PAGE_SEARCH_MAX || read_bytes >= PAGE_SEARCH_BYTES,
            false => seen >= PAGE_SCAN_MAX,
        };
        if items.len() == page.limit || has_looked_enough || bytes >= PAGE_PAYLOAD_BYTES {
            return Ok(Step::Stop);
        }
        seen += 1;
        read_bytes += event.payload.len();
        farthest = Some(place_of(&event));
        if filter.fits(&event)
            && filter.is_within(event.accepted_at)
            && let Some(found) = keep(&event)?
        {
            bytes += event.payload.len();
            items.push((event, found));
        }
        Ok(Step::On)
    };
    let from = page.place().map(|place| Seq(place.low));
    let is_end = each(read, app, filter.span(read, app)?, (from, page.direction()), look)?;
    let nearest = items.first().map(|(event, _)| place_of(event)).or(farthest);
    if !page.is_back() {
        return Ok(Listed { items, first: nearest, last: farthest, is_end });
    }
    items.reverse();
    Ok(Listed { items, first: farthest, last: nearest, is_end })
}

fn place_of(event: &Event) -> IdParts {
    IdParts { at: event.accepted_at, number: event.app.0, low: event.seq.0 }
}
