//! The tasks beside the shards, as steps: jobs and retention.

use super::futures::{Reply, Wakeup};
use engine::jobs::Line;
use engine::retention::{Cutoffs, Found, Limits, RetentionClock, Round, Step, Tally};
use model::{AppId, UnixMs};
use std::sync::Arc;
use storage::tables::retained;
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError};
use tokio::sync::Notify;

/// Things looked at in one go.
const LOOKS: usize = 256;

type Answer<T> = Result<T, ChangeError<StoreError>>;

/// The runner of jobs.
pub(super) struct Jobs {
    started: Arc<Notify>,
    wakeup: Wakeup,
    asleep: bool,
    line: Line,
    /// The job that `running` or `answer` is of.
    current: Option<(AppId, u32)>,
    running: Option<Reply<Answer<bool>>>,
    answer: Option<Answer<bool>>,
    over: bool,
}

impl Jobs {
    pub(super) fn new(started: Arc<Notify>) -> Jobs {
        Jobs {
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

    pub(super) fn is_ready(&mut self) -> bool {
        if self.over {
            return false;
        }
        if self.asleep {
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

    pub(super) fn go_on(&mut self, store: &SharedStore, writer: &WriterHandle, now: UnixMs) -> Result<(), StoreError> {
        if std::mem::take(&mut self.asleep) {
            self.wakeup.run();
        }
        let (current, answer) = (self.current.take(), self.answer.take());
        match answer {
            Some(Ok(true) | Err(ChangeError::Busy)) => {
                current.into_iter().for_each(|(app, number)| self.line.again(app, number));
            }
            Some(Ok(false)) | None => {}
            Some(Err(ChangeError::Rejected(error) | ChangeError::Refused(error))) => {
                current.into_iter().for_each(|(app, number)| self.line.again(app, number));
                return Err(error);
            }
            Some(Err(ChangeError::Unavailable(_))) => {
                self.over = true;
                return Ok(());
            }
        }
        self.line.look(&**store)?;
        self.current = self.line.next_chunk();
        self.asleep = self.current.is_none();
        if let Some((_, number)) = self.current {
            let writer = writer.clone();
            let change = async move { writer.change(move |txn| engine::jobs::step(txn, number, now)).await };
            let (reply, answer) = Reply::ask(change);
            self.running = answer.is_none().then_some(reply);
            self.answer = answer;
        }
        Ok(())
    }
}

/// Retention, one step at a time.
pub struct Janitor {
    clock: RetentionClock,
    round: Option<(Round, Cutoffs)>,
    changing: Option<Reply<Answer<Tally>>>,
    answer: Option<Answer<Tally>>,
    /// Nothing is left but to note the time.
    noting: bool,
}

impl Janitor {
    pub(super) fn new(store: &SharedStore, now: UnixMs) -> Janitor {
        let noted = retained::clock(&**store).ok().flatten();
        let clock = RetentionClock::resume(noted, now);
        Janitor { clock, round: None, changing: None, answer: None, noting: false }
    }

    /// A round begins, unless one is under way.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn begin(&mut self, store: &SharedStore, limits: &Limits, now: UnixMs) -> Result<(), StoreError> {
        if self.round.is_none() {
            let cutoffs = limits.cutoffs(self.clock.advance(now));
            let round = Round::new(limits, retained::get(&**store)?, cutoffs, now);
            (self.round, self.noting) = (Some((round, cutoffs)), false);
        }
        Ok(())
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
            None | Some(Err(ChangeError::Busy)) => {}
            Some(Ok(tally)) => round.made(&tally),
            Some(Err(ChangeError::Rejected(error) | ChangeError::Refused(error))) => return Err(error),
            Some(Err(ChangeError::Unavailable(_))) => self.noting = true,
        }
        let step = match round.next(&**store, LOOKS) {
            Ok(Found::Step(step)) => step,
            Ok(Found::Nothing) => return Ok(()),
            Ok(Found::End) if !self.noting => {
                self.noting = true;
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
