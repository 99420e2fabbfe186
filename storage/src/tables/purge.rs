//! What is left of a deleted application, kind by kind.
//!
//! Deliberately by key alone: nothing is decoded, so nothing that is damaged stays.

use crate::keys::{self, KeyKind};
use crate::read::Read;
use crate::store::{Direction, StoreError};
use crate::tables::{remove_retained, scan};
use crate::txn::{Growth, Txn};
use model::AppId;

/// Kinds whose keys begin with an application's number. The mark of what was routed goes last: nobody may take the
/// application's log for an empty one while there is some of it left.
const KINDS: [KeyKind; 17] = [
    KeyKind::Event,
    KeyKind::Chunk,
    KeyKind::EventUid,
    KeyKind::Endpoint,
    KeyKind::EndpointUid,
    KeyKind::Cursor,
    KeyKind::Pending,
    KeyKind::Due,
    KeyKind::DeadLetter,
    KeyKind::AttemptFirst,
    KeyKind::AttemptLater,
    KeyKind::AttemptLaterBySeq,
    KeyKind::Gap,
    KeyKind::Health,
    KeyKind::Idempotency,
    KeyKind::Expired,
    KeyKind::Routed,
];

/// Removes up to `limit` rows of a deleted application; answers how many it removed. None means that nothing is left.
///
/// # Errors
/// Whatever the store reports.
pub fn application(txn: &mut Txn<'_>, app: AppId, limit: usize) -> Result<usize, StoreError> {
    let mut removed = 0;
    for kind in KINDS {
        let rows = scan(txn, &keys::of_app(kind, app), limit - removed, Direction::Forward)?;
        removed += rows.len();
        for (key, _) in rows {
            match kind {
                KeyKind::Event | KeyKind::Chunk | KeyKind::EventUid => {
                    remove_retained(txn, key, Growth::events)?;
                }
                KeyKind::AttemptFirst | KeyKind::AttemptLater | KeyKind::AttemptLaterBySeq => {
                    remove_retained(txn, key, Growth::attempts)?;
                }
                _ => txn.delete(key),
            }
        }
        if removed == limit {
            break;
        }
    }
    Ok(removed)
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
    let rows = scan(read, &keys::beyond_endpoint(kind, after), 1, Direction::Forward)?;
    rows.first().map(|(key, _)| keys::endpoint_of(kind, key)).transpose()
}
