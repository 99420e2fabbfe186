//! Jobs, by number. A finished job stays, so that the caller that asked for it can still read how it went.

use crate::read::Read;
use crate::rows::job;
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, put_value, scan, scan_rows};
use crate::txn::Txn;
use model::{AppId, Job, JobKind, UnixMs};

/// One job.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), number: u32) -> Result<Option<Job>, StoreError> {
    get_row(read, &job::encode(number), job::from_value)
}

/// Jobs by number, from the one beyond `after`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    after: Option<u32>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Job>, StoreError> {
    let range = job::all().beyond(after.map(job::encode), direction);
    scan_rows(read, &range, limit, direction, job::from_value)
}

/// As [`list`], oldest first and without those that are damaged; with the last number that was looked at.
///
/// # Errors
/// Whatever the store reports.
pub fn list_undamaged(
    read: &(impl Read + ?Sized),
    after: Option<u32>,
    limit: usize,
) -> Result<(Vec<Job>, Option<u32>), StoreError> {
    let range = job::all().beyond(after.map(job::encode), Direction::Forward);
    let rows = scan(read, &range, limit, Direction::Forward)?;
    let last = rows.last().map(|(key, _)| job::decode(key)).transpose()?;
    let undamaged = rows.iter().filter_map(|(_, value)| match job::from_value(value) {
        Ok(row) => Some(row),
        Err(error) => {
            tracing::error!(%error, "a job cannot be read and is not gone on with");
            metrics::counter!(model::metric::DAMAGED_READS).increment(1);
            None
        }
    });
    Ok((undamaged.collect(), last))
}

/// The numbers of jobs of an application that a caller asked for: those that have more to do, whether they have begun or
/// not, and all that are kept. Jobs of a store of an earlier version are not among them.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<(u32, u32), StoreError> {
    let count = |counted| Ok(count::count(read, counted)?.unwrap_or(0));
    Ok((count(Counted::RunningJobs(app))?, count(Counted::Jobs(app))?))
}

/// Creates a job or notes its progress.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn put(txn: &mut Txn<'_>, row: &Job) -> Result<(), StoreError> {
    let before = get(txn, row.number)?;
    let (had_more, has_more) = (before.as_ref().is_some_and(has_more), has_more(row));
    let delta = i64::from(has_more) - i64::from(had_more);
    recount(txn, row, delta, i64::from(before.is_none()))?;
    put_value(txn, job::encode(row.number), job::to_value(row))
}

fn has_more(row: &Job) -> bool {
    !row.status.is_over()
}

/// Keeps the counts of [`count`]. Purges after a deletion are the engine's own work, and no quota bounds them.
fn recount(txn: &mut Txn<'_>, row: &Job, running: i64, kept: i64) -> Result<(), StoreError> {
    if matches!(row.kind, JobKind::PurgeEndpoint | JobKind::PurgeApplication) {
        return Ok(());
    }
    let app = row.target.app;
    for (counted, delta) in [(Counted::RunningJobs(app), running), (Counted::Jobs(app), kept)] {
        // A job from before jobs were counted is taken off without having been added.
        count::add(txn, counted, delta)?;
    }
    Ok(())
}

/// Looks at the next `limit` jobs and removes those that ended before `before`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    before: UnixMs,
    limit: usize,
) -> Result<Swept, StoreError> {
    let mut gone: Vec<Job> = Vec::new();
    let swept = sweep::sweep(txn, job::all(), position, limit, |_, _, value| {
        let row: Job = job::from_value(value)?;
        let is_past = !has_more(&row) && row.updated_at < before;
        gone.extend(is_past.then_some(row));
        Ok(is_past)
    })?;
    for row in gone {
        // A job that this transaction renewed has stayed.
        if get(txn, row.number)?.is_none() {
            recount(txn, &row, 0, -1)?;
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{JobStatus, Seq};

    fn row(number: u32, status: JobStatus) -> Job {
        Job { status, ..Job::new(number, target(1, 1), JobKind::RedriveDeadLetters, (Seq(0), Seq(9)), UnixMs(1)) }
    }

    #[test]
    fn a_job_that_waits_for_its_time_counts_as_one_that_has_more_to_do_and_is_never_swept() {
        let store = TestStore::default();
        store.write(|txn| put(txn, &row(1, JobStatus::Running).starting_at(Some(UnixMs(5)))));
        assert_eq!(count(&store, AppId(1)).unwrap(), (1, 1));
        store.write(|txn| {
            assert_eq!(sweep(txn, None, UnixMs(u64::MAX), 100)?.removed, 0);
            put(txn, &row(1, JobStatus::Running))
        });
        assert_eq!(count(&store, AppId(1)).unwrap(), (1, 1));
        store.write(|txn| put(txn, &row(1, JobStatus::Cancelled)));
        assert_eq!(count(&store, AppId(1)).unwrap(), (0, 1));
    }

    #[test]
    fn jobs_are_counted_by_application_until_they_are_swept() {
        let store = TestStore::default();
        let counts = || count(&store, AppId(1)).unwrap();
        store.write(|txn| (1..=3).try_for_each(|number| put(txn, &row(number, JobStatus::Running))));
        let purge = Job { kind: JobKind::PurgeEndpoint, ..row(4, JobStatus::Running) };
        store.write(|txn| put(txn, &purge));
        assert_eq!(counts(), (3, 3));
        store.write(|txn| put(txn, &Job { affected: 1, ..row(1, JobStatus::Running) }));
        store.write(|txn| put(txn, &row(2, JobStatus::Failed)));
        assert_eq!(counts(), (2, 3));
        store.write(|txn| {
            let swept = sweep(txn, None, UnixMs(9), 100)?;
            assert_eq!(swept.removed, 1);
            Ok(())
        });
        assert_eq!(counts(), (2, 2));
        assert_eq!(count(&store, AppId(2)).unwrap(), (0, 0));
    }
}
