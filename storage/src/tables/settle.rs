//! The effect of a settlement on the rows: the only place where a delivery ends, is put off or becomes a dead letter.
//!
//! Pure over a transaction. Not the decision itself (that is `engine::outcome`) and not the cursor (that
//! is [`super::progress`], which knows when an endpoint needs none).

use crate::read::Read;
use crate::store::StoreError;
use crate::tables::history::{self, LastRuns};
use crate::tables::{dead_letter, delivery};
use crate::txn::{Txn, Wanted};
use model::{AttemptRecord, DeadLetterReason, EndpointRef, Seq, Settled, Settlement, Trigger, Verdict};

/// The rows that [`apply`] reads, as far as the settlement alone tells.
pub fn want(settlement: &Settlement, last_runs: &LastRuns, wanted: &mut Wanted) {
    let target = settlement.target;
    let mut first: Option<Seq> = None;
    for settled in &settlement.settled {
        match &settled.record {
            Some(record) if is_first_try(settled, record) => {
                first = Some(first.map_or(record.seq, |first| first.min(record.seq)));
            }
            Some(record) => history::want_later(target, record, wanted),
            None => {}
        }
        if has_row(settled) {
            delivery::want_pending(target, settled.seq, wanted);
        }
        if matches!(settled.verdict, Verdict::DeadLetter(_)) {
            dead_letter::want(target, settled.seq, wanted);
        }
    }
    if let Some(first) = first {
        history::want_first(last_runs, target, first, wanted);
    }
}

/// Collects the rows of one endpoint's settlement, but for its cursor.
///
/// # Errors
/// Whatever the store reports while rows are read.
pub fn apply(txn: &mut Txn<'_>, last_runs: &mut LastRuns, settlement: &mut Settlement) -> Result<(), StoreError> {
    let target = settlement.target;
    let mut first_tries: Vec<AttemptRecord> = Vec::new();
    for settled in &mut settlement.settled {
        match settled.record.take() {
            Some(record) if is_first_try(settled, &record) => first_tries.push(record),
            Some(record) => history::put_later(txn, target, record)?,
            None => {}
        }
        move_delivery(txn, target, settled)?;
    }
    if !first_tries.is_empty() {
        history::put_first(txn, last_runs, target, first_tries)?;
    }
    if let Some(expired) = settlement.expired {
        delivery::add_expired(txn, target, expired)?;
    }
    if let Some(health) = &settlement.health {
        delivery::put_health(txn, target, health);
    }
    Ok(())
}

/// True if the record belongs among the first attempts, which are packed.
fn is_first_try(settled: &Settled, record: &AttemptRecord) -> bool {
    settled.was_due.is_none() && record.trigger == Trigger::Scheduled
}

/// True if the delivery may have a row, or gets one. On the happy path it has none and is settled by the cursor alone.
fn has_row(settled: &Settled) -> bool {
    settled.was_due.is_some() || settled.verdict != Verdict::Done
}

/// Moves one delivery.
///
/// A row with another due time than that of this attempt is left alone: a user asked for the delivery by hand
/// meanwhile, and that attempt is still to come. A row that was not found before, but has come since, is left alone
/// too. An index row without its delivery is removed.
fn move_delivery(txn: &mut Txn<'_>, target: EndpointRef, settled: &mut Settled) -> Result<(), StoreError> {
    let seq = settled.seq;
    if !has_row(settled) {
        return Ok(());
    }
    let row = match settled.was_due {
        Some(was) => delivery::pending_at(txn, target, seq, was)?,
        None => delivery::pending(txn, target, seq)?,
    };
    if row.as_ref().map(|row| row.due) != settled.was_due {
        if let Some(was) = settled.was_due {
            delivery::remove_due(txn, target, was, seq);
        }
        if settled.verdict == Verdict::Done && row.is_none() {
            forget_expunged(txn, target, seq)?;
        }
        return Ok(());
    }
    if let (Verdict::DeadLetter(letter), Some(row)) = (&mut settled.verdict, &row)
        && letter.last_outcome.is_none()
    {
        // Given up without another attempt: its row holds all that is known of it.
        letter.attempts = row.attempts;
        letter.last_outcome = row.last_outcome;
    }
    match &settled.verdict {
        Verdict::Cancelled => {}
        Verdict::Retry(pending) => delivery::put_pending(txn, target, seq, settled.was_due, pending),
        verdict => {
            if let Some(was) = settled.was_due {
                delivery::remove_pending(txn, target, seq, was);
            }
            if let Verdict::DeadLetter(letter) = verdict {
                dead_letter::put(txn, target, seq, letter)?;
            }
        }
    }
    Ok(())
}

/// Forgets the dead letter of a retry that was in flight when its event was expunged, and succeeded: it is no failure.
fn forget_expunged(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq) -> Result<(), StoreError> {
    let letter = dead_letter::get(txn, target, seq)?;
    if letter.is_some_and(|letter| letter.reason == DeadLetterReason::Expunged) {
        dead_letter::remove(txn, target, seq)?;
    }
    Ok(())
}

/// True if this endpoint still has a cursor or a waiting delivery: tests show with it that nothing is left behind.
///
/// # Errors
/// Whatever the store reports.
pub fn has_outstanding(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<bool, StoreError> {
    Ok(delivery::cursor(read, target)?.is_some() || !delivery::list_due(read, target, None, 1)?.is_empty())
}

#[cfg(test)]
mod tests;
