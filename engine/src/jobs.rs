//! Jobs: recover, replay, redrive, purge. Chunk by chunk, each one change with the job's own progress, so that a restart
//! goes on where the last chunk ended and nothing is done twice.
//!
//! One runner, one chunk at a time, jobs in turn: a job over a hundred million events delays neither ingest nor another
//! job by more than a chunk. Deliberately no attempts: a job puts deliveries in line, lanes take them from there.

use crate::clock::Clock;
use crate::delivery_state::{DeliveryState, delivery_state};
use crate::endpoint::filter::Filter;
use model::{Endpoint, EndpointRef, Event, Job, JobKind, JobStatus, Seq, Span, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use storage::tables::{dead_letter, delivery, endpoint, history, job, log, purge};
use storage::writer::{ChangeError, WriterHandle};
use storage::{Direction, SharedStore, StoreError, Txn};
use tokio::sync::Notify;

/// Deliveries looked at in one chunk.
const CHUNK: usize = 256;

/// Rows of a deleted application removed in one chunk.
const ROWS_PURGED: usize = 1_024;

/// Payload bytes read for one chunk.
const CHUNK_BYTES: usize = 4 << 20;

/// How long the runner waits before it asks a busy writer again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Runs jobs until the store is gone. Woken by `started`; looks for unfinished ones first.
pub(crate) async fn run(store: SharedStore, writer: WriterHandle, clock: Clock, started: Arc<Notify>) {
    loop {
        let reader = store.clone();
        let running = tokio::task::spawn_blocking(move || job::list_running(&*reader)).await;
        let Ok(Ok(running)) = running else {
            tracing::error!("jobs cannot be read");
            return;
        };
        if running.is_empty() {
            started.notified().await;
            continue;
        }
        for job in running {
            let number = job.number;
            match writer.change(move |txn| step(txn, number, clock.now())).await {
                Ok(()) => {}
                Err(ChangeError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(ChangeError::Rejected(error) | ChangeError::Refused(error)) => {
                    tracing::error!(%error, job = number, "a job failed");
                    // An error that one job alone meets ends that job.
                    let failed = writer.change(move |txn| end(txn, number, JobStatus::Failed, clock.now())).await;
                    if failed.is_err() {
                        return;
                    }
                }
                Err(ChangeError::Unavailable(_)) => return,
            }
        }
    }
}

fn end(txn: &mut Txn<'_>, number: u32, status: JobStatus, now: UnixMs) -> Result<(), StoreError> {
    if let Some(mut row) = job::get(txn, number)? {
        row.status = status;
        row.updated_at = now;
        job::put(txn, &row)?;
    }
    Ok(())
}

/// One chunk of one job, in one change.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn step(txn: &mut Txn<'_>, number: u32, now: UnixMs) -> Result<(), StoreError> {
    let Some(mut row) = job::get(txn, number)? else { return Ok(()) };
    let target = row.target;
    let finished = match row.kind {
        JobKind::PurgeEndpoint => purge_endpoint(txn, &mut row)?,
        JobKind::PurgeApplication => purge_application(txn, &mut row)?,
        JobKind::PurgeDeadLetters => dead_letters(txn, &mut row, |txn, seq| dead_letter::remove(txn, target, seq))?,
        kind => match endpoint::get(txn, target)? {
            None => {
                row.status = JobStatus::Failed;
                row.updated_at = now;
                return job::put(txn, &row);
            }
            Some(_) if kind == JobKind::RedriveDeadLetters => {
                dead_letters(txn, &mut row, |txn, seq| delivery::requeue(txn, target, seq, now))?
            }
            Some(endpoint) => span_of_events(txn, &mut row, &endpoint, now)?,
        },
    };
    if finished {
        row.status = JobStatus::Finished;
    }
    row.updated_at = now;
    job::put(txn, &row)
}

/// A chunk of dead letters, ascending, up to the last there was when the job began.
fn dead_letters(
    txn: &mut Txn<'_>,
    row: &mut Job,
    mut each: impl FnMut(&mut Txn<'_>, Seq) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let letters = dead_letter::list(txn, row.target, Some(row.position), CHUNK, Direction::Forward)?;
    for (seq, _) in &letters {
        if *seq > row.last {
            return Ok(true);
        }
        each(txn, *seq)?;
        row.position = *seq;
        row.affected += 1;
    }
    Ok(letters.len() < CHUNK)
}

/// A chunk of the log within a span of time.
fn span_of_events(txn: &mut Txn<'_>, row: &mut Job, endpoint: &Endpoint, now: UnixMs) -> Result<bool, StoreError> {
    let (JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span)) = row.kind else {
        return Ok(true);
    };
    let Span { since, until } = span;
    if row.position == Seq::ZERO {
        row.position = log::before_time(txn, row.target.app, since)?;
    }
    let wanted = Filter::of(&Endpoint { active_from: Seq::ZERO, ..endpoint.clone() });
    let events = log::read_after(txn, row.target.app, row.position, CHUNK, CHUNK_BYTES)?;
    for event in &events {
        if event.seq > row.last {
            return Ok(true);
        }
        row.position = event.seq;
        let within = event.accepted_at >= since && event.accepted_at <= until;
        if within && wanted.matches(event) && is_for(txn, row.kind, endpoint, event)? {
            delivery::requeue(txn, row.target, event.seq, now)?;
            row.affected += 1;
        }
    }
    Ok(events.is_empty() || row.position >= row.last)
}

/// Whether a job of this kind puts this delivery back in line.
fn is_for(txn: &Txn<'_>, kind: JobKind, endpoint: &Endpoint, event: &Event) -> Result<bool, StoreError> {
    let state = delivery_state(txn, endpoint, event)?;
    Ok(match kind {
        JobKind::Recover(_) => matches!(state, DeliveryState::DeadLettered(_) | DeliveryState::Cancelled(_)),
        JobKind::ReplayMissing(_) => matches!(state, DeliveryState::Cancelled(_) | DeliveryState::NotMatched),
        JobKind::Replay(_) => !matches!(state, DeliveryState::Queued | DeliveryState::Waiting(_)),
        JobKind::RedriveDeadLetters
        | JobKind::PurgeDeadLetters
        | JobKind::PurgeEndpoint
        | JobKind::PurgeApplication => false,
    })
}

/// A chunk of a deleted endpoint's rows.
fn purge_endpoint(txn: &mut Txn<'_>, row: &mut Job) -> Result<bool, StoreError> {
    let target: EndpointRef = row.target;
    let removed = delivery::purge(txn, target, CHUNK)?;
    let letters = dead_letter::list(txn, target, None, CHUNK, Direction::Forward)?;
    for (seq, _) in &letters {
        dead_letter::remove(txn, target, *seq)?;
    }
    let more = history::trim(txn, target, Seq(u64::MAX), UnixMs(u64::MAX), CHUNK)?;
    row.affected += (removed + letters.len()) as u64;
    Ok(removed == 0 && letters.is_empty() && !more)
}

/// A chunk of a deleted application's rows. Done when there was none: what the commit of the deletion itself still wrote
/// is found by the next chunk.
fn purge_application(txn: &mut Txn<'_>, row: &mut Job) -> Result<bool, StoreError> {
    let removed = purge::application(txn, row.target.app, ROWS_PURGED)?;
    row.affected += removed as u64;
    Ok(removed == 0)
}
