//! Rows that others can be told from: names of applications and endpoints, their days of dead letters, and waiting
//! deliveries by their time.

use model::{Pending, Trigger, Urgency};

use super::super::report::Report;
use super::{commit, pages};
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Store, StoreError};
use crate::tables::dead_letter::kept;
use crate::tables::{application, delivery, endpoint};

/// Mends them all.
pub(super) fn mend(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    names(store, report)?;
    days_of_dead_letters(store, report)?;
    due_without_pending(store, report)?;
    pending_without_due(store, report)
}

fn names(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let mut named = 0;
    pages(store, KeyRange::prefix(vec![KeyKind::Application as u8]), |rows| {
        for (_, value) in rows {
            let Ok(row) = rows::application::from_value(value) else { continue };
            let Some(uid) = &row.uid else { continue };
            if application::by_uid(store, uid)?.is_none() {
                named += 1;
                commit(store, |txn| application::put(txn, &row))?;
            }
        }
        Ok(())
    })?;
    pages(store, KeyRange::prefix(vec![KeyKind::Endpoint as u8]), |rows| {
        for (_, value) in rows {
            let Ok(row) = rows::endpoint::from_value(value) else { continue };
            let Some(uid) = &row.uid else { continue };
            if endpoint::by_uid(store, row.app, uid)?.is_none() {
                named += 1;
                let key = rows::endpoint_uid::encode(row.app, uid);
                commit(store, |txn| {
                    txn.put(key, rows::endpoint_uid::to_value(&row.id));
                    Ok(())
                })?;
            }
        }
        Ok(())
    })?;
    report.mended(named, "names of applications and endpoints");
    Ok(())
}

fn days_of_dead_letters(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let mut mended = 0;
    pages(store, KeyRange::prefix(vec![KeyKind::Application as u8]), |rows| {
        commit(store, |txn| {
            for row in rows.iter().filter_map(|(_, value)| rows::application::from_value(value).ok()) {
                mended += u64::from(kept::mend_of_app(txn, row.id, row.policy.dead_letter_retention_days)?);
            }
            Ok(())
        })
    })?;
    pages(store, KeyRange::prefix(vec![KeyKind::Endpoint as u8]), |rows| {
        commit(store, |txn| {
            for row in rows.iter().filter_map(|(_, value)| rows::endpoint::from_value(value).ok()) {
                mended += u64::from(kept::mend(txn, row.target(), row.dead_letter_retention_days)?);
            }
            Ok(())
        })
    })?;
    report.mended(mended, "entries of how long dead letters are kept");
    Ok(())
}

/// A waiting delivery whose row is lost begins anew; if no row can be lost, the entry is left over from a lost
/// commit.
fn due_without_pending(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let (mut begun_anew, mut removed) = (0, 0);
    pages(store, KeyRange::prefix(vec![KeyKind::Due as u8]), |rows| {
        commit(store, |txn| {
            for (key, value) in rows {
                let (target, due, seq) = rows::due::decode(key)?;
                match delivery::pending(store, target, seq) {
                    Ok(Some(row)) if row.due == due => {}
                    Ok(None) if report.is_lost(&rows::pending::encode(target, seq)) => {
                        let by_hand = rows::due::from_value(value) == Urgency::Manual;
                        let trigger = if by_hand { Trigger::Manual } else { Trigger::Scheduled };
                        let row = Pending { attempts: 0, due, last_outcome: None, trigger };
                        delivery::put_pending(txn, target, seq, None, &row);
                        begun_anew += 1;
                    }
                    Ok(_) => {
                        delivery::remove_due(txn, target, due, seq);
                        removed += 1;
                    }
                    // The engine takes it for one that begins anew.
                    Err(StoreError::CorruptRow { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    })?;
    report.mended(begun_anew, "waiting deliveries, whose attempts count from the beginning again");
    report.mended(removed, "entries of waiting deliveries that are none, removed");
    Ok(())
}

fn pending_without_due(store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let mut found = 0;
    pages(store, KeyRange::prefix(vec![KeyKind::Pending as u8]), |rows| {
        commit(store, |txn| {
            for (key, _) in rows {
                let (target, seq) = rows::pending::decode(key)?;
                let Ok(Some(row)) = delivery::pending(store, target, seq) else { continue };
                if store.get(&rows::due::encode(target, row.due, seq))?.is_none() {
                    delivery::put_pending(txn, target, seq, None, &row);
                    found += 1;
                }
            }
            Ok(())
        })
    })?;
    report.mended(found, "waiting deliveries put back in line");
    Ok(())
}
