//! The state that a shard's tasks share on their one thread: endpoints, timers, budgets, and lanes with reports.
//!
//! Everything here is `Rc` and `Cell`: nothing crosses threads, so nothing is locked. No borrow is held over an await.
//!
//! The core of a shard is this module, [`super::handles`], [`super::work`], [`super::timers`] and
//! [`super::housekeeping`]. Their callers pass in everything else, above all the time. Code that awaits is in
//! [`super::shell`] and [`super::run`], which a simulation replaces. No clock, no socket and no task here.

use super::challenges::Challenges;
use super::metrics::ShardMetrics;
use super::offered::Offered;
use super::places::Places;
use super::report::{InReports, Reports};
use super::thread_shares::ThreadShares;
use super::timers::{LaneTimer, Timers};
use crate::config::EngineConfig;
use crate::dispatch::Guard;
use crate::endpoint::lane::{Finished, Lane};
use crate::endpoint::mailbox::Mailbox;
use crate::pace::{AppPace, AppSlots, Paces, Turn};
use crate::partition_id::PartitionId;
use crate::prepare::{Compiler, Plan};
use crate::retry::budget::{BudgetConfig, RetryBudget};
use crate::seal::MasterKey;
use crate::shard::inbox::{NewsNumber, ShardInbox};
use foldhash::HashMap;
use model::{AppId, AppSettings, EndpointRef, Seq, UnixMs};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use storage::SharedStore;
use storage::writer::{Failure, WriterHandle};
use tokio::sync::Notify;

/// Payload bytes of one read of the log, at least one event's.
const LOG_READ_BYTES_MAX: usize = 1024 * 1024;

/// The lanes of one partition on one shard thread.
pub struct ShardCore {
    /// Which of the partitions.
    pub partition: PartitionId,
    /// Which of the threads, from 0.
    pub index: usize,
    /// Bounds and defaults.
    pub config: Arc<EngineConfig>,
    /// Shared with the other partitions on this thread.
    pub thread: Rc<ThreadShares>,
    /// The inbox in which other threads leave news.
    pub inbox: Arc<ShardInbox>,
    /// For reads.
    pub store: SharedStore,
    /// For settlements.
    pub writer: WriterHandle,
    /// Compiles the plans of its endpoints.
    pub(super) compiler: Compiler,
    /// The paces of applications.
    pub(super) paces: Arc<Paces>,
    /// The slots of applications that have some and an actor here. An attempt takes one with its place.
    pub(super) slots: RefCell<HashMap<AppId, Arc<AppSlots>>>,
    /// Takes on actors.
    pub(super) actors: Box<dyn Actors>,
    /// Endpoints with an actor.
    pub endpoints: RefCell<HashMap<EndpointRef, Handle>>,
    /// One timer for each endpoint that waits for a time.
    pub timers: Timers,
    /// Lanes with something to report.
    pub reports: Reports,
    /// Endpoints whose receivers must be asked for their proof.
    pub challenges: Challenges,
    /// The attempts in flight of each application, and the lanes that wait for a place.
    pub places: RefCell<Places>,
    /// A place is free again.
    pub(super) attempt_ended: Notify,
    /// The shard's share of retries.
    pub(super) budget: RefCell<RetryBudget>,
    /// Jitter.
    pub(super) rng: RefCell<StdRng>,
    /// The writer has enough to do: no new attempts for now.
    pub(super) holding: Cell<bool>,
    /// No new attempts any more.
    pub(super) stopping: Cell<bool>,
    /// Counters and gauges.
    pub(super) metrics: ShardMetrics,
}

/// The parts that a shard is made of.
pub struct ShardParts {
    /// Which of the partitions.
    pub partition: PartitionId,
    /// Which of the threads, from 0.
    pub index: usize,
    /// Bounds and defaults.
    pub config: Arc<EngineConfig>,
    /// The inbox in which other threads leave news for it.
    pub inbox: Arc<ShardInbox>,
    /// For reads.
    pub store: SharedStore,
    /// For settlements.
    pub writer: WriterHandle,
    /// Opens secrets.
    pub master: Arc<MasterKey>,
    /// Judges addresses.
    pub guard: Arc<Guard>,
    /// The paces of applications, shared with the other shards.
    pub paces: Arc<Paces>,
    /// For jitter.
    pub seed: u64,
}

/// Starts actors for endpoints.
///
/// The actor empties its mailbox and gives each message to [`super::work::take_input`], one at a time. Then it carries
/// out the actions that this call asks for.
pub trait Actors {
    /// Starts one with an empty mailbox.
    fn start(&self, shard: &Rc<ShardCore>, cell: &Rc<LaneCell>) -> Rc<dyn Mailbox>;
}

/// An endpoint's actor and its lane.
#[derive(Clone)]
pub struct Handle {
    /// The actor's mailbox.
    pub mailbox: Rc<dyn Mailbox>,
    /// Shared with the actor; see [`LaneCell`].
    pub cell: Rc<LaneCell>,
}

impl Handle {
    /// The last plan: its lane may not have been told of it yet.
    pub(super) fn last_plan(&self) -> Arc<Plan> {
        let waiting = self.cell.next_plan.borrow().clone();
        waiting.unwrap_or_else(|| self.cell.plan.borrow().clone())
    }
}

/// An endpoint's lane, with the state that its shells keep beside it.
///
/// Only the actor feeds the lane. The reporter only collects reports, so that one settlement carries everything since
/// the last.
pub struct LaneCell {
    /// Which endpoint.
    pub target: EndpointRef,
    /// Decides.
    pub lane: RefCell<Lane>,
    /// The plan that attempts are prepared with.
    pub plan: RefCell<Arc<Plan>>,
    /// The settings of its application; none when that never set any. Shared with those who compile its plan.
    pub(super) app: RefCell<Option<Arc<AppSettings>>>,
    /// The pace of its application as a whole, if that has one.
    pub(super) pace: RefCell<Option<Arc<AppPace>>>,
    /// The slots of its application, if attempts of that are bounded.
    pub(super) slots: RefCell<Option<Arc<AppSlots>>>,
    /// Its rows were read when the shard had been told of the changes up to this one.
    pub(super) opened_at: NewsNumber,
    /// The mark up to which it was offered the log.
    pub(super) offered: Offered,
    /// Rows were put back in line.
    pub(super) requeued: Cell<bool>,
    /// The plan of a later revision, which its lane has not been told of.
    pub(super) next_plan: RefCell<Option<Arc<Plan>>>,
    /// Its application was paused or resumed, and its lane has not been told.
    pub(super) app_paused: Cell<Option<bool>>,
    /// Results of attempts that the lane has not been told; at most its attempts in flight.
    pub ended: RefCell<Vec<Finished>>,
    /// Set when it waits for a time.
    pub(super) timer: LaneTimer,
    /// True while it stands in [`ShardCore::reports`].
    pub(super) in_reports: InReports,
    /// When its application's pace lets it go on.
    pub(super) turn: Cell<Turn>,
    /// Stands in line for a place.
    pub(super) waiting: Cell<bool>,
    /// When it came to stand there.
    pub(super) waiting_since: Cell<UnixMs>,
    /// When something last happened to it.
    pub(super) active_at: Cell<UnixMs>,
    /// The position that it last stood at on disk, and when the event there was accepted; for metrics.
    pub(super) oldest_on_disk: Cell<Option<(Seq, Option<UnixMs>)>>,
    /// The values that the gauges were last told: bytes, behind, breaker.
    pub(super) shown: Cell<super::metrics::Shown>,
    /// The endpoint is gone: the results of its attempts are dropped.
    pub(super) gone: Cell<bool>,
}

impl ShardCore {
    /// One without endpoints.
    #[must_use]
    pub fn new(parts: ShardParts, thread: Rc<ThreadShares>, actors: Box<dyn Actors>, now: UnixMs) -> ShardCore {
        let config = parts.config;
        ShardCore {
            partition: parts.partition,
            index: parts.index,
            config: config.clone(),
            places: RefCell::new(Places::new(thread.clone())),
            thread,
            inbox: parts.inbox,
            store: parts.store,
            writer: parts.writer,
            compiler: Compiler { config, master: parts.master, guard: parts.guard },
            paces: parts.paces,
            slots: RefCell::new(HashMap::default()),
            actors,
            endpoints: RefCell::new(HashMap::default()),
            timers: Timers::new(now),
            reports: Reports::default(),
            challenges: Challenges::default(),
            attempt_ended: Notify::new(),
            budget: RefCell::new(RetryBudget::new(BudgetConfig::default(), now.0)),
            rng: RefCell::new(StdRng::seed_from_u64(parts.seed)),
            holding: Cell::new(false),
            stopping: Cell::new(false),
            metrics: ShardMetrics::new(),
        }
    }

    /// True if attempts may start now at all.
    #[must_use]
    pub fn may_start(&self) -> bool {
        !self.holding.get() && !self.stopping.get() && !self.places.borrow().is_full()
    }

    /// True if another attempt of this application may start now.
    #[must_use]
    pub fn may_start_for(&self, app: AppId) -> bool {
        self.may_start() && self.places.borrow().open_for(app)
    }

    /// True if this lane may start another: see [`Places::open_for_endpoint`].
    #[must_use]
    pub fn has_place_for(&self, app: AppId, lane: &Lane, now: UnixMs) -> bool {
        self.may_start() && self.places.borrow().open_for_endpoint(app, lane.in_flight(), || lane.keeps_up(now))
    }

    /// Places taken.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.places.borrow().taken()
    }

    /// Begins a read of the log. Answers the bytes of payloads that it may bring, at least one.
    ///
    /// The caller asks only when the read has its turn: of many reads that wait, each would count on the same room.
    /// [`ShardCore::log_read_over`] follows.
    #[must_use]
    pub fn begin_log_read(&self, cell: &LaneCell) -> usize {
        let bytes_max = self.thread.room_bytes(cell.lane.borrow().queued_bytes()).clamp(1, LOG_READ_BYTES_MAX);
        self.thread.reading_bytes.set(self.thread.reading_bytes.get() + bytes_max);
        bytes_max
    }

    /// The events that a read of the log brought are in their endpoint's mailbox.
    pub fn log_read_over(&self, bytes_max: usize) {
        self.thread.reading_bytes.set(self.thread.reading_bytes.get().saturating_sub(bytes_max));
    }

    /// A lane has work and no room on the shard: it is woken when there is.
    pub fn wait_for_room(&self, cell: &Rc<LaneCell>, now: UnixMs) {
        if !cell.waiting.replace(true) {
            cell.waiting_since.set(now);
            self.places.borrow_mut().wait(cell.clone());
        }
    }

    /// An attempt or a fetch of this application takes a place.
    pub fn take_place(&self, app: AppId) {
        let taken = self.places.borrow_mut().take(app);
        debug_assert!(taken, "a lane started what it had no place for");
    }

    /// The same by a lane that has not heard of its application's slots: it takes one all the same, as one is given back.
    pub(super) fn take_slot_late(&self, app: AppId) {
        let slots = self.slots.borrow();
        if !slots.is_empty()
            && let Some(slots) = slots.get(&app)
        {
            slots.count_in(1);
        }
    }

    /// An attempt ended: its result is left with its lane.
    ///
    /// The actor is told for the first result only: all attempts that end in one turn of the thread are one input.
    pub fn attempt_over(&self, cell: &LaneCell, finished: Finished) {
        if cell.gone.get() {
            return self.free_places(cell.target.app, 1);
        }
        let first = {
            let mut ended = cell.ended.borrow_mut();
            ended.push(finished);
            ended.len() == 1
        };
        if first {
            self.poke(cell.target);
        }
    }

    /// Attempts of this application ended and their lanes know, or a fetch led to none: the next in line may go.
    pub fn free_places(&self, app: AppId, count: usize) {
        self.places.borrow_mut().give_back(app, count);
        let slots = self.slots.borrow();
        if !slots.is_empty()
            && let Some(slots) = slots.get(&app)
        {
            slots.free(count as u32);
        }
        drop(slots);
        self.attempt_ended.notify_one();
        // The gauge of attempts in flight must follow, even when nothing is left to report.
        self.reports.want();
        self.wake_next();
    }

    /// Wakes the next actor in line for a place, of whatever partition, if there is room.
    ///
    /// An actor that finds no use for the place (its breaker opened meanwhile, or it is gone) must call this again.
    /// Otherwise those after it would wait for the end of attempts that nobody makes.
    pub fn wake_next(&self) {
        self.thread.wake_next(self);
    }

    /// The same for the lanes of this partition alone. Answers `true` if one was woken.
    pub(super) fn wake_one(&self) -> bool {
        while self.may_start() {
            let next = self.places.borrow_mut().next_in_line();
            let Some(cell) = next else { return false };
            cell.waiting.set(false);
            if self.poke(cell.target) {
                return true;
            }
        }
        false
    }

    /// Makes an actor look at its lane; `false` when there is none. A full mailbox does so anyway.
    pub fn poke(&self, target: EndpointRef) -> bool {
        let endpoints = self.endpoints.borrow();
        let Some(handle) = endpoints.get(&target) else { return false };
        handle.mailbox.poke();
        true
    }

    /// Makes every actor look at its lane.
    pub fn poke_all(&self) {
        for handle in self.endpoints.borrow().values() {
            handle.mailbox.poke();
        }
    }
}

/// A guard that each task of a partition holds on a shard's thread. When the task panics, the whole partition fails.
///
/// A shard without one of its tasks, or an endpoint without its actor, would look alive and deliver nothing. A restart
/// goes on from the disk.
pub struct Watch<'a>(pub &'a ShardCore);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.writer.fail(Failure::Failed("a part of the engine panicked".to_owned()));
        }
    }
}
