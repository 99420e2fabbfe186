//! Attempts, and messages and endpoints seen through their deliveries.
//!
//! `MessageAttemptOut`, `EndpointMessageOut` (messages of an endpoint), `MessageEndpointOut` (endpoints of a message),
//! `EndpointStats`.

use crate::dto::endpoint::EndpointOut;
use crate::dto::message_answer::MessageOut;
use crate::dto::status::{MessageStatus, trigger_number};
use crate::dto::timestamp::Timestamp;
use control::query::attempt::Attempt;
use control::query::endpoint_state::Stats;
use control::query::message::Destination;
use control::query::status::{Standing, of_attempt};
use model::AnswerNote;
use model::id::attempt_id;
use serde::Serialize;
use utoipa::ToSchema;

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptOut {
    pub(crate) id: String,
    msg_id: String,
    endpoint_id: String,
    /// The URL that the attempt called, without user info; empty when it is not known any more.
    url: String,
    /// The start of the response body, or the error in words; empty when not asked for, `EXPUNGED` when it
    /// was expunged.
    response: String,
    /// 0 when there was no answer.
    response_status_code: u16,
    response_duration_ms: u32,
    status: MessageStatus,
    status_text: &'static str,
    /// 0 by the schedule, 1 by hand.
    trigger_type: u8,
    timestamp: Timestamp,
    /// Which attempt of its delivery, from 1.
    attempt: u16,
    /// Its outcome, in our words.
    outcome: &'static str,
    /// A defect of an answer whose status counts all the same: it broke off, came too late, or is malformed behind
    /// its status line. Null when it had no defect, or there was no answer.
    note: Option<&'static str>,
    /// When the next attempt is due, if one is.
    next_attempt: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<MessageOut>,
}

impl MessageAttemptOut {
    /// One attempt, with its response or without.
    pub(crate) fn of(attempt: &Attempt, with_content: bool) -> Self {
        let Attempt { record, event, endpoint, url } = attempt;
        let status = MessageStatus(of_attempt(record));
        let response =
            if with_content { String::from_utf8_lossy(&record.response).into_owned() } else { String::new() };
        MessageAttemptOut {
            id: attempt_id(endpoint.id, record.seq, record.started_at),
            msg_id: event.message_id(),
            endpoint_id: endpoint.public_id(),
            url: url.clone().unwrap_or_default(),
            response,
            response_status_code: record.status,
            response_duration_ms: record.duration_ms,
            status,
            status_text: status.text(),
            trigger_type: trigger_number(record.trigger),
            timestamp: Timestamp(record.started_at),
            attempt: record.attempt,
            outcome: record.outcome.as_str(),
            note: record.note.map(AnswerNote::as_str),
            next_attempt: record.next_attempt_at.map(Timestamp),
            msg: None,
        }
    }

    /// With the message inside.
    pub(crate) fn with_message(self, message: MessageOut) -> MessageAttemptOut {
        MessageAttemptOut { msg: Some(message), ..self }
    }
}

/// A message and how its delivery to one endpoint stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointMessageOut {
    #[serde(flatten)]
    pub(crate) message: MessageOut,
    pub(crate) status: MessageStatus,
    status_text: &'static str,
    next_attempt: Option<Timestamp>,
}

impl EndpointMessageOut {
    /// A message whose delivery stands so.
    pub(crate) fn of(message: MessageOut, standing: Standing) -> Self {
        let status = MessageStatus(standing.status);
        let next_attempt = standing.next_attempt.map(Timestamp);
        EndpointMessageOut { message, status, status_text: status.text(), next_attempt }
    }
}

/// An endpoint and how the delivery of one message to it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageEndpointOut {
    #[serde(flatten)]
    pub(crate) endpoint: EndpointOut,
    status: MessageStatus,
    status_text: &'static str,
    next_attempt: Option<Timestamp>,
    /// The endpoint was deleted; it is listed for as long as its attempts are kept.
    deleted: bool,
}

impl MessageEndpointOut {
    /// An endpoint of a message.
    pub(crate) fn of(Destination { endpoint, is_deleted, standing }: &Destination) -> Self {
        let status = MessageStatus(standing.status);
        MessageEndpointOut {
            endpoint: endpoint.into(),
            status,
            status_text: status.text(),
            next_attempt: standing.next_attempt.map(Timestamp),
            deleted: *is_deleted,
        }
    }
}

/// The number of an endpoint's deliveries by status. Each message that is listed for the endpoint counts under the
/// status that the list shows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointStats {
    success: u64,
    /// Always 0: a delivery that waits for an attempt is `sending`.
    pending: u64,
    sending: u64,
    fail: u64,
    canceled: u64,
    /// Messages whose attempts are past their retention. It is not known any more if they were for the endpoint, and
    /// how their deliveries ended. They are not listed.
    history_gone: u64,
    /// True if older messages of the period were left out: only the newest 10,000 are counted.
    truncated: bool,
}

impl From<Stats> for EndpointStats {
    fn from(stats: Stats) -> EndpointStats {
        EndpointStats {
            success: stats.success,
            pending: 0,
            sending: stats.sending,
            fail: stats.fail,
            canceled: stats.canceled,
            history_gone: stats.history_gone,
            truncated: stats.is_truncated,
        }
    }
}
