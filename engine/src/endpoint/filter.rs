//! Whether an endpoint wants an event: types, channels, and since when.
//!
//! Pure. One endpoint at a time; the index over all endpoints of an application is the router's (`router::routes`).

use model::{Endpoint, EndpointId, Event, Seq};

/// What an endpoint wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    endpoint: EndpointId,
    active_from: Seq,
    /// Empty means every type.
    types: Vec<TypePattern>,
    /// Empty means every channel.
    channels: Vec<Box<str>>,
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
    fn of(text: &str) -> TypePattern {
        match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('.') => TypePattern::Prefix(prefix.into()),
            _ => TypePattern::Exact(text.into()),
        }
    }

    fn matches(&self, event_type: &str) -> bool {
        match self {
            TypePattern::Exact(exact) => event_type == &**exact,
            TypePattern::Prefix(prefix) => event_type.len() > prefix.len() && event_type.starts_with(&**prefix),
        }
    }
}

impl Filter {
    /// Reads it off an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Filter {
        Filter {
            endpoint: endpoint.id,
            active_from: endpoint.active_from,
            types: endpoint.event_types.iter().map(|text| TypePattern::of(text)).collect(),
            channels: endpoint.channels.iter().map(|text| text.as_str().into()).collect(),
        }
    }

    /// Whether the endpoint is to get this event.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let wanted = self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(&event.event_type));
        match event.only_for {
            Some(only) => only == self.endpoint && event.seq > self.active_from,
            None => wanted && self.passes_beside_type(event),
        }
    }

    /// All but the type: for who found the type through an index.
    pub(crate) fn passes_beside_type(&self, event: &Event) -> bool {
        let shared = |channel: &str| event.channels.iter().any(|other| &**other == channel);
        event.seq > self.active_from && (self.channels.is_empty() || self.channels.iter().any(|own| shared(own)))
    }

    pub(crate) fn types(&self) -> &[TypePattern] {
        &self.types
    }
}
