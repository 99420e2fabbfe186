//! Jobs: recover, replay, redrive, purge, erase. Each chunk is one change, with the job's own progress. So a restart goes on
//! where the last chunk ended and nothing is done twice.
//!
//! One runner makes one chunk at a time. Applications take turns, and so do the jobs of each application. So a job over
//! a hundred million events delays ingest, or another job, by no more than a chunk. A thousand jobs of one application
//! delay another's job by no more than one chunk either.
//!
//! - *Who owns the state:* the runner owns [`Line`], a cache of the rows.
//! - *What bounds it:* jobs that have more to do, which the API bounds for each application. One that is to begin at a time
//!   ([`due`]) is one of them, and waits in the line without being looked at.
//! - *When the process dies here:* the line is read again at the start; each chunk was one commit. A job that keeps to a
//!   rate notes in the same commit when it may go on.
//!
//! Every delivery that a job looks at is counted: as put in line, or as left as it is, with the reason
//! ([`crate::orders`] decides), or as one that it could not decide about ([`passed`]). A dry run decides the same and changes nothing but its own counts. Jobs make no attempts:
//! lanes take them from the line.

mod due;
mod erase;
mod filter;
mod letters;
mod line;
mod pace;
mod passed;
mod span;
#[cfg(test)]
mod tests;

pub use due::positions;
pub use line::Line;

use crate::clock::Clock;
use letters::Deed;
use model::{DeadLetterReason, Endpoint, EndpointRef, Event, Job, JobKind, JobStatus, Seq, SkipReason, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use storage::tables::{application, dead_letter, deleted_endpoint, delivery, endpoint, history, job, purge};
use storage::writer::{ChangeError, WriterHandle};
use storage::{SharedStore, StoreError, Txn};
use tokio::sync::Notify;

/// Deliveries looked at in one chunk.
const CHUNK: usize = 256;

/// Rows of a deleted application removed in one chunk.
const ROWS_PURGED: usize = 1_024;

/// Payload bytes read for one chunk.
const CHUNK_BYTES: usize = 4 << 20;

/// Steps of content filters in one chunk, which is made on the writer's thread: some milliseconds at worst.
const CHUNK_STEPS: u64 = 40_000;

/// Pause of the runner before it asks a busy writer again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The next turn of a job after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has more to do.
    Chunk,
    /// It has more to do, and not before this time: it keeps to its rate, or is to begin then.
    At(UnixMs),
    /// It ended.
    Never,
}

/// Runs jobs until the store is gone. Woken by `started`; looks for unfinished ones first.
pub(crate) async fn run(store: SharedStore, writer: WriterHandle, clock: Clock, started: Arc<Notify>) {
    let mut line = Line::default();
    loop {
        let reader = store.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let result = line.look(&*reader);
            (line, result)
        });
        match looked.await {
            Ok((looked, Ok(()))) => line = looked,
            _ => {
                tracing::error!("jobs cannot be read");
                return;
            }
        }
        let now = clock.now();
        let Some((app, number)) = line.next_chunk(now) else {
            wait(&started, line.wake_at(), now).await;
            continue;
        };
        match writer.change(move |txn| step(txn, number, clock.now())).await {
            Ok(next) => line.again(app, number, next),
            Err(ChangeError::Busy) => {
                line.again(app, number, Next::Chunk);
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(ChangeError::Rejected(error) | ChangeError::Refused(error)) => {
                tracing::error!(%error, job = number, "a job failed");
                // An error that one job alone meets ends that job.
                let why = passed::in_words(&error);
                match writer.change(move |txn| fail(txn, number, why, clock.now())).await {
                    Ok(()) => {}
                    Err(ChangeError::Busy) => line.again(app, number, Next::Chunk),
                    Err(_) => return,
                }
            }
            Err(ChangeError::Unavailable(_)) => return,
        }
    }
}

/// Waits for a new job, or for the time at which one begins or goes on.
async fn wait(started: &Notify, wake_at: Option<UnixMs>, now: UnixMs) {
    match wake_at {
        None => started.notified().await,
        Some(at) => {
            let timeout = Duration::from_millis(at.since_ms(now));
            // Either way there may be something to do.
            let _either = tokio::time::timeout(timeout, started.notified()).await;
        }
    }
}

/// Ends a job as failed, unless a caller has ended it meanwhile.
fn fail(txn: &mut Txn<'_>, number: u32, why: String, now: UnixMs) -> Result<(), StoreError> {
    if let Some(mut row) = job::get(txn, number)?.filter(|row| !row.status.is_over()) {
        row.fail(why);
        row.updated_at = now;
        job::put(txn, &row)?;
    }
    Ok(())
}

/// One chunk of one job, in one change.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn step(txn: &mut Txn<'_>, number: u32, now: UnixMs) -> Result<Next, StoreError> {
    let Some(mut row) = job::get(txn, number)? else { return Ok(Next::Never) };
    // A caller may have cancelled it.
    if row.status.is_over() {
        return Ok(Next::Never);
    }
    if let Some(start_at) = due::waits_until(&row, now) {
        return Ok(Next::At(start_at));
    }
    if row.status == JobStatus::Pending {
        due::begin(txn, &mut row)?;
    }
    if pace::is_to_wait(row.resume_at, now) {
        return Ok(Next::At(row.resume_at));
    }
    let before = row.affected;
    let finished = match chunk(txn, &mut row, now)? {
        Chunk::Made { finished } => finished,
        Chunk::NothingToActOn(what) => {
            row.fail(format!("the {what} was deleted"));
            row.updated_at = now;
            job::put(txn, &row)?;
            return Ok(Next::Never);
        }
    };
    if finished {
        row.status = JobStatus::Finished;
    } else if let Some(rate) = row.rate_per_s {
        row.resume_at = pace::resume_at(rate, row.affected - before, now);
    }
    row.updated_at = now;
    job::put(txn, &row)?;
    Ok(match finished {
        true => Next::Never,
        false if row.resume_at > now => Next::At(row.resume_at),
        false => Next::Chunk,
    })
}

/// The result of a chunk.
enum Chunk {
    /// It was made.
    Made {
        /// The job is done with it.
        finished: bool,
    },
    /// The endpoint or application that the job is of is gone.
    NothingToActOn(&'static str),
}

fn chunk(txn: &mut Txn<'_>, row: &mut Job, now: UnixMs) -> Result<Chunk, StoreError> {
    let target = row.target;
    let of_app = matches!(row.kind, JobKind::RedriveDeadLetters | JobKind::PurgeDeadLetters | JobKind::Erase);
    if of_app && application::get(txn, target.app)?.is_none() {
        return Ok(Chunk::NothingToActOn("application"));
    }
    let finished = match row.kind {
        JobKind::PurgeEndpoint => purge_endpoint(txn, row)?,
        JobKind::PurgeApplication => purge_application(txn, row)?,
        JobKind::Erase => erase::chunk(txn, row, now)?,
        JobKind::PurgeDeadLetters => letters::chunk(txn, row, Deed::Purge, now)?,
        JobKind::RedriveDeadLetters if row.is_of_application() => letters::chunk(txn, row, Deed::Redrive, now)?,
        kind => match endpoint::get(txn, target)? {
            None => return Ok(Chunk::NothingToActOn("endpoint")),
            Some(_) if kind == JobKind::RedriveDeadLetters => letters::chunk(txn, row, Deed::Redrive, now)?,
            Some(endpoint) => span::chunk(txn, row, &endpoint, now)?,
        },
    };
    Ok(Chunk::Made { finished })
}

/// The reason why a delivery put in line now could not be sent: it would only become a dead letter.
fn cannot_be_sent(endpoint: &Endpoint, event: Option<&Event>, now: UnixMs) -> Option<SkipReason> {
    if endpoint.disabled.is_some() {
        return Some(SkipReason::EndpointDisabled);
    }
    match event {
        None => Some(SkipReason::MessageGone),
        Some(event) => match event.unsendable(now) {
            Some(DeadLetterReason::PastExpiry) => Some(SkipReason::PastExpiry),
            reason => reason.map(|_| SkipReason::PayloadGone),
        },
    }
}

/// A chunk of a deleted endpoint's rows. Its attempts stay for as long as it is kept what it was.
fn purge_endpoint(txn: &mut Txn<'_>, row: &mut Job) -> Result<bool, StoreError> {
    let target: EndpointRef = row.target;
    let removed = delivery::purge(txn, target, CHUNK)?;
    let letters = dead_letter::positions(txn, target, None, CHUNK)?;
    for seq in &letters {
        dead_letter::remove(txn, target, *seq)?;
    }
    let more = match deleted_endpoint::get(txn, target) {
        Ok(Some(_)) => false,
        // Deleted by a version that kept nothing of it, or never tried.
        Ok(None) | Err(StoreError::CorruptRow { .. }) => {
            history::trim(txn, target, Seq(u64::MAX), UnixMs(u64::MAX), CHUNK)?
        }
        Err(error) => return Err(error),
    };
    row.affected += (removed + letters.len()) as u64;
    row.looked_at = row.affected;
    Ok(removed == 0 && letters.is_empty() && !more)
}

/// A chunk of a deleted application's rows. Done when there was none: what the commit of the deletion itself still
/// wrote is found by the next chunk.
fn purge_application(txn: &mut Txn<'_>, row: &mut Job) -> Result<bool, StoreError> {
    let removed = purge::application(txn, row.target.app, ROWS_PURGED)?;
    row.affected += removed as u64;
    row.looked_at = row.affected;
    Ok(removed == 0)
}
