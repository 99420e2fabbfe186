//! The decision as a table, and the stories behind it over rows.

use super::*;
use bytes::Bytes;
use model::{AppId, AttemptRecord, DeadLetterReason, Disabled, EndpointId, Trigger};
use std::sync::Arc;
use storage::store::MemoryStore;
use storage::tables::endpoint;
use storage::tables::history::LastRuns;
use storage::tables::log;
use storage::{Store, Txn};

const TARGET: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };

fn pending() -> Pending {
    Pending { attempts: 1, due: UnixMs(9), last_outcome: None, trigger: Trigger::Manual }
}

fn letter() -> DeadLetter {
    let reason = DeadLetterReason::EndpointDisabled;
    DeadLetter { at: UnixMs(1), attempts: 0, reason, last_outcome: None, last_status: 0 }
}

/// Of a message that is scheduled.
fn first_attempt() -> Pending {
    Pending { attempts: 0, due: UnixMs(90), last_outcome: None, trigger: Trigger::Scheduled }
}

/// Passed, with no trace.
fn facts() -> Facts {
    Facts {
        pending: None,
        letter: None,
        tried: Tried::No,
        passed: true,
        gap: None,
        forgotten: false,
        will_be_sent: true,
        expunged: None,
        schedule: None,
    }
}

#[test]
fn every_combination_of_facts_has_one_standing() {
    let (off, gone) = (DisabledReason::Operator, Some(UnixMs(7)));
    let (at, off_schedule) = (Some(Schedule::At(UnixMs(90))), Some(Schedule::CalledOff));
    let (tried, waits) = (Tried::Failed, DeliveryState::Waiting(pending()));
    let table = [
        (facts(), DeliveryState::NotMatched),
        (Facts { schedule: at, ..facts() }, DeliveryState::Waiting(first_attempt())),
        (Facts { schedule: at, will_be_sent: false, ..facts() }, DeliveryState::NotMatched),
        (Facts { schedule: at, expunged: gone, ..facts() }, expunged(UnixMs(90), 0)),
        (Facts { schedule: at, tried: Tried::Succeeded, ..facts() }, DeliveryState::Delivered),
        (Facts { schedule: off_schedule, ..facts() }, DeliveryState::CalledOff),
        (Facts { schedule: off_schedule, letter: Some(letter()), ..facts() }, DeliveryState::DeadLettered(letter())),
        (Facts { forgotten: true, ..facts() }, DeliveryState::HistoryGone),
        (Facts { passed: false, ..facts() }, DeliveryState::Queued),
        (Facts { passed: false, forgotten: true, ..facts() }, DeliveryState::Queued),
        (Facts { passed: false, will_be_sent: false, ..facts() }, DeliveryState::NotMatched),
        (Facts { passed: false, will_be_sent: false, forgotten: true, ..facts() }, DeliveryState::NotMatched),
        (Facts { gap: Some((off, true)), ..facts() }, DeliveryState::Cancelled(off)),
        (Facts { gap: Some((off, true)), passed: false, ..facts() }, DeliveryState::Cancelled(off)),
        (Facts { gap: Some((off, false)), passed: false, ..facts() }, DeliveryState::NotMatched),
        (Facts { gap: Some((off, true)), forgotten: true, ..facts() }, DeliveryState::HistoryGone),
        (Facts { tried, ..facts() }, DeliveryState::Discarded),
        (Facts { tried, gap: Some((off, true)), forgotten: true, ..facts() }, DeliveryState::Discarded),
        (Facts { tried, letter: Some(letter()), ..facts() }, DeliveryState::DeadLettered(letter())),
        (Facts { letter: Some(letter()), gap: Some((off, true)), ..facts() }, DeliveryState::DeadLettered(letter())),
        (Facts { tried: Tried::Succeeded, letter: Some(letter()), ..facts() }, DeliveryState::Delivered),
        (Facts { tried: Tried::Succeeded, pending: Some(pending()), ..facts() }, waits.clone()),
        (Facts { pending: Some(pending()), letter: Some(letter()), passed: false, ..facts() }, waits),
        (Facts { expunged: gone, ..facts() }, DeliveryState::HistoryGone),
        (Facts { expunged: gone, passed: false, ..facts() }, expunged(UnixMs(7), 0)),
        (Facts { expunged: gone, pending: Some(pending()), ..facts() }, expunged(UnixMs(9), 1)),
        (Facts { expunged: gone, tried: Tried::Succeeded, ..facts() }, DeliveryState::Delivered),
    ];
    for (facts, expected) in table {
        assert_eq!(decide(facts.clone()), expected, "{facts:?}");
    }
}

#[derive(Default)]
struct World(MemoryStore);

impl World {
    fn write(&self, work: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) {
        let mut txn = Txn::new(&self.0);
        work(&mut txn).unwrap();
        self.0.apply(txn.into_parts().batch).unwrap();
    }

    /// The endpoint with this filter.
    fn endpoint(&self, types: &[&str], channels: &[&str], off: bool) {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let before = endpoint::get(&self.0, TARGET).unwrap();
        let row = before.unwrap_or_else(|| Endpoint::plain(TARGET, UnixMs(1)));
        let disabled = off.then_some(Disabled { at: UnixMs(1), reason: DisabledReason::Operator });
        let row = Endpoint { event_types: texts(types), channels: texts(channels), disabled, ..row };
        self.write(|txn| endpoint::put(txn, &row));
    }

    /// An event, which everybody has passed unless `ahead`.
    fn event(&self, seq: u64, event_type: &str, channel: Option<&str>, ahead: bool) -> Event {
        let event = Event {
            app: TARGET.app,
            seq: Seq(seq),
            accepted_at: UnixMs(seq * 10),
            event_type: Arc::from(event_type),
            event_id: None,
            channels: channel.into_iter().map(Arc::from).collect(),
            only_for: None,
            more: None,
            payload: Bytes::from_static(b"{}"),
        };
        self.write(|txn| {
            log::append(txn, TARGET.app, std::slice::from_ref(&event))?;
            if !ahead {
                delivery::put_routed(txn, TARGET.app, event.seq);
            }
            Ok(())
        });
        event
    }

    fn state(&self, event: &Event) -> DeliveryState {
        let row = endpoint::get(&self.0, TARGET).unwrap().unwrap();
        delivery_state(&self.0, &row, event).unwrap()
    }

    fn tried(&self, event: &Event, outcome: OutcomeClass) {
        let record = AttemptRecord {
            seq: event.seq,
            started_at: event.accepted_at.plus_ms(1),
            duration_ms: 1,
            attempt: 1,
            trigger: Trigger::Scheduled,
            outcome,
            status: 0,
            response: Vec::new(),
            next_attempt_at: None,
            note: None,
            url_number: 0,
            details: None,
        };
        self.write(|txn| history::put_first(txn, &mut LastRuns::default(), TARGET, vec![record]));
    }
}

#[test]
fn a_filter_that_is_widened_says_nothing_about_what_was_passed() {
    let world = World::default();
    world.endpoint(&["a"], &["north"], false);
    let (other_type, other_channel) =
        (world.event(1, "b", Some("north"), false), world.event(2, "a", Some("south"), false));
    world.endpoint(&["a", "b"], &["north", "south"], false);
    assert_eq!(world.state(&other_type), DeliveryState::NotMatched);
    assert_eq!(world.state(&other_channel), DeliveryState::NotMatched);
    let ahead = world.event(3, "b", Some("south"), true);
    assert_eq!(world.state(&ahead), DeliveryState::Queued);
}

#[test]
fn a_filter_that_is_narrowed_takes_nothing_back() {
    let world = World::default();
    world.endpoint(&[], &[], false);
    let (delivered, failed) = (world.event(1, "a", None, false), world.event(2, "a", None, false));
    world.tried(&delivered, OutcomeClass::Success);
    world.tried(&failed, OutcomeClass::ServerError);
    world.endpoint(&["b"], &[], false);
    assert_eq!(world.state(&delivered), DeliveryState::Delivered);
    assert_eq!(world.state(&failed), DeliveryState::Discarded, "its dead letter was deleted");
    let ahead = world.event(3, "a", None, true);
    assert_eq!(world.state(&ahead), DeliveryState::NotMatched);
}

#[test]
fn a_hole_of_the_cursor_is_ahead_and_what_lies_around_it_is_passed() {
    let world = World::default();
    world.endpoint(&[], &[], false);
    let events: Vec<Event> = (1..=4).map(|seq| world.event(seq, "a", None, false)).collect();
    let cursor = Cursor { upto: Seq(3), holes: vec![Seq(2)] };
    world.write(|txn| {
        delivery::put_cursor(txn, TARGET, &cursor);
        Ok(())
    });
    let states: Vec<DeliveryState> = events.iter().map(|event| world.state(event)).collect();
    let (passed, ahead) = (DeliveryState::NotMatched, DeliveryState::Queued);
    assert_eq!(states, [passed.clone(), ahead.clone(), passed, ahead]);
}

#[test]
fn what_passed_a_disabled_endpoint_is_cancelled_if_it_was_wanted_then() {
    let world = World::default();
    world.endpoint(&["a"], &[], true);
    let (wanted, unwanted) = (world.event(1, "a", None, false), world.event(2, "b", None, false));
    world.endpoint(&["b"], &[], true);
    let later = world.event(3, "b", None, false);
    world.endpoint(&["b", "c"], &[], false);
    let enabled = world.event(4, "b", None, true);
    for filter in [&["b", "c"][..], &["d"]] {
        world.endpoint(filter, &[], false);
        assert_eq!(world.state(&wanted), DeliveryState::Cancelled(DisabledReason::Operator));
        assert_eq!(world.state(&unwanted), DeliveryState::NotMatched);
        assert_eq!(world.state(&later), DeliveryState::Cancelled(DisabledReason::Operator));
    }
    assert_eq!(world.state(&enabled), DeliveryState::NotMatched, "the last filter does not want it");
    world.endpoint(&["b"], &[], false);
    assert_eq!(world.state(&enabled), DeliveryState::Queued);
}

#[test]
fn an_event_from_before_the_endpoint_was_never_for_it() {
    for off in [false, true] {
        let world = World::default();
        let routed = world.event(1, "a", None, false);
        let not_yet = world.event(2, "a", None, true);
        world.endpoint(&[], &[], off);
        assert_eq!(world.state(&routed), DeliveryState::NotMatched);
        assert_eq!(world.state(&not_yet), DeliveryState::NotMatched, "off: {off}");
    }
}

#[test]
fn once_attempts_of_its_time_are_forgotten_nothing_is_claimed() {
    let world = World::default();
    world.endpoint(&[], &[], false);
    let (old, young) = (world.event(1, "a", None, false), world.event(2, "a", None, false));
    world.tried(&old, OutcomeClass::Success);
    world.tried(&young, OutcomeClass::Success);
    world.write(|txn| {
        history::forget(txn, TARGET, UnixMs(15), Seq::ZERO, 10)?;
        retained::note_attempts_forgotten(txn, UnixMs(15))
    });
    assert_eq!((world.state(&old), world.state(&young)), (DeliveryState::HistoryGone, DeliveryState::Delivered));
    world.write(|txn| retained::note_attempts_forgotten(txn, UnixMs(5)));
    assert_eq!(world.state(&old), DeliveryState::HistoryGone, "the mark never goes back");
}

#[test]
fn a_resend_shows_as_waiting_whatever_there_was_before() {
    let world = World::default();
    world.endpoint(&["a"], &[], false);
    let (delivered, unmatched) = (world.event(1, "a", None, false), world.event(2, "b", None, false));
    world.tried(&delivered, OutcomeClass::Success);
    for event in [&delivered, &unmatched] {
        world.write(|txn| delivery::requeue(txn, TARGET, event.seq, UnixMs(99)));
        assert!(matches!(world.state(event), DeliveryState::Waiting(row) if row.attempts == 0));
    }
    // The first was given up this time, the second too and its dead letter made room for another one.
    for (event, kept) in [(&delivered, true), (&unmatched, false)] {
        world.write(|txn| {
            delivery::remove_pending(txn, TARGET, event.seq, UnixMs(99));
            if kept { dead_letter::put(txn, TARGET, event.seq, &letter()) } else { Ok(()) }
        });
    }
    assert_eq!(world.state(&delivered), DeliveryState::Delivered);
    assert_eq!(world.state(&unmatched), DeliveryState::NotMatched);
}
