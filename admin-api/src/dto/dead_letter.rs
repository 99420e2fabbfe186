//! Dead letters: deliveries that were given up, with the reason.
//!
//! The attempts are in the history.

use crate::dto::timestamp::Timestamp;
use control::query::dead_letter::{AppLetter, LetterCount, ListedLetter};
use engine::dispatch::masked;
use model::OutcomeClass;
use model::id::IdKind;
use serde::Serialize;
use std::collections::BTreeMap;
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
    /// `attempts_exhausted`, `rejected`, `gone`, `endpoint_disabled`, `expired` or `expunged`.
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

/// A delivery that was given up, with its endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppDeadLetterOut {
    endpoint_id: String,
    endpoint_uid: Option<String>,
    /// The present URL of the endpoint; user name and password are shown as `***`.
    url: String,
    /// The error of the last attempt in words, or the beginning of its answer; at most 256 characters.
    error: Option<String>,
    #[serde(flatten)]
    letter: DeadLetterOut,
}

impl AppDeadLetterOut {
    /// A dead letter of any endpoint.
    pub(crate) fn of(AppLetter { endpoint, letter, error }: &AppLetter) -> AppDeadLetterOut {
        AppDeadLetterOut {
            endpoint_id: endpoint.public_id(),
            endpoint_uid: endpoint.uid.clone(),
            url: masked(&endpoint.url).into_owned(),
            error: error.clone(),
            letter: DeadLetterOut::of(letter),
        }
    }
}

/// The number of dead letters of an application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterCountOut {
    /// All of them, exactly.
    total: u32,
    /// By reason, of the `looked_at` that were given up last.
    by_reason: BTreeMap<&'static str, u64>,
    /// The number that `byReason` is of: all, or 10,000 of more.
    looked_at: u64,
}

impl From<LetterCount> for DeadLetterCountOut {
    fn from(count: LetterCount) -> DeadLetterCountOut {
        let by_reason = count.by_reason.into_iter().map(|(reason, count)| (reason.as_str(), count)).collect();
        DeadLetterCountOut { total: count.total, by_reason, looked_at: count.looked_at }
    }
}
