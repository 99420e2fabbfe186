//! The next action of a lane: it chooses the delivery, and decides if it may go now.
//!
//! Five gates in a row: window, pauses, rate, breaker, and for retries the budgets. The receiver asks for a pause, or
//! this process lacks a resource. A delivery that a gate turns away gives back its ticket and its slot.
//! Not the gates themselves.

use super::Lane;
use super::types::{Action, Attempt, Chosen, Fetch, FirstTry, Flight, Room};
use crate::endpoint::backlog::Backlog;
use crate::endpoint::breaker::{Admission, State, Ticket};
use crate::endpoint::order::Keyed;
use crate::endpoint::retries::{DueKey, Urgency};
use crate::endpoint::window::{Feedback, Slot};
use crate::prepare::Side;
use crate::retry::budget::{RetryBudget, withdraw_both};
use model::{Seq, Trigger, UnixMs};

/// The time for which the store is left alone after a read of it failed.
const READ_PAUSE_MS: u64 = 1_000;

impl Lane {
    /// The next thing to do, if there is one now.
    pub fn next_action(&mut self, now: UnixMs, room: Room, shard_budget: &mut RetryBudget) -> Option<Action> {
        self.wake_at = None;
        if self.is_paused() {
            return None;
        }
        let may_read = self.may_read(now);
        if !self.policy.disabled {
            // Before the loads: an order has the due index read once that is durable.
            self.end_unsendable(now);
        }
        if may_read && let Some(load) = self.retries.next_load() {
            return Some(Action::LoadDue(load));
        }
        self.place_scheduled(now);
        if may_read && let Some(asked) = self.next_keys() {
            return Some(Action::ReadKeys(asked));
        }
        if self.policy.disabled {
            self.drop_everything(now);
            return if may_read { self.retries.next_load().map(Action::LoadDue) } else { None };
        }
        if may_read && let Some(read) = self.backlog.next_read(room.bytes) {
            return Some(Action::ReadLog(read));
        }
        self.wake_when_due(now);
        if !room.attempt || !self.has_work(now) {
            return None;
        }
        let admitted = self.admit(now, shard_budget);
        if admitted.is_none() && may_read {
            // Passing over may have led to a scheduled message whose key is not known.
            return self.next_keys().map(Action::ReadKeys);
        }
        admitted
    }

    /// True if an attempt could be made now if there were room for one on the shard.
    #[must_use]
    pub fn has_work(&self, now: UnixMs) -> bool {
        if self.is_paused() {
            return false;
        }
        if self.turns.is_kept() {
            return self.has_work_in_order(now);
        }
        self.retries.next_due().is_some_and(|due| due <= now) || self.backlog.has_ready()
    }

    /// True if an attempt would start now if there were room on the shard, as far as this endpoint alone decides.
    ///
    /// The attempt may still not start, for the budgets of retries are not looked at. It never starts when this answers
    /// `false`.
    pub fn would_start(&mut self, now: UnixMs) -> bool {
        let breaker_lets_one = match self.breaker.state() {
            State::Closed => true,
            State::Open { until } => until <= now,
            State::HalfOpen => false,
        };
        breaker_lets_one
            && !self.policy.disabled
            && self.window.room() > 0
            && self.slow_down_until.max(self.lacking_until) <= now
            && self.has_work(now)
            && self.rate.as_mut().is_none_or(|rate| rate.check(now.0).is_ok())
    }

    /// The time at which to ask again, if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<UnixMs> {
        self.wake_at
    }

    /// Asks again when the next row is due. Where an order is kept, one that is due already may wait for a later one.
    fn wake_when_due(&mut self, now: UnixMs) {
        let next = if self.turns.is_kept() { self.retries.next_due_after(now) } else { self.retries.next_due() };
        if let Some(due) = next.filter(|due| *due > now) {
            self.wake_no_later_than(due);
        }
    }

    /// True if the store may be read.
    ///
    /// After a failed read it may not be read for [`READ_PAUSE_MS`]. So a corrupt row is not asked for without end.
    fn may_read(&mut self, now: UnixMs) -> bool {
        if std::mem::take(&mut self.read_failed) {
            self.no_read_until = now.plus_ms(READ_PAUSE_MS);
        }
        if self.no_read_until > now {
            self.wake_no_later_than(self.no_read_until);
            return false;
        }
        true
    }

    fn admit(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<Action> {
        if self.window.room() == 0 {
            // An attempt in flight comes back and leads to the next question.
            return None;
        }
        let not_before = self.slow_down_until.max(self.lacking_until);
        if not_before > now {
            self.wake_no_later_than(not_before);
            return None;
        }
        if let Some(Err(next)) = self.rate.as_mut().map(|rate| rate.check(now.0)) {
            self.wake_no_later_than(UnixMs(next.0));
            return None;
        }
        let ticket = match self.breaker.try_acquire(now) {
            Admission::Allowed(ticket) | Admission::Probe(ticket) => ticket,
            Admission::Rejected { until } => {
                // Without a time a probe is out: its result comes here and leads to the next question.
                self.wake_at = until;
                return None;
            }
        };
        let Some(slot) = self.window.try_acquire() else {
            self.breaker.release(ticket);
            return None;
        };
        let Some(chosen) = self.choose(now, shard_budget) else {
            self.give_back(ticket, slot);
            return None;
        };
        if let Some(rate) = &mut self.rate {
            // There is one: it was looked at above.
            let _taken = rate.try_take(now.0);
        }
        let Chosen { mut action, seq, was_due, accepted_at, expires_at, is_test } = chosen;
        let (trigger, side) = (Trigger::Scheduled, self.next_side(now));
        if let Action::Start(attempt) = &mut action {
            attempt.side = side;
        }
        let flight = Flight {
            was_due,
            attempts_before: 0,
            trigger,
            accepted_at,
            expires_at,
            is_test,
            ticket,
            slot,
            since: now,
            side,
        };
        self.flights.insert(seq, flight);
        Some(action)
    }

    fn next_side(&self, now: UnixMs) -> Side {
        let Some(failover) = &self.failover else { return Side::Primary };
        // At most as many flights as the window's greatest size, and looked at only when a probe is due.
        failover.next_side(now, || self.flights.values().any(|flight| flight.side == Side::Probe))
    }

    /// The side of an attempt whose rows were read meanwhile: the active side may have changed since it was chosen, and a last
    /// attempt has its side in its row.
    pub(super) fn side_after_fetch(&self, chosen: Side, trigger: Option<Trigger>, now: UnixMs) -> Side {
        let Some(failover) = &self.failover else { return Side::Primary };
        match trigger {
            Some(Trigger::LastAtPrimary) => Side::LastAtPrimary,
            Some(Trigger::LastAtBackup) if failover.has_other_side() => Side::LastAtBackup,
            _ if chosen.is_active() => self.next_side(now),
            _ => chosen,
        }
    }

    /// Retries before first attempts: they have waited longer. But no more of them than the budgets allow.
    fn choose(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<Chosen> {
        let mut beside_queue = None;
        if self.no_read_until <= now {
            if let Some((due, seq)) = self.choose_retry(now, shard_budget) {
                return Some(Chosen::fetch(Fetch { seq, due: Some(due) }));
            }
            match self.next_beside_queue(now) {
                Some(FirstTry::Fetch(fetch)) => return Some(Chosen::fetch(fetch)),
                Some(FirstTry::Event(event)) => beside_queue = Some(event),
                None => {}
            }
        }
        let event = beside_queue.or_else(|| self.next_event(now))?;
        if let Some(reason) = event.unsendable(now) {
            // It came behind a first try that was in flight already. The next call goes on.
            self.end_untried(&event, reason, now);
            self.wake_no_later_than(now);
            return None;
        }
        self.budget.deposit(now.0);
        shard_budget.deposit(now.0);
        let (seq, accepted_at) = (event.seq, event.accepted_at);
        let (expires_at, is_test) = (event.expires_at(), event.is_test());
        self.turns.lines().into_iter().for_each(|lines| lines.start(Keyed::of(seq, Some(&event))));
        let action = Action::Start(Attempt { event, number: 1, due: None, side: Side::Primary });
        Some(Chosen { action, seq, was_due: None, accepted_at, expires_at, is_test })
    }

    /// Ends the deliveries next in line whose events have lost their payload or are past their expiry: they need neither
    /// a slot nor a token.
    fn end_unsendable(&mut self, now: UnixMs) {
        while let Some(reason) = self.backlog.next_is_unsendable(now) {
            let Some(event) = self.backlog.pop() else { return };
            self.end_untried(&event, reason, now);
        }
    }

    /// The next row that is due and starts at its own time. One that is no retry goes first and spends no budget.
    fn choose_retry(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<DueKey> {
        let in_flight = |seq| self.flights.contains_key(&seq);
        let at_its_time = self.at_their_time();
        let no_retry = |urgency| urgency != Urgency::Retry && at_its_time(urgency);
        let key = match self.retries.first_due(now, no_retry, in_flight) {
            Some(key) => key,
            None => {
                let key = self.retries.first_due(now, at_its_time, in_flight)?;
                if let Err(next) = withdraw_both(&mut self.budget, shard_budget, now.0) {
                    self.wake_no_later_than(UnixMs(next.0));
                    return None;
                }
                key
            }
        };
        self.retries.take(key);
        Some(key)
    }

    /// The next first try, past deliveries that are in flight already.
    ///
    /// Those were put in line by hand before their turn came and have a row of their own, so the log owes them no more.
    pub(super) fn next_first_try<T>(
        &mut self,
        next: fn(&mut Backlog) -> Option<T>,
        seq_of: fn(&T) -> Seq,
    ) -> Option<T> {
        loop {
            let first_try = next(&mut self.backlog)?;
            let seq = seq_of(&first_try);
            if !self.flights.contains_key(&seq) {
                return Some(first_try);
            }
            self.backlog.settled(seq);
        }
    }

    pub(super) fn give_back(&mut self, ticket: Ticket, slot: Slot) {
        self.breaker.release(ticket);
        self.window.release(slot, Feedback::Nothing);
    }

    fn wake_no_later_than(&mut self, at: UnixMs) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }
}
