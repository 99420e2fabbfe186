//! Jobs: work over many deliveries that outlives its request. Clients call them background tasks.
//!
//! Deliberately no way to cancel one yet.

use crate::dto::status::{BackgroundTaskStatus, job_word, puts_in_line, task_name};
use crate::dto::timestamp::Timestamp;
use crate::error::ApiError;
use control::checks::Checks;
use model::{Job, SkipReason, Skipped};
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
    // Filters of clients that Pinion does not have: refused rather than ignored.
    /// Not supported.
    event_types: Option<Vec<String>>,
    /// Not supported.
    channel: Option<String>,
    /// Not supported.
    tag: Option<String>,
    /// Not supported.
    status: Option<u8>,
    /// Not supported.
    status_code_class: Option<u16>,
}

impl BulkReplayIn {
    /// The span of time.
    ///
    /// # Errors
    /// 422 for filters: a replay of more than was asked for cannot be taken back.
    pub(crate) fn into_span(self) -> Result<RecoverIn, ApiError> {
        let mut checks = Checks::default();
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
    /// The kind of job: `recover`, `replay_missing`, `replay`, `redrive_dead_letters`, `purge_dead_letters`,
    /// `purge_endpoint` or `purge_application`.
    kind: &'static str,
    updated_at: Timestamp,
    data: JobProgress,
}

/// The progress of a job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobProgress {
    /// Messages up to this place in the log were looked at.
    position: u64,
    /// The last place that will be looked at.
    last: u64,
    /// Deliveries put back in line, or removed.
    affected: u64,
    /// Deliveries looked at: those in `affected` and those in `skipped`.
    looked_at: u64,
    /// Deliveries put back in line; 0 for a task that removes.
    queued: u64,
    skipped: SkippedOut,
    created_at: Timestamp,
}

/// Deliveries that a task left as they are, by reason.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkippedOut {
    total: u64,
    /// They were delivered.
    delivered: u64,
    /// They wait for their first attempt or for another one.
    on_its_way: u64,
    /// They were tried and given up: `recover` sends them.
    given_up: u64,
    /// The endpoint's filter does not let the message pass now.
    not_matched: u64,
    /// The message was not for the endpoint when it was taken.
    never_for_it: u64,
    /// The attempts are past their retention: whether it was delivered is not known any more.
    history_gone: u64,
    /// The message is past its retention.
    message_gone: u64,
    /// The payload was removed on request.
    payload_gone: u64,
    /// The endpoint was disabled while the task ran.
    endpoint_disabled: u64,
    /// The message is past its own expiry.
    past_expiry: u64,
    /// The message was scheduled, and called off.
    called_off: u64,
}

impl From<&Skipped> for SkippedOut {
    fn from(skipped: &Skipped) -> SkippedOut {
        SkippedOut {
            total: skipped.total(),
            delivered: skipped.of(SkipReason::Delivered),
            on_its_way: skipped.of(SkipReason::OnItsWay),
            given_up: skipped.of(SkipReason::GivenUp),
            not_matched: skipped.of(SkipReason::NotMatched),
            never_for_it: skipped.of(SkipReason::NeverForIt),
            history_gone: skipped.of(SkipReason::HistoryGone),
            message_gone: skipped.of(SkipReason::MessageGone),
            payload_gone: skipped.of(SkipReason::PayloadGone),
            endpoint_disabled: skipped.of(SkipReason::EndpointDisabled),
            past_expiry: skipped.of(SkipReason::PastExpiry),
            called_off: skipped.of(SkipReason::CalledOff),
        }
    }
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
                looked_at: job.looked_at,
                queued: if puts_in_line(job.kind) { job.affected } else { 0 },
                skipped: (&job.skipped).into(),
                created_at: Timestamp(job.created_at),
            },
        }
    }
}
