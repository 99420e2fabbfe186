//! Jobs: work over many deliveries that outlives its command, which writes one row. The engine does the rest.

use super::{At, Changed, Command, Reach, Repeatable, Thing, check_quota};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::EndpointName;
use crate::limits::{Quotas, Rules};
use model::{AppId, EndpointRef, Job, JobKind, Seq, Span, UnixMs};
use storage::tables::{counter, job, log};
use storage::{Change, Read, Txn};

/// Starts a job for an endpoint, which does one thing to some of its deliveries.
pub struct StartJob {
    /// The endpoint of the deliveries.
    pub endpoint: EndpointName,
    /// One that callers start: neither of those that follow a deletion.
    pub kind: JobKind,
    /// The positions of the log that it looks at, as [`positions`] gives them; none for all that there are by then.
    pub positions: Option<(Seq, Seq)>,
}

/// The span of time that a job looks at, if it has one.
fn span_of(kind: JobKind) -> Option<Span> {
    match kind {
        JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span) => Some(span),
        JobKind::RedriveDeadLetters
        | JobKind::PurgeDeadLetters
        | JobKind::PurgeEndpoint
        | JobKind::PurgeApplication => None,
    }
}

/// The positions of an application's log that a span of time covers. Reads a few rows: call it where reading may take
/// time.
///
/// # Errors
/// Whatever the store reports.
pub fn positions(read: &(impl Read + ?Sized), app: AppId, span: Span) -> Result<(Seq, Seq), Error> {
    let (before, last) =
        (log::before_time(read, app, span.since)?, log::before_time(read, app, span.until.plus_ms(1))?);
    Ok((before, last))
}

impl Thing for Job {
    const KIND: &'static str = "job";

    fn app(&self) -> Option<AppId> {
        Some(self.target.app)
    }

    fn id(&self) -> String {
        self.public_id()
    }
}

impl Command for StartJob {
    const NAME: &'static str = "job.start";
    type Thing = Job;

    fn reach(&self) -> Reach {
        Reach::Application(self.endpoint.app)
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        if span_of(self.kind).is_some_and(|span| span.until < span.since) {
            checks.wrong(&["until"], "is before since", "value_error.date");
        }
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Job>, Error> {
        let row = self.endpoint.find(txn)?;
        // Deliveries that are put in line for a disabled endpoint would only become dead letters.
        if row.disabled.is_some() && self.kind != JobKind::PurgeDeadLetters {
            return Err(Error::EndpointDisabled);
        }
        check_jobs(txn, row.app, &at.rules.quotas)?;
        let positions = match self.positions {
            Some(positions) => positions,
            None => (Seq::ZERO, log::head(txn, row.app)?),
        };
        let job = Job::new(counter::next_job_number(txn)?, row.target(), self.kind, positions, at.now);
        start(txn, &job)?;
        Ok(Changed::Created(job))
    }
}

impl Repeatable for StartJob {
    fn place(&self, txn: &Txn<'_>) -> Result<(AppId, String), Error> {
        let word = match self.kind {
            JobKind::Recover(_) => "recover",
            JobKind::ReplayMissing(_) => "replay-missing",
            JobKind::Replay(_) => "bulk-replay",
            JobKind::RedriveDeadLetters => "redrive-all",
            JobKind::PurgeDeadLetters => "purge-all",
            JobKind::PurgeEndpoint | JobKind::PurgeApplication => "purge",
        };
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("{word}/{}", target.endpoint.0)))
    }

    fn number(changed: &Job) -> u64 {
        changed.number.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Job>, Error> {
        let Ok(number) = u32::try_from(number) else { return Ok(None) };
        Ok(job::get(txn, number)?)
    }
}

/// Starts the job that removes the rows of an endpoint or application that is gone. No quota holds it up.
pub(super) fn purge(txn: &mut Txn<'_>, target: EndpointRef, kind: JobKind, now: UnixMs) -> Result<(), Error> {
    let job = Job::new(counter::next_job_number(txn)?, target, kind, (Seq::ZERO, Seq::MAX), now);
    start(txn, &job)
}

/// Stores a new job and tells the engine that there is one.
fn start(txn: &mut Txn<'_>, job: &Job) -> Result<(), Error> {
    job::put(txn, job)?;
    txn.tell(Change::JobStarted);
    Ok(())
}

/// Checks that an application may have one more job that a caller asks for. While too many run, some will end soon.
fn check_jobs(txn: &Txn<'_>, app: AppId, quotas: &Quotas) -> Result<(), Error> {
    let (running, kept) = job::count(txn, app)?;
    if running >= quotas.running_jobs {
        let (of, most) = ("running jobs of an application", quotas.running_jobs);
        return Err(Error::QuotaExceeded { quota: "running_jobs", of, most, again_after_s: Some(1) });
    }
    check_quota("jobs", "jobs of an application, ended ones that are kept included", kept, quotas.jobs)
}
