//! Where one delivery stands, read from what is stored: for the API, never for a decision.
//!
//! A delivery on the happy path has no row, so its state is what is left when no row says otherwise.

use crate::endpoint::filter::Filter;
use model::{DeadLetter, DeadLetterReason, DisabledReason, Endpoint, Event, OutcomeClass, Pending, UnixMs};
use storage::tables::{dead_letter, delivery, history};
use storage::{Read, StoreError};

/// The state of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It was delivered.
    Delivered,
    /// It waits for another attempt.
    Waiting(Pending),
    /// It was not tried yet, or is being tried for the first time.
    Queued,
    /// It was given up.
    DeadLettered(DeadLetter),
    /// It was given up, and its dead letter was deleted.
    Discarded,
    /// It was never tried because the endpoint was disabled.
    Cancelled(DisabledReason),
    /// The event was not for this endpoint.
    NotMatched,
}

/// Reads where the delivery of `event` to `endpoint` stands.
///
/// # Errors
/// Whatever the store reports.
pub fn delivery_state(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    event: &Event,
) -> Result<DeliveryState, StoreError> {
    let (target, seq) = (endpoint.target(), event.seq);
    if let Some(row) = delivery::pending(read, target, seq)? {
        return Ok(if event.is_expunged() { expunged(row.due, row.attempts) } else { DeliveryState::Waiting(row) });
    }
    if let Some(letter) = dead_letter::get(read, target, seq)? {
        return Ok(DeliveryState::DeadLettered(letter));
    }
    let attempts = history::of_message(read, target, seq)?;
    if attempts.iter().any(|attempt| attempt.outcome == OutcomeClass::Success) {
        return Ok(DeliveryState::Delivered);
    }
    if !attempts.is_empty() {
        // Its dead letter is gone: deleted, or put back in line since its row was looked for.
        let again = delivery::pending(read, target, seq)?;
        return Ok(again.map_or(DeliveryState::Discarded, DeliveryState::Waiting));
    }
    let ever_wanted = Filter::of(&Endpoint { active_from: model::Seq::ZERO, ..endpoint.clone() }).matches(event);
    if !ever_wanted {
        return Ok(DeliveryState::NotMatched);
    }
    if let Some((_, gap)) = delivery::gap_before(read, target, seq)?
        && gap.last.is_none_or(|last| seq <= last)
    {
        return Ok(DeliveryState::Cancelled(gap.reason));
    }
    let for_it = seq > endpoint.active_from;
    Ok(match for_it {
        true if event.is_expunged() => expunged(event.accepted_at, 0),
        true => DeliveryState::Queued,
        false => DeliveryState::NotMatched,
    })
}

/// Nothing is left to send: what the delivery becomes when its turn comes.
fn expunged(at: UnixMs, attempts: u16) -> DeliveryState {
    let reason = DeadLetterReason::Expunged;
    DeliveryState::DeadLettered(DeadLetter { at, attempts, reason, last_outcome: None, last_status: 0 })
}
