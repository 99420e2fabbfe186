//! The work that waits for the writer: requests, each with a caller waiting, and settlements, with none.
//!
//! Requests are bounded by count and bytes, and refused beyond. A single request may pass the queue's bytes but never
//! [`super::REQUEST_MAX_BYTES`]; requests that are being committed count no more. A change counts as one request of no
//! bytes: its writes are bounded when it runs. Settlements must not be refused, so their producers are bounded instead:
//! they are told when to hold back.
//!
//! Plain queues without a lock: [`super::handle`] has that. Deliberately no fairness between tenants: one commit takes
//! all there is, up to its bound, in order of arrival.

use super::WriterConfig;
use super::answer::Waiting;
use super::change::RunChange;
use super::ingest::{Ingest, IngestError, IngestOutcome, Marked};
use super::replies::ReplyQueue;
use crate::store::StoreError;
use crate::txn::{Change, Txn, Wanted};
use model::{AppId, Event, Settlement, UnixMs};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of payloads in one commit, beyond its first request: below the size of a segment of the store underneath.
const COMMIT_MAX_BYTES: usize = 1024 * 1024;

/// Bytes of rows that changes write in one commit, beyond the first: the requests after them wait for the next one.
pub(super) const COMMIT_MAX_CHANGED_BYTES: usize = 4 * 1024 * 1024;

/// Settled deliveries in one commit, beyond its first settlement. A report counts as one more: it may hold none.
const COMMIT_MAX_SETTLED: usize = 4 * 1024;

/// Bytes of responses in one commit, beyond its first settlement.
const COMMIT_MAX_RESPONSE_BYTES: usize = 8 * 1024 * 1024;

/// The value of [`WriterConfig::settled_high_water`], but for tests and simulations.
pub const SETTLED_HIGH_WATER: usize = 16 * 1024;

/// A request that was not taken.
pub(super) enum Refused {
    Busy,
    Closing,
}

/// The requests and settlements that wait.
#[derive(Default)]
pub(super) struct Inbox {
    requests: VecDeque<Request>,
    request_bytes: usize,
    settlements: Vec<Settlement>,
    settled_count: usize,
    settlements_were_full: bool,
    /// The writer sleeps until something comes.
    pub(super) writer_waits: bool,
    /// Nothing more is taken in.
    pub(super) closing: bool,
    /// Nothing more is made durable.
    pub(super) ended: bool,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.settlements.is_empty()
    }

    /// Requests, the bytes of their payloads, and settled deliveries.
    pub(super) fn waiting(&self) -> (usize, usize, usize) {
        (self.requests.len(), self.request_bytes, self.settled_count)
    }

    pub(super) fn push(&mut self, request: Request, config: &WriterConfig) -> Result<(), Refused> {
        if self.closing {
            return Err(Refused::Closing);
        }
        let bytes = self.request_bytes + request.bytes();
        let full = self.requests.len() >= config.queue_capacity;
        if full || (bytes > config.queue_bytes && !self.requests.is_empty()) {
            return Err(Refused::Busy);
        }
        self.request_bytes = bytes;
        self.requests.push_back(request);
        Ok(())
    }

    /// Puts requests that did not fit the commit back in front.
    pub(super) fn put_back(&mut self, requests: VecDeque<Request>) {
        for request in requests.into_iter().rev() {
            self.request_bytes += request.bytes();
            self.requests.push_front(request);
        }
    }

    /// Takes settlements in; answers `true` if there is room for more. A writer that has ended has none and drops them.
    pub(super) fn settle(&mut self, settlements: &mut Vec<Settlement>, config: &WriterConfig) -> bool {
        if self.ended {
            settlements.clear();
            return false;
        }
        self.settled_count += settlements.iter().map(count).sum::<usize>();
        self.settlements.append(settlements);
        let room = self.settled_count < config.settled_high_water;
        self.settlements_were_full |= !room;
        room
    }

    /// Takes the work that goes into one commit.
    pub(super) fn take(&mut self, config: &WriterConfig) -> Taken {
        let requests = self.take_requests(config.commit_max_events);
        let settlements = self.take_settlements();
        // As soon as there is room, not once all is taken: while other shards keep some in line, that may never be.
        let room = self.settled_count < config.settled_high_water;
        let settlements_were_full = room && std::mem::take(&mut self.settlements_were_full);
        Taken { requests, settlements, settlements_were_full }
    }

    fn take_requests(&mut self, max_events: usize) -> VecDeque<Request> {
        let mut requests = VecDeque::with_capacity(self.requests.len());
        let (mut events, mut bytes) = (0, 0);
        while let Some(request) = self.requests.front() {
            events += request.events();
            bytes += request.bytes();
            if !requests.is_empty() && (events > max_events || bytes > COMMIT_MAX_BYTES) {
                break;
            }
            self.request_bytes -= request.bytes();
            requests.extend(self.requests.pop_front());
        }
        requests
    }

    fn take_settlements(&mut self) -> Vec<Settlement> {
        let (mut taken, mut settled, mut bytes) = (0, 0, 0);
        for settlement in &self.settlements {
            let count = count(settlement);
            bytes += response_bytes(settlement);
            if taken > 0 && (settled + count > COMMIT_MAX_SETTLED || bytes > COMMIT_MAX_RESPONSE_BYTES) {
                break;
            }
            settled += count;
            taken += 1;
        }
        self.settled_count -= settled;
        if taken == self.settlements.len() {
            return std::mem::take(&mut self.settlements);
        }
        self.settlements.drain(..taken).collect()
    }

    /// Takes nothing more and drops all that waits.
    pub(super) fn end(&mut self) {
        self.closing = true;
        self.ended = true;
        self.requests.clear();
        self.settlements.clear();
    }
}

/// The number that a settlement counts for in the bounds above.
fn count(settlement: &Settlement) -> usize {
    1 + settlement.settled.len()
}

fn response_bytes(settlement: &Settlement) -> usize {
    let records = settlement.settled.iter().filter_map(|settled| settled.record.as_ref());
    records.map(|record| record.response.len()).sum()
}

/// The work that the writer took in one go.
pub(super) struct Taken {
    pub(super) requests: VecDeque<Request>,
    pub(super) settlements: Vec<Settlement>,
    /// A shard was told to hold back and may go on.
    pub(super) settlements_were_full: bool,
}

/// Work that a caller waits for.
pub(super) enum Request {
    Ingest {
        app: AppId,
        messages: Vec<Marked>,
        bytes: usize,
        reply: oneshot::Sender<Result<Vec<IngestOutcome>, IngestError>>,
        /// Of the thread that asked.
        queue: Option<Arc<ReplyQueue>>,
    },
    Change {
        wanted: Wanted,
        change: Box<dyn RunChange>,
    },
}

impl Request {
    fn bytes(&self) -> usize {
        if let Request::Ingest { bytes, .. } = self { *bytes } else { 0 }
    }

    /// The reply queue where the answer is left, if there is one.
    pub(super) fn queue(&self) -> Option<Arc<ReplyQueue>> {
        if let Request::Ingest { queue, .. } = self { queue.clone() } else { None }
    }

    fn events(&self) -> usize {
        if let Request::Ingest { messages, .. } = self { messages.len() } else { 0 }
    }

    /// The rows that this request reads.
    pub(super) fn want(&self, ingest: &Ingest, wanted: &mut Wanted) {
        match self {
            Request::Ingest { app, messages, .. } => ingest.want(*app, messages, wanted),
            Request::Change { wanted: own, .. } => wanted.add_all(own),
        }
    }

    /// Collects this request's writes.
    pub(super) fn run(
        self,
        txn: &mut Txn<'_>,
        ingest: &mut Ingest,
        now: UnixMs,
        events: &mut Vec<Event>,
    ) -> Result<Waiting, StoreError> {
        match self {
            Request::Ingest { app, messages, reply, .. } => {
                let outcome = ingest.take_in(txn, app, messages, now, events)?;
                Ok(Waiting::Ingest(reply, outcome))
            }
            Request::Change { change, .. } => {
                let told = txn.changes().len();
                let answer = change.run(txn);
                for change in &txn.changes()[told..] {
                    // Messages for it that come later in this very commit are refused.
                    if let Change::ApplicationDeleted(app) = change {
                        ingest.forget(*app);
                    }
                }
                Ok(Waiting::Change(answer))
            }
        }
    }
}
