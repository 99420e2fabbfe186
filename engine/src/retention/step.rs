//! A step of retention: a bounded change of rows, decided on beforehand and right whenever it is made.
//!
//! Each looks again at what it removes, so nothing goes that changed since it was decided. No order among
//! steps: any of them may be made at any time, and twice.

use super::Cutoffs;
use model::{AppId, EndpointRef, Seq, UnixMs};
use storage::tables::dead_letter::Kept;
use storage::tables::sweep::{SweepPosition, Swept};
use storage::tables::{
    audit, dead_letter, deleted_endpoint, delivery, endpoint_url, expunge, history, idempotency, job, log, retained,
};
use storage::{StoreError, Txn};

/// Rows that one step removes or looks at, roughly. In blocks of events: two megabytes.
pub(super) const ROWS_PER_STEP: usize = 256;
/// Records of the audit log that one step removes, each read before.
const AUDIT_PER_STEP: usize = 1_024;

/// Payloads that one step expunges: each rewrites the block that it is in.
const EXPUNGED_PER_STEP: usize = 64;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Remove an application's oldest events.
    Events {
        /// The application.
        app: AppId,
        /// Not beyond this one.
        upto: Seq,
        /// Blocks at most.
        rows: usize,
    },
    /// Give up deliveries that wait for events that are gone.
    Pending {
        /// The endpoint.
        target: EndpointRef,
        /// The beginning of the log.
        begin: Seq,
    },
    /// Forget attempts.
    Attempts {
        /// The endpoint.
        target: EndpointRef,
        /// The beginning of the log.
        begin: Seq,
    },
    /// Look at a page of a kind.
    Sweep(Sweep, Option<SweepPosition>),
    /// Expunge payloads whose own time has come.
    Expunge,
    /// Note the time that retention goes by.
    NoteClock,
}

/// Kinds of rows that do not lie in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Dead letters.
    DeadLetters,
    /// Notes of what expired untried.
    Expired,
    /// Gaps: when an endpoint was disabled.
    Gaps,
    /// Idempotency keys.
    IdempotencyKeys,
    /// Finished jobs.
    Jobs,
    /// Deleted endpoints without attempts.
    DeletedEndpoints,
    /// URLs that endpoints had, and that no attempt called.
    EndpointUrls,
    /// Records of the audit log.
    Audit,
}

impl Sweep {
    pub(super) const ALL: [Sweep; 8] = [
        Sweep::DeadLetters,
        Sweep::Expired,
        Sweep::Gaps,
        Sweep::IdempotencyKeys,
        Sweep::Jobs,
        Sweep::DeletedEndpoints,
        Sweep::EndpointUrls,
        Sweep::Audit,
    ];
}

/// Work that steps did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events removed.
    pub events: u64,
    /// Their bytes.
    pub event_bytes: u64,
    /// Attempts removed.
    pub attempts: u64,
    /// Their bytes.
    pub attempt_bytes: u64,
    /// Deliveries that became dead letters.
    pub expired: u64,
    /// Payloads expunged at their time.
    pub expunged: u64,
    /// Rows by [`Sweep::ALL`].
    pub swept: [u64; Sweep::ALL.len()],
    /// Position at which a sweep goes on.
    pub next: Option<SweepPosition>,
}

impl Step {
    /// Collects this step's writes. `now` is when deliveries that it ends have ended.
    ///
    /// # Errors
    /// Whatever the store reports, or a corrupt row.
    pub fn run(&self, txn: &mut Txn<'_>, cutoffs: &Cutoffs, now: UnixMs) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        match self {
            Step::Events { app, upto, rows } => {
                // Events not noted as routed stay: were the log empty, their positions would be given again.
                let upto = (*upto).min(delivery::routed(txn, *app)?);
                let removed = log::remove_upto(txn, *app, upto, *rows)?;
                (tally.events, tally.event_bytes) = (removed.events, removed.bytes);
            }
            Step::Pending { target, begin } => {
                tally.expired = delivery::expire_pending(txn, *target, *begin, now, ROWS_PER_STEP)?;
            }
            Step::Attempts { target, begin } => {
                let forgotten = history::forget(txn, *target, cutoffs.attempts, *begin, ROWS_PER_STEP)?;
                (tally.attempts, tally.attempt_bytes) = (forgotten.attempts, forgotten.bytes);
                if forgotten.attempts > 0 {
                    // In the commit that forgets: from now on the lack of an attempt says nothing about older messages.
                    retained::note_attempts_forgotten(txn, cutoffs.attempts)?;
                }
            }
            Step::Sweep(kind, position) => {
                let Swept { removed, next } = sweep(txn, *kind, position.clone(), cutoffs)?;
                tally.swept[*kind as usize] = removed;
                tally.next = next;
            }
            // By the time that tenants see: a promise about a payload does not lag behind as retention may.
            Step::Expunge => tally.expunged = expunge::due(txn, now, EXPUNGED_PER_STEP)?,
            Step::NoteClock => retained::put_clock(txn, cutoffs.time)?,
        }
        Ok(tally)
    }
}

fn sweep(
    txn: &mut Txn<'_>,
    kind: Sweep,
    position: Option<SweepPosition>,
    cutoffs: &Cutoffs,
) -> Result<Swept, StoreError> {
    match kind {
        Sweep::DeadLetters => {
            let kept = Kept { time: cutoffs.time, by_server: cutoffs.dead_letters };
            dead_letter::sweep(txn, position, kept, ROWS_PER_STEP)
        }
        Sweep::Expired => delivery::sweep_expired(txn, position, cutoffs.dead_letters, ROWS_PER_STEP),
        Sweep::Gaps => delivery::sweep_gaps(txn, position, ROWS_PER_STEP),
        Sweep::IdempotencyKeys => idempotency::sweep(txn, position, cutoffs.time, ROWS_PER_STEP),
        Sweep::Jobs => job::sweep(txn, position, cutoffs.jobs, ROWS_PER_STEP),
        Sweep::DeletedEndpoints => deleted_endpoint::sweep(txn, position, ROWS_PER_STEP),
        Sweep::EndpointUrls => endpoint_url::sweep(txn, position, cutoffs.attempts, ROWS_PER_STEP),
        // One step a round: the rest, if there is more, goes with the next.
        Sweep::Audit => {
            let removed = audit::trim(txn, cutoffs.audit, cutoffs.audit_records, AUDIT_PER_STEP)?;
            Ok(Swept { removed: removed as u64, next: None })
        }
    }
}

impl Tally {
    /// Adds what another step did.
    pub(super) fn add(&mut self, other: &Tally) {
        self.events += other.events;
        self.event_bytes += other.event_bytes;
        self.attempts += other.attempts;
        self.attempt_bytes += other.attempt_bytes;
        self.expired += other.expired;
        self.expunged += other.expunged;
        for (sum, more) in self.swept.iter_mut().zip(other.swept) {
            *sum += more;
        }
    }
}
