//! Jobs, by number. A finished one stays, so that whoever asked for it can still ask how it went.

use crate::codec;
use crate::keys::{KeyKind, job};
use crate::read::Read;
use crate::store::{Direction, StoreError};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, put_row, scan_rows};
use crate::txn::Txn;
use model::{Job, JobStatus, UnixMs};

/// Rows that a search reads at once.
const PAGE: usize = 256;

/// One job.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), number: u32) -> Result<Option<Job>, StoreError> {
    get_row(read, KeyKind::Job, &job::encode(number))
}

/// Every job that has more to do, oldest first. Reads all jobs there ever were: for a start, not for a request.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list_running(read: &(impl Read + ?Sized)) -> Result<Vec<Job>, StoreError> {
    let mut running = Vec::new();
    let mut after = None;
    loop {
        let range = job::all().beyond(after.map(job::encode), Direction::Forward);
        let page: Vec<Job> = scan_rows(read, KeyKind::Job, &range, PAGE, Direction::Forward)?;
        after = page.last().map(|job| job.number);
        let more = page.len() == PAGE;
        running.extend(page.into_iter().filter(|job| job.status == JobStatus::Running));
        if !more {
            return Ok(running);
        }
    }
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
    scan_rows(read, KeyKind::Job, &range, limit, direction)
}

/// Creates a job or notes its progress.
///
/// # Errors
/// None today.
pub fn put(txn: &mut Txn<'_>, row: &Job) -> Result<(), StoreError> {
    put_row(txn, job::encode(row.number), row)
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
    sweep::sweep(txn, job::all(), position, limit, |_, _, value| {
        let row: Job = codec::decode(KeyKind::Job.name(), value)?;
        Ok(row.status != JobStatus::Running && row.updated_at < before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{JobKind, Seq};

    fn row(number: u32, status: JobStatus) -> Job {
        Job {
            number,
            target: target(1, 1),
            kind: JobKind::RedriveDeadLetters,
            status,
            position: Seq(0),
            last: Seq(9),
            affected: 0,
            created_at: UnixMs(1),
            updated_at: UnixMs(1),
        }
    }

    #[test]
    fn running_jobs_are_found_among_pages_of_finished_ones() {
        let store = TestStore::default();
        let status = |number| if number % 300 == 1 { JobStatus::Running } else { JobStatus::Finished };
        // Two whole pages, so that the search must also see that nothing follows.
        store.write(|txn| (1..=512).try_for_each(|number| put(txn, &row(number, status(number)))));
        let running: Vec<u32> = list_running(&store).unwrap().iter().map(|job| job.number).collect();
        assert_eq!(running, [1, 301]);
        assert_eq!(get(&store, 301).unwrap(), Some(row(301, JobStatus::Running)));
        store.write(|txn| put(txn, &row(301, JobStatus::Failed)));
        assert_eq!(list_running(&store).unwrap().len(), 1);
    }
}
