//! The test if an endpoint wants an event: by type, by channel, by position, and by its content.
//!
//! Pure. One endpoint at a time; the index over all endpoints of an application is the router's (`router::routes`).

use super::content::{ContentFilter, STEPS_MAX, Verdict, content_of, steps_to_convert};
use model::{Endpoint, EndpointId, Event, Seq, Wanted};
use std::cell::Cell;
use std::sync::Arc;

/// The events that an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    endpoint: EndpointId,
    active_from: Seq,
    /// Empty means every type. In order, and none covers another.
    types: Box<[TypePattern]>,
    /// Empty means every channel. In order, each once.
    channels: Box<[Box<str>]>,
    /// None wants every content. Not asked by the router: see [`Filter::selects`].
    content: Option<Arc<ContentFilter>>,
}

/// One entry of an endpoint's list of event types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TypePattern {
    /// This type.
    Exact(Box<str>),
    /// Every type that begins with this, its last dot included: `invoice.` for `invoice.*`.
    Prefix(Box<str>),
}

impl TypePattern {
    /// Reads an entry.
    pub(crate) fn of(text: &str) -> TypePattern {
        match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('.') => TypePattern::Prefix(prefix.into()),
            _ => TypePattern::Exact(text.into()),
        }
    }

    /// True if it lets this type pass.
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        match self {
            TypePattern::Exact(exact) => event_type == &**exact,
            TypePattern::Prefix(prefix) => event_type.len() > prefix.len() && event_type.starts_with(&**prefix),
        }
    }

    fn text(&self) -> &str {
        match self {
            TypePattern::Exact(text) | TypePattern::Prefix(text) => text,
        }
    }

    /// True if this wants everything that `other` wants.
    fn covers(&self, other: &TypePattern) -> bool {
        match other {
            TypePattern::Exact(exact) => self.matches(exact),
            TypePattern::Prefix(longer) => {
                matches!(self, TypePattern::Prefix(prefix) if longer.starts_with(&**prefix))
            }
        }
    }
}

/// The patterns of a list without those that another one covers.
///
/// Patterns that a prefix covers follow it in byte order, so one pass over the sorted list finds them: `a.*`, `a.b`,
/// `a.b.*` leave `a.*`.
fn without_covered(mut patterns: Vec<TypePattern>) -> Box<[TypePattern]> {
    // A prefix stands before the exact type of the same text.
    patterns.sort_unstable_by(|one, other| {
        let is_exact = |pattern: &TypePattern| matches!(pattern, TypePattern::Exact(_));
        (one.text(), is_exact(one)).cmp(&(other.text(), is_exact(other)))
    });
    patterns.dedup();
    let mut kept: Vec<TypePattern> = Vec::with_capacity(patterns.len());
    let mut cover: Option<usize> = None;
    for pattern in patterns {
        if cover.is_some_and(|at| kept[at].covers(&pattern)) {
            continue;
        }
        if matches!(pattern, TypePattern::Prefix(_)) {
            cover = Some(kept.len());
        }
        kept.push(pattern);
    }
    kept.into_boxed_slice()
}

impl Filter {
    /// Reads it off an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Filter {
        let content = endpoint.filter.as_deref();
        Filter::new(endpoint.id, endpoint.active_from, &endpoint.event_types, &endpoint.channels, content)
    }

    /// The same for events of any age.
    #[must_use]
    pub fn ever(endpoint: &Endpoint) -> Filter {
        Filter { active_from: Seq::ZERO, ..Filter::of(endpoint) }
    }

    /// The filter that an endpoint had at some time, for events of any age.
    #[must_use]
    pub fn then(endpoint: EndpointId, wanted: &Wanted) -> Filter {
        Filter::new(endpoint, Seq::ZERO, &wanted.event_types, &wanted.channels, wanted.filter.as_deref())
    }

    fn new(
        endpoint: EndpointId,
        active_from: Seq,
        event_types: &[String],
        channels: &[String],
        content: Option<&str>,
    ) -> Filter {
        Filter {
            endpoint,
            active_from,
            types: without_covered(event_types.iter().map(|text| TypePattern::of(text)).collect()),
            channels: {
                let mut channels: Vec<Box<str>> = channels.iter().map(|text| text.as_str().into()).collect();
                channels.sort_unstable();
                channels.dedup();
                channels.into_boxed_slice()
            },
            content: content.map(|text| Arc::new(ContentFilter::new(text))),
        }
    }

    /// True if the endpoint is to get this event. Converts its payload if there is a content filter.
    ///
    /// Nobody gets a scheduled message where it stands in the log: see [`Filter::matches_when_due`].
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_in(event, &Cell::new(0))
    }

    /// The same. Adds the steps that a content filter takes to `steps`, of which [`STEPS_MAX`] take some milliseconds.
    #[must_use]
    pub fn matches_in(&self, event: &Event, steps: &Cell<u64>) -> bool {
        event.deliver_at().is_none() && self.matches_when_due_in(event, steps)
    }

    /// True if the endpoint is to get this event when its time comes, which need not be a time of its own. To be asked
    /// of [`Filter::ever`]: a scheduled message is for those that are there at its time, and not when it was taken.
    #[must_use]
    pub fn matches_when_due(&self, event: &Event) -> bool {
        self.matches_when_due_in(event, &Cell::new(0))
    }

    /// The same, with the steps that a content filter takes.
    #[must_use]
    pub fn matches_when_due_in(&self, event: &Event, steps: &Cell<u64>) -> bool {
        if !self.lets_pass(event) {
            return false;
        }
        let Some(filter) = self.content_for(event) else { return true };
        let content = content_of(event);
        let taken = filter.steps(&content).min(STEPS_MAX) + steps_to_convert(event.payload.len());
        steps.set(steps.get().saturating_add(taken));
        filter.judge(&content) == Verdict::Matches
    }

    /// The content filter that has to agree to this event too; none if it goes to the endpoint without being asked.
    ///
    /// An example sent on request passes every filter. An expunged event has nothing to be asked about: it passes, so
    /// that the endpoint's dead letter tells of it.
    #[must_use]
    pub fn content_for(&self, event: &Event) -> Option<&ContentFilter> {
        self.content.as_deref().filter(|_| event.only_for.is_none() && !event.is_expunged())
    }

    /// True if a content filter would have to be asked about an event that was expunged: nobody knows its answer.
    #[must_use]
    pub fn cannot_judge(&self, event: &Event) -> bool {
        event.is_expunged() && event.only_for.is_none() && self.content.is_some() && self.selects(event)
    }

    /// True if there is a content filter.
    #[must_use]
    pub fn asks_for_content(&self) -> bool {
        self.content.is_some()
    }

    /// True if the endpoint is to get this event where it stands in the log, as far as type, channel and position tell.
    #[must_use]
    pub fn selects(&self, event: &Event) -> bool {
        event.deliver_at().is_none() && self.lets_pass(event)
    }

    fn lets_pass(&self, event: &Event) -> bool {
        let wanted = self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(&event.event_type));
        match event.only_for {
            Some(only) => only == self.endpoint && event.seq > self.active_from,
            None => wanted && self.passes_beside_type(event),
        }
    }

    fn passes_beside_type(&self, event: &Event) -> bool {
        let shared = |channel: &str| event.channels.iter().any(|other| &**other == channel);
        self.is_active_at(event.seq) && (self.channels.is_empty() || self.channels.iter().any(|own| shared(own)))
    }

    /// True if an event at this position came in after the endpoint was created, or last enabled.
    pub(crate) fn is_active_at(&self, seq: Seq) -> bool {
        seq > self.active_from
    }

    /// The patterns it names, empty for every type. No two of them match the same event type.
    pub(crate) fn types(&self) -> &[TypePattern] {
        &self.types
    }

    /// The channels it names, each once; empty for every channel.
    pub(crate) fn channels(&self) -> &[Box<str>] {
        &self.channels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, EndpointRef, UnixMs};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn at_most_one_pattern_matches_and_what_is_wanted_stays_the_same(
            list in proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,2}\\.?(\\.\\*)?", 1..8),
            types in proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,3}\\.?", 1..20),
        ) {
            let plain = Endpoint::plain(EndpointRef { app: AppId(1), endpoint: EndpointId(1) }, UnixMs(0));
            let filter = Filter::of(&Endpoint { event_types: list.clone(), ..plain });
            for event_type in types {
                let as_named = list.iter().any(|text| TypePattern::of(text).matches(&event_type));
                let found = filter.types().iter().filter(|pattern| pattern.matches(&event_type)).count();
                prop_assert_eq!(found, usize::from(as_named), "{} of {:?}", event_type, filter.types());
            }
        }
    }
}
