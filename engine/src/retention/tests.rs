//! Retention against a model: random applications, ages, sizes and endpoints, whole rounds of it, on a store in memory.
//!
//! Each round is checked for three facts. Nothing within its limits went. All that was past them did. Every delivery
//! that had not ended ends in a dead letter or in the note of its endpoint.

mod limits;

use self::limits::{HOUR, KEEP};
use super::pass::{self, Pass};
use super::relief::{self, Relief};
use super::step::Tally;
use super::*;
use bytes::Bytes;
use model::{
    AppId, AttemptRecord, Cursor, DeadLetter, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Event, Job, JobKind,
    JobStatus, OutcomeClass, Pending, Seq, Trigger,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use storage::rows::idempotency::Remembered;
use storage::rows::meta::Retained;
use storage::store::MemoryStore;
use storage::tables::history::{self, LastRuns};
use storage::tables::{dead_letter, delivery, endpoint, event_uid, idempotency, job, log, retained};
use storage::{Collected, Direction, Store, StoreError, Txn};

fn target(app: u32, endpoint: u32) -> EndpointRef {
    EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
}

/// A store, and by how much what is retained has grown.
#[derive(Default)]
struct World {
    store: MemoryStore,
    retained: Retained,
}

impl World {
    fn write<T>(&mut self, work: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError>) -> T {
        let mut txn = Txn::new(&self.store);
        let result = work(&mut txn).unwrap();
        let Collected { batch, growth, .. } = txn.into_parts();
        self.retained = self.retained.grown(growth.events, growth.attempts);
        self.store.apply(batch).unwrap();
        result
    }

    /// Events of one application, a commit each run of `at`, and up to where they are routed.
    fn push(&mut self, app: u32, events: &[(u64, usize)]) {
        let from = log::head(&self.store, AppId(app)).unwrap().0;
        for (index, (at, bytes)) in events.iter().enumerate() {
            let seq = from + index as u64 + 1;
            self.write(|txn| {
                log::append(txn, AppId(app), &[event(app, seq, *at, *bytes)])?;
                event_uid::put(txn, AppId(app), &format!("name {seq}"), Seq(seq))?;
                delivery::put_routed(txn, AppId(app), Seq(seq));
                Ok(())
            });
        }
    }

    /// A whole pass; answers what it did and in how many steps.
    fn pass(&mut self, limits: Limits, now: u64) -> (Tally, usize) {
        let cutoffs = limits.cutoffs(UnixMs(now));
        let mut pass = Pass::new(cutoffs, UnixMs(now));
        let (mut done, mut steps) = (Tally::default(), 0);
        loop {
            match pass.next(&self.store, 7).unwrap() {
                pass::Found::Step(step) => {
                    steps += 1;
                    assert!(steps < 10_000, "it goes on and on: {step:?}");
                    done.add(&self.write(|txn| step.run(txn, &cutoffs, UnixMs(now))));
                }
                pass::Found::Nothing => {}
                pass::Found::End => return (done, steps),
            }
        }
    }

    fn relieve(&mut self, limits: Limits) -> u64 {
        let mut relief = Relief::new(limits.excess(self.retained));
        let (cutoffs, mut removed) = (limits.cutoffs(UnixMs::ZERO), 0);
        loop {
            match relief.next(&self.store, 3).unwrap() {
                relief::Found::Step(step) => {
                    let tally = self.write(|txn| step.run(txn, &cutoffs, UnixMs::ZERO));
                    relief.removed(tally.event_bytes);
                    removed += tally.event_bytes;
                }
                relief::Found::Nothing => {}
                relief::Found::End => return removed,
            }
        }
    }

    fn kept(&self, app: u32) -> Vec<u64> {
        let events = log::read_after(&self.store, AppId(app), Seq::ZERO, 10_000, usize::MAX).unwrap();
        events.iter().map(|event| event.seq.0).collect()
    }

    /// Rows of what is retained, counted anew.
    fn recounted(&self) -> Retained {
        let rows = Store::scan(&self.store, &[16], &[27], usize::MAX, Direction::Forward).unwrap();
        let sum = |kinds: &[u8]| {
            let of = rows.iter().filter(|(key, _)| kinds.contains(&key[0]));
            of.map(|(key, value)| (key.len() + value.len()) as u64).sum()
        };
        Retained { events: sum(&[16, 17, 18]), attempts: sum(&[24, 25, 26]) }
    }
}

fn event(app: u32, seq: u64, at: u64, bytes: usize) -> Event {
    Event {
        app: AppId(app),
        seq: Seq(seq),
        accepted_at: UnixMs(at),
        event_type: Arc::from("invoice.paid"),
        event_id: Some(Arc::from(format!("name {seq}"))),
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from(vec![7; bytes]),
    }
}

fn attempt(seq: u64, at: u64) -> AttemptRecord {
    AttemptRecord {
        seq: Seq(seq),
        started_at: UnixMs(at),
        duration_ms: 1,
        attempt: 1,
        trigger: Trigger::Scheduled,
        outcome: OutcomeClass::ServerError,
        status: 500,
        response: b"no".to_vec(),
        next_attempt_at: None,
        note: None,
        url_number: 0,
        details: None,
    }
}

fn waiting(due: u64) -> Pending {
    Pending { attempts: 3, due: UnixMs(due), last_outcome: Some(OutcomeClass::Timeout), trigger: Trigger::Scheduled }
}

fn letter(at: u64) -> DeadLetter {
    DeadLetter {
        at: UnixMs(at),
        attempts: 8,
        reason: DeadLetterReason::AttemptsExhausted,
        last_outcome: None,
        last_status: 0,
    }
}

/// History of one application: events by the time that passes before each, and their sizes.
fn histories() -> impl Strategy<Value = Vec<Vec<(u64, usize)>>> {
    let size = prop_oneof![8 => 0usize..2_000, 1 => 8_000usize..30_000];
    vec(vec((0u64..HOUR, size), 0..40), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_past_its_limit_goes_and_nothing_else_and_no_delivery_without_a_trace(
        histories in histories(),
        pending in vec((any::<prop::sample::Index>(), any::<bool>()), 0..12),
        letters in vec((any::<prop::sample::Index>(), 0u64..40 * HOUR), 0..12),
        later in 0u64..30 * HOUR,
    ) {
        let mut world = World::default();
        let mut now = 100 * HOUR;
        for (app, history) in (1u32..).zip(&histories) {
            let mut at = 80 * HOUR;
            let events: Vec<(u64, usize)> = history.iter().map(|(gap, bytes)| { at += gap; (at, *bytes) }).collect();
            now = now.max(at);
            world.push(app, &events);
            for (seq, (at, _)) in (1u64..).zip(&events) {
                let first = vec![attempt(seq, at + 5)];
                world.write(|txn| history::put_first(txn, &mut LastRuns::default(), target(app, 1), first));
                if seq % 3 == 0 {
                    world.write(|txn| history::put_later(txn, target(app, 2), attempt(seq, at + HOUR)));
                }
            }
            if events.is_empty() {
                continue;
            }
            for (index, big) in &pending {
                let seq = Seq(index.index(events.len()) as u64 + 1);
                let endpoint = target(app, if *big { 1 } else { 2 });
                if delivery::pending(&world.store, endpoint, seq).unwrap().is_none() {
                    world.write(|txn| { delivery::put_pending(txn, endpoint, seq, None, &waiting(now)); Ok(()) });
                }
            }
            for (index, ago) in &letters {
                let seq = Seq(index.index(events.len()) as u64 + 1);
                world.write(|txn| dead_letter::put(txn, target(app, 3), seq, &letter(now - ago)));
            }
        }
        prop_assert_eq!(world.retained, world.recounted());
        for now in [now, now + later] {
            let before: Vec<Vec<u64>> = (1..=histories.len() as u32).map(|app| world.kept(app)).collect();
            let bound = histories.iter().map(Vec::len).sum::<usize>() * 4 + 30;
            let (done, steps) = world.pass(KEEP, now);
            prop_assert!(steps <= bound, "{} steps", steps);
            prop_assert_eq!(world.retained, world.recounted(), "the sum of bytes is off");
            let mut gone = 0;
            for (app, history) in (1u32..).zip(&histories) {
                let mut at = 80 * HOUR;
                let times: Vec<u64> = history.iter().map(|(gap, _)| { at += gap; at }).collect();
                let young = |kept: u64, at: u64| at + kept >= now;
                let expected: Vec<u64> =
                    (1u64..).zip(&times).filter(|(_, at)| young(KEEP.events_ms, **at)).map(|(seq, _)| seq).collect();
                prop_assert_eq!(&world.kept(app), &expected);
                gone += before[app as usize - 1].len() - expected.len();
                prop_assert_eq!(log::head(&world.store, AppId(app)).unwrap(), Seq(times.len() as u64));
                let begin = log::begin(&world.store, AppId(app)).unwrap();
                for (seq, at) in (1u64..).zip(&times) {
                    let named = event_uid::get(&world.store, AppId(app), &format!("name {seq}")).unwrap();
                    prop_assert_eq!(named.is_some(), seq >= begin.0);
                    // Every attempt goes with its event or at its age; a run may keep a few for those behind them.
                    let first = history::of_message(&world.store, target(app, 1), Seq(seq)).unwrap();
                    let is_kept = seq >= begin.0 && young(KEEP.attempts_ms, at + 5);
                    prop_assert_eq!(!first.is_empty(), is_kept, "first attempt of {}", seq);
                    let second = history::of_message(&world.store, target(app, 2), Seq(seq)).unwrap();
                    let is_kept = seq.is_multiple_of(3) && seq >= begin.0 && young(KEEP.attempts_ms, at + HOUR);
                    prop_assert_eq!(!second.is_empty(), is_kept, "second attempt of {}", seq);
                    for (index, big) in &pending {
                        if index.index(times.len()) as u64 + 1 != seq {
                            continue;
                        }
                        let endpoint = target(app, if *big { 1 } else { 2 });
                        let row = delivery::pending(&world.store, endpoint, Seq(seq)).unwrap();
                        let letter = dead_letter::get(&world.store, endpoint, Seq(seq)).unwrap();
                        prop_assert_eq!(row.is_some(), seq >= begin.0);
                        // Given up in this round, or in the one before and forgotten at its age.
                        let forgotten = later > KEEP.dead_letters_ms;
                        prop_assert!(row.is_some() || letter.is_some() || forgotten, "{} is lost", seq);
                        if let Some(letter) = letter {
                            prop_assert_eq!(letter.reason, DeadLetterReason::Expired);
                            prop_assert_eq!((letter.attempts, letter.last_outcome), (3, Some(OutcomeClass::Timeout)));
                        }
                    }
                }
                for (seq, letter) in dead_letter::list(&world.store, target(app, 3), None, 99, Direction::Forward).unwrap() {
                    prop_assert!(young(KEEP.dead_letters_ms, letter.at.0), "the dead letter of {} is too old", seq);
                }
            }
            prop_assert_eq!(done.events, gone as u64);
            let (again, steps) = world.pass(KEEP, now);
            prop_assert_eq!((again, steps), (Tally::default(), 0), "a second pass finds nothing");
        }
    }

    #[test]
    fn too_many_bytes_take_the_oldest_whoever_they_belong_to_and_no_more(
        histories in histories(), limit in 1u64..200_000,
    ) {
        let mut world = World::default();
        for (app, history) in (1u32..).zip(&histories) {
            let mut at = 0;
            let events: Vec<(u64, usize)> = history.iter().map(|(gap, bytes)| { at += gap; (at, *bytes) }).collect();
            world.push(app, &events);
        }
        let limits = Limits { bytes: limit, ..KEEP };
        let excess = limits.excess(world.retained);
        let largest = 31_000;
        let removed = world.relieve(limits);
        prop_assert_eq!(world.retained, world.recounted());
        prop_assert!(world.retained.total() <= limit || world.retained.events == 0);
        // At most a step too much: its rows are reckoned at 8 KiB each.
        prop_assert!(removed <= excess.saturating_add((excess / 8_192 + 1) * largest));
        prop_assert_eq!(world.relieve(limits), 0);
    }

    #[test]
    fn the_clock_of_retention_is_never_ahead_and_never_fast(
        noted in proptest::option::of(0u64..1_000_000), now in 0u64..1_000_000, passes in vec(0u64..50_000, 1..20),
    ) {
        let mut clock = RetentionClock::resume(noted.map(UnixMs), UnixMs(now));
        let (mut now, mut before) = (now, clock.time);
        for passed in passes {
            now += passed;
            let time = clock.advance(UnixMs(now));
            prop_assert!(time <= UnixMs(now) && time >= before);
            prop_assert!(time.since_ms(before) <= passed * CATCH_UP);
            // It gains on the clock by as much as passes, until it is there.
            prop_assert!(time == UnixMs(now) || time.since_ms(before) == passed * CATCH_UP);
            before = time;
        }
    }

    #[test]
    fn the_oldest_come_first_and_an_unknown_older_one_stops_them(
        apps in vec(0u64..50, 0..30), capacity in 1usize..8,
    ) {
        let mut oldest = OldestFirst::new(capacity);
        for (app, at) in (0u32..).zip(&apps) {
            oldest.offer(UnixMs(*at), AppId(app));
        }
        let mut sorted = apps.clone();
        sorted.sort_unstable();
        let popped: Vec<u64> =
            std::iter::from_fn(|| oldest.pop()).map(|app| apps[app.0 as usize]).collect();
        prop_assert_eq!(&popped[..], &sorted[..popped.len()]);
        prop_assert_eq!(popped.len(), capacity.min(apps.len()));
    }
}

#[test]
fn a_jump_of_the_wall_clock_wipes_out_nothing() {
    let mut world = World::default();
    world.push(1, &[(100 * HOUR, 10)]);
    let limits = Limits { events_ms: HOUR, ..KEEP };
    // Noted just before a restart; the wall then says that a year has passed.
    let year = 365 * 24 * HOUR;
    let mut clock = RetentionClock::resume(Some(UnixMs(100 * HOUR)), UnixMs(100 * HOUR + year));
    let cutoffs = |clock: &mut RetentionClock, after| clock.advance(UnixMs(100 * HOUR + year + after)).0;
    world.pass(limits, cutoffs(&mut clock, HOUR / 2));
    assert_eq!(world.kept(1), [1], "kept for half of its time at least");
    world.pass(limits, cutoffs(&mut clock, HOUR));
    assert_eq!(world.kept(1), [0; 0]);
    // Back by an hour: the past is where it was.
    let mut back = RetentionClock::resume(Some(UnixMs(200 * HOUR)), UnixMs(199 * HOUR));
    assert_eq!(back.advance(UnixMs(199 * HOUR + 5)), UnixMs(199 * HOUR + 5));
}

#[test]
fn events_stamped_by_a_clock_that_was_ahead_hold_those_behind_them_up_for_a_while_only() {
    let mut world = World::default();
    let ahead: Vec<(u64, usize)> = (0..20).map(|_| (900 * HOUR, 10)).collect();
    world.push(1, &ahead);
    let then: Vec<(u64, usize)> = (0..200).map(|n| (100 * HOUR + n, 10)).collect();
    world.push(1, &then);
    world.pass(KEEP, 111 * HOUR);
    assert_eq!(world.kept(1), [0; 0]);
    assert_eq!(log::head(&world.store, AppId(1)).unwrap(), Seq(220));
}

#[test]
fn nothing_beyond_what_is_routed_goes() {
    let mut world = World::default();
    world.push(1, &[(1, 10), (2, 10)]);
    world.write(|txn| {
        delivery::put_routed(txn, AppId(1), Seq(1));
        Ok(())
    });
    world.pass(KEEP, 900 * HOUR);
    assert_eq!(world.kept(1), [2]);
    world.relieve(Limits { bytes: 1, ..KEEP });
    assert_eq!(world.kept(1), [2]);
}

#[test]
fn keys_jobs_gaps_and_notes_go_at_their_time() {
    let mut world = World::default();
    world.push(1, &[(80 * HOUR, 1), (99 * HOUR, 1)]);
    let cursor = Cursor { upto: Seq(1), holes: Vec::new() };
    world.write(|txn| {
        let fingerprint = [0; 16];
        for (key, expires_at) in [("old", 99 * HOUR), ("young", 101 * HOUR)] {
            let row = Remembered { seq: Seq(1), accepted_at: UnixMs(1), fingerprint, expires_at: UnixMs(expires_at) };
            assert!(idempotency::find(txn, AppId(1), key)?.remember(txn, &row, 9)?);
        }
        for (number, status, updated_at) in
            [(1, JobStatus::Running, 1), (2, JobStatus::Finished, 1), (3, JobStatus::Finished, 99 * HOUR)]
        {
            job::put(txn, &finished(number, status, updated_at))?;
        }
        let reason = model::DisabledReason::Operator;
        delivery::put_gap(txn, target(1, 1), Seq(1), &model::Gap { last: Some(Seq(1)), reason, wanted: None });
        delivery::put_gap(txn, target(1, 2), Seq(1), &model::Gap { last: Some(Seq(2)), reason, wanted: None });
        delivery::put_gap(txn, target(1, 3), Seq(1), &model::Gap { last: None, reason, wanted: None });
        delivery::add_expired(txn, target(1, 1), model::Expired::range(Seq(1), Seq(9), UnixMs(1)))?;
        delivery::add_expired(txn, target(1, 2), model::Expired::range(Seq(1), Seq(9), UnixMs(99 * HOUR)))?;
        delivery::put_cursor(txn, target(1, 9), &cursor);
        Ok(())
    });
    let (done, _) = world.pass(KEEP, 100 * HOUR);
    assert_eq!(done.swept, [0, 1, 1, 1, 1, 0, 0, 0]);
    let read = &world.store;
    assert!(idempotency::find(read, AppId(1), "young").unwrap().row(UnixMs(100 * HOUR)).is_some());
    let jobs = job::list(read, None, 9, Direction::Forward).unwrap();
    assert_eq!(jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [1, 3]);
    let gap = |endpoint| delivery::gap_before(read, target(1, endpoint), Seq(9)).unwrap().is_some();
    assert_eq!([gap(1), gap(2), gap(3)], [false, true, true]);
    assert!(delivery::expired(read, target(1, 1)).unwrap().is_none());
    assert_eq!(delivery::expired(read, target(1, 2)).unwrap().unwrap().positions, 9);
    assert_eq!(delivery::cursor(read, target(1, 9)).unwrap(), Some(cursor), "where an endpoint stands is not ours");
    assert_eq!(retained::clock(read).unwrap(), None);
}

#[test]
fn dead_letters_go_by_the_days_of_their_endpoint_in_bounded_steps() {
    const DAY: u64 = 24 * HOUR;
    let (mut world, now) = (World::default(), 100 * DAY);
    for (endpoint, days) in [(1, Some(2)), (2, None), (3, Some(90))] {
        let row = Endpoint { dead_letter_retention_days: days, ..Endpoint::plain(target(1, endpoint), UnixMs(1)) };
        world.write(|txn| endpoint::put(txn, &row));
        for seq in 1..=600 {
            let at = if seq <= 500 { now - 3 * DAY } else { now - DAY };
            world.write(|txn| dead_letter::put(txn, target(1, endpoint), Seq(seq), &letter(at)));
        }
    }
    let left = |world: &World| [1, 2, 3].map(|id| dead_letter::count_upto(&world.store, target(1, id), 1_000).unwrap());
    let (done, steps) = world.pass(Limits::NONE, now);
    assert_eq!((done.swept[Sweep::DeadLetters as usize], left(&world)), (500, [100, 600, 600]));
    assert_eq!(steps, 2, "each of a page, and pages without anything to remove are no steps");
    // The server's limit holds for those alone who set nothing.
    let (done, _) = world.pass(Limits { dead_letters_ms: DAY / 2, ..Limits::NONE }, now);
    assert_eq!((done.swept[Sweep::DeadLetters as usize], left(&world)), (600, [100, 0, 600]));
}

fn finished(number: u32, status: JobStatus, updated_at: u64) -> Job {
    let new = Job::new(number, target(1, 1), JobKind::PurgeApplication, (Seq::ZERO, Seq::MAX), UnixMs(1));
    Job { status, updated_at: UnixMs(updated_at), ..new }
}

#[test]
fn without_limits_nothing_ever_goes() {
    let mut world = World::default();
    world.push(1, &[(1, 10), (2, 9_000)]);
    world.write(|txn| dead_letter::put(txn, target(1, 1), Seq(1), &letter(1)));
    assert_eq!(world.pass(Limits::NONE, u64::MAX), (Tally::default(), 0));
    assert_eq!(Limits::NONE.excess(world.retained), 0);
}

#[test]
fn the_share_of_attempts_is_left_to_them() {
    let limits = Limits { bytes: 1_000, ..KEEP };
    assert_eq!(limits.excess(Retained { events: 1_000, attempts: 1_000 }), 500);
    assert_eq!(limits.excess(Retained { events: 0, attempts: 5_000 }), 0);
    assert_eq!(limits.excess(Retained { events: 999, attempts: 1 }), 0);
}

#[test]
fn pauses_leave_the_writer_to_others() {
    assert_eq!((pause_ms(0, false), pause_ms(10, false), pause_ms(100_000, false)), (1, 40, 2_000));
    assert_eq!(pause_ms(10, true), 1);
    let [calm, much, relieved] = [(false, true), (true, false), (true, true)];
    let rest = |worked, period, (too_much, removed)| rest_ms(worked, period, too_much, removed);
    assert_eq!((rest(1_000, 10_000, calm), rest(1, 10_000, calm)), (19_000, 10_000));
    assert_eq!((rest(1_000, 10_000, much), rest(1, 10, much)), (2_000, 50));
    assert_eq!(rest(1_000, 10_000, relieved), 50);
}
