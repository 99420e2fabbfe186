//! Jobs: work over many deliveries that outlives its request. Clients call them background tasks.
//!
//! Deliberately no way to cancel one yet.

use crate::dto::status::{BackgroundTaskStatus, job_word, task_name};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use crate::validate::Checks;
use model::Job;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A span of time to recover or replay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverIn {
    /// From when on messages were taken.
    pub(crate) since: Timestamp,
    /// Until when. Default: now.
    pub(crate) until: Option<Timestamp>,
}

/// A span of time to replay, delivered or not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkReplayIn {
    /// From when on messages were taken.
    since: Timestamp,
    /// Until when. Default: now.
    until: Option<Timestamp>,
    /// Filters of clients that Pinion does not have: refused rather than ignored.
    event_types: Option<Vec<String>>,
    channel: Option<String>,
    tag: Option<String>,
    status: Option<u8>,
    status_code_class: Option<u16>,
}

impl BulkReplayIn {
    /// The span of time.
    ///
    /// # Errors
    /// 422 for filters: a replay of more than was asked for cannot be taken back.
    pub(crate) fn into_span(self) -> Result<RecoverIn, ApiError> {
        let mut checks = Checks::of("body");
        let filters = [
            ("eventTypes", self.event_types.is_some()),
            ("channel", self.channel.is_some()),
            ("tag", self.tag.is_some()),
            ("status", self.status.is_some()),
            ("statusCodeClass", self.status_code_class.is_some()),
        ];
        for (field, _) in filters.into_iter().filter(|(_, is_given)| *is_given) {
            checks.wrong(&[field], "is not supported: a replay is of all that matches", "value_error.unsupported");
        }
        checks.finish()?;
        Ok(RecoverIn { since: self.since, until: self.until })
    }
}

/// A job, with its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackgroundTaskOut {
    pub(crate) id: String,
    pub(crate) status: BackgroundTaskStatus,
    /// The nearest of the words that clients know.
    pub(crate) task: &'static str,
    /// What it does: `recover`, `replay_missing`, `replay`, `redrive_dead_letters`, `purge_dead_letters`,
    /// `purge_endpoint` or `purge_application`.
    kind: &'static str,
    updated_at: Timestamp,
    data: JobProgress,
}

/// How far a job has come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobProgress {
    /// Messages up to this place in the log were looked at.
    position: u64,
    /// The last place that will be looked at.
    last: u64,
    /// Deliveries put back in line, or removed.
    affected: u64,
    created_at: Timestamp,
}

impl From<&Job> for BackgroundTaskOut {
    fn from(job: &Job) -> BackgroundTaskOut {
        BackgroundTaskOut {
            id: job.public_id(),
            status: job.status.into(),
            task: task_name(job.kind),
            kind: job_word(job.kind),
            updated_at: Timestamp(job.updated_at),
            data: JobProgress {
                position: job.position.0,
                last: job.last.0,
                affected: job.affected,
                created_at: Timestamp(job.created_at),
            },
        }
    }
}
