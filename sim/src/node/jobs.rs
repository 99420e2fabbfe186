//! The tasks beside the shards, as steps: jobs and retention.

use super::futures::{Reply, Wakeup};
use crate::plant::Plant;
use engine::jobs::{Line, Next};
use engine::retention::{Cutoffs, Found, Limits, RetentionClock, Round, Step, Tally};
use model::{AppId, Job, JobKind, JobStatus, Seq, UnixMs};
use std::sync::Arc;
use storage::tables::{job, retained};
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError, Txn};
use tokio::sync::Notify;

/// Things looked at in one go.
const LOOKS: usize = 256;

/// Age of the dead letters that a planted bug removes.
const EARLY_MS: u64 = 3_600_000;

type Answer<T> = Result<T, ChangeError<StoreError>>;

/// The runner of jobs.
pub(super) struct Jobs {
    started: Arc<Notify>,
    wakeup: Wakeup,
    asleep: bool,
    line: Line,
    /// The job that `running` or `answer` is of.
    current: Option<(AppId, u32)>,
    running: Option<Reply<Answer<Next>>>,
    answer: Option<Answer<Next>>,
    over: bool,
    plant: Option<Plant>,
}

impl Jobs {
    pub(super) fn new(started: Arc<Notify>, plant: Option<Plant>) -> Jobs {
        Jobs {
            plant,
            started,
            wakeup: Wakeup::default(),
            asleep: false,
            line: Line::default(),
            current: None,
            running: None,
            answer: None,
            over: false,
        }
    }

    pub(super) fn is_ready(&mut self, now: UnixMs) -> bool {
        if self.over {
            return false;
        }
        if self.asleep {
            if self.line.wake_at().is_some_and(|at| at <= now) {
                return true;
            }
            let started = self.started.clone();
            return self.wakeup.is_woken(|| async move { started.notified().await });
        }
        if let Some(running) = &mut self.running {
            self.answer = running.poll();
            if self.answer.is_none() {
                return false;
            }
            self.running = None;
        }
        true
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.over || (self.asleep && self.running.is_none())
    }

    /// The time at which a job goes on that keeps to a rate.
    pub(super) fn next_deadline(&self) -> Option<UnixMs> {
        self.line.wake_at().filter(|_| !self.over)
    }

    pub(super) fn go_on(&mut self, store: &SharedStore, writer: &WriterHandle, now: UnixMs) -> Result<(), StoreError> {
        if std::mem::take(&mut self.asleep) {
            self.wakeup.run();
        }
        let (current, answer) = (self.current.take(), self.answer.take());
        match answer {
            Some(Ok(next)) => current.into_iter().for_each(|(app, number)| self.line.again(app, number, next)),
            Some(Err(ChangeError::Busy)) => {
                current.into_iter().for_each(|(app, number)| self.line.again(app, number, Next::Chunk));
            }
            None => {}
            Some(Err(ChangeError::Rejected(error) | ChangeError::Refused(error))) => {
                current.into_iter().for_each(|(app, number)| self.line.again(app, number, Next::Chunk));
                return Err(error);
            }
            Some(Err(ChangeError::Unavailable(_))) => {
                self.over = true;
                return Ok(());
            }
        }
        self.line.look(&**store)?;
        self.current = self.line.next_chunk(now);
        if self.current.is_none() && self.plant == Some(Plant::EarlyJob) {
            self.current = self.begin_early(store, now)?;
        }
        self.asleep = self.current.is_none();
        if let Some((_, number)) = self.current {
            let (writer, plant) = (writer.clone(), self.plant);
            let change = async move { writer.change(move |txn| step(txn, number, now, plant)).await };
            let (reply, answer) = Reply::ask(change);
            self.running = answer.is_none().then_some(reply);
            self.answer = answer;
        }
        Ok(())
    }
}

impl Jobs {
    /// A job that waits for a time that is not far: a planted bug.
    fn begin_early(&mut self, store: &SharedStore, now: UnixMs) -> Result<Option<(AppId, u32)>, StoreError> {
        let Some((app, number)) = self.line.next_chunk(now.plus_ms(HASTE_MS)) else { return Ok(None) };
        match job::get(&**store, number)? {
            Some(row) if row.status == JobStatus::Pending => return Ok(Some((app, number))),
            Some(row) => self.line.again(app, number, Next::At(row.resume_at)),
            None => {}
        }
        Ok(None)
    }
}

/// How long before its time a planted bug begins a job.
const HASTE_MS: u64 = 60_000;

/// A chunk of a job, with the bug that is planted.
fn step(txn: &mut Txn<'_>, number: u32, now: UnixMs, plant: Option<Plant>) -> Result<Next, StoreError> {
    let before = job::get(txn, number)?;
    if let (Some(row), Some(Plant::EarlyJob | Plant::ForgottenJob)) = (&before, plant)
        && row.status == JobStatus::Pending
    {
        match plant {
            Some(Plant::ForgottenJob) => return Ok(Next::Never),
            _ => job::put(txn, &Job { status: JobStatus::Running, ..row.clone() })?,
        }
    }
    if let (Some(row), Some(Plant::SparedMessage)) = (&before, plant)
        && (row.kind, row.status, row.position) == (JobKind::Erase, JobStatus::Running, Seq::ZERO)
    {
        job::put(txn, &Job { position: Seq(1), ..row.clone() })?;
    }
    // An erasure without its filter would erase nothing: that is another bug.
    let before = before.filter(|row| row.kind != JobKind::Erase);
    let (Some(before), Some(Plant::IgnoredFilter | Plant::IgnoredRate)) = (before, plant) else {
        return engine::jobs::step(txn, number, now);
    };
    let without = match plant {
        Some(Plant::IgnoredFilter) => Job { filter: None, ..before.clone() },
        _ => Job { rate_per_s: None, ..before.clone() },
    };
    job::put(txn, &without)?;
    let next = engine::jobs::step(txn, number, now)?;
    if let Some(after) = job::get(txn, number)? {
        job::put(txn, &Job { filter: before.filter, rate_per_s: before.rate_per_s, ..after })?;
    }
    Ok(next)
}

/// Retention, one step at a time.
pub struct Janitor {
    clock: RetentionClock,
    round: Option<(Round, Cutoffs)>,
    changing: Option<Reply<Answer<Tally>>>,
    answer: Option<Answer<Tally>>,
    /// Nothing is left but to note the time.
    noting: bool,
    /// The writer was too busy for a step of this round.
    is_cut_short: bool,
    /// The time that the last round went by, if it is over and made all its steps.
    ended: Option<UnixMs>,
    plant: Option<Plant>,
}

impl Janitor {
    pub(super) fn new(store: &SharedStore, now: UnixMs, plant: Option<Plant>) -> Janitor {
        let noted = retained::clock(&**store).ok().flatten();
        let clock = RetentionClock::resume(noted, now);
        Janitor {
            clock,
            round: None,
            changing: None,
            answer: None,
            noting: false,
            is_cut_short: false,
            ended: None,
            plant,
        }
    }

    /// A round begins, unless one is under way.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn begin(&mut self, store: &SharedStore, limits: &Limits, now: UnixMs) -> Result<(), StoreError> {
        if self.round.is_none() {
            let mut cutoffs = limits.cutoffs(self.clock.advance(now));
            if self.plant == Some(Plant::EarlySweep) {
                cutoffs.dead_letters = UnixMs(cutoffs.time.0.saturating_sub(EARLY_MS));
            }
            let round = Round::new(limits, retained::get(&**store)?, cutoffs, now);
            (self.round, self.noting, self.is_cut_short) = (Some((round, cutoffs)), false, false);
        }
        Ok(())
    }

    /// The time that a round went by which has just made the last of its steps.
    pub fn take_ended(&mut self) -> Option<UnixMs> {
        self.ended.take()
    }

    pub(super) fn is_ready(&mut self) -> bool {
        if let Some(changing) = &mut self.changing {
            self.answer = changing.poll();
            if self.answer.is_none() {
                return false;
            }
            self.changing = None;
        }
        self.round.is_some()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.round.is_none()
    }

    pub(super) fn go_on(&mut self, store: &SharedStore, writer: &WriterHandle, now: UnixMs) -> Result<(), StoreError> {
        let Some((round, cutoffs)) = &mut self.round else { return Ok(()) };
        let cutoffs = *cutoffs;
        match self.answer.take() {
            // A later round finds the work again that a busy writer refused.
            Some(Err(ChangeError::Busy)) => self.is_cut_short = true,
            None => {}
            Some(Ok(tally)) => round.made(&tally),
            Some(Err(ChangeError::Rejected(error) | ChangeError::Refused(error))) => return Err(error),
            Some(Err(ChangeError::Unavailable(_))) => (self.noting, self.is_cut_short) = (true, true),
        }
        let step = match round.next(&**store, LOOKS) {
            Ok(Found::Step(step)) => step,
            Ok(Found::Nothing) => return Ok(()),
            Ok(Found::End) if !self.noting => {
                self.noting = true;
                self.ended = Some(cutoffs.time).filter(|_| !self.is_cut_short);
                Step::NoteClock
            }
            Ok(Found::End) | Err(_) => {
                self.round = None;
                return Ok(());
            }
        };
        let writer = writer.clone();
        let (reply, answer) = Reply::ask(async move { writer.change(move |txn| step.run(txn, &cutoffs, now)).await });
        self.changing = answer.is_none().then_some(reply);
        self.answer = answer;
        Ok(())
    }
}
