//! What a lane does next: which delivery, and whether now.
//!
//! Five gates in a row, cheapest question first: slow-down, breaker, rate, window, and for retries the budgets. Who is
//! turned away by one gives back what the earlier ones gave. Deliberately not the gates themselves.

use super::Lane;
use super::types::{Action, Attempt, Chosen, Flight};
use crate::endpoint::breaker::{Admission, Ticket};
use crate::endpoint::window::{Feedback, Slot};
use crate::retry::budget::{RetryBudget, withdraw_both};
use model::{Trigger, UnixMs};

impl Lane {
    /// The next thing to do, if there is one now. `may_start` tells whether the shard has room for another attempt.
    pub fn next_action(&mut self, now: UnixMs, may_start: bool, shard_budget: &mut RetryBudget) -> Option<Action> {
        self.wake_at = None;
        if let Some(load) = self.retries.next_load() {
            return Some(Action::LoadDue(load));
        }
        if self.policy.disabled {
            self.drop_everything(now);
            return self.retries.next_load().map(Action::LoadDue);
        }
        if let Some(read) = self.backlog.next_read() {
            return Some(Action::ReadLog(read));
        }
        self.wake_at = self.retries.next_due().filter(|due| *due > now);
        if !may_start || !self.has_work(now) {
            return None;
        }
        self.admit(now, shard_budget)
    }

    /// Whether an attempt could be made now if there were room for one on the shard.
    #[must_use]
    pub fn has_work(&self, now: UnixMs) -> bool {
        self.backlog.has_ready() || self.retries.next_due().is_some_and(|due| due <= now)
    }

    /// When to ask again, if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<UnixMs> {
        self.wake_at
    }

    fn admit(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<Action> {
        if self.window.room() == 0 {
            return None;
        }
        if self.slow_down_until > now {
            self.wake_no_later_than(self.slow_down_until);
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
        if let Some(Err(next)) = self.rate.as_mut().map(|rate| rate.try_take(now.0)) {
            self.breaker.release(ticket);
            self.wake_no_later_than(UnixMs(next.0));
            return None;
        }
        let Some(slot) = self.window.try_acquire() else {
            self.breaker.release(ticket);
            return None;
        };
        let Some(chosen) = self.choose(now, shard_budget) else {
            self.give_back(ticket, slot);
            return None;
        };
        let Chosen { action, seq, was_due, accepted_at } = chosen;
        let flight = Flight { was_due, attempts_before: 0, trigger: Trigger::Scheduled, accepted_at, ticket, slot };
        self.flights.insert(seq, flight);
        Some(action)
    }

    /// Retries before first attempts: they have waited longer. But no more of them than the budgets allow.
    fn choose(&mut self, now: UnixMs, shard_budget: &mut RetryBudget) -> Option<Chosen> {
        let retry_due = self.retries.next_due().is_some_and(|due| due <= now);
        if retry_due && self.retries.taken() < self.window.limit() as usize {
            let manual_due = self.retries.next_manual_due().is_some_and(|due| due <= now);
            let only_manual = match withdraw_both_unless(manual_due, &mut self.budget, shard_budget, now) {
                Ok(()) => manual_due,
                Err(next) => {
                    self.wake_no_later_than(next);
                    true
                }
            };
            if let Some(((due, seq), _)) = self.retries.pop_due(now, only_manual) {
                return Some(Chosen::fetch(seq, Some(due)));
            }
        }
        if let Some(seq) = self.backlog.next_hole() {
            return Some(Chosen::fetch(seq, None));
        }
        let event = self.backlog.pop()?;
        self.budget.deposit(now.0);
        shard_budget.deposit(now.0);
        let (seq, accepted_at) = (event.seq, event.accepted_at);
        let action = Action::Start(Attempt { event, number: 1, due: None });
        Some(Chosen { action, seq, was_due: None, accepted_at })
    }

    pub(super) fn give_back(&mut self, ticket: Ticket, slot: Slot) {
        self.breaker.release(ticket);
        self.window.release(slot, Feedback::Nothing);
    }

    fn wake_no_later_than(&mut self, at: UnixMs) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }
}

fn withdraw_both_unless(
    free: bool,
    endpoint: &mut RetryBudget,
    shard: &mut RetryBudget,
    now: UnixMs,
) -> Result<(), UnixMs> {
    if free { Ok(()) } else { withdraw_both(endpoint, shard, now.0).map_err(|next| UnixMs(next.0)) }
}
