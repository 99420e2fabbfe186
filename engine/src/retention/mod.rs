//! Retention removes data that is too old, or over the limit of bytes, oldest first. Deliveries that end with it are
//! counted and noted.
//!
//! ```text
//! clock ─▶ cutoffs ─▶ pass: payloads of a time of their own ─▶ events ─▶ what waited for them ─▶ attempts ─▶ dead letters, notes, gaps, keys, jobs
//! bytes ─▶ relief: events of the application with the oldest ones, until there is room
//! ```
//!
//! This file decides which data may go. `step` says what that means for rows. `round` says which step comes next
//! (`pass` and `relief` look for it). `janitor` is the task that makes the steps one by one, in small changes with
//! pauses between them.
//!
//! **Deliveries whose event goes:** a delivery that waits for a retry becomes a dead letter, `expired`. One that was
//! not tried yet has no row; the cursor of its endpoint stands before the log's beginning. The first read of the log
//! that finds so leaves the note `expired` of the endpoint, in the commit that moves the cursor. One in flight ends as
//! it ends. So nothing is lost without a trace, and a backlog of a hundred million is one row.
//!
//! Pure. No clock and no store.

pub(crate) mod janitor;
mod pass;
mod relief;
mod round;
mod step;
#[cfg(test)]
mod tests;

pub use round::{Found, Round};
pub use step::{Step, Sweep, Tally};

use model::{AppId, UnixMs};
use std::collections::BTreeSet;
use storage::rows::meta::Retained;
use storage::tables::job::KeptJobs;

/// No rest between two rounds is shorter.
const SHORT_REST_MS: u64 = 50;

/// Highest speed of retention's clock, as a multiple of real time.
const CATCH_UP: u64 = 2;

/// Limits of what is kept. 0 means: without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events this long after they were accepted.
    pub events_ms: u64,
    /// Attempts this long after they began, and no longer than their events.
    pub attempts_ms: u64,
    /// Jobs this long after they ended.
    pub jobs_ms: u64,
    /// Jobs of one application, ended ones as far as they go beyond.
    pub jobs_of_app: u32,
    /// Notes of what expired, this long after; dead letters too, unless their endpoint or application sets days.
    pub dead_letters_ms: u64,
    /// Bytes of events and attempts in all.
    pub bytes: u64,
    /// Records of the audit log this long after they were made.
    pub audit_ms: u64,
    /// Records of the audit log in all.
    pub audit_records: u64,
}

/// Times before which rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoffs {
    /// The time that they are reckoned from.
    pub time: UnixMs,
    /// Events accepted before.
    pub events: UnixMs,
    /// Attempts begun before.
    pub attempts: UnixMs,
    /// Jobs that stay.
    pub jobs: KeptJobs,
    /// Dead letters of before, where neither their endpoint nor its application sets days.
    pub dead_letters: UnixMs,
    /// Records of the audit log made before.
    pub audit: UnixMs,
    /// Records of the audit log that stay at most.
    pub audit_records: u64,
}

impl Limits {
    /// Everything is kept for ever.
    pub const NONE: Limits = Limits {
        events_ms: 0,
        attempts_ms: 0,
        jobs_ms: 0,
        jobs_of_app: 0,
        dead_letters_ms: 0,
        bytes: 0,
        audit_ms: 0,
        audit_records: 0,
    };

    /// The cutoffs at `time`.
    pub fn cutoffs(&self, time: UnixMs) -> Cutoffs {
        // Nothing is older than the epoch, which stands for no limit.
        let before = |kept_ms: u64| if kept_ms == 0 { UnixMs::ZERO } else { UnixMs(time.0.saturating_sub(kept_ms)) };
        Cutoffs {
            time,
            events: before(self.events_ms),
            attempts: before(self.attempts_ms),
            jobs: KeptJobs {
                since: before(self.jobs_ms),
                of_app: if self.jobs_of_app == 0 { u32::MAX } else { self.jobs_of_app },
            },
            dead_letters: before(self.dead_letters_ms),
            audit: before(self.audit_ms),
            audit_records: if self.audit_records == 0 { u64::MAX } else { self.audit_records },
        }
    }

    /// Bytes of events to remove now, so that with their attempts, which follow, the rest is within the limit.
    pub(crate) fn excess(&self, retained: Retained) -> u64 {
        let total = retained.total();
        if self.bytes == 0 || total <= self.bytes {
            return 0;
        }
        let share = u128::from(total - self.bytes) * u128::from(retained.events);
        u64::try_from(share.div_ceil(u128::from(total))).unwrap_or(u64::MAX)
    }
}

/// The time that retention goes by. It is never ahead of the wall clock, and it advances at most twice as fast as time
/// really passes while the process runs. So when the wall clock jumps ahead (which shows at a restart: the engine's
/// clock does not jump), nothing goes before it was kept, by a running process, for half as long as it should be at
/// least; and after a long stop retention catches up rather than wiping out at once what the disk had room for all the
/// same.
#[derive(Clone, Copy, Debug)]
pub struct RetentionClock {
    time: UnixMs,
    read_at: UnixMs,
}

impl RetentionClock {
    /// Goes on from the time noted last, if there is one, unless that lies ahead.
    pub fn resume(noted: Option<UnixMs>, now: UnixMs) -> RetentionClock {
        RetentionClock { time: noted.map_or(now, |noted| noted.min(now)), read_at: now }
    }

    /// The time at `now`, which must be of a clock that does not jump.
    pub fn advance(&mut self, now: UnixMs) -> UnixMs {
        let passed_ms = now.since_ms(self.read_at);
        self.read_at = self.read_at.max(now);
        self.time = self.time.plus_ms(passed_ms.saturating_mul(CATCH_UP)).min(now).max(self.time.min(now));
        self.time
    }
}

/// The applications with the oldest events, a bounded number of them, in order.
#[derive(Debug)]
pub(crate) struct OldestFirst {
    capacity: usize,
    apps: BTreeSet<(UnixMs, AppId)>,
    /// Events from here on may be in an application that found no room.
    beyond: Option<UnixMs>,
}

impl OldestFirst {
    pub(crate) fn new(capacity: usize) -> OldestFirst {
        OldestFirst { capacity: capacity.max(1), apps: BTreeSet::new(), beyond: None }
    }

    /// An application whose oldest event was accepted at `at`.
    pub(crate) fn offer(&mut self, at: UnixMs, app: AppId) {
        self.apps.insert((at, app));
        if self.apps.len() > self.capacity
            && let Some((at, _)) = self.apps.pop_last()
        {
            self.beyond = Some(self.beyond.map_or(at, |beyond| beyond.min(at)));
        }
    }

    /// The one with the oldest event of all, if that is known.
    pub(crate) fn pop(&mut self) -> Option<AppId> {
        let (at, app) = *self.apps.first()?;
        if self.beyond.is_some_and(|beyond| at > beyond) {
            return None;
        }
        self.apps.pop_first();
        Some(app)
    }
}

/// Pause in ms after a change that took `took_ms`, so that at most one commit in five carries work of retention. While
/// there is too much, any commit may. Then ingest waits for removal: were it the other way round, the disk would fill.
pub(crate) fn pause_ms(took_ms: u64, too_much: bool) -> u64 {
    if too_much { 1 } else { took_ms.saturating_mul(4).clamp(1, 2_000) }
}

/// Rest in ms after a round that worked for `worked_ms`: looking takes at most a twentieth of a core, a third while
/// there is too much. The rest is short while there is too much and `removed` says that some of it could go.
pub(crate) fn rest_ms(worked_ms: u64, period_ms: u64, too_much: bool, removed: bool) -> u64 {
    if too_much && removed {
        SHORT_REST_MS
    } else if too_much {
        worked_ms.saturating_mul(2).clamp(SHORT_REST_MS, period_ms.max(SHORT_REST_MS))
    } else {
        worked_ms.saturating_mul(19).max(period_ms)
    }
}
