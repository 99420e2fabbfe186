//! Jobs, by number. A finished job stays, so that the caller that asked for it can still read how it went.

use crate::read::Read;
use crate::rows::job;
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, put_value, scan, scan_rows};
use crate::txn::Txn;
use foldhash::{HashMap, HashMapExt};
use model::{AppId, Job, JobKind, UnixMs};
use std::collections::hash_map::Entry;

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

/// Purges after a deletion are the engine's own work, and no quota bounds them.
fn is_counted(row: &Job) -> bool {
    !matches!(row.kind, JobKind::PurgeEndpoint | JobKind::PurgeApplication)
}

/// Keeps the counts of [`count`].
fn recount(txn: &mut Txn<'_>, row: &Job, running: i64, kept: i64) -> Result<(), StoreError> {
    if !is_counted(row) {
        return Ok(());
    }
    let app = row.target.app;
    for (counted, delta) in [(Counted::RunningJobs(app), running), (Counted::Jobs(app), kept)] {
        // A job from before jobs were counted is taken off without having been added.
        count::add(txn, counted, delta)?;
    }
    Ok(())
}

/// The jobs that retention keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptJobs {
    /// Those that ended then or later.
    pub since: UnixMs,
    /// So many of one application, those included that have not ended and always stay. The oldest go first.
    pub of_app: u32,
}

/// Looks at the next `limit` jobs, oldest first, and removes those that have ended and are kept no longer.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    kept: KeptJobs,
    limit: usize,
) -> Result<Swept, StoreError> {
    let mut gone: Vec<Job> = Vec::new();
    let mut counts: HashMap<AppId, u32> = HashMap::new();
    let swept = sweep::sweep(txn, job::all(), position, limit, |txn, _, value| {
        let row: Job = job::from_value(value)?;
        if has_more(&row) {
            return Ok(false);
        }
        let count = match counts.entry(row.target.app) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(count::count_kept(txn, Counted::Jobs(row.target.app))?),
        };
        let is_past = row.updated_at < kept.since || (is_counted(&row) && *count > kept.of_app);
        *count = count.saturating_sub(u32::from(is_past && is_counted(&row)));
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
            assert_eq!(sweep(txn, None, KeptJobs { since: UnixMs(u64::MAX), of_app: 0 }, 100)?.removed, 0);
            put(txn, &row(1, JobStatus::Running))
        });
        assert_eq!(count(&store, AppId(1)).unwrap(), (1, 1));
        store.write(|txn| put(txn, &row(1, JobStatus::Cancelled)));
        assert_eq!(count(&store, AppId(1)).unwrap(), (0, 1));
    }

    #[test]
    fn of_too_many_jobs_of_an_application_the_oldest_that_have_ended_go_page_by_page() {
        let store = TestStore::default();
        let kept = KeptJobs { since: UnixMs::ZERO, of_app: 4 };
        store.write(|txn| {
            put(txn, &row(1, JobStatus::Running))?;
            (2..=9).try_for_each(|number| put(txn, &row(number, JobStatus::Finished)))?;
            // Of another application, and of the engine's own: neither counts.
            let other = Job { target: target(2, 1), ..row(10, JobStatus::Finished) };
            put(txn, &other)?;
            put(txn, &Job { kind: JobKind::PurgeEndpoint, ..row(11, JobStatus::Finished) })
        });
        let (mut position, mut removed) = (None, 0);
        loop {
            store.write(|txn| {
                let swept = sweep(txn, position.take(), kept, 2)?;
                removed += swept.removed;
                position = swept.next;
                Ok(())
            });
            if position.is_none() {
                break;
            }
        }
        assert_eq!((removed, count(&store, AppId(1)).unwrap()), (5, (1, 4)));
        let left: Vec<u32> = list(&store, None, 99, Direction::Forward).unwrap().iter().map(|row| row.number).collect();
        assert_eq!(left, [1, 7, 8, 9, 10, 11]);
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
            let swept = sweep(txn, None, KeptJobs { since: UnixMs(9), of_app: 100 }, 100)?;
            assert_eq!(swept.removed, 1);
            Ok(())
        });
        assert_eq!(counts(), (2, 2));
        assert_eq!(count(&store, AppId(2)).unwrap(), (0, 0));
    }
}
