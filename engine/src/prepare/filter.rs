//! The test if an endpoint wants an event: by type, by channel, and by position.
//!
//! Pure. One endpoint at a time; the index over all endpoints of an application is the router's (`router::routes`).

use model::{Endpoint, EndpointId, Event, Seq, Wanted};

/// The events that an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    endpoint: EndpointId,
    active_from: Seq,
    /// Empty means every type. In order, and none covers another.
    types: Box<[TypePattern]>,
    /// Empty means every channel. In order, each once.
    channels: Box<[Box<str>]>,
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
        Filter::new(endpoint.id, endpoint.active_from, &endpoint.event_types, &endpoint.channels)
    }

    /// The same for events of any age.
    #[must_use]
    pub fn ever(endpoint: &Endpoint) -> Filter {
        Filter { active_from: Seq::ZERO, ..Filter::of(endpoint) }
    }

    /// The filter that an endpoint had at some time, for events of any age.
    #[must_use]
    pub fn then(endpoint: EndpointId, wanted: &Wanted) -> Filter {
        Filter::new(endpoint, Seq::ZERO, &wanted.event_types, &wanted.channels)
    }

    fn new(endpoint: EndpointId, active_from: Seq, event_types: &[String], channels: &[String]) -> Filter {
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
        }
    }

    /// True if the endpoint is to get this event.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
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
