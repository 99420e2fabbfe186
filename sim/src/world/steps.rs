//! Steps of the process, one at a time, and the news that the oracle gets of each.

use super::{World, note};
use crate::client::Answer;
use crate::network::{Exchange, pick};
use crate::node::{Flight, Operation, Seen, Task};
use crate::oracle::{Ended, Violation, check_shard};
use crate::plant::Plant;
use engine::dispatch::Lack;
use engine::endpoint::lane::{Action, Attempt, Finished};
use engine::outcome::retry_after;
use engine::prepare::Side;
use model::OutcomeClass;
use std::collections::BTreeMap;

/// A planted bug of the shells strikes one time in so many.
const STRUCK_EVERY: u32 = 4;

impl World {
    /// Does one thing that the process has to do.
    pub(super) fn perform(&mut self, task: Task) -> Result<(), Violation> {
        let now = self.node.clock.now();
        match task {
            Task::Commit => return self.commit(),
            Task::Take(shard) => {
                note!(self, "shard {shard} takes its news");
                self.node.shards[shard].take(now);
                self.oracle.taken(shard);
            }
            Task::Report(shard) => {
                note!(self, "shard {shard} reports");
                self.node.shards[shard].report();
            }
            Task::Timers(shard) => {
                note!(self, "shard {shard} fires its timers");
                self.node.shards[shard].fire(now);
            }
            Task::Actor(shard, serial) => return self.act(shard, serial),
            Task::Operation(shard, number) => return self.go_on(shard, number),
            Task::Job => {
                note!(self, "jobs go on");
                let result = self.node.job();
                return self.unless_failed(result);
            }
            Task::Scheduler => {
                note!(self, "the schedule goes on");
                let result = self.node.schedule();
                return self.unless_failed(result);
            }
            Task::Janitor => {
                note!(self, "retention goes on");
                let result = self.node.retain();
                self.unless_failed(result)?;
                if let Some(time) = self.node.janitor.take_ended() {
                    self.oracle.round_ended(time, &self.node.disk.durable())?;
                }
                return Ok(());
            }
        }
        self.check_shards()
    }

    /// An error of a poisoned store is no surprise; any other is.
    pub(super) fn unless_failed(&self, result: Result<(), storage::StoreError>) -> Result<(), Violation> {
        match result {
            Err(error) if !self.node.failed => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn commit(&mut self) -> Result<(), Violation> {
        self.oracle.ledger.clock_shows(self.node.clock.now());
        self.oracle.retention_may_go_by(self.node.clock.now());
        self.node.commit();
        let batches = self.node.disk.take_durable();
        let rows = self.node.disk.durable();
        let writes: usize = batches.iter().map(storage::Batch::len).sum();
        note!(self, "commit: {writes} rows{}", if self.node.failed { ", the store failed" } else { "" });
        for batch in &batches {
            for line in crate::oracle::marks_in_words(batch)? {
                note!(self, "  {line}");
            }
            self.oracle.durable(batch, &rows)?;
            if self.plant == Some(Plant::LostExpunge) {
                self.forget_expunged(batch)?;
            }
        }
        if !self.node.failed {
            self.oracle.told();
        }
        Ok(())
    }

    /// Every shard forgets the expunged payloads of the applications of a batch.
    fn forget_expunged(&self, batch: &storage::Batch) -> Result<(), Violation> {
        for app in crate::oracle::apps_with_events(batch)? {
            self.node.shards.iter().for_each(|shard| shard.core.inbox.forget_expunged(app));
        }
        Ok(())
    }

    fn act(&mut self, index: usize, serial: u64) -> Result<(), Violation> {
        let now = self.node.clock.now();
        let Some(seen) = self.node.shards[index].act(serial, now) else { return Ok(()) };
        let endpoint = seen.mailbox.cell.target.endpoint;
        note!(self, "{endpoint} takes: {}", seen.input);
        self.oracle.acted(&self.node.shards[index], &seen, now)?;
        let Seen { mailbox, actions, .. } = seen;
        for (action, _) in actions {
            match action {
                Action::Start(attempt) => self.start(index, Flight::of(mailbox.clone(), attempt, now))?,
                other => {
                    note!(self, "  {endpoint} asks: {other:?}");
                    self.node.shards[index].begin_operation(mailbox.clone(), other);
                }
            }
        }
        self.check_shards()
    }

    /// An attempt starts: the network decides what becomes of it.
    fn start(&mut self, index: usize, mut flight: Flight) -> Result<(), Violation> {
        let (real, wall) = (self.time.real(), self.time.wall());
        let plan = flight.mailbox.cell.plan.borrow().clone();
        let side = if self.strikes(Plant::WrongSide) { Side::Primary } else { flight.side };
        let prepared = plan.prepare_for(side, flight.event.clone(), flight.started_at, wall);
        flight.url = prepared.as_ref().ok().map(|request| request.target.uri().to_string());
        let lacking = self.node.lacking > 0;
        self.node.lacking = self.node.lacking.saturating_sub(1);
        flight.exchange = match prepared {
            Ok(_) if lacking => Exchange::lacking(*pick(&Lack::ALL, &mut self.rng), real),
            Ok(request) => {
                let url = request.target.uri().to_string();
                self.network.send(&url, request.timeout_ms, real, &mut self.rng)
            }
            Err(_) => Exchange::unmade(real),
        };
        self.sabotage_start(&mut flight);
        let (target, seq) = (flight.mailbox.cell.target, flight.event.seq);
        note!(
            self,
            "  {} is sent {seq}, attempt {}, due {:?}: {} in {} ms",
            target.endpoint,
            flight.number,
            flight.due.map(crate::oracle::at),
            flight.exchange.outcome.as_str(),
            flight.exchange.ends_at.since_ms(real)
        );
        self.attempts += 1;
        let rows = self.node.disk.durable();
        self.oracle.started(index, &flight, &rows)?;
        let twice = self.strikes(Plant::TwiceInFlight).then(|| flight.again());
        self.node.shards[index].operations.push(Operation::Attempt(Box::new(flight)));
        match twice {
            Some(second) => {
                let core = &self.node.shards[index].core;
                core.places.borrow_mut().take(second.mailbox.cell.target.app);
                self.oracle.started(index, &second, &rows)
            }
            None => Ok(()),
        }
    }

    /// A read goes on, or an attempt.
    fn go_on(&mut self, index: usize, number: usize) -> Result<(), Violation> {
        let real = self.time.real();
        let operation = &mut self.node.shards[index].operations[number];
        let endpoint = operation.mailbox().cell.target.endpoint;
        if let Operation::Attempt(flight) = operation {
            if !flight.arrived && flight.exchange.arrives_at.is_some_and(|at| at <= real) {
                flight.arrived = true;
                let seq = flight.event.seq;
                note!(self, "{endpoint} has received {seq}");
                return Ok(());
            }
            return self.land(index, number);
        }
        let fails = self.node.failing_reads > 0;
        self.node.failing_reads = self.node.failing_reads.saturating_sub(1);
        let said = self.node.shards[index].go_on_reading(number, fails);
        note!(self, "{endpoint} {said}");
        self.check_shards()
    }

    /// An attempt is over.
    fn land(&mut self, index: usize, number: usize) -> Result<(), Violation> {
        let wall = self.time.wall();
        let shard = &mut self.node.shards[index];
        let Some(Operation::Attempt(flight)) = shard.operations.get(number) else { return Ok(()) };
        let (target, exchange, side) = (flight.mailbox.cell.target, &flight.exchange, flight.side);
        let finished = Finished {
            seq: flight.event.seq,
            started_at: flight.started_at,
            duration_ms: exchange.ends_at.since_ms(exchange.started_at) as u32,
            outcome: exchange.outcome,
            status: exchange.status,
            retry_after_ms: exchange.retry_after.as_ref().and_then(|value| retry_after::parse(value, wall)),
            response: Vec::new(),
            note: None,
            url_number: 0,
            lack: exchange.lack,
            details: None,
        };
        let is_test = flight.event.is_test();
        let ended = Ended { started_at: flight.started_at, outcome: exchange.outcome, is_test };
        let seq = finished.seq;
        let again = (exchange.outcome == OutcomeClass::Success).then(|| flight.again());
        if finished.lack.is_some() {
            self.oracle.deliveries.not_made(target, seq);
            self.node.shards[index].land(number, finished);
            note!(self, "{} was not sent {seq}: something of ours was short", target.endpoint);
            return self.check_shards();
        }
        self.oracle.ended(target, seq, ended)?;
        self.oracle.side_ended(target, side, ended.outcome);
        self.node.shards[index].land(number, finished);
        note!(self, "{} answered {seq}: {}", target.endpoint, ended.outcome.as_str());
        if let Some(again) = again
            && self.strikes(Plant::DoubleDelivery)
        {
            self.work_off(200)?;
            let core = &self.node.shards[index].core;
            core.places.borrow_mut().take(target.app);
            self.start(index, again)?;
        }
        self.check_shards()
    }

    /// Clients hear what has become of what they asked for.
    pub(super) fn answer_clients(&mut self) -> Result<(), Violation> {
        while let Some(answer) = self.clients.answer() {
            match answer {
                Answer::Taken(parcel, taken) => {
                    note!(self, "client of {} hears: {}", parcel.app, super::requests::in_words(&taken));
                    self.oracle.answered(&parcel, &taken)?;
                    if taken.is_err() {
                        self.clients.repeat(parcel);
                    }
                }
                Answer::Expunged(app, seq, changed) => {
                    note!(self, "client hears of {app}/{seq}: {}", if changed.is_ok() { "expunged" } else { "no" });
                    if changed.is_ok() {
                        self.oracle.ledger.told_expunged(app, seq);
                    }
                }
                Answer::Changed(asked, changed) => {
                    note!(self, "client hears of «{}»: {}", asked.words, if changed.is_ok() { "done" } else { "no" });
                    if let (Some((target, seq)), Ok(())) = (asked.order, &changed) {
                        self.oracle.deliveries.ordered(target, seq);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_shards(&self) -> Result<(), Violation> {
        self.node.shards.iter().try_for_each(check_shard)?;
        let mut taken = BTreeMap::new();
        for (app, count) in self.node.shards.iter().flat_map(|shard| shard.places_taken()) {
            *taken.entry(app).or_default() += count;
        }
        self.oracle.check_slots(&taken)
    }

    /// True if a planted bug strikes now.
    pub(super) fn strikes(&mut self, plant: Plant) -> bool {
        if self.plant != Some(plant) {
            return false;
        }
        self.chances += 1;
        self.chances.is_multiple_of(STRUCK_EVERY)
    }

    fn sabotage_start(&mut self, flight: &mut Flight) {
        if self.strikes(Plant::WrongId) {
            flight.event.accepted_at = flight.event.accepted_at.plus_ms(1);
        }
        if let Some(expires_at) = flight.event.expires_at()
            && self.strikes(Plant::LateAttempt)
        {
            flight.started_at = flight.started_at.max(expires_at);
        }
        if flight.due.is_some() && self.strikes(Plant::EarlyRetry) {
            flight.due = Some(flight.started_at.plus_ms(1));
        }
    }
}

impl Flight {
    fn of(mailbox: std::rc::Rc<crate::node::SimMailbox>, attempt: Attempt, now: model::UnixMs) -> Flight {
        Flight {
            mailbox,
            event: attempt.event,
            number: attempt.number,
            due: attempt.due,
            started_at: now,
            exchange: Exchange::unmade(now),
            arrived: false,
            side: attempt.side,
            url: None,
        }
    }

    /// The same once more.
    fn again(&self) -> Flight {
        Flight {
            mailbox: self.mailbox.clone(),
            event: self.event.clone(),
            exchange: self.exchange.clone(),
            arrived: false,
            url: self.url.clone(),
            ..*self
        }
    }
}
