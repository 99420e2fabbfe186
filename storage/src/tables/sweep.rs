//! A sweep: a look at every row of a kind, some at a time, that removes those which are past.
//!
//! It is for rows that do not lie in the order in which they go. No pace: the caller decides how often.

use crate::rows::KeyRange;
use crate::store::{Direction, StoreError};
use crate::tables::scan;
use crate::txn::Txn;
use bytes::Bytes;

/// The position at which a sweep goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepPosition(Vec<u8>);

/// The result of one step of a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows removed.
    pub removed: u64,
    /// The position to go on from; none at the end: the next sweep begins anew.
    pub next: Option<SweepPosition>,
}

/// Looks at the next `limit` rows of `range` and removes those that `is_past` says are.
pub(super) fn sweep(
    txn: &mut Txn<'_>,
    range: KeyRange,
    position: Option<SweepPosition>,
    limit: usize,
    is_past: impl FnMut(&Txn<'_>, &[u8], &Bytes) -> Result<bool, StoreError>,
) -> Result<Swept, StoreError> {
    sweep_rows(txn, range, position, limit, is_past).map(|(swept, _)| swept)
}

/// As [`sweep`], and answers the rows that it removed: their table keeps a count or an index of them.
pub(super) fn sweep_rows(
    txn: &mut Txn<'_>,
    range: KeyRange,
    position: Option<SweepPosition>,
    limit: usize,
    mut is_past: impl FnMut(&Txn<'_>, &[u8], &Bytes) -> Result<bool, StoreError>,
) -> Result<(Swept, Vec<(Bytes, Bytes)>), StoreError> {
    let range = range.beyond(position.map(|position| position.0), Direction::Forward);
    let rows = scan(txn, &range, limit, Direction::Forward)?;
    let mut removed = Vec::new();
    for (key, value) in &rows {
        // The scan shows the store; a row that this transaction has renewed stays.
        let past = match is_past(txn, key, value) {
            Ok(past) => past,
            // A row that cannot be read stays for the operator to look at, and holds nothing up.
            Err(error) => {
                tracing::warn!(%error, "a row cannot be read and stays");
                false
            }
        };
        if past && txn.seen(key, value).as_ref() == Some(value) {
            txn.delete(key.clone());
            removed.push((key.clone(), value.clone()));
        }
    }
    let full = rows.len() == limit;
    let next = rows.last().filter(|_| full).map(|(key, _)| SweepPosition(key.to_vec()));
    Ok((Swept { removed: removed.len() as u64, next }, removed))
}
