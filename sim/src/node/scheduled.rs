//! The task that puts scheduled messages in line, as steps.

use super::futures::{Reply, Wakeup};
use engine::scheduled::{Agenda, Bell, FAILED_PAUSE_MS, Next, Rung};
use model::{AppId, UnixMs};
use std::sync::Arc;
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError};

/// The end of a batch.
type Answer = Result<(), ChangeError<StoreError>>;

/// The task.
pub(super) struct Scheduler {
    bell: Arc<Bell>,
    wakeup: Wakeup,
    agenda: Agenda,
    /// The application of the batch under way, and when it has more.
    current: Option<(AppId, Option<UnixMs>)>,
    running: Option<Reply<Answer>>,
    answer: Option<Answer>,
    /// Nothing before this time; none at the start and while there is something.
    idle_until: Option<UnixMs>,
    over: bool,
}

impl Scheduler {
    pub(super) fn new(bell: Arc<Bell>) -> Scheduler {
        Scheduler {
            bell,
            wakeup: Wakeup::default(),
            agenda: Agenda::default(),
            current: None,
            running: None,
            answer: None,
            idle_until: None,
            over: false,
        }
    }

    pub(super) fn is_ready(&mut self, now: UnixMs) -> bool {
        if self.over {
            return false;
        }
        if let Some(running) = &mut self.running {
            self.answer = running.poll();
            if self.answer.is_none() {
                return false;
            }
            self.running = None;
        }
        let bell = self.bell.clone();
        self.wakeup.is_woken(|| async move { bell.rung().await }) || self.idle_until.is_none_or(|until| until <= now)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.over || self.running.is_none()
    }

    /// When there is something to do by itself, by the engine's clock.
    pub(super) fn next_deadline(&self) -> Option<UnixMs> {
        if self.over || self.running.is_some() { None } else { self.agenda.wakes_at() }
    }

    pub(super) fn go_on(&mut self, store: &SharedStore, writer: &WriterHandle, now: UnixMs) -> Result<(), StoreError> {
        self.wakeup.run();
        match (self.current.take(), self.answer.take()) {
            (Some((app, next)), Some(Ok(()))) => self.agenda.made(app, next, now),
            (Some((app, _)), Some(Err(ChangeError::Busy))) => self.agenda.again(app, now),
            (Some((app, _)), Some(Err(ChangeError::Rejected(error) | ChangeError::Refused(error)))) => {
                self.agenda.again(app, now.plus_ms(FAILED_PAUSE_MS));
                return Err(error);
            }
            (_, Some(Err(ChangeError::Unavailable(_)))) => {
                self.over = true;
                return Ok(());
            }
            _ => {}
        }
        let rung: Rung = self.bell.take();
        match self.agenda.look(&**store, rung, now)? {
            Next::Idle { until } => self.idle_until = Some(until.unwrap_or(UnixMs(u64::MAX))),
            Next::Batch(batch) => {
                self.idle_until = None;
                self.current = Some((batch.app, batch.next));
                let writer = writer.clone();
                let (reply, answer) = Reply::ask(async move { writer.change(move |txn| batch.apply(txn, now)).await });
                self.running = answer.is_none().then_some(reply);
                self.answer = answer;
            }
        }
        Ok(())
    }
}
