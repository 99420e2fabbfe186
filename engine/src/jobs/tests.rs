//! Jobs step by step over a store in memory: what is damaged costs its delivery and no other, and a job begins at its time.

use super::*;
use bytes::Bytes;
use model::{
    AppId, Application, Cursor, DeadLetter, EndpointId, EventMore, Failure, FailureReason, JobFilter, SHOWN_MAX, Seq,
    Span,
};
use storage::store::MemoryStore;
use storage::tables::log;
use storage::{Store, rows};

const TARGET: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };
const NOW: UnixMs = UnixMs(1_000_000);
const ALL: Span = Span { since: UnixMs(1), until: NOW };

/// An application with an endpoint, and a message in each commit, each a block of its own, that was given up.
fn given_up(messages: u64) -> MemoryStore {
    let store = MemoryStore::new();
    write(&store, |txn| {
        application::put(txn, &Application::plain(TARGET.app, UnixMs(1)))?;
        endpoint::put(txn, &Endpoint::plain(TARGET, UnixMs(1)))?;
        delivery::put_routed(txn, TARGET.app, Seq(messages));
        delivery::put_cursor(txn, TARGET, &Cursor { upto: Seq(messages), holes: Vec::new() });
        Ok(())
    });
    for seq in (1..=messages).map(Seq) {
        write(&store, |txn| {
            log::append(txn, TARGET.app, &[event(seq)])?;
            dead_letter::put(txn, TARGET, seq, &letter(seq))
        });
    }
    store
}

fn write<T>(store: &MemoryStore, work: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError>) -> T {
    let mut txn = Txn::new(store);
    let done = work(&mut txn).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
    done
}

fn event(seq: Seq) -> Event {
    Event {
        app: TARGET.app,
        seq,
        accepted_at: UnixMs(100 + seq.0),
        event_type: "a".into(),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(b"{}"),
    }
}

fn letter(seq: Seq) -> DeadLetter {
    let reason = DeadLetterReason::AttemptsExhausted;
    DeadLetter { at: UnixMs(200 + seq.0), attempts: 3, reason, last_outcome: None, last_status: 500 }
}

fn damage(store: &MemoryStore, keys: impl IntoIterator<Item = Vec<u8>>) {
    write(store, |txn| {
        keys.into_iter().for_each(|key| txn.put(key, Bytes::from_static(&[9, 9, 9])));
        Ok(())
    });
}

fn start(store: &MemoryStore, kind: JobKind, of: EndpointRef, last: Seq) {
    write(store, |txn| job::put(txn, &Job::new(1, of, kind, (Seq::ZERO, last), NOW)));
}

fn job_of(store: &MemoryStore) -> Job {
    job::get(store, 1).unwrap().unwrap()
}

/// Makes chunks until the job has ended.
fn run_to_end(store: &MemoryStore) -> Job {
    for _ in 0..100 {
        if write(store, |txn| step(txn, 1, NOW)) == Next::Never {
            let done = job_of(store);
            assert_eq!(done.looked_at, done.affected + done.skipped.total() + done.failed);
            return done;
        }
    }
    panic!("it never ends: {:?}", job_of(store));
}

fn failures(seqs: &[u64], reason: FailureReason) -> Vec<Failure> {
    seqs.iter().map(|seq| Failure { endpoint: TARGET.endpoint, seq: Seq(*seq), reason }).collect()
}

fn in_line(store: &MemoryStore, of: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    of.filter(|seq| delivery::pending(store, TARGET, Seq(*seq)).unwrap().is_some()).collect()
}

#[test]
fn a_damaged_message_is_counted_and_named_and_all_others_are_recovered() {
    let store = given_up(6);
    damage(&store, [1, 3, 6].map(|seq| rows::event::encode(TARGET.app, Seq(seq))));
    start(&store, JobKind::Recover(ALL), TARGET, Seq(6));
    let done = run_to_end(&store);
    assert_eq!((done.status, done.affected, done.error.clone()), (JobStatus::Finished, 3, None));
    assert_eq!(done.failures, failures(&[1, 3, 6], FailureReason::MessageDamaged));
    assert_eq!(in_line(&store, 1..=6), [2, 4, 5]);
}

#[test]
fn messages_that_retention_removed_are_no_failures() {
    let store = given_up(5);
    write(&store, |txn| log::remove_upto(txn, TARGET.app, Seq(2), 100));
    start(&store, JobKind::Recover(ALL), TARGET, Seq(5));
    let done = run_to_end(&store);
    assert_eq!((done.looked_at, done.affected, done.failed), (3, 3, 0));
}

#[test]
fn many_damaged_messages_are_all_counted_and_the_first_are_named() {
    let store = given_up(700);
    damage(&store, (2..=699).map(|seq| rows::event::encode(TARGET.app, Seq(seq))));
    start(&store, JobKind::Recover(ALL), TARGET, Seq(700));
    let done = run_to_end(&store);
    assert_eq!((done.affected, done.failed, done.failures.len()), (2, 698, SHOWN_MAX));
    assert_eq!(done.failures[0].seq, Seq(2));
}

#[test]
fn damaged_rows_of_a_delivery_cost_that_delivery() {
    let store = given_up(4);
    damage(&store, [rows::pending::encode(TARGET, Seq(2)), rows::dead_letter::encode(TARGET, Seq(3))]);
    start(&store, JobKind::Recover(ALL), TARGET, Seq(4));
    let done = run_to_end(&store);
    assert_eq!((done.status, done.affected), (JobStatus::Finished, 2));
    assert_eq!(done.failures, failures(&[2, 3], FailureReason::DeliveryDamaged));
}

#[test]
fn a_redrive_passes_over_what_it_cannot_read_and_a_purge_takes_it() {
    for of_app in [false, true] {
        let store = given_up(5);
        damage(&store, [rows::dead_letter::encode(TARGET, Seq(2)), rows::event::encode(TARGET.app, Seq(4))]);
        let target = EndpointRef { endpoint: if of_app { EndpointId(0) } else { TARGET.endpoint }, ..TARGET };
        start(&store, JobKind::RedriveDeadLetters, target, Seq(5));
        let done = run_to_end(&store);
        assert_eq!((done.status, done.affected), (JobStatus::Finished, 3), "{of_app}");
        let [delivery, message] = [FailureReason::DeliveryDamaged, FailureReason::MessageDamaged];
        assert_eq!(done.failures, [failures(&[2], delivery), failures(&[4], message)].concat(), "{of_app}");
        assert_eq!(in_line(&store, 1..=5), [1, 3, 5]);
    }
    let store = given_up(3);
    damage(&store, [rows::dead_letter::encode(TARGET, Seq(2))]);
    start(&store, JobKind::PurgeDeadLetters, TARGET, Seq(3));
    assert_eq!(run_to_end(&store).affected, 3);
    assert_eq!(dead_letter::positions(&store, TARGET, None, 9).unwrap(), []);
}

#[test]
fn a_job_without_its_endpoint_or_application_says_so() {
    for (kind, of) in [
        (JobKind::Recover(ALL), TARGET),
        (JobKind::RedriveDeadLetters, TARGET),
        (JobKind::PurgeDeadLetters, EndpointRef { endpoint: EndpointId(0), ..TARGET }),
    ] {
        let store = given_up(1);
        write(&store, |txn| {
            txn.delete(rows::endpoint::encode(TARGET));
            if of.endpoint == EndpointId(0) {
                txn.delete(rows::application::encode(TARGET.app));
            }
            Ok(())
        });
        start(&store, kind, of, Seq(1));
        let done = run_to_end(&store);
        let gone = if of.endpoint == EndpointId(0) { "application" } else { "endpoint" };
        assert_eq!((done.status, done.error), (JobStatus::Failed, Some(format!("the {gone} was deleted"))));
    }
}

#[test]
fn a_row_that_concerns_every_delivery_ends_the_job_in_words_that_name_no_content() {
    let store = given_up(1);
    damage(&store, [rows::cursor::encode(TARGET)]);
    start(&store, JobKind::Recover(ALL), TARGET, Seq(1));
    let error = step(&mut Txn::new(&store), 1, NOW).unwrap_err();
    let why = passed::in_words(&error);
    assert_eq!(why, "a row of kind cursor is damaged");
    write(&store, |txn| fail(txn, 1, why.clone(), NOW));
    assert_eq!((job_of(&store).status, job_of(&store).error), (JobStatus::Failed, Some(why)));
    // A cancellation that came first stays.
    write(&store, |txn| job::put(txn, &Job { status: JobStatus::Cancelled, error: None, ..job_of(&store) }));
    write(&store, |txn| fail(txn, 1, "late".to_owned(), NOW));
    assert_eq!(job_of(&store).status, JobStatus::Cancelled);
}

#[test]
fn a_job_takes_what_is_there_when_its_time_has_come() {
    let [begins, later] = [UnixMs(NOW.0 - 10), UnixMs(NOW.0 - 5)];
    for (kind, of, taken) in [
        (JobKind::RedriveDeadLetters, TARGET, 3),
        // Of the application, dead letters go by their times.
        (JobKind::RedriveDeadLetters, EndpointRef { endpoint: EndpointId(0), ..TARGET }, 2),
        (JobKind::Replay(Span { since: UnixMs(1), until: begins }), TARGET, 2),
    ] {
        let store = given_up(2);
        let row = Job::new(1, of, kind, (Seq::ZERO, Seq::ZERO), UnixMs(500)).starting_at(Some(begins));
        write(&store, |txn| job::put(txn, &Job { dry_run: true, ..row }));
        assert_eq!(write(&store, |txn| step(txn, 1, UnixMs(begins.0 - 1))), Next::At(begins));
        assert_eq!((job_of(&store).status, job_of(&store).looked_at), (JobStatus::Pending, 0));
        write(&store, |txn| {
            let third = Event { accepted_at: later, ..event(Seq(3)) };
            log::append(txn, TARGET.app, &[third])?;
            delivery::put_routed(txn, TARGET.app, Seq(3));
            delivery::put_cursor(txn, TARGET, &Cursor { upto: Seq(3), holes: Vec::new() });
            dead_letter::put(txn, TARGET, Seq(3), &DeadLetter { at: later, ..letter(Seq(3)) })
        });
        let done = run_to_end(&store);
        assert_eq!((done.status, done.affected), (JobStatus::Finished, taken), "{kind:?} of {of:?}");
    }
}

/// Erases what a filter names, of messages 1 to `last`; every third has a tag, and each an id of its own.
fn erase(last: u64, filter: JobFilter, dry_run: bool, before: impl FnOnce(&MemoryStore)) -> (MemoryStore, Job) {
    let store = given_up(0);
    for seq in 1..=last {
        let tags = if seq.is_multiple_of(3) { vec!["t".to_owned()] } else { Vec::new() };
        let more = Some(Arc::new(EventMore { tags, ..EventMore::default() }));
        let event = Event { event_id: Some(format!("e-{seq}").into()), more, ..event(Seq(seq)) };
        write(&store, |txn| log::append(txn, TARGET.app, &[event]));
    }
    before(&store);
    let of_app = EndpointRef { endpoint: EndpointId(0), ..TARGET };
    let row = Job::new(1, of_app, JobKind::Erase, (Seq::ZERO, Seq(last)), NOW);
    write(&store, |txn| job::put(txn, &Job { filter: Some(filter), dry_run, ..row }));
    let done = run_to_end(&store);
    (store, done)
}

fn erased(store: &MemoryStore, last: u64) -> Vec<u64> {
    let events = (1..=last).filter_map(|seq| log::get_undamaged(store, TARGET.app, Seq(seq)).unwrap());
    events.filter(Event::is_expunged).map(|event| event.seq.0).collect()
}

#[test]
fn an_erasure_takes_the_messages_of_its_subject_chunk_by_chunk_and_counts_all_others() {
    let by_tag = JobFilter { tags: vec!["t".to_owned()], ..JobFilter::default() };
    for dry_run in [false, true] {
        let (store, done) = erase(400, by_tag.clone(), dry_run, |_| {});
        assert_eq!((done.status, done.affected, done.looked_at), (JobStatus::Finished, 133, 400));
        assert_eq!(done.skipped.of(SkipReason::NotNamed), 267);
        let expected: Vec<u64> = if dry_run { Vec::new() } else { (1..=133).map(|third| 3 * third).collect() };
        assert_eq!(erased(&store, 400), expected);
    }
    let by_id = JobFilter { event_id: Some("e-2".to_owned()), ..JobFilter::default() };
    let (store, done) = erase(3, by_id, false, |_| {});
    assert_eq!((done.affected, erased(&store, 3)), (1, vec![2]));
    // Whatever may have written such a row: it names nothing.
    let (store, done) = erase(3, JobFilter { tags: vec!["u".to_owned()], ..JobFilter::default() }, false, |_| {});
    assert_eq!((done.affected, erased(&store, 3)), (0, Vec::new()));
}

#[test]
fn an_erasure_counts_what_is_gone_already_and_what_is_damaged() {
    let by_tag = JobFilter { tags: vec!["t".to_owned()], ..JobFilter::default() };
    let (store, done) = erase(9, by_tag, false, |store| {
        write(store, |txn| storage::tables::expunge::message(txn, TARGET.app, Seq(3), NOW));
        damage(store, [rows::event::encode(TARGET.app, Seq(6))]);
    });
    assert_eq!((done.affected, done.skipped.of(SkipReason::PayloadGone)), (1, 1));
    let reason = FailureReason::MessageDamaged;
    assert_eq!(done.failures, [Failure { endpoint: EndpointId(0), seq: Seq(6), reason }]);
    assert_eq!(erased(&store, 9), [3, 9]);
}
