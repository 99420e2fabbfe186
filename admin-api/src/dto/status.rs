//! The status of deliveries, attempts and jobs, in the numbers and words that clients know.
//!
//! Deliberately no word of our own: an unknown one makes strict clients fail.

use control::query::status::StatusFilter;
use model::{DeliveryStatus, JobKind, JobStatus, Trigger};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The status of a delivery or an attempt: 0 success, 1 pending, 2 fail, 3 sending, 4 canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageStatus(pub(crate) DeliveryStatus);

impl MessageStatus {
    /// By number.
    const ALL: [DeliveryStatus; 5] = [
        DeliveryStatus::Success,
        DeliveryStatus::Pending,
        DeliveryStatus::Fail,
        DeliveryStatus::Sending,
        DeliveryStatus::Canceled,
    ];

    fn number(self) -> u8 {
        match self.0 {
            DeliveryStatus::Success => 0,
            DeliveryStatus::Pending => 1,
            DeliveryStatus::Fail => 2,
            DeliveryStatus::Sending => 3,
            DeliveryStatus::Canceled => 4,
        }
    }

    /// The word.
    pub(crate) fn text(self) -> &'static str {
        match self.0 {
            DeliveryStatus::Success => "success",
            DeliveryStatus::Pending => "pending",
            DeliveryStatus::Fail => "fail",
            DeliveryStatus::Sending => "sending",
            DeliveryStatus::Canceled => "canceled",
        }
    }
}

/// The filter of a list by status.
pub(crate) fn status_filter(wanted: Option<MessageStatus>, is_expanded: bool) -> StatusFilter {
    StatusFilter { wanted: wanted.map(|MessageStatus(status)| status), is_expanded }
}

impl PartialSchema for MessageStatus {
    fn schema() -> RefOr<Schema> {
        let numbers = MessageStatus::ALL.map(|status| MessageStatus(status).number());
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .enum_values(Some(numbers))
            .description(Some("0 success, 1 pending, 2 fail, 3 sending, 4 canceled"))
            .into()
    }
}

impl ToSchema for MessageStatus {}

impl Serialize for MessageStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for MessageStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MessageStatus, D::Error> {
        let number = u8::deserialize(deserializer)?;
        let known = MessageStatus::ALL.get(usize::from(number));
        known.copied().map(MessageStatus).ok_or_else(|| D::Error::custom("must be 0, 1, 2, 3 or 4"))
    }
}

/// HTTP statuses by hundreds; 0 stands for attempts without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = u16, example = 500)]
pub(crate) struct StatusCodeClass(pub(crate) u16);

impl<'de> Deserialize<'de> for StatusCodeClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StatusCodeClass, D::Error> {
        match u16::deserialize(deserializer)? {
            class @ (0 | 100 | 200 | 300 | 400 | 500) => Ok(StatusCodeClass(class)),
            _ => Err(D::Error::custom("must be 0, 100, 200, 300, 400 or 500")),
        }
    }
}

/// Why an attempt was made: 0 by the schedule, 1 by hand.
pub(crate) fn trigger_number(trigger: Trigger) -> u8 {
    match trigger {
        Trigger::Scheduled | Trigger::LastAtPrimary | Trigger::LastAtBackup => 0,
        Trigger::Manual => 1,
    }
}

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackgroundTaskStatus {
    /// Waits for its `startAt`.
    Pending,
    /// Goes on.
    Running,
    /// Is done.
    Finished,
    /// Ended early.
    Failed,
    /// Ended early by a caller.
    Cancelled,
}

impl From<JobStatus> for BackgroundTaskStatus {
    fn from(status: JobStatus) -> BackgroundTaskStatus {
        match status {
            JobStatus::Pending => BackgroundTaskStatus::Pending,
            JobStatus::Running => BackgroundTaskStatus::Running,
            JobStatus::Finished => BackgroundTaskStatus::Finished,
            JobStatus::Failed => BackgroundTaskStatus::Failed,
            JobStatus::Cancelled => BackgroundTaskStatus::Cancelled,
        }
    }
}

/// The name of a job's kind in words that clients know: the one of theirs that is nearest to it.
pub(crate) fn task_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Recover(_) | JobKind::RedriveDeadLetters => "endpoint.recover",
        JobKind::ReplayMissing(_) => "endpoint.replay",
        JobKind::Replay(_) => "endpoint.bulk-replay",
        JobKind::PurgeDeadLetters | JobKind::Erase | JobKind::PurgeEndpoint | JobKind::PurgeApplication => {
            "application.purge_content"
        }
    }
}

/// True if a job puts deliveries back in line; else it removes rows.
pub(crate) fn puts_in_line(kind: JobKind) -> bool {
    match kind {
        JobKind::Recover(_) | JobKind::ReplayMissing(_) | JobKind::Replay(_) | JobKind::RedriveDeadLetters => true,
        JobKind::PurgeDeadLetters | JobKind::Erase | JobKind::PurgeEndpoint | JobKind::PurgeApplication => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_by_the_number_that_it_is_written_with() {
        for status in MessageStatus::ALL.map(MessageStatus) {
            let text = serde_json::to_string(&status).unwrap();
            assert_eq!(serde_json::from_str::<MessageStatus>(&text).unwrap(), status);
        }
        assert!(serde_json::from_str::<MessageStatus>("5").is_err());
        assert!(serde_json::from_str::<StatusCodeClass>("400").is_ok());
        assert!(serde_json::from_str::<StatusCodeClass>("404").is_err());
    }
}
