//! Jobs: recover, replay, redrive, purge. Each chunk is one change, with the job's own progress. So a restart goes on
//! where the last chunk ended and nothing is done twice.
//!
//! One runner makes one chunk at a time. Applications take turns, and so do the jobs of each application. So a job over
//! a hundred million events delays ingest, or another job, by no more than a chunk. A thousand jobs of one application
//! delay another's job by no more than one chunk either.
//!
//! - *Who owns the state:* the runner owns [`Line`], a cache of the rows.
//! - *What bounds it:* jobs that run, which the API bounds for each application.
//! - *When the process dies here:* the line is read again at the start; each chunk was one commit.
//!
//! Every delivery that a job looks at is counted: as put in line, or as left as it is, with the reason
//! ([`crate::orders`] decides). Jobs make no attempts: lanes take them from the line.

use crate::clock::Clock;
use crate::delivery_state::Standings;
use crate::fairness::Turns;
use crate::orders::Order;
use model::{AppId, Endpoint, EndpointRef, Event, Job, JobKind, JobStatus, Seq, SkipReason, Span, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use storage::read::Read;
use storage::tables::{dead_letter, deleted_endpoint, delivery, endpoint, history, job, log, purge};
use storage::writer::{ChangeError, WriterHandle};
use storage::{Direction, SharedStore, StoreError, Txn, Wanted};
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

/// Numbers of rows looked at in one go when new jobs are looked for.
const LOOKS: usize = 256;

/// Jobs that have more to do, in the order in which they get a chunk.
///
/// Numbers are given out in the order of commits, so a job that is not in line yet has a higher number than all that
/// were seen: after the start only new rows are read, however many jobs there have ever been.
#[derive(Debug, Default)]
pub struct Line {
    turns: Turns<AppId, u32>,
    /// The highest number that was looked at.
    seen: Option<u32>,
}

impl Line {
    /// Takes in the jobs that were created since the last look; the first look finds all.
    ///
    /// # Errors
    /// Whatever the store reports, or a corrupt row; the rows read so far are in line.
    pub fn look(&mut self, read: &(impl Read + ?Sized)) -> Result<(), StoreError> {
        loop {
            let rows = job::list(read, self.seen, LOOKS, Direction::Forward)?;
            let Some(last) = rows.last() else { return Ok(()) };
            self.seen = Some(last.number);
            for row in rows.iter().filter(|row| row.status == JobStatus::Running) {
                self.turns.push(row.target.app, row.number);
            }
            if rows.len() < LOOKS {
                return Ok(());
            }
        }
    }

    /// The job that gets the next chunk, with its application.
    pub fn next_chunk(&mut self) -> Option<(AppId, u32)> {
        self.turns.pop(|_| true)
    }

    /// A job has more to do: it waits behind the others of its application.
    pub fn again(&mut self, app: AppId, number: u32) {
        self.turns.push(app, number);
    }
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
        let Some((app, number)) = line.next_chunk() else {
            started.notified().await;
            continue;
        };
        match writer.change(move |txn| step(txn, number, clock.now())).await {
            Ok(true) => line.again(app, number),
            Ok(false) => {}
            Err(ChangeError::Busy) => {
                line.again(app, number);
                tokio::time::sleep(BUSY_PAUSE).await;
            }
            Err(ChangeError::Rejected(error) | ChangeError::Refused(error)) => {
                tracing::error!(%error, job = number, "a job failed");
                // An error that one job alone meets ends that job.
                match writer.change(move |txn| end(txn, number, JobStatus::Failed, clock.now())).await {
                    Ok(()) => {}
                    Err(ChangeError::Busy) => line.again(app, number),
                    Err(_) => return,
                }
            }
            Err(ChangeError::Unavailable(_)) => return,
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

/// One chunk of one job, in one change. Answers whether the job has more to do.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn step(txn: &mut Txn<'_>, number: u32, now: UnixMs) -> Result<bool, StoreError> {
    let Some(mut row) = job::get(txn, number)? else { return Ok(false) };
    let target = row.target;
    let finished = match row.kind {
        JobKind::PurgeEndpoint => purge_endpoint(txn, &mut row)?,
        JobKind::PurgeApplication => purge_application(txn, &mut row)?,
        JobKind::PurgeDeadLetters => dead_letters(txn, &mut row, dead_letter::want, |txn, seq| {
            dead_letter::remove(txn, target, seq)?;
            Ok(Ok(()))
        })?,
        kind => match endpoint::get(txn, target)? {
            None => {
                row.status = JobStatus::Failed;
                row.updated_at = now;
                job::put(txn, &row)?;
                return Ok(false);
            }
            Some(endpoint) if kind == JobKind::RedriveDeadLetters => {
                dead_letters(txn, &mut row, delivery::want_requeue, |txn, seq| {
                    let event = log::get_undamaged(txn, target.app, seq)?;
                    if let Some(reason) = cannot_be_sent(&endpoint, event.as_ref()) {
                        return Ok(Err(reason));
                    }
                    delivery::requeue(txn, target, seq, now)?;
                    Ok(Ok(()))
                })?
            }
            Some(endpoint) => span_of_events(txn, &mut row, &endpoint, now)?,
        },
    };
    if finished {
        row.status = JobStatus::Finished;
    }
    row.updated_at = now;
    job::put(txn, &row)?;
    Ok(!finished)
}

/// The reason why a delivery put in line now could not be sent: it would only become a dead letter.
fn cannot_be_sent(endpoint: &Endpoint, event: Option<&Event>) -> Option<SkipReason> {
    if endpoint.disabled.is_some() {
        return Some(SkipReason::EndpointDisabled);
    }
    match event {
        None => Some(SkipReason::MessageGone),
        Some(event) => event.is_expunged().then_some(SkipReason::PayloadGone),
    }
}

/// Counts one delivery that a job looked at.
fn note(row: &mut Job, seq: Seq, ruling: Result<(), SkipReason>) {
    row.position = seq;
    row.looked_at += 1;
    match ruling {
        Ok(()) => row.affected += 1,
        Err(reason) => row.skipped.count(reason),
    }
}

/// A chunk of dead letters, ascending, up to the last there was when the job began. `want` names the rows that `each`
/// reads.
fn dead_letters(
    txn: &mut Txn<'_>,
    row: &mut Job,
    want: fn(EndpointRef, Seq, &mut Wanted),
    mut each: impl FnMut(&mut Txn<'_>, Seq) -> Result<Result<(), SkipReason>, StoreError>,
) -> Result<bool, StoreError> {
    let letters = dead_letter::list(txn, row.target, Some(row.position), CHUNK, Direction::Forward)?;
    let mut wanted = Wanted::default();
    letters.iter().for_each(|(seq, _)| want(row.target, *seq, &mut wanted));
    txn.fetch(wanted)?;
    for (seq, _) in &letters {
        if *seq > row.last {
            return Ok(true);
        }
        let ruling = each(txn, *seq)?;
        note(row, *seq, ruling);
    }
    Ok(letters.len() < CHUNK)
}

/// A chunk of the log within a span of time.
fn span_of_events(txn: &mut Txn<'_>, row: &mut Job, endpoint: &Endpoint, now: UnixMs) -> Result<bool, StoreError> {
    let (JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span)) = row.kind else {
        return Ok(true);
    };
    let Some(order) = Order::of(row.kind) else { return Ok(true) };
    let Span { since, until } = span;
    if row.position == Seq::ZERO {
        row.position = log::before_time(txn, row.target.app, since)?;
    }
    let standings = Standings::read(txn, endpoint)?;
    let events = log::read_after(txn, row.target.app, row.position, CHUNK, CHUNK_BYTES)?;
    let mut wanted = Wanted::default();
    events.iter().for_each(|event| delivery::want_requeue(row.target, event.seq, &mut wanted));
    txn.fetch(wanted)?;
    for event in &events {
        if event.seq > row.last {
            return Ok(true);
        }
        if event.accepted_at < since || event.accepted_at > until {
            row.position = event.seq;
            continue;
        }
        let ruling = match cannot_be_sent(endpoint, Some(event)) {
            Some(reason) => Err(reason),
            None => order.rule(&standings.of(txn, event)?, order.asks_filter() && standings.wants(event)),
        };
        if ruling.is_ok() {
            delivery::requeue(txn, row.target, event.seq, now)?;
        }
        note(row, event.seq, ruling);
        if standings.steps() > CHUNK_STEPS {
            return Ok(row.position >= row.last);
        }
    }
    Ok(events.is_empty() || row.position >= row.last)
}

/// A chunk of a deleted endpoint's rows. Its attempts stay for as long as it is kept what it was.
fn purge_endpoint(txn: &mut Txn<'_>, row: &mut Job) -> Result<bool, StoreError> {
    let target: EndpointRef = row.target;
    let removed = delivery::purge(txn, target, CHUNK)?;
    let letters = dead_letter::list(txn, target, None, CHUNK, Direction::Forward)?;
    for (seq, _) in &letters {
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::EndpointId;
    use storage::Store;
    use storage::store::MemoryStore;

    fn add(store: &MemoryStore, app: u32, numbers: std::ops::RangeInclusive<u32>, status: JobStatus) {
        let mut txn = Txn::new(store);
        for number in numbers {
            let target = EndpointRef { app: AppId(app), endpoint: EndpointId(app) };
            let row = Job::new(number, target, JobKind::RedriveDeadLetters, (Seq::ZERO, Seq::MAX), UnixMs(1));
            job::put(&mut txn, &Job { status, ..row }).unwrap();
        }
        store.apply(txn.into_parts().0).unwrap();
    }

    #[test]
    fn a_job_of_one_application_waits_for_one_chunk_of_another_that_has_a_thousand() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add(&store, 1, 1..=1_000, JobStatus::Running);
        line.look(&store).unwrap();
        assert_eq!(line.next_chunk(), Some((AppId(1), 1)));
        line.again(AppId(1), 1);
        add(&store, 2, 1_001..=1_001, JobStatus::Running);
        line.look(&store).unwrap();
        let next: Vec<_> = (0..3).filter_map(|_| line.next_chunk()).collect();
        assert_eq!(next, [(AppId(1), 2), (AppId(2), 1_001), (AppId(1), 3)]);
    }

    #[test]
    fn ended_jobs_are_read_once_and_never_in_line() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add(&store, 1, 1..=700, JobStatus::Finished);
        add(&store, 1, 701..=701, JobStatus::Running);
        line.look(&store).unwrap();
        assert_eq!((line.next_chunk(), line.next_chunk(), line.seen), (Some((AppId(1), 701)), None, Some(701)));
    }
}
