//! The order that a lane keeps: which first try comes next, and what has to be known before.
//!
//! The rules of each order are in [`crate::endpoint::order`]; this file applies them to the lane.

use super::Lane;
use crate::endpoint::backlog::Backlog;
use crate::endpoint::order::{KeyHash, Turns, key_of};
use crate::outcome::decide::Decision;
use model::{DeadLetterReason, Event, OnGiveUp, PausedReason, Seq};

impl Lane {
    /// The ordering keys that were asked for; none when the read failed.
    pub fn keys_read(&mut self, found: Option<Vec<(Seq, Option<KeyHash>)>>) {
        self.read_failed |= found.is_none();
        if let Some(lines) = self.turns.lines() {
            lines.learnt(found);
        }
    }

    /// True if an order holds up what could be sent otherwise.
    #[must_use]
    pub fn holds_for_order(&self) -> bool {
        match &self.turns {
            Turns::Any => false,
            Turns::Endpoint => self.backlog.has_ready() && !self.first_try_may_start(),
            Turns::Key(lines) => lines.held() > 0,
        }
    }

    /// The keys to read now. Only once it is known what waits for a retry: before that, no first try starts anyway.
    pub(super) fn next_keys(&mut self) -> Option<Vec<Seq>> {
        let all_known = self.retries.knows_all();
        self.turns.lines().filter(|_| all_known)?.next_ask()
    }

    /// As [`Lane::has_work`]. `due` says that a retry is.
    pub(super) fn has_work_in_order(&self, due: bool) -> bool {
        match &self.turns {
            Turns::Endpoint if !self.flights.is_empty() => false,
            _ => due || self.first_try_may_start(),
        }
    }

    /// True if there may be a first try that the order lets through.
    fn first_try_may_start(&self) -> bool {
        match &self.turns {
            Turns::Any => self.backlog.has_ready(),
            Turns::Endpoint => self.flights.is_empty() && self.retries.is_clean() && self.backlog.has_ready(),
            Turns::Key(lines) => self.retries.knows_all() && lines.may_have_one(self.backlog.queued() > 0),
        }
    }

    /// The next first try whose event is not in memory.
    pub(super) fn next_hole(&mut self) -> Option<Seq> {
        if self.turns.is_kept() && !self.first_try_may_start() {
            return None;
        }
        match &mut self.turns {
            Turns::Any => self.next_first_try(Backlog::next_hole, |seq| *seq),
            Turns::Endpoint => {
                let first = self.backlog.first_hole()?;
                self.backlog.take_hole(first).then_some(first)
            }
            Turns::Key(lines) => {
                while let Some(seq) = lines.take_ready() {
                    if !self.flights.contains_key(&seq) {
                        self.backlog.take_hole(seq);
                        return Some(seq);
                    }
                    // It was put in line by hand and is in flight: the log owes it no more.
                    self.backlog.drop_hole(seq);
                }
                None
            }
        }
    }

    /// The next first try whose event is in memory. With an order for each key, those whose key is busy are passed over.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        match &self.turns {
            Turns::Any => return self.next_first_try(Backlog::pop, |event| event.seq),
            _ if !self.first_try_may_start() => return None,
            // A hole that cannot be read for now is earlier than all of these.
            Turns::Endpoint if self.backlog.first_hole().is_some() => return None,
            Turns::Endpoint | Turns::Key(_) => {}
        }
        while let Some(next) = self.backlog.oldest() {
            let seq = next.seq;
            if let Turns::Key(lines) = &mut self.turns
                && !self.flights.contains_key(&seq)
            {
                let key = key_of(next);
                if !lines.may_start(key) {
                    if !lines.hold_next(seq, key) {
                        return None;
                    }
                    self.backlog.pass_over();
                    continue;
                }
            }
            let event = self.backlog.pop()?;
            if !self.flights.contains_key(&seq) {
                return Some(event);
            }
            self.backlog.settled(seq);
        }
        None
    }

    /// An attempt ended in this.
    pub(super) fn note_turn(&mut self, seq: Seq, decision: &Decision) {
        match decision {
            Decision::Done => self.turns.lines().into_iter().for_each(|lines| lines.over(seq)),
            Decision::RetryAt { .. } => {}
            Decision::DeadLetter(_) => self.await_durable_end(),
        }
    }

    /// Pauses the endpoint when its policy says so of a delivery that was given up after an attempt. Nothing starts from here
    /// on; the row says so in the commit of the dead letter.
    pub(super) fn pause_if_given_up(&mut self, decision: &Decision) -> Option<PausedReason> {
        let given_up =
            matches!(decision, Decision::DeadLetter(DeadLetterReason::AttemptsExhausted | DeadLetterReason::Rejected));
        if !given_up || self.policy.on_give_up == OnGiveUp::Skip || self.policy.disabled {
            return None;
        }
        // Also when it is paused already: somebody may be about to resume it, and does not know of this one.
        self.policy.paused = true;
        self.pause = Some(PausedReason::GaveUp);
        self.set_aside_if_paused();
        self.pause
    }

    /// A delivery ended and was not made. Nothing that it held up starts before that is durable, or a crash could bring it
    /// back behind its successor: a load of the due index waits for that, and shows what is left.
    pub(super) fn await_durable_end(&mut self) {
        if self.turns.is_kept() {
            self.retries.reload();
        }
    }

    /// The due index was read.
    pub(super) fn reconcile_keys(&mut self) {
        if let Turns::Key(lines) = &mut self.turns
            && self.retries.knows_all()
        {
            let out = self.retries.seqs().chain(self.flights.keys().copied()).collect();
            lines.reconcile(&out);
        }
    }

    /// Keeps the order of the policy from now on. What was started before is finished before anything starts by the new one.
    pub(super) fn keep_order(&mut self) {
        if self.turns.order() == self.policy.order {
            return;
        }
        self.turns = Turns::new(self.policy.order, self.held_max, self.backlog.holes());
        if let Turns::Key(_) = self.turns {
            // The keys of what is in flight and of what waits for a retry have to be read: the load leads to that.
            self.retries.reload();
        }
    }
}
