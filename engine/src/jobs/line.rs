//! The jobs that have more to do, in the order in which they get a chunk. Pure.

use super::Next;
use crate::fairness::Turns;
use model::{AppId, JobStatus, UnixMs};
use std::collections::BTreeMap;
use storage::read::Read;
use storage::tables::job;
use storage::{Direction, StoreError};

/// Numbers of rows looked at in one go when new jobs are looked for.
const LOOKS: usize = 256;

/// Jobs that have more to do, in the order in which they get a chunk.
///
/// Numbers are given out in the order of commits, so a job that is not in line yet has a higher number than all that
/// were seen: after the start only new rows are read, however many jobs there have ever been.
#[derive(Debug, Default)]
pub struct Line {
    turns: Turns<AppId, u32>,
    /// Jobs that wait for a time, each with its application.
    later: BTreeMap<(UnixMs, u32), AppId>,
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
    pub fn next_chunk(&mut self, now: UnixMs) -> Option<(AppId, u32)> {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= now
        {
            let ((_, number), app) = first.remove_entry();
            self.turns.push(app, number);
        }
        self.turns.pop(|_| true)
    }

    /// The time at which the next job goes on that waits for one.
    #[must_use]
    pub fn wake_at(&self) -> Option<UnixMs> {
        self.later.first_key_value().map(|((at, _), _)| *at)
    }

    /// A job made a chunk: it waits behind the others of its application, or for its time.
    pub fn again(&mut self, app: AppId, number: u32, next: Next) {
        match next {
            Next::Chunk => self.turns.push(app, number),
            Next::At(at) => drop(self.later.insert((at, number), app)),
            Next::Never => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EndpointId, EndpointRef, Job, JobKind, Seq};
    use storage::store::MemoryStore;
    use storage::{Store, Txn};

    fn add(store: &MemoryStore, app: u32, numbers: std::ops::RangeInclusive<u32>, status: JobStatus) {
        let mut txn = Txn::new(store);
        for number in numbers {
            let target = EndpointRef { app: AppId(app), endpoint: EndpointId(app) };
            let row = Job::new(number, target, JobKind::RedriveDeadLetters, (Seq::ZERO, Seq::MAX), UnixMs(1));
            job::put(&mut txn, &Job { status, ..row }).unwrap();
        }
        store.apply(txn.into_parts().batch).unwrap();
    }

    #[test]
    fn a_job_of_one_application_waits_for_one_chunk_of_another_that_has_a_thousand() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add(&store, 1, 1..=1_000, JobStatus::Running);
        line.look(&store).unwrap();
        assert_eq!(line.next_chunk(UnixMs(9)), Some((AppId(1), 1)));
        line.again(AppId(1), 1, Next::Chunk);
        add(&store, 2, 1_001..=1_001, JobStatus::Running);
        line.look(&store).unwrap();
        let next: Vec<_> = (0..3).filter_map(|_| line.next_chunk(UnixMs(9))).collect();
        assert_eq!(next, [(AppId(1), 2), (AppId(2), 1_001), (AppId(1), 3)]);
    }

    #[test]
    fn ended_jobs_are_read_once_and_never_in_line() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add(&store, 1, 1..=700, JobStatus::Finished);
        add(&store, 1, 701..=701, JobStatus::Running);
        line.look(&store).unwrap();
        assert_eq!(
            (line.next_chunk(UnixMs(9)), line.next_chunk(UnixMs(9)), line.seen),
            (Some((AppId(1), 701)), None, Some(701))
        );
    }

    #[test]
    fn a_job_that_keeps_to_a_rate_waits_for_its_time_and_holds_nobody_up() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add(&store, 1, 1..=2, JobStatus::Running);
        line.look(&store).unwrap();
        let now = UnixMs(1_000);
        assert_eq!(line.next_chunk(now), Some((AppId(1), 1)));
        line.again(AppId(1), 1, Next::At(UnixMs(1_500)));
        assert_eq!(line.next_chunk(now), Some((AppId(1), 2)));
        line.again(AppId(1), 2, Next::Never);
        assert_eq!((line.next_chunk(UnixMs(1_499)), line.wake_at()), (None, Some(UnixMs(1_500))));
        assert_eq!((line.next_chunk(UnixMs(1_500)), line.wake_at()), (Some((AppId(1), 1)), None));
    }
}
