//! What a shard needs done beside its thread's decisions: attempts ([`super::workers`]) and reads, each of which ends in
//! exactly one answer to the endpoint that asked, whatever happens.
//!
//! - *Who owns the state:* the tasks; the shard counts them.
//! - *What bounds it:* attempts by the shard's places, reads on threads that may block by [`READS_MAX`].
//! - *When the process dies here:* an attempt is a hole of its endpoint's cursor, a read is asked for again.
//!
//! Deliberately no decision: those are [`super::work`]'s and the lane's.

use super::core::{Actors, LaneCell, ShardCore};
use super::workers::{Job, Workers};
use super::{reads, work};
use crate::clock::Clock;
use crate::dispatch::HttpDispatcher;
use crate::endpoint::actor::{EndpointActor, EndpointAddr};
use crate::endpoint::backlog::LogRead;
use crate::endpoint::lane::{Action, Fetch};
use crate::endpoint::mailbox::{Input, Mailbox};
use crate::endpoint::retries::DueLoad;
use model::UnixMs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use storage::writer::ChangeError;
use storage::{SharedStore, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Blocking reads under way on one shard.
const READS_MAX: usize = 8;

/// How long a load waits before it asks a busy writer again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The hands of a shard.
pub(super) struct Shell {
    clock: Clock,
    workers: Workers,
    reads: Arc<Semaphore>,
}

impl Shell {
    pub(super) fn new(clock: Clock, dispatcher: HttpDispatcher) -> Shell {
        Shell { clock, workers: Workers::new(dispatcher), reads: Arc::new(Semaphore::new(READS_MAX)) }
    }
}

impl Actors for Rc<Shell> {
    fn start(&self, shard: &Rc<ShardCore>, cell: &Rc<LaneCell>) -> Rc<dyn Mailbox> {
        let in_flight_max = usize::from(cell.plan.borrow().policy.max_in_flight);
        let (shell, shard, cell) = (self.clone(), shard.clone(), cell.clone());
        let feed = move |addr: &EndpointAddr, input| {
            let now = shell.clock.now();
            work::take_input(&shard, &cell, input, now, &mut |action| {
                shell.carry_out(&shard, &cell, addr, action, now)
            });
        };
        Rc::new(EndpointActor::spawn(in_flight_max, feed))
    }
}

impl Shell {
    fn carry_out(
        self: &Rc<Shell>,
        shard: &Rc<ShardCore>,
        cell: &Rc<LaneCell>,
        addr: &EndpointAddr,
        action: Action,
        now: UnixMs,
    ) {
        let (shell, shard, cell, addr) = (self.clone(), shard.clone(), cell.clone(), addr.clone());
        match action {
            Action::Start(attempt) => self.workers.assign(&shard, Job { cell, attempt, started_at: now }),
            Action::ReadLog(read) => drop(tokio::task::spawn_local(shell.read_log(shard, cell, addr, read))),
            Action::LoadDue(load) => drop(tokio::task::spawn_local(shell.load_due(shard, cell, addr, load))),
            Action::Fetch(fetch) => drop(tokio::task::spawn_local(shell.fetch(shard, cell, addr, fetch))),
        }
    }

    /// Reads the log for an endpoint that is behind.
    async fn read_log(self: Rc<Shell>, shard: Rc<ShardCore>, cell: Rc<LaneCell>, addr: EndpointAddr, read: LogRead) {
        let (app, plan) = (cell.target.app, cell.plan.borrow().clone());
        let turn = self.turn().await;
        let bytes_max = shard.begin_log_read(&cell);
        let catch_up = move |store: &SharedStore| reads::catch_up(store, app, &plan.filter, read, bytes_max);
        let found = blocking(&shard, turn, catch_up).await;
        addr.tell(Input::LogRead(found)).await;
        shard.log_read_over(bytes_max);
    }

    /// Reads the due index, once everything decided so far is durable.
    async fn load_due(self: Rc<Shell>, shard: Rc<ShardCore>, cell: Rc<LaneCell>, addr: EndpointAddr, load: DueLoad) {
        let target = cell.target;
        shard.report_now();
        let rows = if barrier(&shard).await {
            let turn = self.turn().await;
            blocking(&shard, turn, move |store: &SharedStore| reads::due(store, target, load)).await
        } else {
            None
        };
        addr.tell(Input::DueLoaded(load, rows)).await;
    }

    /// Reads one delivery's event and row.
    async fn fetch(self: Rc<Shell>, shard: Rc<ShardCore>, cell: Rc<LaneCell>, addr: EndpointAddr, fetch: Fetch) {
        let target = cell.target;
        let turn = self.turn().await;
        let found = blocking(&shard, turn, move |store: &SharedStore| reads::rows(store, target, fetch)).await;
        if !addr.tell(Input::Fetched(fetch, found)).await {
            shard.free_places(target.app, 1);
        }
    }

    /// The right to one of the reads under way. None only if the semaphore were closed, which nobody does.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.reads.clone().acquire_owned().await.ok()
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

/// Runs a read on a thread that may block. `None` when it failed; the store is poisoned then and the process ends.
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
