//! The endpoints of one application, indexed by the events that they want.
//!
//! So the cost of an event grows with the endpoints that it matches, and not with all that there are.
//!
//! An index entry is (type or prefix, channel, endpoint). An endpoint is listed once for each pair of a pattern and a
//! channel that it names, and not at all while it is disabled. So an endpoint that wants another type, prefix or
//! channel is never looked at. A change costs the entries of its own endpoint, however many others there are.
//! Patterns of one endpoint never overlap (see [`Filter::types`]): one event finds it by one pattern only.
//!
//! Pure.

use super::names::{EVERY, Names};
use crate::prepare::filter::{Filter, TypePattern};
use foldhash::HashMap;
use model::{EndpointId, Event};
use std::collections::{BTreeMap, BTreeSet};

/// The fan-out of one application.
#[derive(Debug, Default)]
pub(super) struct AppRoutes {
    endpoints: HashMap<EndpointId, Route>,
    types: Names,
    prefixes: Names,
    /// The number of prefixes of each length: an event looks up these lengths only, and not each of its dots.
    prefix_lens: BTreeMap<usize, u32>,
    channels: Names,
    /// Enabled endpoints by (pattern, channel, endpoint).
    index: BTreeSet<Entry>,
    /// Endpoints that are paused by themselves.
    paused: BTreeSet<EndpointId>,
    /// The application is paused, and so are all of them.
    all_paused: bool,
}

/// A pattern, the number of a channel or [`EVERY`], and an endpoint.
type Entry = (Pattern, u32, EndpointId);

/// The number of a type or of a prefix; both are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Every,
    Type(u32),
    Prefix(u32),
}

#[derive(Debug)]
struct Route {
    filter: Filter,
    enabled: bool,
}

impl AppRoutes {
    /// Adds or replaces an endpoint. Answers `true` if it was and is enabled and wants other events now.
    pub(super) fn put(&mut self, id: EndpointId, filter: Filter, enabled: bool) -> bool {
        let before = self.endpoints.get(&id).filter(|route| route.enabled && enabled);
        let wants_others = before.is_some_and(|route| route.filter != filter);
        self.remove(id);
        if enabled {
            let patterns: Vec<Pattern> = match filter.types() {
                [] => vec![Pattern::Every],
                types => types.iter().map(|pattern| self.take_pattern(pattern)).collect(),
            };
            let channels: Vec<u32> = match filter.channels() {
                [] => vec![EVERY],
                names => names.iter().map(|name| self.channels.take(name)).collect(),
            };
            for pattern in patterns {
                self.index.extend(channels.iter().map(|channel| (pattern, *channel, id)));
            }
        }
        self.endpoints.insert(id, Route { filter, enabled });
        wants_others
    }

    /// Notes whether an endpoint is paused.
    pub(super) fn pause(&mut self, id: EndpointId, paused: bool) {
        if paused {
            self.paused.insert(id);
        } else {
            self.paused.remove(&id);
        }
    }

    /// Notes whether the application is paused.
    pub(super) fn pause_all(&mut self, paused: bool) {
        self.all_paused = paused;
    }

    /// True if any endpoint may be held.
    pub(super) fn any_held(&self) -> bool {
        self.all_paused || !self.paused.is_empty()
    }

    /// True if the deliveries of an endpoint wait on disk: it or its application is paused. Nothing waits for an endpoint that
    /// is disabled.
    pub(super) fn is_held(&self, id: EndpointId) -> bool {
        (self.all_paused || self.paused.contains(&id)) && self.endpoints.get(&id).is_some_and(|route| route.enabled)
    }

    /// Forgets an endpoint, if it is known, but for whether it is paused.
    pub(super) fn remove(&mut self, id: EndpointId) {
        let Some(Route { filter, enabled: true }) = self.endpoints.remove(&id) else { return };
        let patterns: Vec<Pattern> = match filter.types() {
            [] => vec![Pattern::Every],
            types => types.iter().filter_map(|pattern| self.give_back_pattern(pattern)).collect(),
        };
        let channels: Vec<u32> = match filter.channels() {
            [] => vec![EVERY],
            names => names.iter().filter_map(|name| self.channels.give_back(name)).map(|(number, _)| number).collect(),
        };
        for pattern in patterns {
            for channel in &channels {
                self.index.remove(&(pattern, *channel, id));
            }
        }
    }

    fn take_pattern(&mut self, pattern: &TypePattern) -> Pattern {
        match pattern {
            TypePattern::Exact(name) => Pattern::Type(self.types.take(name)),
            TypePattern::Prefix(prefix) => {
                if self.prefixes.get(prefix).is_none() {
                    *self.prefix_lens.entry(prefix.len()).or_default() += 1;
                }
                Pattern::Prefix(self.prefixes.take(prefix))
            }
        }
    }

    fn give_back_pattern(&mut self, pattern: &TypePattern) -> Option<Pattern> {
        match pattern {
            TypePattern::Exact(name) => self.types.give_back(name).map(|(number, _)| Pattern::Type(number)),
            TypePattern::Prefix(prefix) => {
                let (number, forgotten) = self.prefixes.give_back(prefix)?;
                if forgotten && let Some(count) = self.prefix_lens.get_mut(&prefix.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lens.remove(&prefix.len());
                    }
                }
                Some(Pattern::Prefix(number))
            }
        }
    }

    pub(super) fn contains(&self, id: EndpointId) -> bool {
        self.endpoints.contains_key(&id)
    }

    /// The enabled endpoints: no other endpoint is sent anything.
    pub(super) fn enabled(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.endpoints.iter().filter(|(_, route)| route.enabled).map(|(id, _)| *id)
    }

    /// Calls `found` once for each enabled endpoint that is to get this event.
    pub(super) fn each_match(&self, event: &Event, mut found: impl FnMut(EndpointId)) {
        if event.deliver_at().is_some() {
            // It is passed by here, and put in line at its time: see `engine::scheduled`.
            return;
        }
        if let Some(only) = event.only_for {
            if self.endpoints.get(&only).is_some_and(|route| route.enabled && route.filter.selects(event)) {
                found(only);
            }
            return;
        }
        let event_type = &*event.event_type;
        let channels = self.channels_of(event);
        let mut visit = |pattern| self.each_of_pattern(pattern, &channels, event, &mut found);
        visit(Pattern::Every);
        if let Some(number) = self.types.get(event_type) {
            visit(Pattern::Type(number));
        }
        // `a.b.c` may be wanted as `a.*` and as `a.b.*`. A prefix alone is no type of its family: `a.` is not in `a.*`.
        for len in self.prefix_lens.range(..event_type.len()).map(|(len, _)| *len) {
            if event_type.as_bytes()[len - 1] == b'.'
                && let Some(number) = self.prefixes.get(&event_type[..len])
            {
                visit(Pattern::Prefix(number));
            }
        }
    }

    /// The numbers of those of an event's channels that some endpoint names, each once.
    fn channels_of(&self, event: &Event) -> Vec<u32> {
        if self.channels.is_empty() {
            return Vec::new();
        }
        let mut numbers: Vec<u32> = event.channels.iter().filter_map(|name| self.channels.get(name)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Finds endpoints under one pattern that name no channel, and endpoints that name one of the event's channels.
    fn each_of_pattern(&self, pattern: Pattern, channels: &[u32], event: &Event, found: &mut impl FnMut(EndpointId)) {
        for (place, channel) in std::iter::once(&EVERY).chain(channels).enumerate() {
            // An endpoint that names several of the event's channels counts under the first of them.
            let earlier = &channels[..place.saturating_sub(1)];
            let all = (pattern, *channel, EndpointId(0))..=(pattern, *channel, EndpointId(u32::MAX));
            for (_, _, id) in self.index.range(all) {
                let counted = earlier.iter().any(|other| self.index.contains(&(pattern, *other, *id)));
                let wants = |route: &Route| route.filter.is_active_at(event.seq);
                if !counted && self.endpoints.get(id).is_some_and(wants) {
                    found(*id);
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
            more: None,
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

    #[test]
    fn nothing_of_an_endpoint_is_left_when_it_is_removed_or_disabled() {
        let one = endpoint(1, &["a.b", "a.*", "b"], &["eu", "us"]);
        let mut all = routes(std::slice::from_ref(&one));
        assert_eq!(all.index.len(), 4, "`a.b` is in `a.*` already");
        all.put(EndpointId(1), Filter::of(&one), false);
        assert!(all.contains(EndpointId(1)) && all.enabled().next().is_none());
        assert!(all.index.is_empty() && all.types.is_empty() && all.prefixes.is_empty() && all.channels.is_empty());
        all.put(EndpointId(1), Filter::of(&one), true);
        all.remove(EndpointId(1));
        assert!(all.index.is_empty() && all.prefix_lens.is_empty() && !all.contains(EndpointId(1)));
    }

    /// The work of one event, counted in endpoints that are looked at: endpoints that do not match are not.
    #[test]
    fn endpoints_of_other_types_prefixes_and_channels_are_not_looked_at() {
        let others = (1..2_000).map(|id| match id % 3 {
            0 => endpoint(id, &[&format!("t{id}")], &[]),
            1 => endpoint(id, &[&format!("p{id}.*")], &[]),
            _ => endpoint(id, &["a.*"], &[&format!("c{id}")]),
        });
        let all = routes(&others.chain([endpoint(9_000, &["a.*"], &["mine"])]).collect::<Vec<_>>());
        let mut looked_at = 0;
        let event = event(11, "a.b", &["mine"]);
        all.each_match(&event, |_| looked_at += 1);
        assert_eq!(looked_at, 1);
        let candidates = [EVERY, all.channels.get("mine").unwrap()].map(|channel| {
            let pattern = Pattern::Prefix(all.prefixes.get("a.").unwrap());
            all.index.range((pattern, channel, EndpointId(0))..=(pattern, channel, EndpointId(u32::MAX))).count()
        });
        assert_eq!(candidates, [0, 1]);
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_each_filter_by_itself(
            lists in proptest::collection::vec(proptest::collection::vec("[ab]{1,2}(\\.[ab]){0,2}(\\.\\*)?", 0..4), 1..6),
            named in proptest::collection::vec(proptest::collection::vec("[xyz]", 0..3), 6),
            types in proptest::collection::vec(("[ab]{1,2}(\\.[ab]){0,3}\\.?", proptest::collection::vec("[xyz]", 0..3)), 1..10),
            removed in 0u32..6,
        ) {
            let strs = |list: &[String]| list.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
            let endpoints: Vec<Endpoint> = lists.iter().zip(&named).enumerate().map(|(id, (list, channels))| {
                Endpoint { event_types: strs(list), channels: strs(channels), ..endpoint(id as u32, &[], &[]) }
            }).collect();
            let mut all = routes(&endpoints);
            all.remove(EndpointId(removed));
            for (event_type, channels) in &types {
                let event = event(11, event_type, &channels.iter().map(String::as_str).collect::<Vec<_>>());
                let alone: Vec<u32> = endpoints.iter()
                    .filter(|e| e.id.0 != removed && Filter::of(e).matches(&event)).map(|e| e.id.0).collect();
                prop_assert_eq!(matches(&all, &event), alone);
            }
        }
    }
}
