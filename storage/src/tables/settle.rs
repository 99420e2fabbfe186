//! What a settlement does to the rows: the only place where a delivery ends, is put off or becomes a dead letter.
//!
//! Pure over a transaction. Deliberately not the decision itself (that is `engine::outcome`) and not the cursor (that is
//! [`super::progress`], which knows when an endpoint needs none).

use crate::read::Read;
use crate::store::StoreError;
use crate::tables::{dead_letter, delivery, history};
use crate::txn::Txn;
use model::{AttemptRecord, EndpointRef, Settled, Settlement, Trigger, Verdict};

/// Collects the rows of one endpoint's settlement, but for its cursor.
///
/// # Errors
/// Whatever the store reports while rows are read.
pub fn apply(txn: &mut Txn<'_>, settlement: &mut Settlement) -> Result<(), StoreError> {
    let target = settlement.target;
    let mut first_tries: Vec<AttemptRecord> = Vec::new();
    for settled in &mut settlement.settled {
        let first_try = settled.was_due.is_none();
        match settled.record.take() {
            Some(record) if first_try && record.trigger == Trigger::Scheduled => first_tries.push(record),
            Some(record) => history::put_later(txn, target, record)?,
            None => {}
        }
        move_delivery(txn, target, settled)?;
    }
    if !first_tries.is_empty() {
        history::put_first(txn, target, first_tries)?;
    }
    if let Some(health) = &settlement.health {
        delivery::put_health(txn, target, health);
    }
    Ok(())
}

/// Moves one delivery. A row that says another time than the one this attempt was made for is left alone: someone asked
/// for the delivery by hand meanwhile, and that attempt is still to come. So is one that was looked for and not found,
/// but has come since. An index row without its delivery is removed.
fn move_delivery(txn: &mut Txn<'_>, target: EndpointRef, settled: &mut Settled) -> Result<(), StoreError> {
    let seq = settled.seq;
    if settled.was_due.is_none() && settled.verdict == Verdict::Done {
        return Ok(());
    }
    let row = delivery::pending(txn, target, seq)?;
    if row.as_ref().map(|row| row.due) != settled.was_due {
        if let Some(was) = settled.was_due {
            delivery::remove_due(txn, target, was, seq);
        }
        return Ok(());
    }
    if let (Verdict::DeadLetter(letter), Some(row)) = (&mut settled.verdict, &row)
        && letter.last_outcome.is_none()
    {
        // Given up without another attempt: what is known of it is in its row.
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

/// Whether anything about this endpoint is still stored: used by tests to show that nothing is left behind.
///
/// # Errors
/// Whatever the store reports.
pub fn has_outstanding(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<bool, StoreError> {
    Ok(delivery::cursor(read, target)?.is_some() || !delivery::list_due(read, target, None, 1)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{Cursor, OutcomeClass, Pending, Seq, Settled, UnixMs};

    const SEQ: Seq = Seq(7);

    fn retry(due: u64) -> Verdict {
        let last_outcome = Some(OutcomeClass::Timeout);
        Verdict::Retry(Pending { attempts: 1, due: UnixMs(due), last_outcome, trigger: Trigger::Scheduled })
    }

    fn settle(store: &TestStore, was_due: Option<u64>, verdict: Verdict) {
        let was_due = was_due.map(UnixMs);
        let settled = Settled { seq: SEQ, accepted_at: UnixMs(1), was_due, record: None, verdict };
        let mut settlement = Settlement {
            target: target(1, 1),
            cursor: Cursor::default(),
            settled: vec![settled],
            health: None,
            disable: None,
        };
        store.write(|txn| apply(txn, &mut settlement));
    }

    /// The due time of the row and those of the index.
    fn check(store: &TestStore, row: Option<u64>, index: &[u64]) {
        let pending = delivery::pending(store, target(1, 1), SEQ).unwrap();
        assert_eq!(pending.map(|row| row.due.0), row);
        let due = delivery::list_due(store, target(1, 1), None, 9).unwrap();
        assert_eq!(due.iter().map(|(due, _, _)| due.0).collect::<Vec<_>>(), index);
    }

    #[test]
    fn a_retry_moves_and_ends() {
        let store = TestStore::default();
        settle(&store, None, retry(10));
        check(&store, Some(10), &[10]);
        settle(&store, Some(10), retry(20));
        check(&store, Some(20), &[20]);
        settle(&store, Some(20), Verdict::Done);
        check(&store, None, &[]);
    }

    #[test]
    fn what_was_asked_for_by_hand_meanwhile_stands() {
        for verdict in [Verdict::Done, retry(30), Verdict::Cancelled] {
            for was_due in [None, Some(10)] {
                let store = TestStore::default();
                if was_due.is_some() {
                    settle(&store, None, retry(10));
                }
                store.write(|txn| delivery::requeue(txn, target(1, 1), SEQ, UnixMs(15)));
                settle(&store, was_due, verdict.clone());
                check(&store, Some(15), &[15]);
            }
        }
    }

    #[test]
    fn a_row_that_was_not_found_but_came_since_stands_and_an_entry_without_a_row_goes() {
        let store = TestStore::default();
        settle(&store, None, retry(10));
        settle(&store, Some(10), Verdict::Cancelled);
        check(&store, Some(10), &[10]);
        store.write(|txn| {
            txn.delete(crate::keys::pending::encode(target(1, 1), SEQ));
            Ok(())
        });
        settle(&store, Some(10), Verdict::Cancelled);
        check(&store, None, &[]);
    }
}
