//! The shell of a partition on a shard thread: it makes attempts ([`super::workers`]) and reads.
//!
//! Each attempt and each read ends in exactly one answer to the endpoint that asked, whatever happens.
//!
//! - *Who owns the state:* the tasks; the shard counts them.
//! - *What bounds it:* attempts by the shard's places, reads on threads that may block by [`READS_MAX`].
//! - *When the partition ends:* attempts are given up; the result of a read is dropped.
//! - *When the process dies here:* an attempt is a hole of its endpoint's cursor, a read is asked for again.
//!
//! No decision: those are [`super::work`]'s and the lane's.

use super::core::{Actors, LaneCell, ShardCore};
use super::inbox::Trial;
use super::workers::{Job, Workers};
use super::{reads, work};
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::endpoint::actor::{EndpointActor, EndpointAddr};
use crate::endpoint::backlog::LogRead;
use crate::endpoint::lane::{Action, Fetch};
use crate::endpoint::mailbox::{Input, Mailbox};
use crate::endpoint::retries::DueLoad;
use model::Seq;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storage::writer::ChangeError;
use storage::{SharedStore, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Blocking reads under way of one partition on one shard thread.
const READS_MAX: usize = 8;

/// Pause of a load before it asks a busy writer again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Carries out the actions that a partition's lanes ask for on one shard thread.
pub(super) struct Shell<D> {
    clock: Clock,
    workers: Workers<D>,
    reads: Arc<Semaphore>,
    /// Empty between two turns; its memory is used again.
    asked: Cell<Vec<Action>>,
}

impl<D: Dispatch + 'static> Shell<D> {
    /// A shell with its own bound on reads, so that a store that hangs holds up no other partition's reads.
    pub(super) fn new(clock: Clock, dispatcher: Rc<D>) -> Shell<D> {
        Shell {
            clock,
            workers: Workers::new(dispatcher),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            asked: Cell::default(),
        }
    }

    /// Makes attempts that belong to no endpoint. Each ends at its deadline, or when its caller has left.
    pub(super) fn try_out(&self, trials: Vec<Trial>) {
        for Trial { request, mut reply } in trials {
            let dispatcher = self.workers.dispatcher();
            tokio::task::spawn_local(async move {
                let result = tokio::select! {
                    result = dispatcher.attempt(request) => result,
                    () = reply.closed() => return,
                };
                // A caller that leaves in this moment needs no result.
                drop(reply.send(result));
            });
        }
    }

    /// Gives up every attempt in flight.
    pub(super) fn end(&self) {
        self.workers.end();
    }
}

impl<D: Dispatch + 'static> Actors for Rc<Shell<D>> {
    fn start(&self, shard: &Rc<ShardCore>, cell: &Rc<LaneCell>) -> Rc<dyn Mailbox> {
        let in_flight_max = usize::from(cell.plan.borrow().policy.max_in_flight);
        let (shell, shard, cell) = (self.clone(), shard.clone(), cell.clone());
        let feed = move |addr: &EndpointAddr, input| shell.turn(&shard, &cell, addr, input);
        Rc::new(EndpointActor::spawn(in_flight_max, feed))
    }
}

impl<D: Dispatch + 'static> Shell<D> {
    /// One turn of an endpoint: the input goes to its lane, and the actions that the lane asks for are begun.
    fn turn(&self, shard: &Rc<ShardCore>, cell: &Rc<LaneCell>, addr: &EndpointAddr, input: Input) {
        let now = self.clock.now();
        let mut asked = self.asked.take();
        work::take_input(shard, cell, input, now, &mut asked);
        for action in asked.drain(..) {
            let reading =
                || Reading { turns: self.reads.clone(), shard: shard.clone(), cell: cell.clone(), addr: addr.clone() };
            match action {
                Action::Start(attempt) => {
                    self.workers.assign(shard, Job { cell: cell.clone(), attempt, started_at: now });
                }
                Action::ReadLog(read) => drop(tokio::task::spawn_local(reading().log(read))),
                Action::LoadDue(load) => drop(tokio::task::spawn_local(reading().due(load))),
                Action::Fetch(fetch) => drop(tokio::task::spawn_local(reading().rows(fetch))),
                Action::ReadKeys(seqs) => drop(tokio::task::spawn_local(reading().keys(seqs))),
            }
        }
        self.asked.set(asked);
    }
}

/// One read for an endpoint, which ends in one message to it.
struct Reading {
    /// Given out to so many reads at once.
    turns: Arc<Semaphore>,
    shard: Rc<ShardCore>,
    cell: Rc<LaneCell>,
    addr: EndpointAddr,
}

impl Reading {
    /// Of the log, for an endpoint that is behind.
    async fn log(self, read: LogRead) {
        let (app, plan) = (self.cell.target.app, self.cell.plan.borrow().clone());
        let turn = self.turn().await;
        let bytes_max = self.shard.begin_log_read(&self.cell);
        let catch_up = move |store: &SharedStore| reads::catch_up(store, app, &plan.filter, read, bytes_max);
        let found = blocking(&self.shard, turn, catch_up).await;
        self.addr.tell(Input::LogRead(found)).await;
        self.shard.log_read_over(bytes_max);
    }

    /// Of the due index, once everything decided so far is durable.
    async fn due(self, load: DueLoad) {
        let target = self.cell.target;
        self.shard.report_now();
        let rows = if barrier(&self.shard).await {
            let turn = self.turn().await;
            blocking(&self.shard, turn, move |store: &SharedStore| reads::due(store, target, load)).await
        } else {
            None
        };
        self.addr.tell(Input::DueLoaded(load, rows)).await;
    }

    /// Of one delivery's event and row.
    async fn rows(self, fetch: Fetch) {
        let target = self.cell.target;
        let turn = self.turn().await;
        let found = blocking(&self.shard, turn, move |store: &SharedStore| reads::rows(store, target, fetch)).await;
        if !self.addr.tell(Input::Fetched(fetch, found)).await {
            self.shard.free_places(target.app, 1);
        }
    }

    /// Of ordering keys.
    async fn keys(self, seqs: Vec<Seq>) {
        let app = self.cell.target.app;
        let turn = self.turn().await;
        let found = blocking(&self.shard, turn, move |store: &SharedStore| reads::keys(store, app, seqs)).await;
        self.addr.tell(Input::KeysRead(found)).await;
    }

    /// The right to one of the reads under way. None only if the semaphore were closed, which nobody does.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }
}

/// Waits until all settlements handed over so far are durable. `false` when the store is gone.
async fn barrier(shard: &ShardCore) -> bool {
    loop {
        match shard.writer.change(|_| Ok::<(), StoreError>(())).await {
            Ok(()) => return true,
            Err(ChangeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
            Err(ChangeError::Rejected(_) | ChangeError::Refused(_) | ChangeError::Unavailable(_)) => return false,
        }
    }
}

/// Runs a read on a thread that may block. `None` when it failed; the store is poisoned then and the partition ends.
async fn blocking<T: Send + 'static>(
    shard: &ShardCore,
    turn: Option<OwnedSemaphorePermit>,
    read: impl FnOnce(&SharedStore) -> Result<T, StoreError> + Send + 'static,
) -> Option<T> {
    let turn = turn?;
    let store = shard.store.clone();
    let result = tokio::task::spawn_blocking(move || {
        let result = read(&store);
        drop(turn);
        result
    })
    .await;
    match result {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::error!(%error, "a read failed");
            None
        }
        Err(error) => {
            tracing::error!(%error, "a read ended early");
            None
        }
    }
}
