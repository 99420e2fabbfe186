//! Messages with times of their own: when clients schedule one, have one expire, or call one off.

use super::World;
use crate::client::Refusal;
use crate::network::pick;
use rand::RngExt;
use storage::Direction;
use storage::tables::{log, schedule};
use storage::writer::MessageMore;

/// How far times lie apart, in milliseconds.
const FAR_MS: [u64; 5] = [1, 500, 5_000, 60_000, 4 * 3_600_000];

impl World {
    /// Times of a message that is scheduled or expires; none for one that does neither.
    pub(super) fn times(&mut self) -> Option<MessageMore> {
        let (scheduled, expires) = self.plan.timed_percent;
        if scheduled + expires == 0 {
            return None;
        }
        let (scheduled, expires) = (self.rng.random_ratio(scheduled, 100), self.rng.random_ratio(expires, 100));
        if !scheduled && !expires {
            return None;
        }
        let now = self.node.clock.now();
        let deliver_at = scheduled.then(|| now.plus_ms(*pick(&FAR_MS, &mut self.rng)));
        let ready_at = deliver_at.unwrap_or(now);
        let life_ms = expires.then(|| *pick(&FAR_MS, &mut self.rng));
        let absolute = self.rng.random_ratio(1, 2);
        Some(MessageMore {
            deliver_at,
            expires_at: life_ms.filter(|_| absolute).map(|life_ms| ready_at.plus_ms(life_ms)),
            ttl_ms: life_ms.filter(|_| !absolute),
            ..MessageMore::default()
        })
    }

    /// Calls a scheduled message off, or tries to.
    pub(super) fn call_off(&mut self) {
        let Some(app) = self.some_app() else { return };
        let rows = schedule::list(&*self.node.disk, app, None, 100, Direction::Forward).unwrap_or_default();
        if rows.is_empty() {
            return;
        }
        let seq = pick(&rows, &mut self.rng).seq;
        self.change(format!("{app}/{seq} is called off"), move |txn| {
            let event = log::get(txn, app, seq)?.ok_or(Refusal::NotPossible)?;
            if schedule::call_off(txn, &event)? { Ok(()) } else { Err(Refusal::NotPossible) }
        });
    }
}
