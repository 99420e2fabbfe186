//! The timers that are compared, behind one face: Pinion's wheel, tokio-util's `DelayQueue`, and the cancellable wheel
//! of the crate `hierarchical_hash_wheel_timer`. Each is used as its documentation asks.
//!
//! A thin layer: each call here is a call of the measured timer.

use engine::retry::wheel::{TimerKey, Wheel};
use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::cancellable::{CancellableTimerEntry, QuadWheelWithOverflow};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

/// A set of pending timers, each with a number. Time starts at 0 and is told in milliseconds.
pub(crate) trait Timers {
    /// The name of a pending timer.
    type Key: Copy;
    /// For the reports.
    const NAME: &'static str;

    /// An empty set.
    fn empty() -> Self;
    /// Adds a timer.
    fn insert(&mut self, deadline_ms: u64, number: u64) -> Self::Key;
    /// Removes a pending timer; nothing happens when it is not pending.
    fn cancel(&mut self, key: Self::Key);
    /// Moves time to `now_ms`; the numbers of timers that fired are appended. True asks for another call.
    fn advance(&mut self, now_ms: u64, fired: &mut Vec<u64>) -> bool;
}

/// Ours.
impl Timers for Wheel<u64> {
    type Key = TimerKey;
    const NAME: &'static str = "pinion";

    fn empty() -> Self {
        Wheel::new(0)
    }

    fn insert(&mut self, deadline_ms: u64, number: u64) -> TimerKey {
        Wheel::insert(self, deadline_ms, number)
    }

    fn cancel(&mut self, key: TimerKey) {
        std::hint::black_box(Wheel::cancel(self, key));
    }

    fn advance(&mut self, now_ms: u64, fired: &mut Vec<u64>) -> bool {
        Wheel::advance(self, now_ms, usize::MAX, &mut |number| fired.push(number)).more
    }
}

/// tokio-util's, in a runtime whose clock stands still but for [`Timers::advance`].
pub(crate) struct TokioQueue {
    queue: DelayQueue<u64>,
    start: Instant,
    now_ms: u64,
    /// Dropped last: the queue's own timer lives in it.
    runtime: Runtime,
}

impl Timers for TokioQueue {
    type Key = delay_queue::Key;
    const NAME: &'static str = "delay_queue";

    fn empty() -> Self {
        let built = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = built.expect("a runtime needs no more than memory");
        let (queue, start) = runtime.block_on(async { (DelayQueue::new(), Instant::now()) });
        TokioQueue { queue, start, now_ms: 0, runtime }
    }

    fn insert(&mut self, deadline_ms: u64, number: u64) -> Self::Key {
        let _entered = self.runtime.enter();
        self.queue.insert_at(number, self.start + Duration::from_millis(deadline_ms))
    }

    fn cancel(&mut self, key: Self::Key) {
        std::hint::black_box(self.queue.try_remove(&key));
    }

    fn advance(&mut self, now_ms: u64, fired: &mut Vec<u64>) -> bool {
        let step = Duration::from_millis(now_ms - self.now_ms);
        self.now_ms = now_ms;
        let queue = &mut self.queue;
        self.runtime.block_on(async move {
            tokio::time::advance(step).await;
            let all_due = std::future::poll_fn(|cx| {
                while let Poll::Ready(Some(expired)) = queue.poll_expired(cx) {
                    fired.push(expired.into_inner());
                }
                Poll::Ready(())
            });
            unconstrained(all_due).await;
        });
        false
    }
}

/// The other hierarchical wheel. It names timers by ids of the caller's choice, for which the numbers will do.
pub(crate) struct HashWheel {
    wheel: QuadWheelWithOverflow<Numbered>,
    now_ms: u64,
}

#[derive(Debug)]
struct Numbered(u64);

impl CancellableTimerEntry for Numbered {
    type Id = u64;

    fn id(&self) -> &u64 {
        &self.0
    }
}

impl Timers for HashWheel {
    type Key = u64;
    const NAME: &'static str = "hash_wheel";

    fn empty() -> Self {
        HashWheel { wheel: QuadWheelWithOverflow::new(), now_ms: 0 }
    }

    fn insert(&mut self, deadline_ms: u64, number: u64) -> u64 {
        let delay = Duration::from_millis(deadline_ms.saturating_sub(self.now_ms).max(1));
        let inserted = self.wheel.insert_ref_with_delay(Rc::new(Numbered(number)), delay);
        assert!(inserted.is_ok(), "it takes every delay of 1 ms and more");
        number
    }

    fn cancel(&mut self, key: u64) {
        drop(std::hint::black_box(self.wheel.cancel(&key)));
    }

    fn advance(&mut self, now_ms: u64, fired: &mut Vec<u64>) -> bool {
        while self.now_ms < now_ms {
            let left_ms = (now_ms - self.now_ms) as u32;
            let skipped_ms = match self.wheel.can_skip() {
                Skip::Empty => left_ms,
                Skip::Millis(ms) => ms.min(left_ms),
                Skip::None => 0,
            };
            if skipped_ms > 0 {
                self.wheel.skip(skipped_ms);
                self.now_ms += u64::from(skipped_ms);
            } else {
                fired.extend(self.wheel.tick().iter().map(|entry| entry.0));
                self.now_ms += 1;
            }
        }
        false
    }
}
