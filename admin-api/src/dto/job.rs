//! Jobs: work over many deliveries that outlives its request. Clients call them background tasks.
//!
//! Deliberately no way to cancel one yet.

use crate::dto::status::{BackgroundTaskStatus, task_name};
use crate::dto::timestamp::Timestamp;
use model::Job;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A span of time to recover.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RecoverIn {
    /// From when on messages were taken.
    pub(crate) since: Timestamp,
    /// Until when. Default: now.
    pub(crate) until: Option<Timestamp>,
}

/// A job, with its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackgroundTaskOut {
    pub(crate) id: String,
    pub(crate) status: BackgroundTaskStatus,
    pub(crate) task: &'static str,
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
