//! A shard's counters and gauges, looked up once. Names are in [`model::metric`].
//!
//! No logic: the callers decide what to count.

use super::core::{LaneCell, ShardCore};
use crate::dispatch::Lack;
use crate::endpoint::breaker::{State, Transition};
use metrics::{Counter, Gauge, Histogram};
use model::metric;
use model::{DeadLetterReason, OutcomeClass};
use std::cell::Cell;

/// Handles of one shard; all shards add to the same series.
///
/// Values that change with every delivery are counted here and handed on once per turn of the shard's thread. The
/// series are shared with the other shards, and their processors would wait for each other at every step.
pub struct ShardMetrics {
    attempts: [Counter; OutcomeClass::ALL.len()],
    attempts_counted: [Cell<u64>; OutcomeClass::ALL.len()],
    delivered_counted: Cell<u64>,
    in_flight_shown: Cell<usize>,
    dead_letters: [Counter; DeadLetterReason::ALL.len()],
    not_made: [Counter; Lack::ALL.len()],
    attempt_seconds: Histogram,
    delivered: Counter,
    delivery_seconds: Histogram,
    breakers: [Gauge; 3],
    transitions: [Counter; 3],
    queued_bytes: Gauge,
    behind: Gauge,
    /// See [`metric::SCHEDULE_LAG_SECONDS`].
    pub schedule_lag: Histogram,
    in_flight: Gauge,
    /// See [`metric::MAILBOX_FULL`].
    pub mailbox_full: Counter,
    /// See [`metric::FILTER_ERRORS`].
    pub filter_errors: Counter,
    /// See [`metric::RETRIES`].
    pub retries: Counter,
    /// See [`metric::ACTORS`].
    pub actors: Gauge,
}

/// The values that the gauges count one endpoint as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    queued_bytes: usize,
    behind: bool,
    breaker: Option<usize>,
}

const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];

impl ShardMetrics {
    /// Looks every series up, so that each is there from the start, at zero.
    #[must_use]
    pub fn new() -> ShardMetrics {
        ShardMetrics {
            attempts_counted: [const { Cell::new(0) }; OutcomeClass::ALL.len()],
            delivered_counted: Cell::new(0),
            in_flight_shown: Cell::new(0),
            attempts: OutcomeClass::ALL.map(|class| metrics::counter!(metric::ATTEMPTS, "outcome" => class.as_str())),
            dead_letters: DeadLetterReason::ALL
                .map(|reason| metrics::counter!(metric::DEAD_LETTERS, "reason" => reason.as_str())),
            not_made: Lack::ALL.map(|lack| metrics::counter!(metric::ATTEMPTS_NOT_MADE, "lack" => lack.as_str())),
            attempt_seconds: metrics::histogram!(metric::ATTEMPT_SECONDS),
            delivered: metrics::counter!(metric::DELIVERED),
            delivery_seconds: metrics::histogram!(metric::DELIVERY_SECONDS),
            breakers: BREAKER_STATES.map(|state| metrics::gauge!(metric::BREAKERS, "state" => state)),
            transitions: BREAKER_STATES.map(|to| metrics::counter!(metric::BREAKER_TRANSITIONS, "to" => to)),
            queued_bytes: metrics::gauge!(metric::QUEUED_BYTES),
            behind: metrics::gauge!(metric::BEHIND),
            schedule_lag: metrics::histogram!(metric::SCHEDULE_LAG_SECONDS),
            in_flight: metrics::gauge!(metric::IN_FLIGHT),
            mailbox_full: metrics::counter!(metric::MAILBOX_FULL),
            filter_errors: metrics::counter!(metric::FILTER_ERRORS),
            retries: metrics::counter!(metric::RETRIES),
            actors: metrics::gauge!(metric::ACTORS),
        }
    }

    /// An attempt ended.
    pub fn attempted(&self, outcome: OutcomeClass, duration_ms: u32) {
        count_one(&self.attempts_counted[outcome as usize]);
        self.attempt_seconds.record(f64::from(duration_ms) / 1000.0);
    }

    /// An attempt was not made, because this process lacked a resource for it.
    pub fn not_made(&self, lack: Lack) {
        self.not_made[lack as usize].increment(1);
    }

    /// A delivery succeeded, so long after its acceptance.
    pub fn delivered(&self, latency_ms: u64) {
        count_one(&self.delivered_counted);
        self.delivery_seconds.record(latency_ms as f64 / 1000.0);
    }

    /// Hands on the counts since the last time, and the number of attempts in flight.
    pub fn hand_on(&self, in_flight: usize) {
        let counted = self.attempts.iter().zip(&self.attempts_counted);
        for (counter, counted) in counted.chain([(&self.delivered, &self.delivered_counted)]) {
            let count = counted.take();
            if count > 0 {
                counter.increment(count);
            }
        }
        let before = self.in_flight_shown.replace(in_flight);
        if before != in_flight {
            self.in_flight.increment(in_flight as f64 - before as f64);
        }
    }

    /// A delivery was given up.
    pub fn dead_letter(&self, reason: DeadLetterReason) {
        self.dead_letters[reason as usize].increment(1);
    }

    /// A breaker changed its state.
    pub fn transition(&self, transition: Transition) {
        let to = match transition {
            Transition::Closed => 0,
            Transition::Opened { .. } | Transition::Reopened { .. } => 1,
        };
        self.transitions[to].increment(1);
    }

    /// Counts an endpoint with its values of now.
    pub fn show(&self, shard: &ShardCore, cell: &LaneCell) {
        let shown = {
            let lane = cell.lane.borrow();
            let breaker = match lane.breaker_state() {
                State::Closed => 0,
                State::Open { .. } => 1,
                State::HalfOpen => 2,
            };
            Shown { queued_bytes: lane.queued_bytes(), behind: lane.is_behind(), breaker: Some(breaker) }
        };
        self.count(shard, cell, shown);
    }

    /// Counts an endpoint no more.
    pub fn hide(&self, shard: &ShardCore, cell: &LaneCell) {
        self.count(shard, cell, Shown::default());
    }

    fn count(&self, shard: &ShardCore, cell: &LaneCell, shown: Shown) {
        let before = cell.shown.replace(shown);
        if before == shown {
            return;
        }
        let bytes = shard.thread.queued_bytes.get() + shown.queued_bytes - before.queued_bytes;
        shard.thread.queued_bytes.set(bytes);
        self.queued_bytes.increment(shown.queued_bytes as f64 - before.queued_bytes as f64);
        self.behind.increment(f64::from(u8::from(shown.behind)) - f64::from(u8::from(before.behind)));
        if before.breaker != shown.breaker {
            if let Some(state) = before.breaker {
                self.breakers[state].decrement(1.0);
            }
            if let Some(state) = shown.breaker {
                self.breakers[state].increment(1.0);
                if state == 2 {
                    self.transitions[2].increment(1);
                }
            }
        }
    }
}

fn count_one(counted: &Cell<u64>) {
    counted.set(counted.get() + 1);
}

impl Default for ShardMetrics {
    fn default() -> ShardMetrics {
        ShardMetrics::new()
    }
}
