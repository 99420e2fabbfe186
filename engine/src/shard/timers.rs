//! Sleeps until the wheel's next deadline and wakes the lanes that are due.
//!
//! The wheel is pure; this is its shell. A fired timer is a nudge and nothing more: the lane looks at the time itself.

use super::core::{ShardCore, Watch};
use crate::clock::Clock;
use model::UnixMs;
use std::rc::Rc;
use std::time::Duration;

/// Lanes woken before other tasks get a turn.
const FIRED_MAX: usize = 512;

/// Longest sleep: bounds how late a timer is when the machine slept.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Wakes the lanes that are due, or the first of them: `true` when there are more.
pub fn fire(shard: &ShardCore, now: UnixMs) -> bool {
    let mut fired = Vec::new();
    let advanced = shard.wheel.borrow_mut().advance(now.0, FIRED_MAX, &mut |target| fired.push(target));
    for target in fired {
        let seat = shard.endpoints.borrow().get(&target).cloned();
        if let Some(seat) = seat {
            seat.cell.timer.set(None);
            seat.mailbox.poke();
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
        let next = shard.wheel.borrow().next_deadline_ms();
        let sleep = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(now.0))).min(SLEEP_MAX);
        // Whichever comes first; a deadline that moved closer ends the sleep early.
        drop(tokio::time::timeout(sleep, shard.timers_changed.notified()).await);
    }
}
