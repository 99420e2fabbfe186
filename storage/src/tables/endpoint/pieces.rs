//! An endpoint's value in as many rows as it needs: nearly always one. All are written in one batch.

use crate::read::Read;
use crate::rows::endpoint::{self, VALUE_BYTES_MAX, further_pieces};
use crate::rows::{KeyKind, endpoint_part};
use crate::store::{INLINE_MAX_BYTES, StoreError};
use crate::tables::put_value;
use crate::txn::Txn;
use bytes::Bytes;
use model::{Endpoint, EndpointRef};

/// Sets the row and its pieces, and removes those that it no longer has.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large, with nothing written.
pub(super) fn put(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let target = row.target();
    let value = endpoint::to_value(row);
    if value.len() > VALUE_BYTES_MAX {
        return Err(StoreError::ValueTooLarge { bytes: value.len(), most: VALUE_BYTES_MAX });
    }
    let before = pieces_of(txn, target)?;
    let (first, rest) = endpoint::in_pieces(value);
    let pieces = further_pieces(&first);
    put_value(txn, endpoint::encode(target), first)?;
    for (index, piece) in (0..).zip(rest.chunks(INLINE_MAX_BYTES)) {
        put_value(txn, endpoint_part::encode(target, index), Bytes::copy_from_slice(piece))?;
    }
    (pieces..before).for_each(|index| txn.delete(endpoint_part::encode(target, index)));
    Ok(())
}

/// Removes the row and its pieces.
pub(super) fn remove(txn: &mut Txn<'_>, target: EndpointRef) -> Result<(), StoreError> {
    (0..pieces_of(txn, target)?).for_each(|index| txn.delete(endpoint_part::encode(target, index)));
    txn.delete(endpoint::encode(target));
    Ok(())
}

/// The number of further pieces that are stored now.
fn pieces_of(read: &impl Read, target: EndpointRef) -> Result<u16, StoreError> {
    Ok(read.get(&endpoint::encode(target))?.map_or(0, |first| further_pieces(&first)))
}

/// The row.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(super) fn get(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Endpoint>, StoreError> {
    let Some(first) = read.get(&endpoint::encode(target))? else { return Ok(None) };
    let pieces = further_pieces(&first);
    if pieces == 0 {
        return endpoint::from_value(&first).map(Some);
    }
    let mut value = endpoint::beginning_of(&first).to_vec();
    for index in 0..pieces {
        let piece = read.get(&endpoint_part::encode(target, index))?.ok_or_else(|| StoreError::CorruptRow {
            kind: KeyKind::EndpointPart.name(),
            detail: format!("piece {index} of {pieces} is missing"),
        })?;
        value.extend_from_slice(&piece);
    }
    endpoint::from_value(&value).map(Some)
}

/// The row whose first piece a scan found. One in pieces is read anew, so that all of them are of one state; none when
/// it is gone by then.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(crate) fn of_scan(read: &(impl Read + ?Sized), key: &[u8], value: &[u8]) -> Result<Option<Endpoint>, StoreError> {
    match further_pieces(value) {
        0 => endpoint::from_value(value).map(Some),
        _ => get(read, endpoint::decode(key)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Direction;
    use crate::tables::endpoint::{list, put as put_endpoint, remove as remove_endpoint};
    use crate::tables::testing::{TestStore, plain_endpoint, target};
    use model::AppId;

    fn with_text(len: usize) -> Endpoint {
        Endpoint { description: "u".repeat(len), ..plain_endpoint(target(1, 1)) }
    }

    #[test]
    fn a_row_grows_and_shrinks_and_leaves_nothing_behind() {
        let store = TestStore::default();
        for len in [10, 9_000, 100_000, 20_000, 8_192, 8_000, 40_000, 0] {
            let row = with_text(len);
            store.write(|txn| put_endpoint(txn, &row));
            assert_eq!(get(&store, row.target()).unwrap(), Some(row.clone()));
            assert_eq!(
                list(&store, AppId(1), None, 9, Direction::Forward).unwrap().as_slice(),
                std::slice::from_ref(&row)
            );
            let pieces = endpoint::to_value(&row).len().div_ceil(INLINE_MAX_BYTES);
            // The row, its pieces, and the count of endpoints.
            assert!((pieces + 1..=pieces + 2).contains(&store.row_count()), "{len}: {}", store.row_count());
        }
        let long = with_text(50_000);
        store.write(|txn| put_endpoint(txn, &long).and_then(|()| remove_endpoint(txn, &long)));
        assert_eq!(store.row_count(), 0);
    }

    #[test]
    fn a_row_that_is_too_long_is_refused_and_a_piece_that_is_missing_is_damage() {
        let store = TestStore::default();
        store.write(|txn| {
            assert!(put_endpoint(txn, &with_text(VALUE_BYTES_MAX)).unwrap_err().is_refusal());
            Ok(())
        });
        store.write(|txn| {
            put_endpoint(txn, &with_text(30_000))?;
            txn.delete(endpoint_part::encode(target(1, 1), 1));
            Ok(())
        });
        assert!(matches!(get(&store, target(1, 1)), Err(StoreError::CorruptRow { .. })));
    }
}
