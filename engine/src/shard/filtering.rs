//! The questions of content filters on a shard: about events of an offer, and about events read from the log.
//!
//! An offer is taken on the shard's thread, which all tenants share. So the steps of one turn are bounded: events
//! beyond are not decided there but read from the log, on a thread that may block. A read is bounded too: it ends early
//! and the next one goes on.
//!
//! Pure: the callers add [`Filtering::errors`] to the metrics.

use crate::endpoint::backlog::Wants;
use crate::endpoint::offer::Offer;
use crate::prepare::content::{self, Content, ContentFilter, STEPS_MAX, Verdict, content_of};
use crate::prepare::filter::Filter;
use model::Event;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Steps of the filters in one turn of an endpoint on its shard's thread: some milliseconds at worst.
const STEPS_PER_TURN: u64 = 100_000;

/// Steps of one event on the shard's thread. An event that takes more is read from the log.
const STEPS_PER_EVENT: u64 = 20_000;

/// Steps of one read of the log.
const STEPS_PER_READ: u64 = 1_000_000;

/// The filter of one endpoint, with the steps that it may still take.
pub(super) struct Filtering<'a> {
    filter: &'a Filter,
    /// Bytes of the events that the thread keeps converted.
    converted: Option<&'a Arc<AtomicUsize>>,
    steps_left: u64,
    /// Evaluations that failed.
    pub(super) errors: u64,
}

impl<'a> Filtering<'a> {
    /// For one offer; `converted` counts the bytes of the events that the thread keeps converted.
    pub(super) fn of_offer(filter: &'a Filter, converted: &'a Arc<AtomicUsize>) -> Filtering<'a> {
        Filtering { filter, converted: Some(converted), steps_left: STEPS_PER_TURN, errors: 0 }
    }

    /// For one read of the log.
    pub(super) fn of_read(filter: &'a Filter) -> Filtering<'a> {
        Filtering { filter, converted: None, steps_left: STEPS_PER_READ, errors: 0 }
    }

    /// The answer about an event of an offer, of which the router has said that it is for the endpoint.
    pub(super) fn wants_offered(&mut self, offer: &Offer, index: u32, event: &Event) -> Wants {
        let Some(filter) = self.filter.content_for(event) else { return Wants::Yes };
        let content = match offer.content(index) {
            Some(content) => content,
            None => {
                let steps = content::steps_to_convert(event.payload.len());
                if steps > self.steps_left.min(STEPS_PER_EVENT) {
                    return Wants::Undecided;
                }
                let convert = |converted| offer.convert(index, converted);
                let Some(content) = self.converted.and_then(convert) else { return Wants::Undecided };
                self.steps_left -= steps;
                content
            }
        };
        let steps = filter.steps(content);
        // An event that takes too many steps anywhere is refused by the filter at no cost.
        if steps <= STEPS_MAX && steps > self.steps_left.min(STEPS_PER_EVENT) {
            return Wants::Undecided;
        }
        self.steps_left = self.steps_left.saturating_sub(steps);
        if self.judge(filter, content) { Wants::Yes } else { Wants::No }
    }

    /// The answer about an event of the log; [`Wants::Undecided`] if the read has taken its steps.
    ///
    /// The `first` event of a read is always decided.
    pub(super) fn wants_read(&mut self, event: &Event, first: bool) -> Wants {
        if !self.filter.selects(event) {
            return Wants::No;
        }
        let Some(filter) = self.filter.content_for(event) else { return Wants::Yes };
        if self.steps_left == 0 && !first {
            return Wants::Undecided;
        }
        let content = content_of(event);
        let steps = filter.steps(&content).min(STEPS_MAX);
        let all = steps.saturating_add(content::steps_to_convert(event.payload.len()));
        self.steps_left = self.steps_left.saturating_sub(all);
        if self.judge(filter, &content) { Wants::Yes } else { Wants::No }
    }

    fn judge(&mut self, filter: &ContentFilter, content: &Content) -> bool {
        let verdict = filter.judge(content);
        self.errors += u64::from(matches!(verdict, Verdict::Failed(_)));
        verdict == Verdict::Matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use model::{AppId, Endpoint, EndpointId, EndpointRef, Seq, UnixMs};

    fn event(seq: u64, payload: &str) -> Event {
        Event {
            app: AppId(1),
            seq: Seq(seq),
            accepted_at: UnixMs(1),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::from(payload.to_owned()),
        }
    }

    fn filter(text: &str) -> Filter {
        let row = Endpoint::plain(EndpointRef { app: AppId(1), endpoint: EndpointId(1) }, UnixMs(1));
        Filter::of(&Endpoint { filter: Some(text.to_owned()), ..row })
    }

    #[test]
    fn an_event_is_converted_once_for_all_endpoints_and_given_back_with_its_offer() {
        let events: Arc<[Event]> = Arc::from([event(1, r#"{"n":1}"#), event(2, "{}"), event(3, "")]);
        let (offer, converted) = (Offer::new(events.clone(), Vec::new()), Arc::new(AtomicUsize::new(0)));
        for (text, wanted) in [("payload.n == 1", Wants::Yes), ("payload.n == 2", Wants::No)] {
            let filter = filter(text);
            let mut filtering = Filtering::of_offer(&filter, &converted);
            assert_eq!(filtering.wants_offered(&offer, 0, &events[0]), wanted);
            assert_eq!(filtering.wants_offered(&offer, 1, &events[1]), Wants::No);
            // An expunged event has nothing to be asked about.
            assert_eq!(filtering.wants_offered(&offer, 2, &events[2]), Wants::Yes);
            assert_eq!(filtering.errors, 1);
            assert_eq!(converted.load(std::sync::atomic::Ordering::Relaxed), 9);
        }
        drop(offer);
        assert_eq!(converted.load(std::sync::atomic::Ordering::Relaxed), 0);
    }

    #[test]
    fn an_event_that_takes_too_long_on_the_thread_is_left_to_the_log_and_decided_there() {
        let long = format!(r#"{{"x":[{}]}}"#, vec!["0"; 1_000].join(","));
        let events: Arc<[Event]> = Arc::from([event(1, &long), event(2, &"7".repeat(200_000))]);
        let (offer, converted) = (Offer::new(events.clone(), Vec::new()), Arc::new(AtomicUsize::new(0)));
        let filter = filter("payload.x.all(a, a == 0 && a < 1 && a > -1 && a != 2)");
        let mut filtering = Filtering::of_offer(&filter, &converted);
        assert_eq!(filtering.wants_offered(&offer, 0, &events[0]), Wants::Undecided);
        assert_eq!(filtering.wants_offered(&offer, 1, &events[1]), Wants::Undecided, "too large to convert here");
        let mut filtering = Filtering::of_read(&filter);
        assert_eq!(filtering.wants_read(&events[0], true), Wants::Yes);
        assert_eq!(filtering.wants_read(&events[1], false), Wants::No);
        // A read that has taken its steps ends, but not before its first event.
        filtering.steps_left = 0;
        assert_eq!(filtering.wants_read(&events[0], false), Wants::Undecided);
        assert_eq!(filtering.wants_read(&events[0], true), Wants::Yes);
    }
}
