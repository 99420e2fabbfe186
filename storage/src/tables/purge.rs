//! Removal of the rows that are left of a deleted application, kind by kind.
//!
//! Deliberately by key alone: nothing is decoded, so nothing that is damaged stays.

use crate::read::Read;
use crate::rows::{self, KeyKind};
use crate::store::{Direction, StoreError};
use crate::tables::{count, remove_found, scan};
use crate::txn::{Growth, Txn};
use model::AppId;

/// Payloads removed in one step: they may be long.
const PAYLOADS_AT_ONCE: usize = 8;

/// Removes up to `limit` rows of a deleted application; answers how many it removed. None means that nothing is left.
///
/// # Errors
/// Whatever the store reports.
pub fn application(txn: &mut Txn<'_>, app: AppId, limit: usize) -> Result<usize, StoreError> {
    let mut removed = 0;
    // Its own row went when it was deleted.
    for kind in KeyKind::of_apps().filter(|kind| *kind != KeyKind::Application) {
        let most = if kind == KeyKind::Payload { PAYLOADS_AT_ONCE } else { usize::MAX };
        let rows = scan(txn, &rows::key::of_app(kind, app), most.min(limit - removed), Direction::Forward)?;
        removed += rows.len();
        for (key, found) in rows {
            match kind {
                KeyKind::Event | KeyKind::Payload | KeyKind::EventUid => {
                    remove_found(txn, key, &found, Growth::events);
                }
                KeyKind::AttemptFirst | KeyKind::AttemptLater | KeyKind::AttemptLaterBySeq => {
                    remove_found(txn, key, &found, Growth::attempts);
                }
                _ => txn.delete(key),
            }
        }
        if removed == limit {
            return Ok(removed);
        }
    }
    // The loop above removed rows by their keys alone, past the tables that count them.
    Ok(removed + count::forget_kept(txn, app)?)
}

/// The first endpoint beyond `after` that has a row of this kind, whose keys begin with application and endpoint: one
/// seek, however many rows it has.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn next_endpoint(
    read: &(impl Read + ?Sized),
    kind: KeyKind,
    after: Option<model::EndpointRef>,
) -> Result<Option<model::EndpointRef>, StoreError> {
    let rows = scan(read, &rows::key::beyond_endpoint(kind, after), 1, Direction::Forward)?;
    rows.first().map(|(key, _)| rows::key::endpoint_of(kind, key)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::idempotency::Remembered;
    use crate::tables::testing::{TestStore, target};
    use crate::tables::{dead_letter, delivery, event_uid, idempotency};
    use model::{DeadLetter, DeadLetterReason, Pending, Seq, Trigger, UnixMs};

    #[test]
    fn an_application_goes_in_steps_and_its_neighbour_stays() {
        let store = TestStore::default();
        let pending = Pending { attempts: 1, due: UnixMs(1), last_outcome: None, trigger: Trigger::Scheduled };
        let reason = DeadLetterReason::Rejected;
        let letter = DeadLetter { at: UnixMs(1), attempts: 1, reason, last_outcome: None, last_status: 400 };
        let (accepted_at, expires_at) = (UnixMs(1), UnixMs(2));
        let key = Remembered { seq: Seq(1), accepted_at, fingerprint: [0; 16], expires_at };
        for app in [1, 2] {
            store.write(|txn| {
                for seq in 1..=5 {
                    event_uid::put(txn, AppId(app), &format!("name {seq}"), Seq(seq))?;
                    delivery::put_pending(txn, target(app, 1), Seq(seq), None, &pending);
                }
                delivery::put_routed(txn, AppId(app), Seq(5));
                dead_letter::put(txn, target(app, 1), Seq(6), &letter)?;
                idempotency::find(txn, AppId(app), "key")?.remember(txn, &key, 1).map(|taken| assert!(taken))
            });
        }
        let rows = store.row_count();
        let mut steps = Vec::new();
        while steps.last() != Some(&0) {
            store.write(|txn| {
                steps.push(application(txn, AppId(1), 6)?);
                Ok(())
            });
        }
        assert_eq!(steps, [6, 6, 6, 3, 0]);
        assert_eq!(store.row_count(), rows / 2);
        assert_eq!(delivery::routed(&store, AppId(1)).unwrap(), Seq(0));
        assert_eq!(next_endpoint(&store, KeyKind::Pending, None).unwrap(), Some(target(2, 1)));
        assert_eq!(next_endpoint(&store, KeyKind::Pending, Some(target(2, 1))).unwrap(), None);
    }
}
