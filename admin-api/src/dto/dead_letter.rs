//! Dead letters: deliveries that were given up, with the reason.
//!
//! The attempts are in the history.

use crate::dto::timestamp::Timestamp;
use control::query::dead_letter::ListedLetter;
use model::OutcomeClass;
use model::id::IdKind;
use serde::Serialize;
use utoipa::ToSchema;

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterOut {
    msg_id: String,
    /// Null when the message is past its retention.
    event_type: Option<String>,
    event_id: Option<String>,
    /// When the message was taken.
    timestamp: Option<Timestamp>,
    /// When the delivery was given up.
    failed_at: Timestamp,
    /// Attempts made in its last round.
    attempts: u16,
    /// `attempts_exhausted`, `rejected`, `gone`, `endpoint_disabled`, `expired` (removed by retention), `expunged` or
    /// `past_expiry` (the message's own).
    reason: &'static str,
    /// The outcome of the last attempt, if there was one.
    last_outcome: Option<&'static str>,
    /// The last HTTP status; 0 when there was none.
    last_status_code: u16,
}

impl DeadLetterOut {
    /// A dead letter with its message, which retention may have removed meanwhile.
    pub(crate) fn of(ListedLetter { message, event, letter }: &ListedLetter) -> DeadLetterOut {
        let event = event.as_ref();
        DeadLetterOut {
            msg_id: message.to_text(IdKind::Message),
            event_type: event.map(|event| event.event_type.to_string()),
            event_id: event.and_then(|event| event.event_id.as_deref()).map(str::to_owned),
            timestamp: event.map(|event| Timestamp(event.accepted_at)),
            failed_at: Timestamp(letter.at),
            attempts: letter.attempts,
            reason: letter.reason.as_str(),
            last_outcome: letter.last_outcome.map(OutcomeClass::as_str),
            last_status_code: letter.last_status,
        }
    }
}
