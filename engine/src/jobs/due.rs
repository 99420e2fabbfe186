//! A job that is to begin at a time: it waits for it, and then looks at what there is by then.
//!
//! Such a job does what the same request would do if it were made at that time. So the end of its work is not known
//! before: it is noted when the job begins, in the commit of its first chunk. A job whose time passes while the process
//! is down begins at the next start, and still takes nothing that came after its time.

use model::{AppId, Job, JobKind, JobStatus, Seq, Span, UnixMs};
use storage::tables::log;
use storage::{Read, StoreError};

/// The time that a job waits for; none once it has come. Pure.
pub(super) fn waits_until(row: &Job, now: UnixMs) -> Option<UnixMs> {
    match row.status {
        JobStatus::Pending => row.start_at.filter(|start_at| *start_at > now),
        JobStatus::Running | JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled => None,
    }
}

/// Begins a job whose time has come.
pub(super) fn begin(read: &(impl Read + ?Sized), row: &mut Job) -> Result<(), StoreError> {
    (row.position, row.last) = match row.kind {
        JobKind::Recover(span) | JobKind::ReplayMissing(span) | JobKind::Replay(span) => {
            positions(read, row.target.app, span)?
        }
        JobKind::RedriveDeadLetters
        | JobKind::PurgeDeadLetters
        | JobKind::Erase
        | JobKind::PurgeEndpoint
        | JobKind::PurgeApplication => (Seq::ZERO, log::head(read, row.target.app)?),
    };
    row.status = JobStatus::Running;
    Ok(())
}

/// The positions of an application's log that a span of time covers: the one before its first and its last.
///
/// # Errors
/// Whatever the store reports.
pub fn positions(read: &(impl Read + ?Sized), app: AppId, span: Span) -> Result<(Seq, Seq), StoreError> {
    Ok((log::before_time(read, app, span.since)?, log::before_time(read, app, span.until.plus_ms(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EndpointId, EndpointRef};

    fn job(start_at: Option<u64>) -> Job {
        let target = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };
        Job::new(1, target, JobKind::RedriveDeadLetters, (Seq::ZERO, Seq::ZERO), UnixMs(10))
            .starting_at(start_at.map(UnixMs))
    }

    #[test]
    fn only_a_job_that_has_not_begun_waits_and_only_until_its_time() {
        let waiting = job(Some(500));
        assert_eq!(waits_until(&waiting, UnixMs(499)), Some(UnixMs(500)));
        assert_eq!(waits_until(&waiting, UnixMs(500)), None);
        assert_eq!(waits_until(&Job { status: JobStatus::Cancelled, ..waiting.clone() }, UnixMs(1)), None);
        assert_eq!(
            waits_until(&Job { status: JobStatus::Running, ..waiting }, UnixMs(1)),
            None,
            "the clock was set back"
        );
        assert_eq!(waits_until(&job(None), UnixMs(1)), None);
    }
}
