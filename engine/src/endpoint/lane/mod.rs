//! A lane: all decisions about the next delivery of one endpoint, and none of the work.
//!
//! ```text
//!            offers ─▶ backlog ─┐                          ┌─▶ Done ────────┐
//!   due index ─▶ retries ───────┴─▶ admission ─▶ attempt ──┼─▶ RetryAt ─▶ retries
//!                    (slow-down, breaker, window, rate, retry budget)       └─▶ DeadLetter ─┴─▶ report
//! ```
//!
//! The shell gives each input to it and asks [`Lane::next_action`] until there is none; it sleeps until
//! [`Lane::wake_at`]. Every input that settles something is collected into the next [`Lane::report`].
//!
//! `types` has its plain data, `admission` the next action, `settling` the changes to make durable, `seen` the
//! questions. This file holds the state and takes the inputs.
//!
//! Pure: time and randomness are arguments. Knows neither sockets nor rows nor actors.

mod admission;
mod ordering;
mod seen;
mod settling;
mod types;

pub use types::{Action, Attempt, Fetch, Finished, LaneBounds, LaneStart, Room, Ruled};

use crate::dispatch::Lack;
use crate::endpoint::auto_disable::{ExhaustedRun, FailingSpell};
use crate::endpoint::backlog::{Backlog, Wants};
use crate::endpoint::breaker::{Breaker, BreakerConfig, Transition};
use crate::endpoint::failover::Failover;
use crate::endpoint::order::{HELD_MAX, Lines, Turns};
use crate::endpoint::rate_limit::RateLimit;
use crate::endpoint::retries::{DueKey, DueLoad, Retries, Urgency};
use crate::endpoint::window::Window;
use crate::outcome::decide::{Decision, Input, decide};
use crate::outcome::retry_after::MAX_RETRY_AFTER_MS;
use crate::prepare::LanePolicy;
use crate::retry::budget::{BudgetConfig, RetryBudget};
use foldhash::HashMap;
use model::{
    Cursor, DeadLetterReason, DecidedSwitch, DisabledReason, EndpointRef, Event, Expired, PausedReason, Pending, Seq,
    Settled, Trigger, UnixMs,
};
use rand::Rng;
use settling::{give_up, in_its_own_place};
use types::{Departed, Flight};

/// Pause of an endpoint after an attempt was not made because this process lacked a resource.
const LACK_PAUSE_MS: u64 = 500;

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
    /// The part of that pause that is in the stored health, roughly.
    noted_pause: UnixMs,
    /// No attempts before this time: a resource of this process was short.
    lacking_until: UnixMs,
    /// The resource for want of which the last attempt was not made, and since when it has been short.
    lacking: Option<(Lack, UnixMs)>,
    failing: Option<FailingSpell>,
    exhausted: ExhaustedRun,
    flights: HashMap<Seq, Flight>,
    wake_at: Option<UnixMs>,
    settled: Vec<Settled>,
    expired: Option<Expired>,
    reported: Cursor,
    health_changed: bool,
    disable: Option<DisabledReason>,
    /// A delivery that was given up pauses the endpoint: to be reported.
    pause: Option<PausedReason>,
    /// Decides which delivery may be tried for the first time.
    turns: Turns,
    held_max: usize,
    read_failed: bool,
    no_read_until: UnixMs,
    keeps_up: bool,
    /// Its application is paused, whatever its own settings say.
    app_paused: bool,
    /// Set when it has a backup.
    failover: Option<Failover>,
    /// Switches to report. Each comes with an attempt that settled something, so they are no more than those.
    switches: Vec<DecidedSwitch>,
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
        // Cut to the longest pause: the clock may have been set back since.
        let paused_until = start.health.paused_until.unwrap_or_default().min(now.plus_ms(MAX_RETRY_AFTER_MS));
        let held_max = HELD_MAX.min(bounds.mailbox_capacity);
        Lane {
            target,
            turns: Turns::new(policy.order, held_max, start.cursor.holes.iter().copied()),
            held_max,
            backlog: Backlog::new(start.cursor.clone(), bounds.mailbox_capacity),
            retries: Retries::new(bounds.retries_in_memory, start.retries_on_disk),
            breaker: Breaker::restore(breaker, &start.health, now),
            window: Window::new(policy.max_in_flight),
            rate: policy.rate_limit.map(|rate| RateLimit::new(rate, policy.burst, now.0)),
            budget: RetryBudget::new(BudgetConfig::default(), now.0),
            slow_down_until: paused_until,
            noted_pause: paused_until,
            lacking_until: UnixMs::ZERO,
            lacking: None,
            failing: FailingSpell::restore(&start.health),
            exhausted: ExhaustedRun(start.health.failed_deliveries),
            flights: HashMap::default(),
            wake_at: None,
            settled: Vec::new(),
            expired: None,
            reported: start.cursor,
            health_changed: false,
            disable: None,
            pause: None,
            read_failed: false,
            no_read_until: UnixMs::ZERO,
            keeps_up: false,
            app_paused: false,
            failover: policy.failover.map(|policy| Failover::new(policy, &start.health, now)),
            switches: Vec::new(),
            policy,
        }
    }

    // --- inputs ---

    /// The endpoint's settings changed. An endpoint that is enabled again has a fresh start.
    ///
    /// Settings from before it was disabled here do not enable it. The deliveries it had in line are skipped already,
    /// and the row must say why.
    pub fn configure(&mut self, mut policy: LanePolicy, now: UnixMs) -> Option<Transition> {
        policy.disabled |= self.disable.is_some();
        policy.paused |= self.pause.is_some();
        self.window.set_max(policy.max_in_flight);
        match (&mut self.rate, policy.rate_limit) {
            (Some(limit), Some(rate)) => limit.set_rate(rate, policy.burst, now.0),
            (rate, wanted) => *rate = wanted.map(|per_s| RateLimit::new(per_s, policy.burst, now.0)),
        }
        let enabled = self.policy.disabled && !policy.disabled;
        let used_backup = self.uses_backup();
        self.configure_failover(policy.failover, now);
        self.policy = policy;
        self.keep_order();
        self.set_aside_if_paused();
        if self.uses_backup() != used_backup {
            return self.moved();
        }
        if enabled { self.forget_failures() } else { None }
    }

    /// Its application was paused, or is sent to again.
    pub fn pause_with_application(&mut self, paused: bool) {
        self.app_paused = paused;
        self.set_aside_if_paused();
    }

    /// Deliveries that were not tried leave memory when a pause begins: they are read from the log when the pause ends.
    fn set_aside_if_paused(&mut self) {
        if self.is_paused() {
            self.backlog.read_again();
        }
    }

    /// The endpoint has another URL now: a tenant who mends an endpoint does not wait for the end of a hold.
    pub fn moved(&mut self) -> Option<Transition> {
        (self.slow_down_until, self.noted_pause) = (UnixMs::ZERO, UnixMs::ZERO);
        self.forget_failures()
    }

    /// Forgets failures, which say nothing about the endpoint any more. A pause that it asked for itself still stands.
    fn forget_failures(&mut self) -> Option<Transition> {
        self.failing = None;
        self.exhausted = ExhaustedRun::default();
        self.health_changed = true;
        let transition = self.breaker.reset();
        if transition.is_some() {
            self.window.restart();
        }
        transition
    }

    /// The endpoint wants other events now: its untried events are read again.
    pub fn filter_changed(&mut self) {
        self.backlog.read_again();
        self.turns.lines().into_iter().for_each(Lines::unstick);
    }

    /// Events were offered; `wants` says which of them match. Answers the number of events that found no room.
    pub fn offer<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        room_bytes: usize,
        wants: impl FnMut(&Event) -> Wants,
    ) -> usize {
        if self.is_paused() {
            events.last().into_iter().for_each(|last| self.backlog.missed(last.seq));
            return 0;
        }
        self.backlog.offer(events, room_bytes, wants)
    }

    /// Events up to `upto` were offered and are to be read from the log.
    pub fn missed(&mut self, upto: Seq) {
        self.backlog.missed(upto);
    }

    /// The read that was asked for; none when it failed.
    pub fn log_read(&mut self, found: Option<(Vec<Event>, Seq)>) {
        match found {
            Some((events, upto)) => self.backlog.read_done(events, upto),
            None => {
                self.backlog.read_failed();
                self.read_failed = true;
            }
        }
    }

    /// Retention removed a range of the log before this endpoint came to it. The read that found this is told next.
    pub fn log_removed(&mut self, range: Expired) {
        if self.backlog.read_is_stale() {
            // The repeated read finds the range once more.
            return;
        }
        self.expired = Some(self.expired.map_or(range, |before| before.and(range)));
    }

    /// Rows were put back in line by hand.
    pub fn requeued(&mut self) {
        self.retries.reload();
    }

    /// The load that was asked for; none when it failed.
    pub fn due_loaded(&mut self, asked: DueLoad, rows: Option<Vec<(DueKey, Urgency)>>) {
        match rows {
            Some(rows) => {
                self.retries.loaded(asked, rows);
                self.reconcile_keys();
            }
            None => {
                self.retries.load_failed();
                self.read_failed = true;
            }
        }
    }

    /// The rows that were asked for. Answers the attempt to make, unless there is none to make any more.
    pub fn fetched(
        &mut self,
        asked: Fetch,
        event: Option<Event>,
        row: Option<Pending>,
        now: UnixMs,
    ) -> Option<Attempt> {
        let row_due = row.as_ref().map(|row| row.due);
        if row_due != asked.due {
            self.misplaced(asked);
            return None;
        }
        if self.policy.disabled {
            self.end_unmade(asked, give_up(DeadLetterReason::EndpointDisabled, now));
            return None;
        }
        if self.is_paused() {
            // Paused while its rows were read.
            self.land(asked.seq);
            self.back_in_line(asked.seq, asked.due);
            return None;
        }
        let Some(event) = event else {
            self.end_unmade(asked, give_up(DeadLetterReason::Expired, now));
            return None;
        };
        if let Some(reason) = event.unsendable(now) {
            self.end_unmade(asked, give_up(reason, now));
            return None;
        }
        let chosen = self.flights.get(&asked.seq)?.side;
        let side = self.side_after_fetch(chosen, row.as_ref().map(|row| row.trigger), now);
        let flight = self.flights.get_mut(&asked.seq)?;
        flight.side = side;
        (flight.accepted_at, flight.expires_at) = (event.ready_at(), event.expires_at());
        flight.is_test = event.is_test();
        if let Some(row) = row {
            flight.attempts_before = row.attempts;
            flight.trigger = row.trigger;
            if flight.attempts_before == 0 && row.trigger == Trigger::Scheduled {
                // A message whose time has come: its first attempt earns what every first attempt does.
                self.budget.deposit(now.0);
            }
        }
        Some(Attempt { event, number: flight.attempts_before + 1, due: asked.due, side })
    }

    /// The fetch failed: its delivery waits for another turn.
    pub fn fetch_failed(&mut self, asked: Fetch) {
        self.land(asked.seq);
        self.back_in_line(asked.seq, asked.due);
        self.read_failed = true;
    }

    /// An attempt ended.
    pub fn finished(&mut self, finished: Finished, now: UnixMs, rng: &mut (impl Rng + ?Sized)) -> Option<Ruled> {
        let flight = self.flights.remove(&finished.seq)?;
        self.lacking = None;
        let took_budget = flight.took_budget();
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
                expires_at: flight.expires_at,
            },
            rng,
        );
        let (sent_by, expires_at, is_test) = ((flight.trigger, flight.side), flight.expires_at, flight.is_test);
        let (so_far, _) = self.unless_other_side(ruling.decision, sent_by, expires_at, now);
        let (transition, disabled, warns) = if is_test {
            // The answer to an example says nothing about the endpoint.
            self.give_back(flight.ticket, flight.slot);
            (None, None, None)
        } else {
            let held = (flight.ticket, flight.slot);
            self.judge(&finished, &ruling, (flight.side, so_far), held, now, rng)
        };
        let accepted_at = flight.accepted_at;
        let gives_back = took_budget && ruling.decision == Decision::Done;
        if gives_back {
            self.budget.give_back(now.0);
        }
        let (decision, next_trigger) = self.unless_other_side(ruling.decision, sent_by, expires_at, now);
        let switched = if is_test { None } else { self.fail_over(flight.side, outcome, now) };
        let transition = switched.or(transition);
        let (was_due, trigger) = (flight.was_due, flight.trigger);
        let departed = Departed { was_due, attempts: attempts_made, trigger, next_trigger, accepted_at };
        let decision = in_its_own_place(decision, flight.was_due);
        let seq = finished.seq;
        self.settle(finished, departed, &decision, now);
        self.note_turn(seq, &decision);
        let paused = if is_test { None } else { self.pause_if_given_up(&decision) };
        Some(Ruled { decision, attempt: attempts_made, accepted_at, gives_back, transition, disabled, warns, paused })
    }

    /// An attempt was not made, because this process lacked a resource: a connection, a lookup, a descriptor.
    ///
    /// That says nothing about the endpoint and counts as no attempt. The delivery is back in line, and the endpoint
    /// pauses for [`LACK_PAUSE_MS`]. Answers `true` if the shard's retry budget is owed a token.
    pub fn not_made(&mut self, seq: Seq, lack: Lack, now: UnixMs) -> bool {
        let Some(flight) = self.flights.remove(&seq) else { return false };
        let took_budget = flight.took_budget();
        self.give_back(flight.ticket, flight.slot);
        self.back_in_line(seq, flight.was_due);
        self.lacking_until = now.plus_ms(LACK_PAUSE_MS);
        self.lacking = self.lacking.filter(|(before, _)| *before == lack).or(Some((lack, now)));
        if took_budget {
            self.budget.give_back(now.0);
        }
        took_budget
    }
}

#[cfg(test)]
mod tests;
