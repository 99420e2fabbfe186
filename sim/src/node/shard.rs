//! One shard's core with its shells as steps.

use super::futures::{Reply, Wakeup};
use super::mailbox::{After, Mailboxes, Opener, SimMailbox};
use super::operation::{Due, Operation};
use super::{Flight, Task};
use crate::plant::{Plant, Unmarked, filter_under, keys_under, rows_under};
use crate::time::EngineClock;
use engine::endpoint::breaker::State;
use engine::endpoint::lane::{Action, Finished};
use engine::endpoint::mailbox::Input;
use engine::prepare::LanePolicy;
use engine::shard::core::{LaneCell, ShardCore};
use engine::shard::inbox::{EndpointChange, News};
use engine::shard::{ShardParts, ThreadShares, handles, reads, timers, work};
use model::{AppId, OnGiveUp, Order, Seq, UnixMs};
use std::collections::BTreeMap;
use std::rc::Rc;
use storage::StoreError;
use storage::writer::ChangeError;

/// One shard.
pub struct Shard {
    /// Its state and decisions.
    pub core: Rc<ShardCore>,
    /// Reads and attempts under way.
    pub operations: Vec<Operation>,
    mailboxes: Rc<Mailboxes>,
    plant: Option<Plant>,
    unmarked: Unmarked,
    news: Wakeup,
    report: Wakeup,
    timers: Wakeup,
    sleep_until: UnixMs,
    fired: u64,
}

/// The effect of one message.
pub struct Seen {
    /// The mailbox that the message was in.
    pub mailbox: Rc<SimMailbox>,
    /// The message in words.
    pub input: String,
    /// The deliveries whose attempts or fetches ended with it.
    pub ended: Vec<Seq>,
    /// The delivery whose rows came with it.
    pub fetched: Option<Seq>,
    /// The actions that the lane asked for, with the state of its breaker then.
    pub actions: Vec<(Action, State)>,
}

impl Shard {
    pub(super) fn new(parts: ShardParts, mailbox_max: usize, plant: Option<Plant>, now: UnixMs) -> Shard {
        let mailboxes = Rc::new(Mailboxes::new(mailbox_max, plant));
        let config = &parts.config;
        let thread = ThreadShares::new(config.max_in_flight_per_shard, config.queue_memory_bytes_per_shard);
        Shard {
            core: Rc::new(ShardCore::new(parts, thread, Box::new(Opener(mailboxes.clone())), now)),
            operations: Vec::new(),
            mailboxes,
            plant,
            unmarked: Unmarked::default(),
            news: Wakeup::default(),
            report: Wakeup::default(),
            timers: Wakeup::default(),
            sleep_until: now,
            fired: 0,
        }
    }

    pub(super) fn tasks(&mut self, index: usize, now: UnixMs, real: UnixMs, into: &mut Vec<Task>) {
        let inbox = &self.core.inbox;
        if self.news.is_woken(|| {
            let inbox = inbox.clone();
            async move { inbox.woken().await }
        }) {
            into.push(Task::Take(index));
        }
        let core = &self.core;
        if self.report.is_woken(|| {
            let core = core.clone();
            async move { core.reports.wanted().await }
        }) {
            into.push(Task::Report(index));
        }
        let moved = self.timers.is_woken(|| {
            let core = core.clone();
            async move { core.timers.moved().await }
        });
        if moved || self.sleep_until <= now {
            into.push(Task::Timers(index));
        }
        self.mailboxes.with_mail(|serial| into.push(Task::Actor(index, serial)));
        for (number, operation) in self.operations.iter_mut().enumerate() {
            if operation.is_ready(real) {
                into.push(Task::Operation(index, number));
            }
        }
    }

    pub(super) fn next_deadline(&self, clock: &EngineClock) -> Option<UnixMs> {
        let timer = self.core.timers.next_deadline().map(|at| clock.to_real(at));
        self.operations.iter().filter_map(Operation::deadline).chain(timer).min()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.operations.is_empty()
            && !self.mailboxes.any_mail()
            && self.core.inbox.is_empty()
            && self.core.reports.is_empty()
            && self.core.timers.is_empty()
    }

    /// Takes its news.
    pub fn take(&mut self, now: UnixMs) {
        self.news.run();
        let mut news = self.core.inbox.take();
        if self.plant == Some(Plant::LostRequeue) {
            news.requeued.clear();
        }
        self.sabotage_pauses(&mut news);
        handles::take(&self.core, news, now);
    }

    /// Loses the beginning of a pause, or its end: what is told of a resumed endpoint that has an actor already.
    fn sabotage_pauses(&self, news: &mut News) {
        match self.plant {
            Some(Plant::SendsWhilePaused) => {
                news.paused.retain(|_, (_, paused)| !*paused);
                for (_, change) in news.changed.values_mut() {
                    if let EndpointChange::Put(row, _) = change {
                        row.paused = None;
                    }
                }
            }
            Some(Plant::SendsUnverified) => {
                for (_, change) in news.changed.values_mut() {
                    if let EndpointChange::Put(row, _) = change {
                        row.verification = None;
                    }
                }
            }
            Some(Plant::LostResume) => {
                news.paused.retain(|_, (_, paused)| *paused);
                news.changed.retain(|_, (_, change)| match change {
                    EndpointChange::Put(row, _) => row.is_held(),
                    EndpointChange::Gone => true,
                });
            }
            _ => {}
        }
    }

    /// Hands its reports over.
    pub fn report(&mut self) {
        self.report.run();
        self.core.report_now();
    }

    /// Fires its timers.
    pub fn fire(&mut self, now: UnixMs) {
        self.timers.run();
        self.fired += 1;
        let deaf = self.plant == Some(Plant::LostTimer) && self.fired.is_multiple_of(3);
        self.mailboxes.deafen(deaf);
        let more = timers::fire(&self.core, now);
        self.mailboxes.deafen(false);
        if !more {
            // Not also once a minute, as the product's does: here nothing else can wake a timer that was forgotten.
            self.sleep_until = self.core.timers.next_deadline().map_or(UnixMs(u64::MAX), |at| at.max(now));
        }
    }

    /// Has an actor take its next message.
    pub fn act(&self, serial: u64, now: UnixMs) -> Option<Seen> {
        let mailbox = self.mailboxes.get(serial)?;
        let (input, after) = mailbox.next()?;
        if matches!(input, Input::Stop) {
            mailbox.end().into_iter().for_each(|after| self.follow(&mailbox, after, false));
            let (input, ended, actions) = ("stop".to_owned(), Vec::new(), Vec::new());
            return Some(Seen { mailbox, input, ended, fetched: None, actions });
        }
        let (mut words, fetched) = describe(&input);
        let cell = mailbox.cell.clone();
        let mut ended: Vec<Seq> = fetched.into_iter().collect();
        for finished in cell.ended.borrow().iter() {
            words += &format!(", end of {}: {}", finished.seq, finished.outcome.as_str());
            ended.push(finished.seq);
        }
        let is_judged = self.plant == Some(Plant::JudgedExample);
        let input = if is_judged { self.unmarked.unmark(input, &cell.plan.borrow().filter) } else { input };
        self.misinform(&cell, now);
        let mut asked = Vec::new();
        work::take_input(&self.core, &cell, input, now, &mut asked);
        if is_judged {
            self.unmarked.mark(&mut asked);
        }
        // Nothing that a lane is asked for changes it again once it let one through.
        let breaker = cell.lane.borrow().breaker_state();
        let actions = asked.into_iter().map(|action| (action, breaker)).collect();
        self.follow(&mailbox, after, true);
        Some(Seen { mailbox, input: words, ended, fetched, actions })
    }

    /// A lane is told another policy than its endpoint has: planted bugs.
    fn misinform(&self, cell: &LaneCell, now: UnixMs) {
        let policy = cell.plan.borrow().policy.clone();
        let policy = match self.plant {
            Some(Plant::Inversion) => LanePolicy { order: Order::None, ..policy },
            Some(Plant::ForgottenPause) => LanePolicy { on_give_up: OnGiveUp::Skip, ..policy },
            _ => return,
        };
        cell.lane.borrow_mut().configure(policy, now);
    }

    /// A message was taken, or dropped.
    fn follow(&self, mailbox: &SimMailbox, after: After, taken: bool) {
        match after {
            After::FetchOver if !taken => self.core.free_places(mailbox.cell.target.app, 1),
            After::FetchOver | After::Nothing => {}
            After::LogReadOver(bytes_max) => self.core.log_read_over(bytes_max),
        }
    }

    /// Notes an operation that is not an attempt.
    pub fn begin_operation(&mut self, mailbox: Rc<SimMailbox>, action: Action) {
        let operation = match action {
            Action::Start(_) => return,
            Action::ReadLog(read) => {
                let plan = mailbox.cell.plan.borrow().clone();
                Operation::Log { mailbox, read, plan, found: None }
            }
            Action::LoadDue(load) => Operation::Due { mailbox, load, state: Due::Begin },
            Action::Fetch(fetch) => Operation::Fetch { mailbox, fetch, rows: None },
            Action::ReadKeys(seqs) => Operation::Keys { mailbox, seqs, found: None },
        };
        self.operations.push(operation);
    }

    /// A read goes on by one step, or fails. Says what it did.
    pub fn go_on_reading(&mut self, number: usize, fails: bool) -> String {
        let mut operation = self.operations.swap_remove(number);
        let store = &self.core.store;
        let mut said = String::new();
        match &mut operation {
            Operation::Attempt(_) => {}
            Operation::Log { mailbox, read, plan, found } => match found.take() {
                None => {
                    let bytes_max = self.core.begin_log_read(&mailbox.cell);
                    let target = mailbox.cell.target;
                    let filter = filter_under(self.plant, &*self.core.store, target, &plan.filter);
                    let caught = reads::catch_up(store, target.app, &filter, *read, bytes_max).ok().filter(|_| !fails);
                    said = format!("reads the log after {}: {:?}", read.after, caught.as_ref().map(|f| f.upto.0));
                    *found = Some((caught, bytes_max));
                }
                Some((mut caught, bytes_max)) => {
                    if let (Some(Plant::SkippedInCatchUp), Some(caught)) = (self.plant, &mut caught) {
                        caught.events.pop();
                    }
                    self.tell(mailbox, Input::LogRead(caught), After::LogReadOver(bytes_max));
                    return "has read the log".to_owned();
                }
            },
            Operation::Keys { mailbox, seqs, found } => match found.take() {
                None => {
                    let app = mailbox.cell.target.app;
                    let keys = reads::keys(store, app, std::mem::take(seqs)).ok().filter(|_| !fails);
                    *found = Some(keys.map(|keys| keys_under(self.plant, &**store, app, keys)));
                    said = "reads ordering keys".to_owned();
                }
                Some(found) => {
                    self.tell(mailbox, Input::KeysRead(found), After::Nothing);
                    return "has read ordering keys".to_owned();
                }
            },
            Operation::Fetch { mailbox, fetch, rows } => match rows.take() {
                None => {
                    *rows = Some(reads::rows(store, mailbox.cell.target, *fetch).ok().filter(|_| !fails));
                    said = format!("fetches {}: {}", fetch.seq, if fails { "fails" } else { "done" });
                }
                Some(rows) => {
                    self.tell(mailbox, Input::Fetched(*fetch, rows), After::FetchOver);
                    return format!("has fetched {}", fetch.seq);
                }
            },
            Operation::Due { mailbox, load, state } => match state {
                Due::Begin => {
                    self.core.report_now();
                    *state = self.barrier();
                    said = "asks for its retries".to_owned();
                }
                Due::Barrier(_) => {}
                Due::Read => {
                    let rows = reads::due(store, mailbox.cell.target, *load).ok().filter(|_| !fails);
                    let rows = rows.map(|rows| rows_under(self.plant, rows));
                    said = format!("reads its retries: {:?}", rows.as_ref().map(Vec::len));
                    *state = Due::Found(rows);
                }
                Due::Found(rows) => {
                    self.tell(mailbox, Input::DueLoaded(*load, rows.take()), After::Nothing);
                    return "has read its retries".to_owned();
                }
            },
        }
        self.operations.push(operation);
        said
    }

    /// Waits until all that was handed over is durable; a busy writer is asked again.
    fn barrier(&self) -> Due {
        let writer = self.core.writer.clone();
        let asked = async move {
            match writer.change(|_| Ok::<(), StoreError>(())).await {
                Ok(()) => Some(true),
                Err(ChangeError::Busy) => None,
                Err(_) => Some(false),
            }
        };
        let (mut reply, answer) = Reply::ask(asked);
        match answer {
            Some(Some(durable)) => {
                if durable {
                    Due::Read
                } else {
                    Due::Found(None)
                }
            }
            Some(None) => Due::Begin,
            None => {
                let rest = std::future::poll_fn(move |_| match reply.poll() {
                    Some(durable) => std::task::Poll::Ready(durable == Some(true)),
                    None => std::task::Poll::Pending,
                });
                Due::Barrier(Reply::ask(rest).0)
            }
        }
    }

    /// An attempt is over: its lane is told, then the shard.
    pub fn land(&mut self, number: usize, finished: Finished) {
        let operation = self.operations.swap_remove(number);
        self.fired += u64::from(self.plant.is_some());
        let struck = self.fired.is_multiple_of(3);
        if struck && self.plant == Some(Plant::LeakedSlot) {
            self.core.free_places(operation.mailbox().cell.target.app, 1);
            return;
        }
        if struck && self.plant == Some(Plant::LeakedPlace) {
            self.core.places.borrow_mut().take(operation.mailbox().cell.target.app);
        }
        if struck && self.plant == Some(Plant::WrongTenant) {
            let mut places = self.core.places.borrow_mut();
            places.give_back(operation.mailbox().cell.target.app, 1);
            places.take(AppId(u32::MAX));
        }
        self.core.attempt_over(&operation.mailbox().cell, finished);
    }

    /// There is room, or nobody who takes it.
    fn tell(&self, mailbox: &SimMailbox, input: Input, after: After) {
        if !mailbox.tell(input, after) {
            self.follow(mailbox, after, false);
        }
    }

    /// Places that are taken, by application: attempts and fetches whose end nobody took yet.
    #[must_use]
    pub fn places_taken(&self) -> BTreeMap<AppId, usize> {
        let mut taken = self.mailboxes.places_taken();
        for operation in &self.operations {
            if matches!(operation, Operation::Attempt(_) | Operation::Fetch { .. }) {
                *taken.entry(operation.mailbox().cell.target.app).or_default() += 1;
            }
        }
        taken
    }

    /// Attempts under way.
    pub fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.operations
            .iter()
            .filter_map(|operation| if let Operation::Attempt(flight) = operation { Some(&**flight) } else { None })
    }
}

/// A message in words, and the delivery whose rows came with it.
fn describe(input: &Input) -> (String, Option<Seq>) {
    match input {
        Input::Offer { range, .. } => (format!("offer of {}", range.len()), None),
        Input::Poke => ("poke".to_owned(), None),
        Input::LogRead(found) => (format!("log: {:?}", found.as_ref().map(|found| found.events.len())), None),
        Input::DueLoaded(_, rows) => (format!("retries: {:?}", rows.as_ref().map(Vec::len)), None),
        Input::Fetched(fetch, rows) => {
            let words = format!("rows of {}: {}", fetch.seq, if rows.is_some() { "found" } else { "failed" });
            (words, Some(fetch.seq))
        }
        Input::KeysRead(found) => (format!("ordering keys: {:?}", found.as_ref().map(Vec::len)), None),
        Input::Stop => ("stop".to_owned(), None),
    }
}
