//! How deliveries, attempts and jobs stand, in the numbers and words that clients know.
//!
//! Deliberately no word of our own: an unknown one makes strict clients fail.

use crate::dto::timestamp::Timestamp;
use engine::DeliveryState;
use model::{AttemptRecord, JobKind, JobStatus, OutcomeClass, Trigger};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// How a delivery or an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageStatus {
    /// 0: delivered.
    Success,
    /// 1: among the endpoints of a message: no attempt yet, or one that was asked for by hand is to come.
    Pending,
    /// 2: given up; an attempt: failed; among the endpoints of a message: the last attempt failed.
    Fail,
    /// 3: among the messages of an endpoint: on its way, with the time of the next attempt once there was one.
    Sending,
    /// 4: not sent, because the endpoint was disabled. Only for clients that ask for expanded statuses.
    Canceled,
}

impl MessageStatus {
    const ALL: [MessageStatus; 5] = [
        MessageStatus::Success,
        MessageStatus::Pending,
        MessageStatus::Fail,
        MessageStatus::Sending,
        MessageStatus::Canceled,
    ];

    fn number(self) -> u8 {
        self as u8
    }

    /// The word.
    pub(crate) fn text(self) -> &'static str {
        match self {
            MessageStatus::Success => "success",
            MessageStatus::Pending => "pending",
            MessageStatus::Fail => "fail",
            MessageStatus::Sending => "sending",
            MessageStatus::Canceled => "canceled",
        }
    }

    /// As clients see it that do not know the last one.
    pub(crate) fn plain(self) -> MessageStatus {
        match self {
            MessageStatus::Canceled => MessageStatus::Fail,
            other => other,
        }
    }

    /// As this client sees it.
    pub(crate) fn shown(self, expanded: bool) -> MessageStatus {
        if expanded { self } else { self.plain() }
    }

    /// Whether a filter by `wanted` lets this one through.
    pub(crate) fn passes(self, wanted: Option<MessageStatus>, expanded: bool) -> bool {
        wanted.is_none_or(|wanted| self.shown(expanded) == wanted.shown(expanded))
    }

    /// How a delivery stands, among the messages of an endpoint and in its statistics, and when its next attempt is due.
    /// None when the message was not for the endpoint, or when that is not known any more.
    pub(crate) fn of_delivery(state: &DeliveryState) -> Option<(MessageStatus, Option<Timestamp>)> {
        match state {
            DeliveryState::Delivered => Some((MessageStatus::Success, None)),
            DeliveryState::Waiting(pending) => Some((MessageStatus::Sending, Some(Timestamp(pending.due)))),
            DeliveryState::Queued => Some((MessageStatus::Sending, None)),
            DeliveryState::DeadLettered(_) | DeliveryState::Discarded => Some((MessageStatus::Fail, None)),
            DeliveryState::Cancelled(_) => Some((MessageStatus::Canceled, None)),
            DeliveryState::NotMatched | DeliveryState::HistoryGone => None,
        }
    }

    /// The same among the endpoints of a message, where clients expect what the last attempt came to.
    pub(crate) fn of_destination(state: &DeliveryState) -> Option<(MessageStatus, Option<Timestamp>)> {
        let (status, next_attempt) = MessageStatus::of_delivery(state)?;
        let status = match state {
            DeliveryState::Waiting(pending) if pending.last_outcome.is_some() => MessageStatus::Fail,
            DeliveryState::Waiting(_) | DeliveryState::Queued => MessageStatus::Pending,
            _ => status.plain(),
        };
        Some((status, next_attempt))
    }

    /// What an attempt showed.
    pub(crate) fn of_attempt(record: &AttemptRecord) -> MessageStatus {
        if record.outcome == OutcomeClass::Success { MessageStatus::Success } else { MessageStatus::Fail }
    }
}

impl PartialSchema for MessageStatus {
    fn schema() -> RefOr<Schema> {
        let numbers = MessageStatus::ALL.map(MessageStatus::number);
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
        let known = MessageStatus::ALL.into_iter().find(|status| status.number() == number);
        known.ok_or_else(|| D::Error::custom("must be 0, 1, 2, 3 or 4"))
    }
}

/// HTTP statuses by hundreds; 0 stands for attempts without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(value_type = u16, example = 500)]
pub(crate) struct StatusCodeClass(u16);

impl StatusCodeClass {
    /// Whether a status belongs to this class.
    pub(crate) fn holds(self, status: u16) -> bool {
        status / 100 * 100 == self.0
    }
}

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
        Trigger::Scheduled => 0,
        Trigger::Manual => 1,
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackgroundTaskStatus {
    /// Goes on.
    Running,
    /// Is done.
    Finished,
    /// Ended early.
    Failed,
}

impl From<JobStatus> for BackgroundTaskStatus {
    fn from(status: JobStatus) -> BackgroundTaskStatus {
        match status {
            JobStatus::Running => BackgroundTaskStatus::Running,
            JobStatus::Finished => BackgroundTaskStatus::Finished,
            JobStatus::Failed => BackgroundTaskStatus::Failed,
        }
    }
}

/// What a job does, in words that clients know: what is nearest to it of theirs.
pub(crate) fn task_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Recover(_) | JobKind::RedriveDeadLetters => "endpoint.recover",
        JobKind::ReplayMissing(_) => "endpoint.replay",
        JobKind::Replay(_) => "endpoint.bulk-replay",
        JobKind::PurgeDeadLetters | JobKind::PurgeEndpoint | JobKind::PurgeApplication => "application.purge_content",
    }
}

/// Whether a job puts deliveries back in line; else it removes rows.
pub(crate) fn puts_in_line(kind: JobKind) -> bool {
    match kind {
        JobKind::Recover(_) | JobKind::ReplayMissing(_) | JobKind::Replay(_) | JobKind::RedriveDeadLetters => true,
        JobKind::PurgeDeadLetters | JobKind::PurgeEndpoint | JobKind::PurgeApplication => false,
    }
}

/// What a job does, in our words.
pub(crate) fn job_word(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Recover(_) => "recover",
        JobKind::ReplayMissing(_) => "replay_missing",
        JobKind::Replay(_) => "replay",
        JobKind::RedriveDeadLetters => "redrive_dead_letters",
        JobKind::PurgeDeadLetters => "purge_dead_letters",
        JobKind::PurgeEndpoint => "purge_endpoint",
        JobKind::PurgeApplication => "purge_application",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Pending, UnixMs};

    #[test]
    fn a_delivery_between_two_attempts_is_sending_from_one_side_and_failed_from_the_other() {
        let waits = |last_outcome| {
            DeliveryState::Waiting(Pending { attempts: 1, due: UnixMs(5), last_outcome, trigger: Trigger::Scheduled })
        };
        let (sending, due) = (MessageStatus::Sending, Some(Timestamp(UnixMs(5))));
        for (state, of_endpoint, of_message) in [
            (waits(Some(OutcomeClass::Timeout)), Some((sending, due)), Some((MessageStatus::Fail, due))),
            (waits(None), Some((sending, due)), Some((MessageStatus::Pending, due))),
            (DeliveryState::Queued, Some((sending, None)), Some((MessageStatus::Pending, None))),
            (DeliveryState::NotMatched, None, None),
            (DeliveryState::HistoryGone, None, None),
        ] {
            assert_eq!(MessageStatus::of_delivery(&state), of_endpoint, "{state:?}");
            assert_eq!(MessageStatus::of_destination(&state), of_message, "{state:?}");
            // What is shown is what a filter finds, and nothing else.
            for wanted in MessageStatus::ALL.into_iter().filter(|_| of_endpoint.is_some()) {
                for expanded in [true, false] {
                    assert_eq!(sending.passes(Some(wanted), expanded), wanted == sending, "{wanted:?}");
                }
            }
        }
    }

    #[test]
    fn canceled_is_told_from_failed_to_clients_that_ask_for_it() {
        let numbers = |expanded| MessageStatus::ALL.map(|status| status.shown(expanded).number());
        assert_eq!(numbers(true), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(false), [0, 1, 2, 3, 2]);
        assert!(MessageStatus::Canceled.passes(Some(MessageStatus::Fail), false));
        assert!(!MessageStatus::Canceled.passes(Some(MessageStatus::Fail), true));
    }

    #[test]
    fn a_class_holds_its_hundred() {
        let class: StatusCodeClass = serde_json::from_str("400").unwrap();
        assert!(class.holds(400) && class.holds(499) && !class.holds(500) && !class.holds(0));
        assert!(serde_json::from_str::<StatusCodeClass>("404").is_err());
    }
}
