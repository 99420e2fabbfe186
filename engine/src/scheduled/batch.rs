//! A batch: scheduled messages of one application whose time comes, with the endpoints that they are for.
//!
//! [`find`] reads and matches, on any thread; [`Batch::apply`] writes, in one change. What changed between the two is
//! found by `apply`: a message that was called off stays so, and an endpoint that was deleted gets nothing.
//!
//! *What bounds it:* [`MESSAGES`] messages, one page of [`ENDPOINTS`] endpoints, about [`DELIVERIES`] deliveries, and about
//! [`STEPS`] steps of content filters. A message for more endpoints than a page has is put in line page by page, and its
//! row says how far that has come.

use crate::prepare::filter::Filter;
use model::{AppId, Endpoint, EndpointId, EndpointRef, Expired, UnixMs};
use std::cell::Cell;
use std::collections::BTreeSet;
use storage::tables::schedule::{self, Scheduled};
use storage::tables::{delivery, endpoint, log};
use storage::{Change, Direction, Read, StoreError, Txn, Wanted};

/// Messages in one batch at most.
const MESSAGES: usize = 256;

/// Endpoints looked at in one batch.
const ENDPOINTS: usize = if cfg!(test) { 3 } else { 256 };

/// Deliveries of one batch; one message more may go beyond it.
const DELIVERIES: usize = 2_048;

/// Steps of content filters in one batch; one message more may go beyond it.
const STEPS: u64 = 1_000_000;

/// See the head of this file.
#[derive(Debug)]
pub struct Batch {
    /// Whose messages they are.
    pub app: AppId,
    /// When the application has more to put in line; none for never.
    pub next: Option<UnixMs>,
    moves: Vec<Move>,
}

/// One message that is put in line.
#[derive(Debug)]
struct Move {
    row: Scheduled,
    targets: Vec<EndpointId>,
    /// The last endpoint looked at, while there may be more.
    reached: Option<EndpointId>,
    /// Retention has taken it, or it is damaged: nobody gets it, and each endpoint notes that.
    is_gone: bool,
}

/// The next messages of an application that are due by `until`; none when there are none.
///
/// # Errors
/// Whatever the store reports.
pub fn find(read: &(impl Read + ?Sized), app: AppId, until: UnixMs) -> Result<Option<Batch>, StoreError> {
    let rows = schedule::list(read, app, None, MESSAGES + 1, Direction::Forward)?;
    let Some(reached) = rows.first().filter(|row| row.at <= until).map(|row| row.reached) else { return Ok(None) };
    let page = endpoint::list(read, app, Some(reached), ENDPOINTS, Direction::Forward)?;
    let more_endpoints = if page.len() == ENDPOINTS { page.last().map(|row| row.id) } else { None };
    let filters: Vec<(&Endpoint, Filter)> = page.iter().map(|row| (row, Filter::ever(row))).collect();
    let (mut moves, mut deliveries, steps) = (Vec::new(), 0, Cell::new(0));
    for row in rows.iter().take(MESSAGES).take_while(|row| row.at <= until && row.reached == reached) {
        if deliveries > DELIVERIES || steps.get() > STEPS {
            break;
        }
        // Its payload is not kept: that may be a megabyte.
        let event = log::get_undamaged(read, app, row.seq)?;
        let is_for = |(row, filter): &&(&Endpoint, Filter)| match &event {
            Some(event) => filter.matches_when_due_in(event, &steps),
            None => row.disabled.is_none(),
        };
        let targets: Vec<EndpointId> = filters.iter().filter(is_for).map(|(row, _)| row.id).collect();
        deliveries += targets.len();
        moves.push(Move { row: *row, targets, reached: more_endpoints, is_gone: event.is_none() });
    }
    // The first row that this batch does not end.
    let next = if more_endpoints.is_some() { rows.first() } else { rows.get(moves.len()) };
    Ok(Some(Batch { app, next: next.map(|row| row.at), moves }))
}

impl Batch {
    /// Puts the messages in line. `now` is when an endpoint notes that it did not get one.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn apply(&self, txn: &mut Txn<'_>, now: UnixMs) -> Result<(), StoreError> {
        let mut wanted = Wanted::default();
        for (target, row) in self.deliveries() {
            schedule::want_in_line(target, row.seq, &mut wanted);
        }
        txn.fetch(wanted)?;
        let living = self.living(txn)?;
        let mut told = BTreeSet::new();
        for moved in &self.moves {
            if !schedule::stands(txn, self.app, moved.row)? {
                continue;
            }
            for target in moved.targets.iter().filter(|id| living.contains(id)).map(|id| self.target(*id)) {
                if moved.is_gone {
                    delivery::add_expired(txn, target, Expired::range(moved.row.seq, moved.row.seq, now))?;
                } else {
                    schedule::put_in_line(txn, target, moved.row)?;
                    told.insert(target);
                }
            }
            schedule::reach(txn, self.app, moved.row, moved.reached)?;
        }
        told.into_iter().for_each(|target| txn.tell(Change::Requeued(target)));
        Ok(())
    }

    /// Those of its endpoints that are there yet.
    fn living(&self, txn: &Txn<'_>) -> Result<BTreeSet<EndpointId>, StoreError> {
        let named: BTreeSet<EndpointId> = self.moves.iter().flat_map(|moved| moved.targets.iter().copied()).collect();
        let mut living = BTreeSet::new();
        for id in named {
            if endpoint::get(txn, self.target(id))?.is_some() {
                living.insert(id);
            }
        }
        Ok(living)
    }

    fn deliveries(&self) -> impl Iterator<Item = (EndpointRef, Scheduled)> + '_ {
        self.moves.iter().flat_map(|moved| moved.targets.iter().map(|id| (self.target(*id), moved.row)))
    }

    fn target(&self, endpoint: EndpointId) -> EndpointRef {
        EndpointRef { app: self.app, endpoint }
    }
}

#[cfg(test)]
mod tests;
