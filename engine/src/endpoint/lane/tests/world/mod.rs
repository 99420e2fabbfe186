//! Everything around a lane, small enough to be checked at each step.
//!
//! It has the real tables on a store in memory and a receiver. Its writer applies reports when it is told to, and the
//! operations of its shell take as long as a test wants. The world knows at all times the events that an endpoint may
//! still be sent, and why. It fails at the first attempt that breaks a rule.
//! No randomness of its own but for the lane's: [`super::any_history`] chooses the steps.

mod finale;
mod operations;
mod receiver;
mod store;

use super::*;
use crate::endpoint::breaker::State;
use operations::Operations;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, VecDeque};
use storage::store::MemoryStore;
use storage::tables::progress::Progress;

pub(super) use receiver::Answer;

pub(super) const BOUNDS: LaneBounds = LaneBounds { mailbox_capacity: 4, retries_in_memory: 4 };

/// The facts known of one event that matches.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Successful attempts that the receiver saw.
    pub(super) delivered: u32,
    /// Times it was put back in line by hand.
    pub(super) requeued: u32,
    /// Rounds whose end was applied.
    pub(super) ended: u32,
    /// Crashes while it was in flight or its end was not applied: each may repeat it.
    pub(super) crashes: u32,
    /// The endpoint was disabled while it was not settled.
    pub(super) may_be_skipped: bool,
    /// An attempt of it was started.
    pub(super) started: bool,
    /// Retention removed its event.
    pub(super) expired: bool,
    /// From when on it may be sent.
    pub(super) ready_at: UnixMs,
    /// It is a scheduled message.
    pub(super) scheduled: bool,
    /// The lane knows that it is in line.
    pub(super) told: bool,
}

pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) progress: Progress,
    pub(super) now: UnixMs,
    pub(super) lane: Lane,
    pub(super) policy: LanePolicy,
    pub(super) rng: StdRng,
    pub(super) head: Seq,
    pub(super) facts: BTreeMap<Seq, Facts>,
    /// Reports on their way to the store, with how many there were before.
    pub(super) reports: VecDeque<Settlement>,
    pub(super) reports_applied: usize,
    pub(super) operations: Operations,
    /// A change by hand that the lane has not been told of.
    pub(super) untold_requeue: bool,
    pub(super) slow_until: UnixMs,
    /// The ordering key of each event that comes in.
    pub(super) key_of: fn(u64) -> Option<&'static str>,
    /// The last position when the order was last changed.
    pub(super) order_since: Seq,
    pub(super) shard_budget: RetryBudget,
}

impl World {
    pub(super) fn new(seed: u64, policy: LanePolicy) -> World {
        let now = UnixMs(1_000_000);
        let breaker = BreakerConfig::default();
        World {
            store: MemoryStore::new(),
            progress: Progress::default(),
            now,
            lane: Lane::new(TARGET, policy.clone(), BOUNDS, breaker, LaneStart::default(), now),
            policy,
            rng: StdRng::seed_from_u64(seed),
            head: Seq::ZERO,
            facts: BTreeMap::new(),
            reports: VecDeque::new(),
            reports_applied: 0,
            operations: Operations::default(),
            untold_requeue: false,
            slow_until: UnixMs::ZERO,
            key_of: |seq| [None, Some("a"), None, Some("b"), Some("a")][seq as usize % 5],
            order_since: Seq::ZERO,
            shard_budget: RetryBudget::new(BudgetConfig::default(), now.0),
        }
    }

    /// A commit with `count` events; `lost` are offers that do not reach the lane, which hears of their position only.
    pub(super) fn ingest(&mut self, count: u64, matching: bool, lost: bool) {
        let event = |seq: u64| {
            let ordering_key = (self.key_of)(seq).map(str::to_owned);
            let more = Some(Arc::new(EventMore { ordering_key, ..EventMore::default() }));
            Event { more, ..event(seq, if matching { MATCHING } else { "b" }, self.now) }
        };
        let events: Vec<Event> = (1..=count).map(|n| event(self.head.0 + n)).collect();
        self.append(&events);
        self.head = Seq(self.head.0 + count);
        if matching && !self.policy.disabled {
            self.progress.offered(TARGET, events[0].seq, self.head);
            for event in &events {
                self.facts.insert(event.seq, self.facts_from(self.now));
            }
            if lost {
                self.lane.missed(self.head);
            } else {
                self.lane.offer(events.iter(), usize::MAX, |_| Wants::Yes);
            }
        }
        self.progress.set_routed(TARGET.app, self.head);
    }

    /// A scheduled message is put in line some time before it is due; the lane hears of it when the test says so.
    pub(super) fn schedule(&mut self, after_ms: u64) {
        let (seq, due) = (self.head.next(), self.now.plus_ms(after_ms));
        let ordering_key = (self.key_of)(seq.0).map(str::to_owned);
        let more = EventMore { ordering_key, deliver_at: Some(due), ..EventMore::default() };
        self.append(&[Event { more: Some(Arc::new(more)), ..event(seq.0, MATCHING, self.now) }]);
        self.head = seq;
        self.progress.set_routed(TARGET.app, self.head);
        self.facts.insert(seq, Facts { scheduled: true, ..self.facts_from(due) });
        self.put_in_line(seq, due);
    }

    fn facts_from(&self, ready_at: UnixMs) -> Facts {
        Facts { ready_at, may_be_skipped: self.lane.policy.disabled, ..Facts::default() }
    }

    /// Takes on the lane's actions until it asks for no more, and checks each attempt and fetch.
    pub(super) fn pump(&mut self, may_start: bool) {
        // Memory is full whenever there is no room for an attempt either.
        let room = Room { attempt: may_start, bytes: if may_start { usize::MAX } else { 0 } };
        for _ in 0..1_000 {
            let (state, limit) = (self.lane.breaker_state(), self.lane.window.limit());
            let open_slots = self.operations.in_flight();
            let Some(action) = self.lane.next_action(self.now, room, &mut self.shard_budget) else {
                self.check_at_rest(may_start);
                return;
            };
            if matches!(action, Action::Start(_) | Action::Fetch(_)) {
                assert!(may_start, "the shard has no room");
                assert!(open_slots < usize::from(limit), "{open_slots} are in flight");
                assert!(self.slow_until <= self.now, "it asked for less");
                assert!(open_slots < usize::from(self.policy.max_in_flight), "{open_slots} are in flight");
                assert!(self.policy.order != Order::Endpoint || open_slots == 0, "{open_slots} are in flight");
                match state {
                    State::Closed => {}
                    State::Open { until } => assert!(until <= self.now, "its breaker is open"),
                    State::HalfOpen => panic!("a probe is out"),
                }
            }
            self.take_on(action);
        }
        panic!("the lane never has enough");
    }

    /// An attempt starts now: is it owed, due and the only one?
    pub(super) fn start(&mut self, attempt: Attempt) {
        let seq = attempt.event.seq;
        assert!(!self.lane.policy.disabled, "it is disabled");
        let facts = &self.facts[&seq];
        assert!(facts.ended <= facts.requeued, "{seq:?} is settled: {facts:?}");
        assert!(attempt.due.is_none_or(|due| due <= self.now), "{attempt:?} is early");
        assert!((1..=self.policy.retry.max_attempts).contains(&attempt.number), "{attempt:?}");
        assert!(self.operations.attempts.iter().all(|other| other.event.seq != seq), "{seq:?} is in flight twice");
        if attempt.due.is_none() {
            self.check_order(seq);
        }
        self.facts.entry(seq).or_default().started = true;
        self.operations.attempts.push(attempt);
    }

    /// A first try that nobody asked for by hand: is everything over that it has to wait for?
    pub(super) fn check_order(&self, seq: Seq) {
        let facts = &self.facts[&seq];
        // One whose event is gone has no key, and is not sent.
        if facts.started || facts.requeued > 0 || facts.expired || self.policy.order == Order::None {
            return;
        }
        let key = |seq: Seq| (self.key_of)(seq.0);
        for (other, known) in self.facts.range(self.order_since.next()..) {
            let is_over = known.delivered > 0 || known.ended > 0 || known.may_be_skipped || known.expired;
            let share_order = self.policy.order == Order::Endpoint || (key(seq).is_some() && key(seq) == key(*other));
            let is_before = share_order && *other != seq && self.is_before((*other, known), (seq, facts));
            assert!(is_over || !is_before, "{seq:?} starts before {other:?} is over: {facts:?}, {known:?}");
        }
    }

    /// True if the first of these two has its place before the second. A scheduled message waits for what was started, too,
    /// but a crash forgets what was.
    fn is_before(&self, (other, known): (Seq, &Facts), (seq, facts): (Seq, &Facts)) -> bool {
        let place = |seq: Seq, facts: &Facts| (facts.ready_at, !facts.scheduled, seq);
        if known.scheduled && !(known.told && known.ready_at <= self.now) {
            return false;
        }
        let is_under_way = facts.scheduled && known.started && known.crashes == 0;
        is_under_way || place(other, known) < place(seq, facts)
    }

    fn check_at_rest(&self, may_start: bool) {
        let lane = &self.lane;
        assert!(lane.backlog.queued() <= BOUNDS.mailbox_capacity);
        assert!(lane.retries.waiting() <= BOUNDS.retries_in_memory * 6, "{:?}", lane.retries);
        assert!(lane.flights.len() == self.operations.in_flight(), "a flight is lost");
        if !may_start || lane.is_paused() {
            return;
        }
        if let Some(at) = lane.wake_at() {
            assert!(at > self.now, "a wake-up at once");
        }
        if self.operations.any()
            || !self.nothing_unapplied()
            || self.untold_requeue
            || self.lane.no_read_until > self.now
        {
            return;
        }
        let (in_memory, on_disk) = (lane.retries.next_due(), self.first_due());
        let known = on_disk.is_none_or(|disk| in_memory.is_some_and(|memory| memory <= disk));
        assert!(known, "what is due first is not in memory: {:?}", lane.retries);
        if lane.wake_at().is_none() {
            assert!(on_disk.is_none(), "retries sleep for ever: {:?}", lane.retries);
            assert!(lane.backlog.is_clean(), "deliveries sleep for ever: {:?}", lane.backlog);
        }
    }

    fn nothing_unapplied(&self) -> bool {
        self.reports.is_empty() && self.lane.settled.is_empty()
    }

    /// The process dies with everything in memory, and another one starts from the store.
    pub(super) fn crash(&mut self, delivered: impl Fn(Seq) -> bool) {
        let in_flight = std::mem::take(&mut self.operations).attempts;
        for attempt in in_flight {
            let facts = self.facts.entry(attempt.event.seq).or_default();
            facts.crashes += 1;
            facts.delivered += u32::from(delivered(attempt.event.seq));
        }
        let unreported = self.lane.report();
        for settled in self.reports.drain(..).chain(unreported).flat_map(|report| report.settled) {
            self.facts.entry(settled.seq).or_default().crashes += 1;
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.store = self.store.restart();
        self.progress = Progress::load(&self.store).unwrap();
        let routed = self.progress.routed(TARGET.app);
        let start = self.stored_start();
        self.slow_until = UnixMs::ZERO;
        self.note_told();
        let breaker = BreakerConfig::default();
        self.lane = Lane::new(TARGET, self.policy.clone(), BOUNDS, breaker, start, self.now);
        // Events known to be owed, and events that may not have been offered: both through the log.
        self.lane.missed(routed);
        let unrouted: Vec<Seq> = self.facts.range(routed.next()..).map(|(seq, _)| *seq).collect();
        if let (Some(first), Some(last)) = (unrouted.first(), unrouted.last())
            && !self.policy.disabled
        {
            self.progress.offered(TARGET, *first, *last);
            self.lane.missed(*last);
        }
        self.progress.set_routed(TARGET.app, self.head);
    }
}
