//! An endpoint's row in as many values as it needs: nearly always one.
//!
//! ```text
//! short   the encoded row (its first byte is the codec's version, 1)
//! long    2 · number of further pieces (1 byte) · the beginning of the encoded row      at `endpoint`
//!         what follows, 8 KiB a piece                                                   at `endpoint_part`
//! ```
//! A long URL, long filters and certificates of its own can take more than one value has room for. All pieces are written
//! in one batch.

use crate::codec;
use crate::keys::{KeyKind, endpoint, endpoint_part};
use crate::read::Read;
use crate::store::{MAX_VALUE_BYTES, StoreError};
use crate::tables::put_value;
use crate::txn::Txn;
use bytes::Bytes;
use model::{Endpoint, EndpointRef};

/// Bytes of an encoded row at most.
pub const ROW_BYTES_MAX: usize = 128 * 1024;

/// The first byte of a row in pieces. Persisted: never reuse it as a version of the codec.
const IN_PIECES: u8 = 2;
/// That, and the number of further pieces.
const LEAD_BYTES: usize = 2;

/// Sets the row and its pieces, and removes those that it no longer has.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large, with nothing written.
pub(super) fn put(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let target = row.target();
    let whole = codec::encode(row);
    if whole.len() > ROW_BYTES_MAX {
        return Err(StoreError::ValueTooLarge { bytes: whole.len() });
    }
    let before = txn.get(&endpoint::encode(target))?.map_or(0, |value| further(&value));
    let (first, rest) = if whole.len() <= MAX_VALUE_BYTES {
        (whole, Bytes::new())
    } else {
        let (begin, rest) = (whole.slice(..MAX_VALUE_BYTES - LEAD_BYTES), whole.slice(MAX_VALUE_BYTES - LEAD_BYTES..));
        let count = rest.len().div_ceil(MAX_VALUE_BYTES) as u8;
        (Bytes::from([&[IN_PIECES, count][..], &begin].concat()), rest)
    };
    let count = further(&first);
    put_value(txn, endpoint::encode(target), first)?;
    for (index, piece) in (0..).zip(rest.chunks(MAX_VALUE_BYTES)) {
        put_value(txn, endpoint_part::encode(target, index), Bytes::copy_from_slice(piece))?;
    }
    (count..before).for_each(|index| txn.delete(endpoint_part::encode(target, index)));
    Ok(())
}

/// Removes the row and its pieces.
pub(super) fn remove(txn: &mut Txn<'_>, target: EndpointRef) -> Result<(), StoreError> {
    let before = txn.get(&endpoint::encode(target))?.map_or(0, |value| further(&value));
    (0..before).for_each(|index| txn.delete(endpoint_part::encode(target, index)));
    txn.delete(endpoint::encode(target));
    Ok(())
}

/// The row.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(super) fn get(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Endpoint>, StoreError> {
    let Some(first) = read.get(&endpoint::encode(target))? else { return Ok(None) };
    let count = further(&first);
    if count == 0 {
        return codec::decode(KeyKind::Endpoint.name(), &first).map(Some);
    }
    let mut whole = first[LEAD_BYTES..].to_vec();
    for index in 0..count {
        let piece = read.get(&endpoint_part::encode(target, index))?.ok_or_else(|| StoreError::CorruptRow {
            kind: KeyKind::EndpointPart.name(),
            detail: format!("piece {index} of {count} is missing"),
        })?;
        whole.extend_from_slice(&piece);
    }
    codec::decode(KeyKind::Endpoint.name(), &whole).map(Some)
}

/// The row whose first piece a scan found. One in pieces is read anew, so that all of them are of one state; none when it is
/// gone by then.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub(crate) fn of_scan(read: &(impl Read + ?Sized), key: &[u8], value: &[u8]) -> Result<Option<Endpoint>, StoreError> {
    match further(value) {
        0 => codec::decode(KeyKind::Endpoint.name(), value).map(Some),
        _ => get(read, endpoint::decode(key)?),
    }
}

/// How many further pieces a first one says there are.
fn further(first: &[u8]) -> u16 {
    match first {
        [IN_PIECES, count, ..] => (*count).into(),
        _ => 0,
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
            let pieces = codec::encode(&row).len().div_ceil(MAX_VALUE_BYTES);
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
            assert!(put_endpoint(txn, &with_text(ROW_BYTES_MAX)).unwrap_err().is_refusal());
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
