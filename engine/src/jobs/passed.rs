//! Deliveries that a job cannot decide about, because rows that it needs are damaged: it passes them over and says so.
//!
//! So one bad row costs one delivery and not the job. An error that is no damage of a row is not one delivery's: it
//! ends the job, or the partition.

use model::{FailureReason, metric};
use storage::StoreError;
use storage::rows::KeyKind;

/// Why a delivery is passed over.
///
/// # Errors
/// The error itself, if it is not of one delivery.
pub(super) fn reason(error: StoreError) -> Result<FailureReason, StoreError> {
    let StoreError::CorruptRow { kind, detail } = error else { return Err(error) };
    tracing::error!(kind, detail, "a job passes a delivery over: a row is damaged");
    metrics::counter!(metric::DAMAGED_READS).increment(1);
    let is_of_message = [KeyKind::Event, KeyKind::Payload].iter().any(|of| of.name() == kind);
    Ok(if is_of_message { FailureReason::MessageDamaged } else { FailureReason::DeliveryDamaged })
}

/// Why a job ended, in words for the application that it is of: no path, no key and no value.
pub(super) fn in_words(error: &StoreError) -> String {
    match error {
        StoreError::CorruptRow { kind, .. } => format!("a row of kind {kind} is damaged"),
        error if error.is_refusal() => "the store refused a change of it".to_owned(),
        _ => "the store failed".to_owned(),
    }
}
