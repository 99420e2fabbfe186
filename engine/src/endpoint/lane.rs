//! A lane: everything that decides what one endpoint gets next, and nothing that does it.
//!
//! ```text
//!            offers ─▶ backlog ─┐                          ┌─▶ Done ────────┐
//!   due index ─▶ retries ───────┴─▶ admission ─▶ attempt ──┼─▶ RetryAt ─▶ retries
//!                    (slow-down, breaker, window, rate, retry budget)       └─▶ DeadLetter ─┴─▶ report
//! ```
//!
//! The shell feeds it what happened and asks [`Lane::next_action`] until there is none; it sleeps until
//! [`Lane::wake_at`]. Every input that settles something is collected into the next [`Lane::report`].
//!
//! Pure: time and randomness are arguments. Deliberately knows neither sockets nor rows nor actors.

use crate::endpoint::auto_disable::{failing_since_after, should_disable};
use crate::endpoint::backlog::{Backlog, LogRead};
use crate::endpoint::breaker::{Admission, Breaker, BreakerConfig, State, Ticket, Transition};
use crate::endpoint::rate_limit::RateLimit;
use crate::endpoint::retries::{DueKey, DueLoad, Retries, Urgency};
use crate::endpoint::window::{Feedback, Slot, Window};
use crate::outcome::classify::health_of;
use crate::outcome::decide::{Decision, Input, decide};
use crate::retry::budget::{BudgetConfig, RetryBudget, withdraw_both};
use model::{
    AttemptRecord, ClientErrorPolicy, Cursor, DeadLetter, DeadLetterReason, DisabledReason, EndpointHealth,
    EndpointRef, Event, OutcomeClass, Pending, RetryPolicy, Seq, Settled, Settlement, Trigger, UnixMs, Verdict,
};
use rand::Rng;
use std::collections::HashMap;

/// What an endpoint's settings mean to its lane.
#[derive(Clone, Debug)]
pub struct LanePolicy {
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// What a plain 4xx leads to.
    pub on_client_error: ClientErrorPolicy,
    /// Failing for this long disables it; 0 never.
    pub disable_after_failing_ms: u64,
    /// Deliveries per second.
    pub rate_limit: Option<u32>,
    /// Attempts at once.
    pub max_in_flight: u16,
    /// Nothing is to be sent.
    pub disabled: bool,
}

/// Bounds of a lane's memory.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    /// Deliveries that wait in memory.
    pub mailbox_capacity: usize,
    /// Retries that wait in memory.
    pub retries_in_memory: usize,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Action {
    /// Make an attempt and tell [`Lane::finished`].
    Start(Attempt),
    /// Read the log and tell [`Lane::log_read`].
    ReadLog(LogRead),
    /// Wait until all reports are durable, read the due index and tell [`Lane::due_loaded`].
    LoadDue(DueLoad),
    /// Read one delivery's rows and tell [`Lane::fetched`].
    Fetch(Fetch),
}

/// One attempt to make.
#[derive(Debug)]
pub struct Attempt {
    /// For this event.
    pub event: Event,
    /// Which attempt of its round, from 1.
    pub number: u16,
    /// When it was due; none for a first try.
    pub due: Option<UnixMs>,
}

/// One delivery whose rows are wanted: a retry with its due time, or a first try that a crash interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The event.
    pub seq: Seq,
    /// The due time of its row.
    pub due: Option<UnixMs>,
}

/// What an attempt showed.
#[derive(Debug)]
pub struct Finished {
    /// For this event.
    pub seq: Seq,
    /// When it started.
    pub started_at: UnixMs,
    /// How long it took.
    pub duration_ms: u32,
    /// Its class.
    pub outcome: OutcomeClass,
    /// Its status, or 0.
    pub status: u16,
    /// The wait that its `Retry-After` asked for.
    pub retry_after_ms: Option<u64>,
    /// The start of the body, or the error in words.
    pub response: Vec<u8>,
}

/// What is worth telling of a finished attempt, beyond the report.
#[derive(Clone, Copy, Debug)]
pub struct Ruled {
    /// What became of the delivery.
    pub decision: Decision,
    /// Which attempt this was.
    pub attempt: u16,
    /// When the event was accepted.
    pub accepted_at: UnixMs,
    /// What the breaker did.
    pub transition: Option<Transition>,
    /// Set when the endpoint was disabled by this.
    pub disabled: Option<DisabledReason>,
}

struct Flight {
    was_due: Option<UnixMs>,
    attempts_before: u16,
    trigger: Trigger,
    accepted_at: UnixMs,
    ticket: Ticket,
    slot: Slot,
}

/// What is left of a flight once its ticket and slot are returned.
struct Departed {
    was_due: Option<UnixMs>,
    attempts: u16,
    trigger: Trigger,
    accepted_at: UnixMs,
}

/// What admission let through.
struct Chosen {
    action: Action,
    seq: Seq,
    was_due: Option<UnixMs>,
    accepted_at: UnixMs,
}

impl Chosen {
    fn fetch(seq: Seq, due: Option<UnixMs>) -> Chosen {
        Chosen { action: Action::Fetch(Fetch { seq, due }), seq, was_due: due, accepted_at: UnixMs::ZERO }
    }
}

/// The decisions of one endpoint.
pub struct Lane {
    target: EndpointRef,
    policy: LanePolicy,
    backlog: Backlog,
    retries: Retries,
    breaker: Breaker,
    window: Window,
    rate: Option<RateLimit>,
    budget: RetryBudget,
    slow_down_until: UnixMs,
    failing_since: Option<UnixMs>,
    flights: HashMap<Seq, Flight>,
    wake_at: Option<UnixMs>,
    settled: Vec<Settled>,
    reported: Cursor,
    health_changed: bool,
    disable: Option<DisabledReason>,
}

impl Lane {
    /// A lane that stands at `cursor`. With `retries_on_disk`, its first action is to load them.
    #[must_use]
    pub fn new(
        target: EndpointRef,
        policy: LanePolicy,
        bounds: LaneBounds,
        breaker: BreakerConfig,
        start: LaneStart,
        now: UnixMs,
    ) -> Lane {
        Lane {
            target,
            backlog: Backlog::new(start.cursor.clone(), bounds.mailbox_capacity),
            retries: Retries::new(bounds.retries_in_memory, start.retries_on_disk),
            breaker: Breaker::restore(breaker, &start.health, now),
            window: Window::new(policy.max_in_flight),
            rate: policy.rate_limit.map(|rate| RateLimit::new(rate, now.0)),
            budget: RetryBudget::new(BudgetConfig::default(), now.0),
            slow_down_until: UnixMs::ZERO,
            failing_since: start.health.failing_since,
            flights: HashMap::new(),
            wake_at: None,
            settled: Vec::new(),
            reported: start.cursor,
            health_changed: false,
            disable: None,
            policy,
        }
    }

    // --- what happened ---

    /// The endpoint's settings changed.
    pub fn configure(&mut self, policy: LanePolicy, now: UnixMs) {
        self.window.set_max(policy.max_in_flight);
        match (&mut self.rate, policy.rate_limit) {
            (Some(limit), Some(rate)) => limit.set_rate(rate, now.0),
            (rate, wanted) => *rate = wanted.map(|per_s| RateLimit::new(per_s, now.0)),
        }
        if self.policy.disabled && !policy.disabled {
            // A fresh start: what it failed before it was disabled says nothing about it now.
            self.failing_since = None;
            self.health_changed = true;
            self.disable = None;
        }
        self.policy = policy;
    }

    /// Events that match were offered; `previous` is what was offered before them. Answers how many found no room.
    pub fn offer<'a>(&mut self, previous: Seq, events: impl Iterator<Item = &'a Event>, room_bytes: usize) -> usize {
        self.backlog.offer(previous, events, room_bytes)
    }

    /// Events up to `upto` were offered and are to be read from the log.
    pub fn missed(&mut self, upto: Seq) {
        self.backlog.missed(upto);
    }

    /// The read that was asked for; none when it failed.
    pub fn log_read(&mut self, found: Option<(Vec<Event>, Seq)>) {
        match found {
            Some((events, upto)) => self.backlog.read_done(events, upto),
            None => self.backlog.read_failed(),
        }
    }

    /// Rows were put back in line by hand.
    pub fn requeued(&mut self) {
        self.retries.reload();
    }

    /// The load that was asked for; none when it failed.
    pub fn due_loaded(&mut self, asked: DueLoad, rows: Option<Vec<(DueKey, Urgency)>>) {
        match rows {
            Some(rows) => self.retries.loaded(asked, rows),
            None => self.retries.load_failed(),
        }
    }

    /// The rows that were asked for. Answers the attempt to make, unless they no longer mean anything.
    pub fn fetched(
        &mut self,
        asked: Fetch,
        event: Option<Event>,
        row: Option<Pending>,
        now: UnixMs,
    ) -> Option<Attempt> {
        let row_due = row.as_ref().map(|row| row.due);
        if row_due != asked.due {
            // Put back in line by hand, or settled, since its key was loaded: this key goes, a new one will come.
            self.end_unmade(asked, Verdict::Cancelled);
            return None;
        }
        let Some(event) = event else {
            self.end_unmade(asked, give_up(DeadLetterReason::Expired, now));
            return None;
        };
        let flight = self.flights.get_mut(&asked.seq)?;
        flight.accepted_at = event.accepted_at;
        if let Some(row) = row {
            flight.attempts_before = row.attempts;
            flight.trigger = row.trigger;
        }
        Some(Attempt { event, number: flight.attempts_before + 1, due: asked.due })
    }

    /// The fetch failed: its delivery waits for another turn.
    pub fn fetch_failed(&mut self, asked: Fetch) {
        if let Some(flight) = self.flights.remove(&asked.seq) {
            self.give_back(flight.ticket, flight.slot);
        }
        if let Some(due) = asked.due {
            self.retries.settled((due, asked.seq));
            self.retries.reload();
        }
    }

    /// An attempt ended.
    pub fn finished(&mut self, finished: Finished, now: UnixMs, rng: &mut (impl Rng + ?Sized)) -> Option<Ruled> {
        let flight = self.flights.remove(&finished.seq)?;
        let outcome = finished.outcome;
        let attempts_made = flight.attempts_before + 1;
        let ruling = decide(
            &Input {
                outcome,
                status: finished.status,
                retry_after_ms: finished.retry_after_ms,
                attempts_made,
                policy: &self.policy.retry,
                on_client_error: self.policy.on_client_error,
                endpoint_disabled: self.policy.disabled,
                now,
            },
            rng,
        );
        self.window.release(flight.slot, Feedback::of(outcome));
        let transition = self.breaker.on_result(flight.ticket, health_of(outcome), now, rng);
        if transition == Some(Transition::Closed) {
            self.window.restart();
        }
        let disabled = self.note_health(outcome, ruling.disable, transition, now);
        self.slow_down_until = self.slow_down_until.max(ruling.slow_down_until.unwrap_or_default());
        let accepted_at = flight.accepted_at;
        let departed =
            Departed { was_due: flight.was_due, attempts: attempts_made, trigger: flight.trigger, accepted_at };
        self.settle(finished, departed, &ruling.decision, now);
        Some(Ruled { decision: ruling.decision, attempt: attempts_made, accepted_at, transition, disabled })
    }

    // --- what to do ---

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

    /// Everything settled since the last report, and where the endpoint stands; none when nothing changed.
    pub fn report(&mut self) -> Option<Settlement> {
        let cursor = self.backlog.cursor();
        let moved = cursor != self.reported;
        if self.settled.is_empty() && !moved && !self.health_changed && self.disable.is_none() {
            return None;
        }
        let health = std::mem::take(&mut self.health_changed).then(|| self.health());
        self.reported = cursor.clone();
        Some(Settlement {
            target: self.target,
            cursor,
            settled: std::mem::take(&mut self.settled),
            health,
            disable: self.disable.take(),
        })
    }

    /// Whether nothing is left to do or to remember: its actor may go.
    #[must_use]
    pub fn is_idle(&self, now: UnixMs) -> bool {
        self.backlog.is_clean()
            && self.retries.is_clean()
            && self.flights.is_empty()
            && self.settled.is_empty()
            && self.reported == self.backlog.cursor()
            && (self.policy.disabled || self.breaker.state() == State::Closed)
            && self.slow_down_until <= now
    }

    /// The breaker's state, for metrics.
    #[must_use]
    pub fn breaker_state(&self) -> State {
        self.breaker.state()
    }

    /// Whether deliveries wait on disk, for metrics.
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

    /// When the delivery that waits longest in memory was accepted, for metrics.
    #[must_use]
    pub fn oldest_accepted_at(&self) -> Option<UnixMs> {
        self.backlog.oldest().map(|event| event.accepted_at)
    }

    // --- within ---

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

    fn settle(&mut self, finished: Finished, flight: Departed, decision: &Decision, now: UnixMs) {
        let Departed { was_due, attempts, trigger, accepted_at } = flight;
        let seq = finished.seq;
        let next_attempt_at = if let Decision::RetryAt { due } = decision { Some(*due) } else { None };
        let verdict = match decision {
            Decision::Done => Verdict::Done,
            Decision::RetryAt { due } => {
                Verdict::Retry(Pending { attempts, due: *due, last_outcome: Some(finished.outcome), trigger })
            }
            Decision::DeadLetter(reason) => Verdict::DeadLetter(DeadLetter {
                at: now,
                attempts,
                reason: *reason,
                last_outcome: Some(finished.outcome),
                last_status: finished.status,
            }),
        };
        let record = AttemptRecord {
            seq,
            started_at: finished.started_at,
            duration_ms: finished.duration_ms,
            attempt: attempts,
            trigger,
            outcome: finished.outcome,
            status: finished.status,
            response: finished.response,
            next_attempt_at,
        };
        self.leave_line(seq, was_due);
        if let Some(due) = next_attempt_at {
            self.retries.add((due, seq));
        }
        self.settled.push(Settled { seq, accepted_at, was_due, record: Some(record), verdict });
    }

    /// A delivery that was taken for an attempt ends without one.
    fn end_unmade(&mut self, asked: Fetch, verdict: Verdict) {
        if let Some(flight) = self.flights.remove(&asked.seq) {
            self.give_back(flight.ticket, flight.slot);
        }
        self.leave_line(asked.seq, asked.due);
        self.settled.push(Settled {
            seq: asked.seq,
            accepted_at: UnixMs::ZERO,
            was_due: asked.due,
            record: None,
            verdict,
        });
    }

    fn leave_line(&mut self, seq: Seq, was_due: Option<UnixMs>) {
        match was_due {
            Some(due) => self.retries.settled((due, seq)),
            None => self.backlog.settled(seq),
        }
    }

    fn give_back(&mut self, ticket: Ticket, slot: Slot) {
        self.breaker.release(ticket);
        self.window.release(slot, Feedback::Nothing);
    }

    fn note_health(
        &mut self,
        outcome: OutcomeClass,
        disable: Option<DisabledReason>,
        transition: Option<Transition>,
        now: UnixMs,
    ) -> Option<DisabledReason> {
        let failing_since = failing_since_after(self.failing_since, outcome, now);
        self.health_changed |= failing_since != self.failing_since || transition.is_some();
        self.failing_since = failing_since;
        let failing = outcome != OutcomeClass::Success
            && should_disable(failing_since, now, self.policy.disable_after_failing_ms);
        let disable = disable.or(failing.then_some(DisabledReason::Failing));
        if disable.is_some() && !self.policy.disabled {
            self.policy.disabled = true;
            self.disable = disable;
            return disable;
        }
        None
    }

    /// Disabled: what has not been tried is skipped (a gap tells which), what waits for a retry is given up.
    fn drop_everything(&mut self, now: UnixMs) {
        self.backlog.skip_all();
        while let Some(((due, seq), _)) = self.retries.pop_due(UnixMs(u64::MAX), false) {
            self.retries.settled((due, seq));
            self.settled.push(Settled {
                seq,
                accepted_at: UnixMs::ZERO,
                was_due: Some(due),
                record: None,
                verdict: give_up(DeadLetterReason::EndpointDisabled, now),
            });
        }
    }

    fn health(&self) -> EndpointHealth {
        self.breaker.snapshot(self.failing_since)
    }

    fn wake_no_later_than(&mut self, at: UnixMs) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake| wake.min(at)));
    }
}

/// Where a lane starts.
#[derive(Clone, Debug, Default)]
pub struct LaneStart {
    /// Its stored mark.
    pub cursor: Cursor,
    /// Its stored failure memory.
    pub health: EndpointHealth,
    /// Whether there may be retries on disk.
    pub retries_on_disk: bool,
}

/// A dead letter without an attempt: the writer fills in what the delivery's row knows of earlier ones.
fn give_up(reason: DeadLetterReason, now: UnixMs) -> Verdict {
    Verdict::DeadLetter(DeadLetter { at: now, attempts: 0, reason, last_outcome: None, last_status: 0 })
}

fn withdraw_both_unless(
    free: bool,
    endpoint: &mut RetryBudget,
    shard: &mut RetryBudget,
    now: UnixMs,
) -> Result<(), UnixMs> {
    if free { Ok(()) } else { withdraw_both(endpoint, shard, now.0).map_err(|next| UnixMs(next.0)) }
}
