//! A shard's places, seen without its shell: messages are given to lanes by hand.

use super::core::{Actors, LaneCell, ShardCore, ShardParts};
use super::inbox::{Behind, EndpointChange, News, Question};
use super::thread_shares::ThreadShares;
use super::{handles, housekeeping, reads, work};
use crate::config::EngineConfig;
use crate::dispatch::{Guard, Lack};
use crate::endpoint::backlog::LogFound;
use crate::endpoint::lane::{Action, Finished};
use crate::endpoint::mailbox::{Input, Mailbox};
use crate::endpoint::offer::Offer;
use crate::partition_id::PartitionId;
use crate::router::Router;
use crate::seal::MasterKey;
use crate::waiting::{Waiting, WaitingFor};
use bytes::Bytes;
use model::{
    AppId, AppSettings, Cursor, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Event, OutcomeClass, Policy, Seq,
    Settled, UnixMs, Verdict,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use storage::store::MemoryStore;
use storage::tables::audit::Chain;
use storage::tables::progress::Progress;
use storage::tables::{delivery, endpoint, expunge, log};
use storage::writer::{SETTLED_HIGH_WATER, Writer, WriterConfig};
use storage::{SharedStore, Txn};
use tokio::sync::oneshot;

const NOW: UnixMs = UnixMs(1_000);

/// Mailboxes that nobody empties but the test.
#[derive(Clone, Default)]
struct ByHand(Rc<RefCell<Vec<Rc<LaneCell>>>>);

#[derive(Default)]
struct Kept(RefCell<Vec<Input>>);

impl Mailbox for Kept {
    fn try_send(&self, input: Input) -> bool {
        self.0.borrow_mut().push(input);
        true
    }
}

impl Actors for ByHand {
    fn start(&self, _shard: &Rc<ShardCore>, cell: &Rc<LaneCell>) -> Rc<dyn Mailbox> {
        self.0.borrow_mut().push(cell.clone());
        Rc::new(Kept::default())
    }
}

fn target(endpoint: u32) -> EndpointRef {
    EndpointRef { app: AppId(1), endpoint: EndpointId(endpoint) }
}

/// An event of the application of [`target`].
fn event_of(seq: u64, payload: &'static [u8]) -> Event {
    Event {
        app: AppId(1),
        seq: Seq(seq),
        accepted_at: NOW,
        event_type: Arc::from("a"),
        event_id: None,
        channels: Vec::new(),
        only_for: None,
        more: None,
        payload: Bytes::from_static(payload),
    }
}

/// A shard with so many places that takes `news`; three endpoints, each with one delivery asked for by hand.
fn shard(places: usize, news: News) -> (Rc<ShardCore>, Vec<Rc<LaneCell>>) {
    shard_on(&thread_with(places), news)
}

fn thread_with(places: usize) -> Rc<ThreadShares> {
    ThreadShares::new(places, EngineConfig::default().queue_memory_bytes_per_shard)
}

/// The same, of a partition of its own on this thread.
fn shard_on(thread: &Rc<ThreadShares>, news: News) -> (Rc<ShardCore>, Vec<Rc<LaneCell>>) {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let mut txn = Txn::new(&*store);
    for id in [1, 2, 3] {
        endpoint::put(&mut txn, &Endpoint { id: EndpointId(id), ..reads::tests::everything() }).unwrap();
        delivery::requeue(&mut txn, target(id), Seq(1), NOW).unwrap();
    }
    store.apply(txn.into_parts().batch).unwrap();
    let writer = WriterConfig {
        queue_capacity: 1,
        queue_bytes: 1,
        settled_high_water: SETTLED_HIGH_WATER,
        commit_max_events: 1,
        idempotency_ms: 1,
        quotas: storage::writer::WriterQuotas::default(),
    };
    let router = Router::new(Vec::new(), Arc::default());
    let writer = Writer::new(store.clone(), writer, Progress::default(), router, Box::new(|| NOW), Chain::new(None));
    let parts = ShardParts {
        partition: PartitionId::default(),
        index: 0,
        config: Arc::new(EngineConfig::default()),
        inbox: Arc::default(),
        store,
        writer: writer.handle(),
        master: Arc::new(MasterKey::new([1; 32])),
        guard: Arc::new(Guard::new(Vec::new())),
        paces: Arc::default(),
        seed: 1,
    };
    let actors = ByHand::default();
    let shard = Rc::new(ShardCore::new(parts, thread.clone(), Box::new(actors.clone()), NOW));
    handles::take(&shard, news, NOW);
    let cells = actors.0.take();
    (shard, cells)
}

fn two_with_a_retry(places: usize) -> (Rc<ShardCore>, Vec<Rc<LaneCell>>) {
    two_with_a_retry_on(&thread_with(places))
}

fn two_with_a_retry_on(thread: &Rc<ThreadShares>) -> (Rc<ShardCore>, Vec<Rc<LaneCell>>) {
    shard_on(thread, News { requeued: BTreeSet::from([target(1), target(2)]), ..News::default() })
}

fn give(shard: &ShardCore, cell: &Rc<LaneCell>, input: Input) -> Vec<Action> {
    let mut actions = Vec::new();
    work::take_input(shard, cell, input, NOW, &mut actions);
    actions
}

/// Has a lane load its retries; answers the actions that it asks for then.
fn load(shard: &ShardCore, cell: &Rc<LaneCell>) -> Vec<Action> {
    let asked = give(shard, cell, Input::Poke);
    let [Action::LoadDue(load)] = asked[..] else { panic!("{asked:?}") };
    let rows = reads::due(&shard.store, cell.target, load).unwrap();
    give(shard, cell, Input::DueLoaded(load, Some(rows)))
}

#[test]
fn a_fetch_takes_a_place_and_gives_it_back_when_no_attempt_comes_of_it() {
    let (shard, cells) = two_with_a_retry(1);
    let asked = load(&shard, &cells[0]);
    let [Action::Fetch(fetch)] = asked[..] else { panic!("{asked:?}") };
    assert!(load(&shard, &cells[1]).is_empty(), "the only place is taken");
    assert_eq!(shard.in_flight(), 1);
    // Its event is gone: it ends without an attempt.
    let rows = reads::rows(&shard.store, cells[0].target, fetch).unwrap();
    assert!(give(&shard, &cells[0], Input::Fetched(fetch, Some(rows))).is_empty());
    assert_eq!(shard.in_flight(), 0);
    let asked = give(&shard, &cells[1], Input::Poke);
    assert!(matches!(asked[..], [Action::Fetch(_)]), "{asked:?}");
}

/// Ends the fetch that a lane asked for: the event is gone, so no attempt follows.
fn end_fetch(shard: &ShardCore, cell: &Rc<LaneCell>, asked: &[Action]) {
    let [Action::Fetch(fetch)] = asked else { panic!("{asked:?}") };
    let rows = reads::rows(&shard.store, cell.target, *fetch).unwrap();
    assert!(give(shard, cell, Input::Fetched(*fetch, Some(rows))).is_empty());
}

#[test]
fn a_place_goes_to_the_lanes_in_line_of_each_partition_in_turn() {
    let thread = thread_with(1);
    let ((one, ones), (other, others)) = (two_with_a_retry_on(&thread), two_with_a_retry_on(&thread));
    thread.add(&one);
    thread.add(&other);
    let asked = load(&one, &ones[0]);
    for (shard, cell) in [(&one, &ones[1]), (&other, &others[0]), (&other, &others[1])] {
        assert!(load(shard, cell).is_empty() && cell.waiting.get(), "the only place of the thread is taken");
    }
    let in_line = || [&ones[1], &others[0], &others[1]].map(|cell| cell.waiting.get());
    end_fetch(&one, &ones[0], &asked);
    // Two lanes look: one as the place comes back, one as the lane that had it rests. Their partitions differ.
    assert_eq!(in_line(), [false, false, true]);
    assert!(matches!(give(&other, &others[0], Input::Poke)[..], [Action::Fetch(_)]));
    assert!(give(&one, &ones[1], Input::Poke).is_empty());
    assert_eq!(in_line(), [true, false, true], "the one that found none waits again");
    // A partition that ends gives back its places and leaves the line.
    handles::end(&other);
    assert_eq!((other.in_flight(), thread.places_free(), thread.endpoints.get()), (0, 1, 2));
    other.free_places(AppId(1), 1);
    assert_eq!(thread.places_free(), 1, "what ends late gives nothing back twice");
}

/// No row on disk has these changes, so the shard takes them from the news alone.
#[test]
fn a_change_brings_the_plan_of_its_row_and_the_pace_of_its_application() {
    let (shard, cells) = two_with_a_retry(2);
    let row = Endpoint { timeout_ms: Some(7), ..Endpoint::plain(target(1), NOW) };
    shard.inbox.changed(vec![(target(1), EndpointChange::Put(Box::new(row), 4))], &[(AppId(1), paced(Some(5)))], &[]);
    handles::take(&shard, shard.inbox.take(), NOW);
    assert!(cells.iter().all(|cell| cell.pace.borrow().is_some()), "it is of all its endpoints");
    give(&shard, &cells[0], Input::Poke);
    let plan = cells[0].plan.borrow().clone();
    assert_eq!((plan.url_number, plan.timeout_ms), (4, 7));
    shard.inbox.changed(Vec::new(), &[(AppId(1), paced(None))], &[]);
    handles::take(&shard, shard.inbox.take(), NOW);
    assert!(cells.iter().all(|cell| cell.pace.borrow().is_none()));
}

/// Settings with nothing but this rate.
fn paced(rate_limit: Option<u32>) -> Arc<AppSettings> {
    Arc::new(AppSettings { rate_limit, ..AppSettings::default() })
}

#[test]
fn endpoints_take_what_they_do_not_set_from_their_application_before_and_after_their_own_change() {
    let (shard, cells) = two_with_a_retry(2);
    let row = Endpoint { timeout_ms: Some(7), ..Endpoint::plain(target(1), NOW) };
    let put = |row: &Endpoint| vec![(target(1), EndpointChange::Put(Box::new(row.clone()), 0))];
    let settings = |timeout_ms, max_in_flight| {
        let policy = Policy { timeout_ms, max_in_flight, ..Policy::default() };
        Arc::new(AppSettings { policy, ..AppSettings::default() })
    };
    let now_in_force = |cell: &Rc<LaneCell>| {
        give(&shard, cell, Input::Poke);
        let plan = cell.plan.borrow().clone();
        (plan.timeout_ms, plan.policy.max_in_flight)
    };
    let default = (shard.config.attempt_timeout_ms, shard.config.max_in_flight_per_endpoint);
    // Both in one commit: the later plan is of both.
    shard.inbox.changed(put(&row), &[(AppId(1), settings(Some(300), Some(3)))], &[]);
    handles::take(&shard, shard.inbox.take(), NOW);
    assert_eq!([now_in_force(&cells[0]), now_in_force(&cells[1])], [(7, 3), (300, 3)]);
    shard.inbox.changed(put(&Endpoint { timeout_ms: None, ..row.clone() }), &[], &[]);
    handles::take(&shard, shard.inbox.take(), NOW);
    assert_eq!(now_in_force(&cells[0]), (300, 3), "its application's settings are known without a read");
    shard.inbox.changed(Vec::new(), &[(AppId(1), settings(None, None))], &[]);
    handles::take(&shard, shard.inbox.take(), NOW);
    assert_eq!([now_in_force(&cells[0]), now_in_force(&cells[1])], [default, default]);
}

#[test]
fn an_actor_does_not_fall_back_to_what_was_told_before_its_rows_were_read() {
    let (shard, _) = shard(2, News::default());
    let put = |timeout_ms| {
        let row = Endpoint { timeout_ms: Some(timeout_ms), ..Endpoint::plain(target(1), NOW) };
        shard.inbox.changed(vec![(target(1), EndpointChange::Put(Box::new(row), 0))], &[], &[]);
    };
    put(7);
    handles::take(&shard, News { requeued: BTreeSet::from([target(1)]), ..News::default() }, NOW);
    let cell = shard.endpoints.borrow()[&target(1)].cell.clone();
    handles::take(&shard, shard.inbox.take(), NOW);
    assert!(cell.next_plan.borrow().is_none(), "that is in its rows already, or older");
    put(8);
    handles::take(&shard, shard.inbox.take(), NOW);
    give(&shard, &cell, Input::Poke);
    assert_eq!(cell.plan.borrow().timeout_ms, 8);
}

#[test]
fn one_that_goes_leaves_the_room_it_was_woken_for_to_the_next() {
    let requeued = BTreeSet::from([target(1), target(2), target(3)]);
    let (shard, cells) = shard(1, News { requeued, ..News::default() });
    let asked = load(&shard, &cells[0]);
    assert!(matches!(asked[..], [Action::Fetch(_)]), "{asked:?}");
    assert!(load(&shard, &cells[1]).is_empty() && load(&shard, &cells[2]).is_empty(), "both wait for its place");
    shard.free_places(AppId(1), 1);
    let second = shard.endpoints.borrow()[&target(2)].clone();
    assert!(!cells[1].waiting.get() && cells[2].waiting.get(), "the second is woken");
    handles::leave(&shard, &second, true);
    assert!(!cells[2].waiting.get(), "then the third");
}

#[test]
fn what_was_in_flight_at_a_crash_is_fetched_though_new_events_come_first() {
    let event = event_of(3, b"{}");
    let offer = Offer::new(Arc::from([event]), vec![(target(1), 0)]);
    let mark = Behind { from: Cursor { upto: Seq(2), holes: vec![Seq(1)] }, upto: Seq(2) };
    let behind = BTreeMap::from([(target(1), mark)]);
    let (shard, cells) = shard(9, News { offers: VecDeque::from([offer]), behind, ..News::default() });
    let asked = give(&shard, &cells[0], Input::Poke);
    let hole = |action: &Action| matches!(action, Action::Fetch(fetch) if fetch.seq == Seq(1) && fetch.due.is_none());
    assert!(asked.iter().any(hole), "{asked:?}");
}

#[test]
fn the_age_of_what_waits_on_disk_alone_is_seen_and_looked_up_once() {
    let behind = Behind { from: Cursor::default(), upto: Seq(1) };
    let (shard, cells) = shard(9, News { behind: BTreeMap::from([(target(1), behind)]), ..News::default() });
    let event = event_of(1, b"");
    let mut txn = Txn::new(&*shard.store);
    log::append(&mut txn, AppId(1), &[event]).unwrap();
    shard.store.apply(txn.into_parts().batch).unwrap();
    // It knows that there is something, and has not read it.
    give(&shard, &cells[0], Input::Poke);
    assert_eq!(cells[0].lane.borrow().oldest_accepted_at(), None);
    assert_eq!(housekeeping::retire(&shard, NOW.plus_ms(5_000)), 5_000);
    assert_eq!(cells[0].oldest_on_disk.get(), Some((Seq(1), Some(NOW))));
    assert_eq!(housekeeping::retire(&shard, NOW.plus_ms(9_000)), 9_000);
}

#[test]
fn a_fetch_for_an_endpoint_that_is_gone_or_that_failed_gives_its_place_back() {
    let (shard, cells) = two_with_a_retry(2);
    for cell in &cells {
        let asked = load(&shard, cell);
        let [Action::Fetch(fetch)] = asked[..] else { panic!("{asked:?}") };
        assert_eq!(shard.in_flight(), 1);
        cell.gone.set(cell.target == target(2));
        give(&shard, cell, Input::Fetched(fetch, None));
        assert_eq!(shard.in_flight(), 0);
    }
}

#[test]
fn an_endpoint_in_line_for_a_place_says_so_until_it_has_one() {
    let (shard, cells) = two_with_a_retry(1);
    let asked = load(&shard, &cells[0]);
    assert!(matches!(asked[..], [Action::Fetch(_)]) && load(&shard, &cells[1]).is_empty());
    let later = NOW.plus_ms(700);
    assert_eq!(shard.waiting(target(1), later), None);
    let for_a_place = Waiting { wanted: WaitingFor::Places, since: NOW };
    assert_eq!(shard.waiting(target(2), later), Some(for_a_place));
    let (reply, mut answer) = oneshot::channel();
    let questions = vec![Question { target: target(2), reply }];
    handles::take(&shard, News { questions, ..News::default() }, later);
    assert_eq!(answer.try_recv().map(|holding| holding.waiting), Ok(Some(for_a_place)));
    shard.free_places(AppId(1), 1);
    give(&shard, &cells[1], Input::Poke);
    assert_eq!(shard.waiting(target(2), later), None);
    assert_eq!(shard.waiting(target(9), later), None, "it has no actor");
}

#[test]
fn an_endpoint_says_what_its_attempt_was_not_made_for_until_one_is_made() {
    let offer = Offer::new(Arc::from([event_of(1, b"{}")]), vec![(target(4), 0)]);
    let (shard, _) = shard(9, News::default());
    let row = Endpoint { id: EndpointId(4), ..reads::tests::everything() };
    let mut txn = Txn::new(&*shard.store);
    endpoint::put(&mut txn, &row).unwrap();
    shard.store.apply(txn.into_parts().batch).unwrap();
    handles::take(&shard, News { offers: VecDeque::from([offer]), ..News::default() }, NOW);
    let cell = shard.endpoints.borrow()[&target(4)].cell.clone();
    cell.lane.borrow_mut().missed(Seq(1));
    let asked = give(&shard, &cell, Input::Poke);
    let [Action::ReadLog(_)] = asked[..] else { panic!("{asked:?}") };
    let found = LogFound { events: vec![event_of(1, b"{}")], upto: Seq(1), removed: None };
    let asked = give(&shard, &cell, Input::LogRead(Some(found)));
    assert!(matches!(asked[..], [Action::Start(_)]), "{asked:?}");

    let ends = |lack, at| {
        let finished = Finished {
            seq: Seq(1),
            started_at: at,
            duration_ms: 1,
            outcome: OutcomeClass::Success,
            status: 200,
            retry_after_ms: None,
            response: Vec::new(),
            note: None,
            url_number: 0,
            lack,
            details: None,
        };
        cell.ended.borrow_mut().push(finished);
        let mut asked = Vec::new();
        work::take_input(&shard, &cell, Input::Poke, at, &mut asked);
        asked.len()
    };
    let later = |ms| NOW.plus_ms(ms);
    assert_eq!(ends(Some(Lack::Connections), NOW), 0);
    let waiting = |lack, since| Some(Waiting { wanted: WaitingFor::Lack(lack), since });
    assert_eq!(shard.waiting(target(4), later(1)), waiting(Lack::Connections, NOW));
    // The attempt is due again and the same resource is short: `since` stays. Then another one is short.
    for (at, lack, since) in [(later(500), Lack::Connections, NOW), (later(1_000), Lack::Lookups, later(1_000))] {
        work::take_input(&shard, &cell, Input::Poke, at, &mut Vec::new());
        ends(Some(lack), at);
        assert_eq!(shard.waiting(target(4), at), waiting(lack, since));
    }
    work::take_input(&shard, &cell, Input::Poke, later(1_500), &mut Vec::new());
    ends(None, later(1_500));
    assert_eq!(shard.waiting(target(4), later(1_500)), None);
}

/// Stores an event, and an endpoint that wants it.
fn store_both(shard: &ShardCore, event: &Event) -> Endpoint {
    let row = Endpoint { id: EndpointId(4), ..reads::tests::everything() };
    let mut txn = Txn::new(&*shard.store);
    endpoint::put(&mut txn, &row).unwrap();
    log::append(&mut txn, AppId(1), std::slice::from_ref(event)).unwrap();
    shard.store.apply(txn.into_parts().batch).unwrap();
    row
}

/// Offers the event to that endpoint, whose lane missed it: it reads the log.
fn offer_missed(shard: &Rc<ShardCore>, event: Event) -> Rc<LaneCell> {
    let offer = Offer::new(Arc::from([event]), vec![(target(4), 0)]);
    handles::take(shard, News { offers: VecDeque::from([offer]), ..News::default() }, NOW);
    let cell = shard.endpoints.borrow()[&target(4)].cell.clone();
    cell.lane.borrow_mut().missed(Seq(1));
    give(shard, &cell, Input::Poke);
    cell
}

#[test]
fn a_copy_in_memory_of_an_expunged_event_is_not_sent() {
    let event = event_of(1, b"{}");
    let (shard, _) = shard(9, News::default());
    store_both(&shard, &event);
    let mut txn = Txn::new(&*shard.store);
    expunge::message(&mut txn, AppId(1), Seq(1), NOW).unwrap();
    shard.store.apply(txn.into_parts().batch).unwrap();
    let cell = offer_missed(&shard, event.clone());
    shard.inbox.expunged(AppId(1), Seq(1));
    let found = LogFound { events: vec![event.clone()], upto: Seq(1), removed: None };
    let asked = give(&shard, &cell, Input::LogRead(Some(found)));
    let [Action::Fetch(fetch)] = asked[..] else { panic!("{asked:?}") };
    // That read began before the payload was gone, and ended after the client was told.
    assert!(give(&shard, &cell, Input::Fetched(fetch, Some((Some(event), None)))).is_empty());
    assert_eq!(shard.in_flight(), 0);
    let settled = cell.lane.borrow_mut().report().unwrap().settled;
    let [Settled { verdict: Verdict::DeadLetter(letter), record: None, .. }] = &settled[..] else {
        panic!("{settled:?}")
    };
    assert_eq!(letter.reason, DeadLetterReason::Expunged);
}

#[test]
fn a_copy_in_memory_of_an_expunged_event_is_not_sent_when_its_application_goes_either() {
    let event = event_of(1, b"{}");
    let (shard, _) = shard(9, News::default());
    let row = store_both(&shard, &event);
    let cell = offer_missed(&shard, event);
    shard.inbox.expunged(AppId(1), Seq(1));
    let mut txn = Txn::new(&*shard.store);
    expunge::message(&mut txn, AppId(1), Seq(1), NOW).unwrap();
    endpoint::remove(&mut txn, &row).unwrap();
    shard.store.apply(txn.into_parts().batch).unwrap();
    // The writer is done with the deletion, and the shard has not taken the news.
    shard.inbox.changed(vec![(target(4), EndpointChange::Gone)], &[], &[]);
    shard.inbox.app_gone(AppId(1));
    let found = || LogFound { events: vec![event_of(1, b"{}")], upto: Seq(1), removed: None };
    let asked = give(&shard, &cell, Input::LogRead(Some(found())));
    assert!(matches!(asked[..], [Action::Fetch(_)]), "{asked:?}");
    assert!(shard.inbox.may_be_expunged(AppId(1), Seq(1)));
    handles::take(&shard, shard.inbox.take(), NOW);
    assert!(give(&shard, &cell, Input::LogRead(Some(found()))).is_empty());
    assert!(!shard.inbox.may_be_expunged(AppId(1), Seq(1)), "nothing is kept of an application that is gone");
}
