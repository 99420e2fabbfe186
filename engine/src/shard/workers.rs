//! Tasks that make attempts, one at a time each.
//!
//! A task is used for many attempts. The state of an attempt is some KiB, and making and freeing it for each attempt
//! costs more than the attempt's own work. The task used last is used first, so that no more memory is touched than
//! there are attempts at once.
//!
//! - *What bounds it:* tasks at work are attempts in flight; of tasks without work, [`IDLE_MAX`] are kept.
//! - *When it is full:* a task that is done ends.
//! - *When the partition ends:* all of them end, wherever they are ([`Workers::end`]).
//! - *When the process dies here:* the attempts are holes of their cursors and are made again.
//!
//! No decision on what follows: the result of an attempt is left with its lane.

use super::core::{LaneCell, ShardCore, Watch};
use crate::clock::wall_now;
use crate::dispatch::{AttemptResult, Dispatch, Lack};
use crate::endpoint::lane::{Attempt, Finished};
use crate::outcome::retry_after;
use foldhash::HashMap;
use futures_util::FutureExt;
use model::{AnswerNote, OutcomeClass, UnixMs};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use tokio::task::AbortHandle;

/// Tasks without work that are kept.
const IDLE_MAX: usize = 256;

/// One attempt to make.
pub(super) struct Job {
    /// For this endpoint.
    pub(super) cell: Rc<LaneCell>,
    /// This one.
    pub(super) attempt: Attempt,
    /// When it was asked for.
    pub(super) started_at: UnixMs,
}

/// The slot in which a task without work is given a job.
#[derive(Default)]
struct Worker {
    job: Cell<Option<Job>>,
    waker: Cell<Option<Waker>>,
}

impl Worker {
    async fn next(&self) -> Job {
        poll_fn(|cx| match self.job.take() {
            Some(job) => Poll::Ready(job),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// The tasks of one partition on one shard thread.
pub(super) struct Workers<D>(Rc<Shared<D>>);

struct Shared<D> {
    dispatcher: Rc<D>,
    /// Every task, by the number that it was started under.
    tasks: RefCell<HashMap<u64, AbortHandle>>,
    started: Cell<u64>,
    /// Tasks without work.
    idle: RefCell<Vec<Rc<Worker>>>,
}

impl<D: Dispatch + 'static> Workers<D> {
    /// None yet; `dispatcher` is the thread's.
    pub(super) fn new(dispatcher: Rc<D>) -> Workers<D> {
        let (tasks, started, idle) = (RefCell::default(), Cell::new(0), RefCell::default());
        Workers(Rc::new(Shared { dispatcher, tasks, started, idle }))
    }

    /// Has an attempt made for a lane of `shard`.
    pub(super) fn assign(&self, shard: &Rc<ShardCore>, job: Job) {
        let idle = self.0.idle.borrow_mut().pop();
        match idle {
            Some(worker) => {
                worker.job.set(Some(job));
                if let Some(waker) = worker.waker.take() {
                    waker.wake();
                }
            }
            None => {
                let number = self.0.started.get();
                self.0.started.set(number + 1);
                let task = tokio::task::spawn_local(work(self.0.clone(), shard.clone(), number, job));
                self.0.tasks.borrow_mut().insert(number, task.abort_handle());
            }
        }
    }

    /// The thread's, for attempts of no endpoint.
    pub(super) fn dispatcher(&self) -> Rc<D> {
        self.0.dispatcher.clone()
    }

    /// Gives up every attempt in flight: the receiver may have got it.
    pub(super) fn end(&self) {
        self.0.idle.take();
        self.0.tasks.take().values().for_each(AbortHandle::abort);
    }
}

async fn work<D: Dispatch>(shared: Rc<Shared<D>>, shard: Rc<ShardCore>, number: u64, first: Job) {
    let _watch = Watch(&shard);
    let worker = Rc::new(Worker::default());
    let mut job = first;
    loop {
        perform(&*shared.dispatcher, &shard, job).await;
        {
            let mut idle = shared.idle.borrow_mut();
            if idle.len() >= IDLE_MAX {
                shared.tasks.borrow_mut().remove(&number);
                return;
            }
            idle.push(worker.clone());
        }
        job = worker.next().await;
    }
}

async fn perform(dispatcher: &impl Dispatch, shard: &ShardCore, job: Job) {
    let Job { cell, attempt, started_at } = job;
    let (seq, number) = (attempt.event.seq, attempt.number);
    let side = attempt.side;
    let url_number = cell.plan.borrow().url_number_of(side);
    let made = async {
        let prepared = cell.plan.borrow().prepare_for(side, attempt.event, started_at, wall_now());
        match prepared {
            Ok(request) => dispatcher.attempt(request).await,
            Err(why) => AttemptResult::unmade(why.outcome, &why.words),
        }
    };
    // Pinned here and never moved: it is some KiB. A defect in one attempt must not leave its delivery in flight for
    // ever.
    let caught = AssertUnwindSafe(pin!(made)).catch_unwind().await;
    let result = caught
        .unwrap_or_else(|_| AttemptResult::unmade(OutcomeClass::InternalError, "the attempt failed inside Pinion"));
    tracing::debug!(
        target: "pinion::attempt",
        app = cell.target.app.0,
        endpoint = cell.target.endpoint.0,
        seq = seq.0,
        attempt = number,
        outcome = result.outcome.as_str(),
        status = result.status,
        note = result.note.map(AnswerNote::as_str),
        duration_ms = result.duration_ms,
        lack = result.lack.map(Lack::as_str),
        "attempt"
    );
    match result.lack {
        Some(lack) => shard.metrics.not_made(lack),
        None => shard.metrics.attempted(result.outcome, result.duration_ms),
    }
    // A date is wall time. The engine's clock may have fallen behind that, for it does not follow a step.
    let retry_after_ms = result.retry_after.and_then(|value| retry_after::parse(&value, wall_now()));
    let finished = Finished {
        seq,
        started_at,
        duration_ms: result.duration_ms,
        outcome: result.outcome,
        status: result.status,
        retry_after_ms,
        response: result.response,
        note: result.note,
        url_number,
        lack: result.lack,
        details: result.details,
    };
    shard.attempt_over(&cell, finished);
}
