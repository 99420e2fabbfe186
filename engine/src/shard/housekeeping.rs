//! Once a second: gives up idle actors and measures the values that need a look at all of them.
//!
//! Nothing that a delivery waits for.

use super::core::{Handle, LaneCell, ShardCore, Watch};
use super::handles;
use crate::clock::Clock;
use crate::gauges::{Part, Said};
use model::{Seq, UnixMs};
use std::rc::Rc;
use std::time::Duration;
use storage::tables::log;

const PERIOD: Duration = Duration::from_secs(1);

/// Looks into the log for the oldest deliveries in one pass. An endpoint that does not move is looked at once.
const LOOKS_MAX: usize = 16;

/// Looks after the shard, and says how old its oldest delivery is. Never ends.
pub(super) async fn run(shard: Rc<ShardCore>, clock: Clock, oldest_seconds: Said) {
    let _watch = Watch(&shard);
    let mut wheel_timers = Part::new(metrics::gauge!(model::metric::WHEEL_TIMERS));
    loop {
        tokio::time::sleep(PERIOD).await;
        let oldest_ms = retire(&shard, clock.now());
        oldest_seconds.set(oldest_ms as f64 / 1000.0);
        wheel_timers.set(shard.timers.len() as f64);
    }
}

/// Gives up actors that have been idle for long enough; answers the age of the oldest delivery that waits.
pub fn retire(shard: &ShardCore, now: UnixMs) -> u64 {
    let (mut oldest_ms, mut looks_left) = (0, LOOKS_MAX);
    let mut idle: Vec<Handle> = Vec::new();
    for handle in shard.endpoints.borrow().values() {
        let lane = handle.cell.lane.borrow();
        let on_disk = lane.oldest_on_disk().and_then(|seq| accepted_at(shard, &handle.cell, seq, &mut looks_left));
        let oldest = lane.oldest_accepted_at().into_iter().chain(on_disk).min();
        oldest_ms = oldest_ms.max(oldest.map_or(0, |at| now.since_ms(at)));
        let long_ago = now.since_ms(handle.cell.active_at.get()) >= shard.config.retire_after_idle_ms;
        let nothing_noted = !handle.cell.requeued.get()
            && handle.cell.next_plan.borrow().is_none()
            && handle.cell.app_paused.get().is_none()
            && !handle.cell.in_reports.get();
        let all_arrived = handle.cell.offered.is_known_to(&lane);
        if long_ago && nothing_noted && all_arrived && lane.is_idle(now) {
            idle.push(handle.clone());
        }
    }
    for handle in idle {
        handles::leave(shard, &handle, false);
    }
    oldest_ms
}

/// The time at which the event at a position of the log, or the next one after it, was accepted.
///
/// None when this pass has looked often enough, or when the event cannot be read.
fn accepted_at(shard: &ShardCore, cell: &LaneCell, seq: Seq, looks_left: &mut usize) -> Option<UnixMs> {
    if let Some((_, known)) = cell.oldest_on_disk.get().filter(|(known, _)| *known == seq) {
        return known;
    }
    *looks_left = looks_left.checked_sub(1)?;
    let found = log::read_after(&*shard.store, cell.target.app, seq.previous(), 1, 1);
    let at = found.ok().and_then(|events| events.first().map(|event| event.accepted_at));
    cell.oldest_on_disk.set(Some((seq, at)));
    at
}
