//! The meaning of rows: one file per thing that is kept.
//!
//! Free functions: reads take any [`Read`] (the store, or a transaction that sees its own writes), writes go into a
//! [`Txn`]. Lists take the last key of the page before, exclusive, and a limit. No decisions: whether a
//! name is taken, a key is valid or a delivery is due for good is for the callers.
//!
//! Every write of a row that could grow passes `put_value`, so that no value but a payload and an
//! endpoint is longer than [`INLINE_MAX_BYTES`].

pub mod count;
pub mod counter;
pub mod recount;

pub mod api_key;
pub mod application;
pub mod deleted_endpoint;
pub mod endpoint;
pub mod endpoint_url;
pub mod event_type;

pub mod log;

pub mod event_uid;
pub mod idempotency;

pub mod delivery;
pub mod progress;
pub mod settle;

pub mod dead_letter;
pub mod erasure;
pub mod expunge;
pub mod history;

pub mod audit;
pub mod job;
pub mod schedule;

pub mod purge;
pub mod retained;
pub mod sweep;

#[cfg(test)]
pub(crate) mod testing;

use crate::read::Read;
use crate::rows::KeyRange;
use crate::store::{Direction, INLINE_MAX_BYTES, MAX_VALUE_BYTES, StoreError};
use crate::txn::{Growth, Txn};
use bytes::Bytes;

/// Reads the value of a kind: `from_value` of its file in [`crate::rows`].
type FromValue<T> = fn(&[u8]) -> Result<T, StoreError>;

/// The row of `key`, if there is one.
fn get_row<T>(read: &(impl Read + ?Sized), key: &[u8], from_value: FromValue<T>) -> Result<Option<T>, StoreError> {
    read.get(key)?.map(|value| from_value(&value)).transpose()
}

/// Sets a row.
///
/// # Errors
/// A refusal when the value has too many bytes. It comes here and not with the commit, so that it fails one request and
/// not all that share the commit.
fn put_value(txn: &mut Txn<'_>, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
    put_within(INLINE_MAX_BYTES, txn, key, value)
}

/// As [`put_value`], for a payload in a row of its own.
fn put_payload(txn: &mut Txn<'_>, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
    put_within(MAX_VALUE_BYTES, txn, key, value)
}

fn put_within(most: usize, txn: &mut Txn<'_>, key: Vec<u8>, value: Bytes) -> Result<(), StoreError> {
    if value.len() > most {
        return Err(StoreError::ValueTooLarge { bytes: value.len(), most });
    }
    txn.put(key, value);
    Ok(())
}

/// As [`put_value`], for rows whose bytes are counted. `class` is [`Growth::events`] or [`Growth::attempts`].
fn put_retained(txn: &mut Txn<'_>, key: Vec<u8>, value: Bytes, class: fn(i64) -> Growth) -> Result<(), StoreError> {
    let before = txn.get(&key)?;
    replace_retained(txn, key, before, value, class)
}

/// As [`put_retained`], where the row was looked up already.
fn replace_retained(
    txn: &mut Txn<'_>,
    key: Vec<u8>,
    before: Option<Bytes>,
    value: Bytes,
    class: fn(i64) -> Growth,
) -> Result<(), StoreError> {
    let before = before.map_or(0, |before| row_bytes(&key, &before));
    let growth = class(row_bytes(&key, &value) - before);
    put_value(txn, key, value)?;
    txn.grow(growth);
    Ok(())
}

/// Removes a row whose bytes are counted, unless it is gone already, and answers its bytes. The row is looked up as the
/// transaction sees it, so that two requests that share a commit do not take it off twice.
fn remove_retained(txn: &mut Txn<'_>, key: impl Into<Bytes>, class: fn(i64) -> Growth) -> Result<u64, StoreError> {
    let key: Bytes = key.into();
    let Some(value) = txn.get(&key)? else { return Ok(0) };
    Ok(drop_retained(txn, key, &value, class))
}

/// As [`remove_retained`], of a row that a scan of the store `found`: the store is not asked again.
fn remove_found(txn: &mut Txn<'_>, key: Bytes, found: &Bytes, class: fn(i64) -> Growth) -> u64 {
    match txn.seen(&key, found) {
        Some(value) => drop_retained(txn, key, &value, class),
        None => 0,
    }
}

/// As [`remove_retained`], where the transaction was asked for the row already.
fn drop_retained(txn: &mut Txn<'_>, key: Bytes, value: &[u8], class: fn(i64) -> Growth) -> u64 {
    let bytes = row_bytes(&key, value);
    txn.delete(key);
    txn.grow(class(-bytes));
    bytes.unsigned_abs()
}

fn row_bytes(key: &[u8], value: &[u8]) -> i64 {
    (key.len() + value.len()) as i64
}

/// Rows of `range`, at most `limit`.
fn scan(
    read: &(impl Read + ?Sized),
    range: &KeyRange,
    limit: usize,
    direction: Direction,
) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    if limit == 0 || range.start >= range.end {
        return Ok(Vec::new());
    }
    read.scan(&range.start, &range.end, limit, direction)
}

/// Values of the rows of `range`, at most `limit`.
fn scan_rows<T>(
    read: &(impl Read + ?Sized),
    range: &KeyRange,
    limit: usize,
    direction: Direction,
    from_value: FromValue<T>,
) -> Result<Vec<T>, StoreError> {
    let rows = scan(read, range, limit, direction)?;
    rows.iter().map(|(_, value)| from_value(value)).collect()
}

/// Counts the rows of `range` that a transaction sees, when their number is not noted: every row is looked at, once.
fn count_rows(read: &(impl Read + ?Sized), range: &KeyRange) -> Result<u32, StoreError> {
    const STEP: usize = 256;
    let (mut range, mut count) = (range.clone(), 0);
    loop {
        let rows = scan(read, &range, STEP, Direction::Forward)?;
        for (key, _) in &rows {
            // A scan shows the store; a row that this transaction has removed does not count.
            count += u32::from(read.get(key)?.is_some());
        }
        match rows.last() {
            Some((last, _)) if rows.len() == STEP => range = range.beyond(Some(last.to_vec()), Direction::Forward),
            _ => return Ok(count),
        }
    }
}
