//! Dead letters: deliveries that were given up, with the reason.
//!
//! Deliberately no list of attempts: that is the history's.

use crate::dto::timestamp::Timestamp;
use model::{DeadLetter, Event};
use serde::Serialize;
use utoipa::ToSchema;

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterOut {
    msg_id: String,
    event_type: String,
    event_id: Option<String>,
    /// When the message was taken.
    timestamp: Timestamp,
    /// When the delivery was given up.
    failed_at: Timestamp,
    /// Attempts made in its last round.
    attempts: u16,
    /// `attempts_exhausted`, `rejected`, `gone`, `endpoint_disabled` or `expired`.
    reason: &'static str,
    /// What the last attempt showed, if there was one.
    last_outcome: Option<&'static str>,
    /// The last HTTP status; 0 when there was none.
    last_status_code: u16,
}

impl DeadLetterOut {
    /// The dead letter of `event`.
    pub(crate) fn of(event: &Event, letter: &DeadLetter) -> DeadLetterOut {
        DeadLetterOut {
            msg_id: event.message_id(),
            event_type: event.event_type.to_string(),
            event_id: event.event_id.as_deref().map(str::to_owned),
            timestamp: Timestamp(event.accepted_at),
            failed_at: Timestamp(letter.at),
            attempts: letter.attempts,
            reason: letter.reason.as_str(),
            last_outcome: letter.last_outcome.map(model::OutcomeClass::as_str),
            last_status_code: letter.last_status,
        }
    }
}
