//! The order that a lane keeps: which first try comes next, and what has to be known before.
//!
//! The rules of each order are in [`crate::endpoint::order`]; this file applies them to the lane.

use super::Lane;
use super::types::{Fetch, FirstTry};
use crate::endpoint::backlog::Backlog;
use crate::endpoint::order::{Keyed, NextHeld, Turns};
use crate::endpoint::retries::Urgency;
use crate::outcome::decide::Decision;
use model::{DeadLetterReason, Event, OnGiveUp, PausedReason, Seq, UnixMs};

impl Lane {
    /// The ordering keys that were asked for; none when the read failed.
    pub fn keys_read(&mut self, found: Option<Vec<Keyed>>) {
        self.read_failed |= found.is_none();
        if let Some(lines) = self.turns.lines() {
            lines.learnt(found);
        }
    }

    /// True if an order holds up what could be sent otherwise.
    #[must_use]
    pub fn holds_for_order(&self, now: UnixMs) -> bool {
        let waits = || self.backlog.has_ready() || self.retries.is_due(now, is_first);
        match &self.turns {
            Turns::Any => false,
            Turns::Endpoint => waits() && !self.first_try_may_start(now),
            Turns::Key(lines) => lines.held() > 0,
        }
    }

    /// The keys to read now. Only once it is known what waits for a retry: before that, no first try starts anyway.
    pub(super) fn next_keys(&mut self) -> Option<Vec<Seq>> {
        let all_known = self.retries.knows_all();
        self.turns.lines().filter(|_| all_known)?.next_ask()
    }

    /// As [`Lane::has_work`], where an order is kept.
    pub(super) fn has_work_in_order(&self, now: UnixMs) -> bool {
        match &self.turns {
            Turns::Endpoint if !self.flights.is_empty() => false,
            _ => self.retries.is_due(now, self.at_their_time()) || self.first_try_may_start(now),
        }
    }

    /// The kinds of rows that start at their own time. Others have a place in the order.
    ///
    /// A scheduled message has one as long as memory holds every row: without that it could wait for a row that is not
    /// loaded before its own is gone.
    pub(super) fn at_their_time(&self) -> impl Fn(Urgency) -> bool + use<> {
        let firsts_too = !self.turns.is_kept() || (self.retries.knows_nearest() && !self.retries.knows_all());
        move |urgency| firsts_too || urgency != Urgency::First
    }

    /// Gives scheduled messages whose time has come their place among those held. What was accepted before their time is
    /// read first.
    pub(super) fn place_scheduled(&mut self, now: UnixMs) {
        if let Turns::Key(lines) = &mut self.turns
            && self.retries.knows_all()
        {
            // After a restart, messages are held whose successors are not read yet.
            let upto = scheduled_upto(&self.backlog, now).max(lines.held_upto().min(now));
            let after = lines.placed_upto();
            if after < upto && lines.knows_held() {
                lines.place(upto, self.backlog.passed_upto(), self.retries.firsts_due(after, upto));
            }
        }
    }

    /// True if there may be a first try that the order lets through.
    fn first_try_may_start(&self, now: UnixMs) -> bool {
        match &self.turns {
            Turns::Any => self.backlog.has_ready(),
            Turns::Endpoint => {
                self.flights.is_empty()
                    && self.retries.knows_all()
                    && !self.retries.has_begun()
                    && (self.backlog.has_ready() || self.scheduled_is_next(now))
            }
            Turns::Key(lines) => self.retries.knows_all() && lines.may_have_one(self.backlog.queued() > 0),
        }
    }

    /// True if a scheduled message goes before the next one of the queue, where all deliveries share one order.
    fn scheduled_is_next(&self, now: UnixMs) -> bool {
        self.retries.is_due(scheduled_upto(&self.backlog, now), is_first)
    }

    /// The next first try whose turn has come and that is not the next in the queue.
    pub(super) fn next_beside_queue(&mut self, now: UnixMs) -> Option<FirstTry> {
        if self.turns.is_kept() && !self.first_try_may_start(now) {
            return None;
        }
        match &self.turns {
            Turns::Any => self.next_first_try(Backlog::next_hole, |seq| *seq).map(FirstTry::hole),
            Turns::Endpoint => {
                if let Some(first) = self.backlog.first_hole() {
                    return self.backlog.take_hole(first).then_some(FirstTry::hole(first));
                }
                let upto = scheduled_upto(&self.backlog, now);
                let (due, seq) = self.retries.first_due(upto, is_first, |seq| self.flights.contains_key(&seq))?;
                self.retries.take((due, seq));
                Some(FirstTry::Fetch(Fetch { seq, due: Some(due) }))
            }
            Turns::Key(_) => self.next_held(),
        }
    }

    fn next_held(&mut self) -> Option<FirstTry> {
        let lines = self.turns.lines()?;
        while let Some(NextHeld { seq, scheduled }) = lines.take_ready() {
            let in_flight = self.flights.contains_key(&seq);
            match scheduled {
                // It was put in line by hand and is in flight: the log owes it no more.
                None if in_flight => self.backlog.drop_hole(seq),
                None => {
                    let event = self.backlog.take_passed(seq);
                    return Some(event.map_or(FirstTry::hole(seq), FirstTry::Event));
                }
                Some(due) if !in_flight && self.retries.has_first((due, seq)) => {
                    self.retries.take((due, seq));
                    return Some(FirstTry::Fetch(Fetch { seq, due: Some(due) }));
                }
                // It left the line. The load tells what has become of it.
                Some(_) => {
                    self.retries.reload();
                    return None;
                }
            }
        }
        None
    }

    /// The next first try whose event is in memory. With an order for each key, those whose key is busy are passed over.
    pub(super) fn next_event(&mut self, now: UnixMs) -> Option<Event> {
        match &self.turns {
            Turns::Any => return self.next_first_try(Backlog::pop, |event| event.seq),
            _ if !self.first_try_may_start(now) => return None,
            // A hole that cannot be read for now is earlier than all of these.
            Turns::Endpoint if self.backlog.first_hole().is_some() => return None,
            Turns::Endpoint if self.scheduled_is_next(now) => return None,
            Turns::Endpoint | Turns::Key(_) => {}
        }
        while let Some(next) = self.backlog.oldest() {
            let seq = next.seq;
            if let Turns::Key(lines) = &mut self.turns
                && !self.flights.contains_key(&seq)
            {
                let keyed = Keyed::of(seq, Some(next));
                if !lines.may_start(keyed.key) {
                    if !lines.hold_next(keyed) {
                        return None;
                    }
                    self.backlog.pass_over();
                    if !self.next_may_start(now) {
                        return None;
                    }
                    continue;
                }
            }
            let event = self.backlog.pop()?;
            if !self.flights.contains_key(&seq) {
                return Some(event);
            }
            // Somebody asked for it by hand.
            self.backlog.settled(seq);
            if !self.next_may_start(now) {
                return None;
            }
        }
        None
    }

    /// The front of the queue left it: scheduled messages may be between that one and the next.
    fn next_may_start(&mut self, now: UnixMs) -> bool {
        self.place_scheduled(now);
        self.first_try_may_start(now)
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
            let out = self.retries.begun().chain(self.flights.keys().copied()).collect();
            lines.reconcile(&out, |row| self.retries.has_first(row));
        }
    }

    /// Keeps the order of the policy from now on. What was started before is finished before anything starts by the new one.
    pub(super) fn keep_order(&mut self) {
        if self.turns.order() == self.policy.order {
            return;
        }
        self.backlog.forget_passed();
        self.turns = Turns::new(self.policy.order, self.held_max, self.backlog.holes());
        if let Turns::Key(_) = self.turns {
            // The keys of what is in flight and of what waits for a retry have to be read: the load leads to that.
            self.retries.reload();
        }
    }
}

/// The time by which a scheduled message must be due to have its place now: what was accepted before is read first.
fn scheduled_upto(backlog: &Backlog, now: UnixMs) -> UnixMs {
    backlog.read_upto().min(now)
}

fn is_first(urgency: Urgency) -> bool {
    urgency == Urgency::First
}
