//! Jobs: work over many deliveries that outlives its command, which writes one row. The engine does the rest.

use super::{At, Changed, Command, Reach, Repeatable, Thing, check_quota};
use crate::checks::Checks;
use crate::error::Error;
use crate::find::EndpointName;
use crate::limits::{self, Quotas, Rules};
use crate::snapshot::Fields;
use model::{AppId, EndpointId, EndpointRef, Job, JobFilter, JobKind, JobStatus, Seq, Span, UnixMs};
use storage::tables::{application, counter, job, log};
use storage::{Change, Read, Txn};

/// Starts a job for an endpoint, which does one thing to some of its deliveries.
pub struct StartJob {
    /// The endpoint of the deliveries.
    pub endpoint: EndpointName,
    /// One that callers start: neither of those that follow a deletion.
    pub kind: JobKind,
    /// The positions of the log that it looks at, as [`positions`] gives them; none for all that there are by then. Not
    /// for a job that is to begin at a time: it looks for them then.
    pub positions: Option<(Seq, Seq)>,
    /// How it goes about it.
    pub manner: Manner,
}

/// Starts a job over a whole application: over the dead letters of all its endpoints, or over its messages.
pub struct StartAppJob {
    /// The application.
    pub app: AppId,
    /// [`JobKind::RedriveDeadLetters`], [`JobKind::PurgeDeadLetters`], or [`JobKind::Erase`] with a filter.
    pub kind: JobKind,
    /// The endpoint of the dead letters, if only one is meant.
    pub endpoint: Option<EndpointName>,
    /// How it goes about it.
    pub manner: Manner,
}

/// Ends a job early. Deliveries that it has put in line stay there.
pub struct CancelJob {
    /// The application that the job belongs to.
    pub app: AppId,
    /// Its number.
    pub number: u32,
}

/// How a job goes about its work.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// The deliveries that it is about; none for all.
    pub filter: Option<JobFilter>,
    /// Deliveries put in line per second, at most.
    pub rate_per_s: Option<u32>,
    /// It counts what it would do, and changes nothing.
    pub dry_run: bool,
    /// It begins then, and does what it would do if it were asked for then; none for at once.
    pub start: Option<StartAt>,
}

/// The time at which a job is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartAt {
    /// The time. One that has passed is now.
    pub at: UnixMs,
    /// When it was asked for.
    pub asked_at: UnixMs,
}

impl StartAt {
    /// The time, unless it has come.
    fn ahead(self) -> Option<UnixMs> {
        (self.at > self.asked_at).then_some(self.at)
    }
}

impl Manner {
    fn check(&self, checks: &mut Checks) {
        if self.start.is_some_and(|start| start.at > start.asked_at.plus_ms(limits::JOB_START_WITHIN_MS)) {
            checks.wrong(&["startAt"], "must be at most 30 days ahead", "value_error.date");
        }
        self.rate_per_s.iter().for_each(|rate| checks.within("ratePerSecond", *rate, &(1..=limits::JOB_RATE_MAX)));
        let Some(filter) = &self.filter else { return };
        checks.event_type_filter("eventTypes", &filter.event_types, true);
        checks.channels(&filter.channels, limits::ENDPOINT_CHANNELS_MAX, true);
        checks.tags(&filter.tags);
        filter.event_id.iter().for_each(|id| checks.label(&["eventId"], id, limits::NAME_MAX));
        if filter.given_up.is_some_and(|span| span.until < span.since) {
            checks.wrong(&["until"], "is before since", "value_error.date");
        }
    }

    /// The job that goes about it so. A filter that names everything is none.
    fn of(self, job: Job) -> Job {
        let start_at = self.start_at();
        let filter = self.filter.filter(|filter| *filter != JobFilter::default());
        Job { filter, rate_per_s: self.rate_per_s, dry_run: self.dry_run, ..job }.starting_at(start_at)
    }

    /// The time that it is to wait for, if any.
    #[must_use]
    pub fn start_at(&self) -> Option<UnixMs> {
        self.start.and_then(StartAt::ahead)
    }
}

/// The span of time that a job looks at, if it has one.
fn span_of(kind: JobKind) -> Option<Span> {
    match kind {
        JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span) => Some(span),
        JobKind::RedriveDeadLetters
        | JobKind::PurgeDeadLetters
        | JobKind::Erase
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
    Ok(engine::jobs::positions(read, app, span)?)
}

impl Thing for Job {
    const KIND: &'static str = "job";

    fn app(&self) -> Option<AppId> {
        Some(self.target.app)
    }

    fn id(&self) -> String {
        self.public_id()
    }

    fn fields(&self) -> Fields {
        let filter = self.filter.as_ref();
        let times = span_of(self.kind);
        Fields::default()
            .with("task", self.kind.as_str())
            .with("status", self.status.as_str())
            .with("since", times.map(|span| span.since.0))
            .with("until", times.map(|span| span.until.0))
            .with("eventTypes", filter.map(|filter| filter.event_types.clone()))
            .with("channels", filter.map(|filter| filter.channels.clone()))
            .with("tags", filter.map(|filter| filter.tags.clone()))
            .with("eventId", filter.and_then(|filter| filter.event_id.clone()))
            .with("ratePerSecond", self.rate_per_s)
            .with("dryRun", self.dry_run.then_some(true))
            .with("startAt", self.start_at.map(|at| at.0))
    }
}

impl Command for StartJob {
    const NAME: &'static str = "job.start";
    type Thing = Job;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.endpoint.app))
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        if span_of(self.kind).is_some_and(|span| span.until < span.since) {
            checks.wrong(&["until"], "is before since", "value_error.date");
        }
        self.manner.check(checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Job>, Error> {
        let row = self.endpoint.find(txn)?;
        let waits = self.manner.start_at().is_some();
        // Deliveries that are put in line for a disabled endpoint would only become dead letters. One that is disabled
        // now may not be when the job begins.
        if row.disabled.is_some() && self.kind != JobKind::PurgeDeadLetters && !waits {
            return Err(Error::EndpointDisabled);
        }
        check_jobs(txn, row.app, &at.rules.quotas)?;
        let positions = match self.positions {
            Some(positions) => positions,
            None if waits => (Seq::ZERO, Seq::ZERO),
            None => (Seq::ZERO, log::head(txn, row.app)?),
        };
        let job = Job::new(counter::next_job_number(txn)?, row.target(), self.kind, positions, at.now);
        let job = self.manner.of(job);
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
            JobKind::Erase | JobKind::PurgeEndpoint | JobKind::PurgeApplication => "purge",
        };
        let target = self.endpoint.find(txn)?.target();
        Ok((target.app, format!("{word}/{}", target.endpoint.0)))
    }

    fn number(changed: &Job) -> u64 {
        changed.number.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Job>, Error> {
        again(number, txn)
    }
}

impl Command for StartAppJob {
    const NAME: &'static str = "job.start-in-app";
    type Thing = Job;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.app))
    }

    fn check(&mut self, _: &Rules, checks: &mut Checks) {
        let subject = self.manner.filter.as_ref().map(|filter| (filter.tags.len(), filter.event_id.is_some()));
        if self.kind == JobKind::Erase && !matches!(subject, Some((1, false) | (0, true))) {
            checks.wrong(&["tag"], "must be given, or eventId in its place", "value_error.missing");
        }
        self.manner.check(checks);
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Job>, Error> {
        application::get(txn, self.app)?.ok_or(Error::NotFound("application"))?;
        check_jobs(txn, self.app, &at.rules.quotas)?;
        let endpoint = match self.endpoint {
            Some(named) => named.find(txn)?.id,
            None => EndpointId(0),
        };
        let target = EndpointRef { app: self.app, endpoint };
        let last = if self.manner.start_at().is_some() { Seq::ZERO } else { log::head(txn, self.app)? };
        let positions = (Seq::ZERO, last);
        let job = self.manner.of(Job::new(counter::next_job_number(txn)?, target, self.kind, positions, at.now));
        start(txn, &job)?;
        Ok(Changed::Created(job))
    }
}

impl Repeatable for StartAppJob {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        let kind = match self.kind {
            JobKind::Erase => "erase",
            JobKind::PurgeDeadLetters => "dead-letter/purge",
            _ => "dead-letter/redrive",
        };
        Ok((self.app, kind.to_owned()))
    }

    fn number(changed: &Job) -> u64 {
        changed.number.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Job>, Error> {
        again(number, txn)
    }
}

impl Command for CancelJob {
    const NAME: &'static str = "job.cancel";
    type Thing = Job;

    fn reach(&self) -> Option<Reach> {
        Some(Reach::Application(self.app))
    }

    fn apply(self, at: &At<'_>, txn: &mut Txn<'_>) -> Result<Changed<Job>, Error> {
        let found = job::get(txn, self.number)?.filter(|job| job.target.app == self.app);
        let old = found.ok_or(Error::NotFound("background task"))?;
        if matches!(old.kind, JobKind::PurgeEndpoint | JobKind::PurgeApplication) {
            return Err(Error::Conflict("the removal of what is deleted cannot be cancelled".into()));
        }
        if old.status.is_over() {
            return Ok(Changed::Nothing(old));
        }
        let new = Job { status: JobStatus::Cancelled, updated_at: at.now, ..old.clone() };
        job::put(txn, &new)?;
        Ok(Changed::Updated { old, new })
    }
}

impl Repeatable for CancelJob {
    fn place(&self, _: &Txn<'_>) -> Result<(AppId, String), Error> {
        Ok((self.app, format!("cancel/{}", self.number)))
    }

    fn number(changed: &Job) -> u64 {
        changed.number.into()
    }

    fn again(&self, number: u64, _: &At<'_>, txn: &Txn<'_>) -> Result<Option<Job>, Error> {
        again(number, txn)
    }
}

/// The job that an earlier request with the same idempotency key started or ended.
fn again(number: u64, txn: &Txn<'_>) -> Result<Option<Job>, Error> {
    let Ok(number) = u32::try_from(number) else { return Ok(None) };
    Ok(job::get(txn, number)?)
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
        let (of, most) = ("jobs of an application that run or wait for their time", quotas.running_jobs);
        return Err(Error::QuotaExceeded { quota: "running_jobs", of, most, again_after_s: Some(1) });
    }
    check_quota("jobs", "jobs of an application, ended ones that are kept included", kept, quotas.jobs)
}
