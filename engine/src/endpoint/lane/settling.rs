//! Settlements of a lane that are not yet reported: moves of deliveries, the cursor, the endpoint's failure memory.
//!
//! Not the rows themselves: `storage::tables::settle` writes those.

use super::Lane;
use super::types::{Departed, Fetch, Finished};
use crate::endpoint::auto_disable::{ExhaustedRun, FailingSpell, RunRuling};
use crate::endpoint::breaker::{Ticket, Transition};
use crate::endpoint::failover::Failover;
use crate::endpoint::order::Lines;
use crate::endpoint::window::{Feedback, Slot};
use crate::outcome::classify::health_of;
use crate::outcome::decide::{DEFAULT_SLOW_DOWN_MS, Decision, Ruling};
use crate::prepare::{FailoverPolicy, Side};
use model::{
    AnswerNote, AttemptRecord, DeadLetter, DeadLetterReason, DisabledReason, EndpointHealth, Event, OutcomeClass,
    Pending, Seq, Settled, Settlement, Trigger, UnixMs, Verdict,
};
use rand::Rng;

impl Lane {
    /// Everything settled since the last report, and the endpoint's cursor; none when nothing changed.
    pub fn report(&mut self) -> Option<Settlement> {
        let cursor = self.backlog.cursor();
        let moved = cursor != self.reported;
        let nothing_settled = self.settled.is_empty() && self.expired.is_none();
        let nothing_decided = self.disable.is_none() && self.pause.is_none() && self.switches.is_empty();
        if nothing_settled && !moved && !self.health_changed && nothing_decided {
            return None;
        }
        let health = std::mem::take(&mut self.health_changed).then(|| self.health());
        self.reported = cursor.clone();
        Some(Settlement {
            target: self.target,
            cursor,
            settled: std::mem::take(&mut self.settled),
            expired: self.expired.take(),
            health,
            disable: self.disable.take(),
            pause: self.pause.take(),
            switches: std::mem::take(&mut self.switches),
        })
    }

    pub(super) fn settle(&mut self, finished: Finished, flight: Departed, decision: &Decision, now: UnixMs) {
        let Departed { was_due, attempts, trigger, next_trigger, accepted_at } = flight;
        let seq = finished.seq;
        let next_attempt_at = if let Decision::RetryAt { due } = decision { Some(*due) } else { None };
        let verdict = match decision {
            Decision::Done => Verdict::Done,
            // Only the attempt that was asked for is manual: its retries keep to the budget.
            Decision::RetryAt { due } => Verdict::Retry(Pending {
                attempts,
                due: *due,
                last_outcome: Some(finished.outcome),
                trigger: next_trigger,
            }),
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
            note: finished.note,
            url_number: finished.url_number,
            details: finished.details,
        };
        self.leave_line(seq, was_due);
        if let Some(due) = next_attempt_at {
            self.retries.add((due, seq));
        }
        self.settled.push(Settled { seq, accepted_at, was_due, record: Some(record), verdict });
    }

    /// A delivery that was taken for an attempt ends without one.
    pub(super) fn end_unmade(&mut self, asked: Fetch, verdict: Verdict) {
        self.land(asked.seq);
        self.leave_line(asked.seq, asked.due);
        self.settled.push(Settled {
            seq: asked.seq,
            accepted_at: UnixMs::ZERO,
            was_due: asked.due,
            record: None,
            verdict,
        });
        self.await_durable_end();
    }

    /// A delivery that was not tried ends because its event may not be sent any more.
    ///
    /// A delivery that was put in line by hand before its turn came has a row of its own, which ends when it is read.
    pub(super) fn end_untried(&mut self, event: &Event, reason: DeadLetterReason, now: UnixMs) {
        self.leave_line(event.seq, None);
        self.settled.push(Settled {
            seq: event.seq,
            accepted_at: event.accepted_at,
            was_due: None,
            record: None,
            verdict: give_up(reason, now),
        });
        if reason == DeadLetterReason::Expunged {
            // It can never be sent any more.
            self.turns.lines().into_iter().for_each(|lines| lines.over(event.seq));
        } else {
            // After a crash, a clock that was set back could have an expired one sent behind its successor.
            self.await_durable_end();
        }
    }

    /// The row of a fetched delivery has another due time than the delivery was taken at, or is not there.
    ///
    /// Since the key came into memory, the delivery was put back in line by hand or settled. Or its row is still on its
    /// way to the disk. The due index is read again. A first try that has a row of its own is no first try any more.
    pub(super) fn misplaced(&mut self, asked: Fetch) {
        if asked.due.is_some() {
            self.end_unmade(asked, Verdict::Cancelled);
            self.retries.reload();
        } else {
            self.land(asked.seq);
            self.leave_line(asked.seq, None);
            self.await_durable_end();
        }
    }

    pub(super) fn land(&mut self, seq: Seq) {
        if let Some(flight) = self.flights.remove(&seq) {
            self.give_back(flight.ticket, flight.slot);
        }
    }

    /// Nothing came of a delivery that was taken for an attempt: it waits for another turn.
    pub(super) fn back_in_line(&mut self, seq: Seq, was_due: Option<UnixMs>) {
        match was_due {
            Some(due) => self.retries.returned((due, seq)),
            None => {
                self.backlog.hole_returned(seq);
                self.retries.landed(seq);
                self.turns.lines().into_iter().for_each(|lines| lines.back(seq));
            }
        }
    }

    pub(super) fn leave_line(&mut self, seq: Seq, was_due: Option<UnixMs>) {
        match was_due {
            Some(due) => self.retries.settled((due, seq)),
            None => {
                self.backlog.settled(seq);
                self.retries.landed(seq);
            }
        }
    }

    /// Takes from an attempt what it says about the endpoint: to the window, the breaker, and the failure memory. Answers what
    /// the breaker did, the reason to disable the endpoint, and the length of a run that is worth a warning.
    ///
    /// `so_far` is what comes of the delivery. One that still has its try at the other side has not used up its attempts.
    pub(super) fn judge(
        &mut self,
        finished: &Finished,
        ruling: &Ruling,
        (side, so_far): (Side, Decision),
        (ticket, slot): (Ticket, Slot),
        now: UnixMs,
        rng: &mut (impl Rng + ?Sized),
    ) -> (Option<Transition>, Option<DisabledReason>, Option<u16>) {
        let outcome = finished.outcome;
        let feedback = match finished.note {
            // Its status counts, but it did not keep up.
            Some(AnswerNote::TooLate) => Feedback::Congested,
            _ => Feedback::of(outcome),
        };
        self.keeps_up = feedback != Feedback::Congested;
        // One that was under way to the other side when that changed says nothing about this one.
        let is_active = side.is_active() && side.is_backup() == self.uses_backup();
        let transition = if is_active {
            self.window.release(slot, feedback);
            self.breaker.on_result(ticket, health_of(outcome), now, rng)
        } else {
            self.give_back(ticket, slot);
            None
        };
        if transition == Some(Transition::Closed) {
            self.window.restart();
        }
        let (exhausted, warns) = self.note_exhausted(outcome, so_far);
        // A backup that is gone says nothing about the endpoint.
        let disable = ruling.disable.filter(|_| !side.is_backup()).or(exhausted);
        let disabled = self.note_health(outcome, disable, transition, now);
        if is_active {
            self.pause(ruling.slow_down_until, outcome, now);
        }
        (transition, disabled, warns)
    }

    /// Counts deliveries in a row that used up their attempts, for an endpoint whose policy asks for it. Answers the reason
    /// to disable it, and the length of a run that is worth a warning.
    fn note_exhausted(&mut self, outcome: OutcomeClass, decision: Decision) -> (Option<DisabledReason>, Option<u16>) {
        let limit = self.policy.disable_after_failed_deliveries;
        if limit.is_none() && self.exhausted == ExhaustedRun::default() {
            return (None, None);
        }
        let (run, ruling) = self.exhausted.after(limit, outcome, decision);
        self.health_changed |= run != self.exhausted;
        self.exhausted = run;
        match ruling {
            RunRuling::Nothing => (None, None),
            RunRuling::Warn => (None, Some(run.0)),
            RunRuling::Disable => (Some(DisabledReason::Exhausted), None),
        }
    }

    fn note_health(
        &mut self,
        outcome: OutcomeClass,
        disable: Option<DisabledReason>,
        transition: Option<Transition>,
        now: UnixMs,
    ) -> Option<DisabledReason> {
        let period_ms = self.policy.disable_after_failing_ms;
        let failing = FailingSpell::after(self.failing, outcome, now, period_ms);
        self.health_changed |= failing != self.failing || transition.is_some();
        self.failing = failing;
        // A failure on this side is none of the endpoint's, however long it has been silent.
        let failing =
            outcome != OutcomeClass::InternalError && failing.is_some_and(|spell| spell.should_disable(now, period_ms));
        let disable = disable.or(failing.then_some(DisabledReason::Failing));
        if disable.is_some() && !self.policy.disabled {
            self.policy.disabled = true;
            self.disable = disable;
            return disable;
        }
        None
    }

    /// Makes no attempts until then. A pause that the endpoint asked for is noted in its health, for a restart.
    ///
    /// The second that any 503 leads to is not worth a row, nor is each second by which one pause is put off.
    fn pause(&mut self, until: Option<UnixMs>, outcome: OutcomeClass, now: UnixMs) {
        let until = until.unwrap_or_default();
        self.slow_down_until = self.slow_down_until.max(until);
        let is_over = self.noted_pause != UnixMs::ZERO && self.slow_down_until <= now;
        if until.since_ms(now) > DEFAULT_SLOW_DOWN_MS && until > self.noted_pause.plus_ms(DEFAULT_SLOW_DOWN_MS) {
            (self.noted_pause, self.health_changed) = (until, true);
        } else if is_over && outcome == OutcomeClass::Success {
            (self.noted_pause, self.health_changed) = (UnixMs::ZERO, true);
        }
    }

    /// Disabled: untried deliveries are skipped (a gap tells which), and retries are given up.
    pub(super) fn drop_everything(&mut self, now: UnixMs) {
        self.backlog.skip_all();
        self.turns.lines().into_iter().for_each(Lines::drop_held);
        let before = self.settled.len();
        let in_flight = |seq| self.flights.contains_key(&seq);
        while let Some((due, seq)) = self.retries.first_due(UnixMs(u64::MAX), |_| true, in_flight) {
            self.retries.take((due, seq));
            self.retries.settled((due, seq));
            self.settled.push(Settled {
                seq,
                accepted_at: UnixMs::ZERO,
                was_due: Some(due),
                record: None,
                verdict: give_up(DeadLetterReason::EndpointDisabled, now),
            });
        }
        if self.settled.len() > before {
            self.await_durable_end();
        }
    }

    /// Deliveries go to the backup now.
    pub(super) fn uses_backup(&self) -> bool {
        self.failover.as_ref().is_some_and(Failover::uses_backup)
    }

    /// Its failover has these settings now; none when it has no backup any more.
    pub(super) fn configure_failover(&mut self, policy: Option<FailoverPolicy>, now: UnixMs) {
        let is_the_same = match (&mut self.failover, policy) {
            (Some(failover), Some(policy)) => failover.configure(policy),
            (before, wanted) => before.is_none() && wanted.is_none(),
        };
        if !is_the_same {
            self.failover = policy.map(|policy| Failover::new(policy, &EndpointHealth::default(), now));
            self.switches.clear();
        }
    }

    /// A delivery is given up when both sides gave it up: after the last attempt at one of them, it gets one more at the
    /// other. Answers the decision, and why its next attempt will be made.
    pub(super) fn unless_other_side(
        &self,
        decision: Decision,
        (trigger, side): (Trigger, Side),
        expires_at: Option<UnixMs>,
        now: UnixMs,
    ) -> (Decision, Trigger) {
        let Some(failover) = &self.failover else { return (decision, Trigger::Scheduled) };
        let gave_up = matches!(
            decision,
            Decision::DeadLetter(
                DeadLetterReason::AttemptsExhausted | DeadLetterReason::Rejected | DeadLetterReason::Gone
            )
        );
        let was_last = matches!(trigger, Trigger::LastAtPrimary | Trigger::LastAtBackup);
        // A last attempt may lead to a retry: the policy may allow more attempts now than when it was given up.
        if !gave_up || was_last || self.policy.disabled || !failover.has_other_side() {
            return (decision, Trigger::Scheduled);
        }
        let due = now.plus_ms(1);
        if expires_at.is_some_and(|expires_at| expires_at <= due) {
            // It would expire before that attempt.
            return (decision, Trigger::Scheduled);
        }
        let trigger = if side.is_backup() { Trigger::LastAtPrimary } else { Trigger::LastAtBackup };
        (Decision::RetryAt { due }, trigger)
    }

    /// Notes the result for the failover. Answers what the breaker did, when the side changed.
    pub(super) fn fail_over(&mut self, side: Side, outcome: OutcomeClass, now: UnixMs) -> Option<Transition> {
        let failover = self.failover.as_mut()?;
        let before = failover.noted();
        let decided = failover.ended(side, outcome, now);
        self.health_changed |= failover.noted() != before;
        self.switches.push(decided?);
        self.moved()
    }

    fn health(&self) -> EndpointHealth {
        let (failures_in_row, probed_at) = self.failover.as_ref().map(Failover::noted).unwrap_or_default();
        EndpointHealth {
            failures_in_row,
            probed_at,
            failing_since: self.failing.map(|spell| spell.since),
            failing_seen_at: self.failing.map(|spell| spell.seen_at),
            paused_until: Some(self.noted_pause).filter(|until| *until != UnixMs::ZERO),
            failed_deliveries: self.exhausted.0,
            ..self.breaker.snapshot()
        }
    }
}

/// Makes a retry due at least 1 ms after the time that it was due before.
///
/// So no key of the due index is ever used twice, and the time alone tells if an attempt belongs to a row.
pub(super) fn in_its_own_place(decision: Decision, was_due: Option<UnixMs>) -> Decision {
    match (decision, was_due) {
        (Decision::RetryAt { due }, Some(was)) => Decision::RetryAt { due: due.max(was.plus_ms(1)) },
        _ => decision,
    }
}

/// A dead letter without an attempt: the writer fills in the earlier attempts from the delivery's row.
pub(super) fn give_up(reason: DeadLetterReason, now: UnixMs) -> Verdict {
    Verdict::DeadLetter(DeadLetter { at: now, attempts: 0, reason, last_outcome: None, last_status: 0 })
}
