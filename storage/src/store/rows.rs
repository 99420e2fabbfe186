//! Rows as bytes, as the redo log and a backup have them. Pure. Numbers are little endian.
//!
//! ```text
//! a row             bytes of key u16 | bytes of value u32, or 0xffffffff: deleted | key | value
//! ```

use bytes::{BufMut, Bytes};

use super::{Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Write};

/// Bytes in front of a row's key.
pub(crate) const ROW_HEAD_BYTES: usize = 6;

/// Instead of a value's length: the key is gone. No value is that long.
const DELETED: u32 = u32::MAX;

const _: () = assert!(MAX_VALUE_BYTES < DELETED as usize && MAX_KEY_BYTES <= u16::MAX as usize);

/// Rows as they were written, in order.
pub(crate) type Rows = Vec<(Bytes, Write)>;

/// Appends a row, whose key and value must be within the limits of a [`Store`](super::Store).
pub(crate) fn put(key: &[u8], write: &Write, into: &mut impl BufMut) {
    let (value, value_bytes) = match write {
        Write::Put(value) => (value.as_ref(), value.len() as u32),
        Write::Delete => (&[][..], DELETED),
    };
    into.put_u16_le(key.len() as u16);
    into.put_u32_le(value_bytes);
    into.put_slice(key);
    into.put_slice(value);
}

/// The rows of a batch, as bytes.
pub(crate) fn of_batch(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(batch.bytes() + batch.len() * ROW_HEAD_BYTES);
    batch.iter().for_each(|(key, write)| put(key, write, &mut bytes));
    bytes
}

/// Takes the first row off. `None` when there is none that is whole and within the limits.
pub(crate) fn take(rest: &mut Bytes) -> Option<(Bytes, Write)> {
    let key_bytes = usize::from(u16::from_le_bytes(array(rest, 0)?));
    let value_bytes = u32::from_le_bytes(array(rest, 2)?);
    let deleted = value_bytes == DELETED;
    let value_bytes = if deleted { 0 } else { value_bytes as usize };
    let end = ROW_HEAD_BYTES + key_bytes + value_bytes;
    if !(1..=MAX_KEY_BYTES).contains(&key_bytes) || value_bytes > MAX_VALUE_BYTES || end > rest.len() {
        return None;
    }
    let row = rest.split_to(end);
    let value = row.slice(ROW_HEAD_BYTES + key_bytes..);
    let write = if deleted { Write::Delete } else { Write::Put(value) };
    Some((row.slice(ROW_HEAD_BYTES..ROW_HEAD_BYTES + key_bytes), write))
}

/// All of them; `None` when one is malformed. They share the memory of `bytes`.
pub(crate) fn split(mut bytes: Bytes) -> Option<Rows> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        rows.push(take(&mut bytes)?);
    }
    Some(rows)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}
