//! Jobs that clients start and cancel.

use super::World;
use crate::client::Refusal;
use crate::network::pick;
use model::{
    DeadLetterReason, DeliveryStatus, EndpointId, EndpointRef, Job, JobFilter, JobKind, JobStatus, Seq, Span, UnixMs,
};
use rand::RngExt;
use storage::tables::{counter, endpoint, job, log};
use storage::{Change, Direction, StoreError, Txn};

/// How a job goes about its work.
struct Manner {
    filter: Option<JobFilter>,
    rate_per_s: Option<u32>,
    dry_run: bool,
    /// Over all endpoints of the application, where there is such a job.
    of_app: bool,
}

impl World {
    /// Starts a job over many deliveries.
    pub(super) fn start_job(&mut self) {
        let (Some(row), now) = (self.some_endpoint(), self.node.clock.now()) else { return };
        let since = UnixMs(now.0.saturating_sub(*pick(&[1_000, 60_000, 86_400_000], &mut self.rng)));
        let span = Span { since, until: now };
        let kind = *pick(
            &[
                JobKind::Recover(span),
                JobKind::ReplayMissing(span),
                JobKind::Replay(span),
                JobKind::RedriveDeadLetters,
                JobKind::PurgeDeadLetters,
            ],
            &mut self.rng,
        );
        let read = &*self.node.disk;
        let over_span = matches!(kind, JobKind::Recover(_) | JobKind::ReplayMissing(_) | JobKind::Replay(_));
        if over_span && row.disabled.is_some() {
            return;
        }
        let found = (log::before_time(read, row.app, since), log::before_time(read, row.app, now.plus_ms(1)));
        let positions = if let (true, (Ok(first), Ok(last))) = (over_span, found) { Some((first, last)) } else { None };
        let (target, manner) = (row.target(), self.some_manner(kind));
        self.change(format!("{kind:?} of {}", row.id), move |txn| {
            endpoint::get(txn, target)?.ok_or(Refusal::NotPossible)?;
            let positions = match positions {
                Some(positions) => positions,
                None => (Seq::ZERO, log::head(txn, target.app)?),
            };
            let number = counter::next_job_number(txn)?;
            if erases(number) {
                let filter = Some(JobFilter { event_types: vec!["d".to_owned()], ..JobFilter::default() });
                let of_app = EndpointRef { endpoint: EndpointId(0), ..target };
                let last = log::head(txn, target.app)?;
                let job = Job::new(number, of_app, JobKind::Erase, (Seq::ZERO, last), now);
                return Ok(put_job(txn, &Job { filter, ..job.starting_at(start_at(number, now)) })?);
            }
            let of_letters = matches!(kind, JobKind::RedriveDeadLetters | JobKind::PurgeDeadLetters);
            let endpoint = if manner.of_app && of_letters { EndpointId(0) } else { target.endpoint };
            let target = EndpointRef { endpoint, ..target };
            let start_at = start_at(number, now);
            let positions = if start_at.is_some() { (Seq::ZERO, Seq::ZERO) } else { positions };
            let job = Job::new(number, target, kind, positions, now).starting_at(start_at);
            let (filter, rate_per_s, dry_run) = (manner.filter, manner.rate_per_s, manner.dry_run);
            Ok(put_job(txn, &Job { filter, rate_per_s, dry_run, ..job })?)
        });
    }

    /// How a job goes about it: often as plainly as can be.
    fn some_manner(&mut self, kind: JobKind) -> Manner {
        let mut filter = JobFilter::default();
        if self.rng.random_bool(0.3) {
            filter.event_types = vec![(*pick(&["a", "a.b.*", "d"], &mut self.rng)).to_owned()];
        }
        if self.rng.random_bool(0.2) {
            match kind {
                JobKind::RedriveDeadLetters | JobKind::PurgeDeadLetters => {
                    filter.reasons = vec![*pick(&DeadLetterReason::ALL, &mut self.rng)];
                }
                _ => filter.status = Some(*pick(&[DeliveryStatus::Fail, DeliveryStatus::Success], &mut self.rng)),
            }
        }
        Manner {
            filter: (filter != JobFilter::default()).then_some(filter),
            rate_per_s: self.rng.random_bool(0.2).then(|| self.rng.random_range(1..50)),
            dry_run: self.rng.random_bool(0.1),
            of_app: self.rng.random_bool(0.3),
        }
    }

    /// Cancels one of the last jobs.
    pub(super) fn cancel_job(&mut self) {
        let now = self.node.clock.now();
        let Ok(rows) = job::list(&*self.node.disk, None, 10, Direction::Reverse) else { return };
        let has_more = |row: &&Job| !row.status.is_over();
        let purges = |row: &&Job| matches!(row.kind, JobKind::PurgeEndpoint | JobKind::PurgeApplication);
        let Some(number) = rows.iter().find(|row| has_more(row) && !purges(row)).map(|row| row.number) else {
            return;
        };
        self.change(format!("no more of job {number}"), move |txn| {
            let row = job::get(txn, number)?.ok_or(Refusal::NotPossible)?;
            if !row.status.is_over() {
                job::put(txn, &Job { status: JobStatus::Cancelled, updated_at: now, ..row })?;
            }
            Ok(())
        });
    }
}

/// True if a job of this number is to erase, whatever else it was to do. See [`start_at`].
fn erases(number: u32) -> bool {
    number % 8 == 6
}

/// When a job of this number is to begin. Its number says so, and no number that others are drawn after.
fn start_at(number: u32, now: UnixMs) -> Option<UnixMs> {
    match number % 6 {
        1 => Some(now.plus_ms(5)),
        3 => Some(now.plus_ms(60_000)),
        5 => Some(now.plus_ms(3_600_000)),
        _ => None,
    }
}

/// Starts one that is as plain as can be.
pub(super) fn start_job(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    kind: JobKind,
    positions: (Seq, Seq),
    now: UnixMs,
) -> Result<(), Refusal> {
    let number = counter::next_job_number(txn)?;
    Ok(put_job(txn, &Job::new(number, target, kind, positions, now))?)
}

fn put_job(txn: &mut Txn<'_>, row: &Job) -> Result<(), StoreError> {
    job::put(txn, row)?;
    txn.tell(Change::JobStarted);
    Ok(())
}
