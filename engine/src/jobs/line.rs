//! The jobs that have more to do, in the order in which they get a chunk. Pure.

use super::Next;
use crate::fairness::Turns;
use model::{AppId, Job, JobStatus, UnixMs};
use std::collections::BTreeMap;
use storage::StoreError;
use storage::read::Read;
use storage::tables::job;

/// Numbers of rows looked at in one go when new jobs are looked for.
const LOOKS: usize = 256;

/// Jobs that wait for a time, beyond those that did when the rows were last read from the beginning, after which they
/// are read so again.
const STALE_MAX: usize = 1_024;

/// Jobs that have more to do, in the order in which they get a chunk.
///
/// A job that is cancelled while it waits for its time is not taken out of the line: it is seen to have ended when its
/// time comes. So that a client that starts and cancels jobs without end fills no memory, the line is read anew once twice
/// as many wait in it as did at the last such reading, and some more.
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
    /// Those in `later` when all rows had been read from the beginning.
    waited: usize,
}

impl Line {
    /// Takes in the jobs that were created since the last look; the first look finds all. No job may be away for a chunk.
    ///
    /// # Errors
    /// Whatever the store reports; the rows read so far are in line.
    pub fn look(&mut self, read: &(impl Read + ?Sized)) -> Result<(), StoreError> {
        if self.later.len() > 2 * self.waited + STALE_MAX {
            *self = Line::default();
        }
        let is_from_the_beginning = self.seen.is_none();
        loop {
            let (rows, last) = job::list_undamaged(read, self.seen, LOOKS)?;
            rows.iter().for_each(|row| self.take_in(row));
            let Some(last) = last else { break };
            self.seen = Some(last);
        }
        if is_from_the_beginning {
            self.waited = self.later.len();
        }
        Ok(())
    }

    fn take_in(&mut self, row: &Job) {
        match (row.status, row.start_at) {
            (JobStatus::Pending, Some(start_at)) => drop(self.later.insert((start_at, row.number), row.target.app)),
            (JobStatus::Pending | JobStatus::Running, _) => self.turns.push(row.target.app, row.number),
            (JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled, _) => {}
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

    /// The time at which the next job begins or goes on that waits for one.
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
    use model::{EndpointId, EndpointRef, JobKind, Seq};
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
    fn add_waiting(store: &MemoryStore, numbers: std::ops::RangeInclusive<u32>, status: JobStatus, start_at: u64) {
        let mut txn = Txn::new(store);
        for number in numbers {
            let target = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };
            let row = Job::new(number, target, JobKind::RedriveDeadLetters, (Seq::ZERO, Seq::MAX), UnixMs(1));
            job::put(&mut txn, &Job { status, ..row.starting_at(Some(UnixMs(start_at))) }).unwrap();
        }
        store.apply(txn.into_parts().batch).unwrap();
    }

    #[test]
    fn a_job_that_is_to_begin_at_a_time_waits_for_it_and_for_nothing_else_also_after_a_restart() {
        let store = MemoryStore::new();
        add_waiting(&store, 1..=1, JobStatus::Pending, 5_000);
        add_waiting(&store, 2..=2, JobStatus::Cancelled, 4_000);
        add(&store, 2, 3..=3, JobStatus::Running);
        for _ in 0..2 {
            let mut line = Line::default();
            line.look(&store).unwrap();
            assert_eq!(line.next_chunk(UnixMs(4_999)), Some((AppId(2), 3)));
            assert_eq!((line.next_chunk(UnixMs(4_999)), line.wake_at()), (None, Some(UnixMs(5_000))));
            assert_eq!(line.next_chunk(UnixMs(5_000)), Some((AppId(1), 1)));
        }
    }

    #[test]
    fn jobs_that_are_cancelled_while_they_wait_leave_the_line_before_they_are_too_many() {
        let (store, mut line) = (MemoryStore::new(), Line::default());
        add_waiting(&store, 1..=7, JobStatus::Pending, 9_000);
        for from in (8..10_000).step_by(500) {
            add_waiting(&store, from..=from + 499, JobStatus::Pending, 9_000);
            line.look(&store).unwrap();
            add_waiting(&store, from..=from + 499, JobStatus::Cancelled, 9_000);
            assert!(line.later.len() <= 2 * 507 + STALE_MAX + 500, "{}", line.later.len());
        }
        let begun: Vec<u32> = std::iter::from_fn(|| line.next_chunk(UnixMs(9_000))).map(|(_, number)| number).collect();
        assert_eq!(begun[..7], [1, 2, 3, 4, 5, 6, 7]);
    }
}
