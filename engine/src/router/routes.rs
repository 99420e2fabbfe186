//! The endpoints of one application, indexed by what they want, so that an event costs what it matches and not what
//! there is.
//!
//! Pure. Deliberately rebuilt entry by entry: a change touches only the lists that name its endpoint.

use crate::endpoint::filter::{Filter, TypePattern};
use model::{EndpointId, Event};
use std::collections::HashMap;

/// The fan-out of one application.
#[derive(Debug, Default)]
pub(super) struct AppRoutes {
    endpoints: HashMap<EndpointId, Route>,
    /// Endpoints that want every type.
    every_type: Vec<EndpointId>,
    by_type: HashMap<Box<str>, Vec<EndpointId>>,
    by_prefix: HashMap<Box<str>, Vec<EndpointId>>,
}

#[derive(Debug)]
struct Route {
    filter: Filter,
    enabled: bool,
}

impl AppRoutes {
    /// Adds or replaces an endpoint.
    pub(super) fn put(&mut self, id: EndpointId, filter: Filter, enabled: bool) {
        self.remove(id);
        if filter.types().is_empty() {
            self.every_type.push(id);
        }
        for pattern in filter.types() {
            let list = match pattern {
                TypePattern::Exact(name) => self.by_type.entry(name.clone()).or_default(),
                TypePattern::Prefix(prefix) => self.by_prefix.entry(prefix.clone()).or_default(),
            };
            if !list.contains(&id) {
                list.push(id);
            }
        }
        self.endpoints.insert(id, Route { filter, enabled });
    }

    /// Forgets an endpoint, if it is known.
    pub(super) fn remove(&mut self, id: EndpointId) {
        let Some(route) = self.endpoints.remove(&id) else { return };
        if route.filter.types().is_empty() {
            self.every_type.retain(|other| *other != id);
        }
        for pattern in route.filter.types() {
            let (lists, name) = match pattern {
                TypePattern::Exact(name) => (&mut self.by_type, name),
                TypePattern::Prefix(prefix) => (&mut self.by_prefix, prefix),
            };
            if let Some(list) = lists.get_mut(name) {
                list.retain(|other| *other != id);
                if list.is_empty() {
                    lists.remove(name);
                }
            }
        }
    }

    pub(super) fn contains(&self, id: EndpointId) -> bool {
        self.endpoints.contains_key(&id)
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.endpoints.keys().copied()
    }

    /// Calls `found` once for each enabled endpoint that is to get this event.
    pub(super) fn each_match(&self, event: &Event, mut found: impl FnMut(EndpointId)) {
        if let Some(only) = event.only_for {
            if self.endpoints.get(&only).is_some_and(|route| route.enabled && route.filter.matches(event)) {
                found(only);
            }
            return;
        }
        let event_type = &*event.event_type;
        let mut offer = |id: &EndpointId| {
            if let Some(route) = self.endpoints.get(id)
                && route.enabled
                && route.filter.passes_beside_type(event)
            {
                found(*id);
            }
        };
        self.every_type.iter().for_each(&mut offer);
        self.by_type.get(event_type).into_iter().flatten().for_each(&mut offer);
        if self.by_prefix.is_empty() {
            return;
        }
        // `a.b.c` may be wanted as `a.*` and as `a.b.*`; an endpoint that named several gets it once.
        let mut seen: Vec<EndpointId> = self.by_type.get(event_type).cloned().unwrap_or_default();
        for (dot, _) in event_type.match_indices('.').filter(|(dot, _)| dot + 1 < event_type.len()) {
            for id in self.by_prefix.get(&event_type[..=dot]).into_iter().flatten() {
                if !seen.contains(id) {
                    seen.push(*id);
                    offer(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::{AppId, Endpoint, EndpointRef, Seq, UnixMs};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn endpoint(id: u32, types: &[&str], channels: &[&str]) -> Endpoint {
        Endpoint {
            salt: 0,
            url: "http://example.com/".to_owned(),
            event_types: types.iter().map(|text| (*text).to_owned()).collect(),
            channels: channels.iter().map(|text| (*text).to_owned()).collect(),
            active_from: Seq(10),
            ..Endpoint::plain(EndpointRef { app: AppId(1), endpoint: EndpointId(id) }, UnixMs(0))
        }
    }

    fn event(seq: u64, event_type: &str, channels: &[&str]) -> Event {
        Event {
            app: AppId(1),
            seq: Seq(seq),
            accepted_at: UnixMs(0),
            event_type: Arc::from(event_type),
            event_id: None,
            channels: channels.iter().map(|text| Arc::from(*text)).collect(),
            only_for: None,
            payload: Bytes::new(),
        }
    }

    fn matches(routes: &AppRoutes, event: &Event) -> Vec<u32> {
        let mut found = Vec::new();
        routes.each_match(event, |id| found.push(id.0));
        found.sort_unstable();
        found
    }

    fn routes(endpoints: &[Endpoint]) -> AppRoutes {
        let mut routes = AppRoutes::default();
        for endpoint in endpoints {
            routes.put(endpoint.id, Filter::of(endpoint), endpoint.disabled.is_none());
        }
        routes
    }

    #[test]
    fn exact_prefix_and_everything_each_get_what_they_named_once() {
        let all = routes(&[
            endpoint(1, &[], &[]),
            endpoint(2, &["invoice.paid"], &[]),
            endpoint(3, &["invoice.*", "invoice.paid", "invoice.paid.*"], &[]),
            endpoint(4, &["user.*"], &[]),
        ]);
        assert_eq!(matches(&all, &event(11, "invoice.paid", &[])), [1, 2, 3]);
        assert_eq!(matches(&all, &event(11, "invoice.paid.late", &[])), [1, 3]);
        assert_eq!(matches(&all, &event(11, "invoice", &[])), [1]);
        assert_eq!(matches(&all, &event(11, "invoice.", &[])), [1]);
        assert_eq!(matches(&all, &event(10, "invoice.paid", &[])), Vec::<u32>::new(), "before it was active");
    }

    #[test]
    fn a_channel_in_common_is_needed_only_by_those_that_name_some() {
        let all = routes(&[endpoint(1, &[], &["eu"]), endpoint(2, &[], &[])]);
        assert_eq!(matches(&all, &event(11, "a", &[])), [2]);
        assert_eq!(matches(&all, &event(11, "a", &["us", "eu"])), [1, 2]);
    }

    #[test]
    fn an_event_for_one_endpoint_passes_its_filter_but_not_its_disabling() {
        let mut all = routes(&[endpoint(1, &["a"], &[]), endpoint(2, &[], &[])]);
        let only = Event { only_for: Some(EndpointId(1)), ..event(11, "b", &[]) };
        assert_eq!(matches(&all, &only), [1]);
        all.put(EndpointId(1), Filter::of(&endpoint(1, &["a"], &[])), false);
        assert_eq!(matches(&all, &only), Vec::<u32>::new());
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_each_filter_by_itself(
            lists in proptest::collection::vec(proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,2}(\\.\\*)?", 0..3), 1..6),
            types in proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,3}", 1..10),
            removed in 0u32..6,
        ) {
            let endpoints: Vec<Endpoint> = lists.iter().enumerate().map(|(id, list)| {
                endpoint(id as u32, &list.iter().map(String::as_str).collect::<Vec<_>>(), &[])
            }).collect();
            let mut all = routes(&endpoints);
            all.remove(EndpointId(removed));
            for event_type in &types {
                let event = event(11, event_type, &[]);
                let alone: Vec<u32> = endpoints.iter()
                    .filter(|e| e.id.0 != removed && Filter::of(e).matches(&event)).map(|e| e.id.0).collect();
                prop_assert_eq!(matches(&all, &event), alone);
            }
        }
    }
}
