//! The timers of a shard's lanes: one for each that waits for a time.
//!
//! The wheel is pure; [`run`] is its shell. A fired timer is only a nudge: the lane looks at the time itself.

use super::core::{LaneCell, ShardCore, Watch};
use crate::clock::Clock;
use crate::retry::wheel::{TimerKey, Wheel};
use model::{EndpointRef, UnixMs};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// Lanes woken before other tasks get a turn.
const FIRED_MAX: usize = 512;

/// Longest sleep: bounds how late a timer is when the machine slept.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// All timers.
pub struct Timers {
    wheel: RefCell<Wheel<EndpointRef>>,
    /// The next deadline may have moved.
    moved: Notify,
}

/// The timer of one lane, with its time.
#[derive(Default)]
pub(super) struct LaneTimer(Cell<Option<(TimerKey, UnixMs)>>);

impl Timers {
    pub(super) fn new(now: UnixMs) -> Timers {
        Timers { wheel: RefCell::new(Wheel::new(now.0)), moved: Notify::new() }
    }

    /// Sets, moves or clears a lane's timer.
    pub(super) fn set(&self, cell: &LaneCell, at: Option<UnixMs>) {
        let timer = &cell.timer.0;
        let current = timer.get();
        if current.map(|(_, time)| time) == at {
            return;
        }
        let mut wheel = self.wheel.borrow_mut();
        if let Some((key, _)) = current {
            wheel.cancel(key);
        }
        timer.set(at.map(|at| (wheel.insert(at.0, cell.target), at)));
        if at.is_some() {
            self.moved.notify_one();
        }
    }

    /// When the next one fires.
    #[must_use]
    pub fn next_deadline(&self) -> Option<UnixMs> {
        self.wheel.borrow().next_deadline_ms().map(UnixMs)
    }

    /// Timers that are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wheel.borrow().len()
    }

    /// True if none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wheel.borrow().is_empty()
    }

    /// Waits until the next deadline may have moved.
    ///
    /// # Cancel safety
    /// A move that nobody waited for is remembered.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }
}

/// Wakes the lanes that are due, or the first of them: `true` when there are more.
pub fn fire(shard: &ShardCore, now: UnixMs) -> bool {
    let mut fired = Vec::new();
    let advanced = shard.timers.wheel.borrow_mut().advance(now.0, FIRED_MAX, &mut |target| fired.push(target));
    for target in fired {
        let handle = shard.endpoints.borrow().get(&target).cloned();
        if let Some(handle) = handle {
            handle.cell.timer.0.set(None);
            handle.mailbox.poke();
        }
    }
    advanced.more
}

/// Runs the shard's timers. Never ends.
pub(super) async fn run(shard: Rc<ShardCore>, clock: Clock) {
    let _watch = Watch(&shard);
    loop {
        let now = clock.now();
        if fire(&shard, now) {
            tokio::task::yield_now().await;
            continue;
        }
        let next = shard.timers.next_deadline();
        let sleep = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.since_ms(now))).min(SLEEP_MAX);
        // A deadline that moved closer ends the sleep early.
        drop(tokio::time::timeout(sleep, shard.timers.moved()).await);
    }
}
