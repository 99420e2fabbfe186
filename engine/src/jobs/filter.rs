//! The deliveries that a job's filter names. Pure, but for what a caller reads for it.

use crate::delivery_state::DeliveryState;
use crate::prepare::filter::TypePattern;
use model::{DeadLetter, Event, JobFilter};

/// True if a filter names a message by its type, channels, tags and id.
pub(super) fn names_message(filter: &JobFilter, event: &Event) -> bool {
    let types = &filter.event_types;
    let has_channel = |named: &String| event.channels.iter().any(|channel| **channel == **named);
    (types.is_empty() || types.iter().any(|text| TypePattern::of(text).matches(&event.event_type)))
        && (filter.channels.is_empty() || filter.channels.iter().any(has_channel))
        && filter.event_id.as_ref().is_none_or(|named| event.event_id.as_deref() == Some(named.as_str()))
        && (filter.tags.is_empty() || filter.tags.iter().any(|named| event.tags().contains(named)))
}

/// True if it names anything of the message: else the message need not be read.
pub(super) fn asks_for_message(filter: &JobFilter) -> bool {
    let is_bare = filter.event_types.is_empty() && filter.channels.is_empty() && filter.tags.is_empty();
    !is_bare || filter.event_id.is_some()
}

/// True if a filter names a dead letter by its reason, its time and its last answer.
pub(super) fn names_letter(filter: &JobFilter, letter: &DeadLetter) -> bool {
    (filter.reasons.is_empty() || filter.reasons.contains(&letter.reason))
        && filter.given_up.is_none_or(|span| span.since <= letter.at && letter.at <= span.until)
        && filter.status_class.is_none_or(|class| class_of(letter.last_status) == class)
}

/// True if a filter names a delivery by its standing, as the list of its endpoint shows it.
pub(super) fn names_state(filter: &JobFilter, state: &DeliveryState) -> bool {
    filter.status.is_none_or(|wanted| state.status().is_some_and(|status| status.plain() == wanted.plain()))
}

/// The status of an answer in hundreds; 0 for none.
pub(super) fn class_of(status: u16) -> u16 {
    status / 100 * 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AppId, DeadLetterReason, DeliveryStatus, EventMore, Seq, Span, UnixMs};
    use std::sync::Arc;

    fn event(event_type: &str, channels: &[&str], tags: &[&str]) -> Event {
        let more = EventMore { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..EventMore::default() };
        Event {
            app: AppId(1),
            seq: Seq(1),
            accepted_at: UnixMs(1),
            event_type: event_type.into(),
            event_id: None,
            channels: channels.iter().map(|channel| (*channel).into()).collect(),
            only_for: None,
            more: Some(Arc::new(more)),
            payload: "{}".into(),
        }
    }

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_message_passes_every_part_that_is_set() {
        let filter = JobFilter {
            event_types: texts(&["a.b", "c.*"]),
            channels: texts(&["x"]),
            tags: texts(&["t", "u"]),
            ..JobFilter::default()
        };
        assert!(names_message(&filter, &event("a.b", &["w", "x"], &["u"])));
        assert!(names_message(&filter, &event("c.d", &["x"], &["t"])));
        for (event_type, channels, tags) in [("a.c", "x", "t"), ("a.b", "y", "t"), ("a.b", "x", "v")] {
            assert!(!names_message(&filter, &event(event_type, &[channels], &[tags])));
        }
        assert!(names_message(&JobFilter::default(), &event("any", &[], &[])));
        assert!(asks_for_message(&filter) && !asks_for_message(&JobFilter::default()));
    }

    #[test]
    fn a_letter_is_named_by_reason_time_and_answer() {
        let letter = DeadLetter {
            at: UnixMs(50),
            attempts: 1,
            reason: DeadLetterReason::Rejected,
            last_outcome: None,
            last_status: 404,
        };
        let span = |since, until| Some(Span { since: UnixMs(since), until: UnixMs(until) });
        let named = |filter: JobFilter| names_letter(&filter, &letter);
        assert!(named(JobFilter { reasons: vec![DeadLetterReason::Rejected], ..JobFilter::default() }));
        assert!(!named(JobFilter { reasons: vec![DeadLetterReason::Gone], ..JobFilter::default() }));
        assert!(named(JobFilter { given_up: span(50, 50), ..JobFilter::default() }));
        assert!(!named(JobFilter { given_up: span(51, 90), ..JobFilter::default() }));
        assert!(!named(JobFilter { given_up: span(0, 49), ..JobFilter::default() }));
        assert!(named(JobFilter { status_class: Some(400), ..JobFilter::default() }));
        assert!(!named(JobFilter { status_class: Some(0), ..JobFilter::default() }));
    }

    #[test]
    fn a_state_is_named_by_the_status_that_the_list_shows() {
        let by = |status| JobFilter { status: Some(status), ..JobFilter::default() };
        assert!(names_state(&by(DeliveryStatus::Success), &DeliveryState::Delivered));
        assert!(names_state(&by(DeliveryStatus::Sending), &DeliveryState::Queued));
        assert!(!names_state(&by(DeliveryStatus::Success), &DeliveryState::Queued));
        assert!(!names_state(&by(DeliveryStatus::Fail), &DeliveryState::NotMatched), "the list does not show it");
        assert!(names_state(&JobFilter::default(), &DeliveryState::NotMatched));
    }
}
