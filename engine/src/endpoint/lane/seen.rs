//! Questions about a lane's state. Nothing here changes it.

use super::Lane;
use crate::dispatch::Lack;
use crate::endpoint::breaker::State;
use crate::endpoint::retries::Urgency;
use crate::retry::budget::RetryBudget;
use crate::waiting::{Gate, Held};
use model::{Seq, UnixMs};

/// An endpoint whose oldest attempt has been in flight for longer does not keep up.
const SILENT_MS: u64 = 1_000;

impl Lane {
    /// True if nothing is left to do or to remember: its actor may go.
    #[must_use]
    pub fn is_idle(&self, now: UnixMs) -> bool {
        let all_durable = self.flights.is_empty()
            && self.settled.is_empty()
            && self.expired.is_none()
            && !self.health_changed
            && self.disable.is_none()
            && self.pause.is_none()
            && self.switches.is_empty()
            && self.reported == self.backlog.cursor();
        if self.is_paused() {
            // Its deliveries are on disk, and the end of the pause is told to an endpoint without an actor too.
            return all_durable && !self.backlog.is_reading() && !self.retries.is_loading();
        }
        all_durable
            && self.backlog.is_clean()
            && self.retries.is_clean()
            && (self.policy.disabled || self.breaker_may_be_forgotten(now))
            && self.slow_down_until <= now
    }

    /// True if its deliveries wait on disk, because it or its application is paused. An endpoint that is disabled gets
    /// nothing, so nothing waits.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        (self.policy.paused || self.app_paused) && !self.policy.disabled
    }

    /// True if the stored health says all that the breaker knows: it is closed, or its hold is over.
    fn breaker_may_be_forgotten(&self, now: UnixMs) -> bool {
        match self.breaker.state() {
            State::Closed => true,
            State::Open { until } => until <= now,
            State::HalfOpen => false,
        }
    }

    /// The resource that was short when an attempt was last due, and since when. None when there is nothing to send.
    #[must_use]
    pub fn lacking(&self, now: UnixMs) -> Option<(Lack, UnixMs)> {
        self.lacking.filter(|_| self.has_work(now))
    }

    /// The first closed gate, in the order in which admission asks them. None when a delivery could go, or there is none.
    pub fn held(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<Held> {
        let until = |by, at: UnixMs| Some(Held { by, until: Some(at) });
        if self.policy.disabled || self.is_paused() {
            // The row says so.
            return None;
        }
        if !self.has_work(now) {
            let due = self.retries.next_due_after(now).and_then(|due| until(Gate::RetrySchedule, due));
            return due.or(self.holds_for_order(now).then_some(Held { by: Gate::Order, until: None }));
        }
        if self.window.room() == 0 {
            return Some(Held { by: Gate::Window, until: None });
        }
        if self.slow_down_until > now {
            return until(Gate::RetryAfter, self.slow_down_until);
        }
        if let Some(Err(next)) = self.rate.as_mut().map(|rate| rate.check(now.0)) {
            return until(Gate::Rate, UnixMs(next.0));
        }
        match self.breaker.state() {
            State::Open { until: at } if at > now => return until(Gate::Breaker, at),
            State::HalfOpen => return Some(Held { by: Gate::Breaker, until: None }),
            State::Open { .. } | State::Closed => {}
        }
        let in_flight = |seq| self.flights.contains_key(&seq);
        let no_retry = |urgency| urgency != Urgency::Retry;
        if self.backlog.has_ready() || self.retries.first_due(now, no_retry, in_flight).is_some() {
            return None;
        }
        let next = self.budget.check(now.0).err().max(shard_budget.check(now.0).err())?;
        until(Gate::RetryBudget, UnixMs(next.0))
    }

    /// Attempts in flight, with deliveries whose rows are being fetched. The end of each leads to the next question.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// True if the endpoint answers in time, if not well.
    ///
    /// Its last attempt that ended showed that, and none in flight has waited for longer than [`SILENT_MS`]. The second
    /// condition finds an endpoint that answered well and then went silent.
    #[must_use]
    pub fn keeps_up(&self, now: UnixMs) -> bool {
        // Bounded by the window's greatest size; asked only when places are short.
        self.keeps_up && self.flights.values().all(|flight| now.since_ms(flight.since) <= SILENT_MS)
    }

    /// The breaker's state, for metrics.
    #[must_use]
    pub fn breaker_state(&self) -> State {
        self.breaker.state()
    }

    /// True if deliveries wait on disk, for metrics.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.backlog.is_behind()
    }

    /// The last position that it knows to have been offered.
    #[must_use]
    pub fn offered_upto(&self) -> Seq {
        self.backlog.offered_upto()
    }

    /// Bytes that wait in memory.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.backlog.queued_bytes()
    }

    /// Deliveries and retries that wait in memory.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        (self.backlog.queued(), self.retries.waiting())
    }

    /// True if every slot of its window is back, and with the slots every ticket.
    #[must_use]
    pub fn all_slots_back(&self) -> bool {
        self.window.room() == self.window.limit()
    }

    /// The position from which on the delivery that waits longest is found, when that is not in memory; for metrics.
    #[must_use]
    pub fn oldest_on_disk(&self) -> Option<Seq> {
        self.backlog.first_on_disk()
    }

    /// The time at which the delivery that waits longest in memory was accepted, for metrics.
    #[must_use]
    pub fn oldest_accepted_at(&self) -> Option<UnixMs> {
        self.backlog.oldest().map(|event| event.accepted_at)
    }
}
