//! Requests made under idempotency keys, so that a repeated request gets the answer of the first.
//!
//! Deliberately not the answer itself: the request's event gives that again. The row is found by a digest of the key.

use crate::read::Read;
use crate::rows::digest;
use crate::rows::idempotency::{self, Remembered};
use crate::store::StoreError;
use crate::tables::count::{self, Counted};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, put_value};
use crate::txn::{Txn, Wanted};
use model::{AppId, UnixMs};

/// A key that was looked up, and its row if there is one.
#[derive(Debug)]
pub struct Found {
    app: AppId,
    key: Vec<u8>,
    row: Option<Remembered>,
}

/// The key of the row.
pub(crate) fn row_key(app: AppId, key: &str) -> Vec<u8> {
    idempotency::encode(app, digest(key))
}

/// The row that says how many keys an application has: [`Found::remember`] reads it.
pub(crate) fn want_count(app: AppId, wanted: &mut Wanted) {
    wanted.add(count::row_key(Counted::IdempotencyKeys(app)));
}

/// Looks a key up.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn find(read: &(impl Read + ?Sized), app: AppId, key: &str) -> Result<Found, StoreError> {
    find_at(read, app, row_key(app, key))
}

/// As [`find`], by the key of the row.
pub(crate) fn find_at(read: &(impl Read + ?Sized), app: AppId, key: Vec<u8>) -> Result<Found, StoreError> {
    let row = get_row(read, &key, idempotency::from_value)?;
    Ok(Found { app, key, row })
}

impl Found {
    /// The row, unless it has expired by `now`.
    #[must_use]
    pub fn row(&self, now: UnixMs) -> Option<&Remembered> {
        self.row.as_ref().filter(|row| now < row.expires_at)
    }

    /// Remembers a request; replaces an expired row. Answers `false`, and writes nothing, when the application would
    /// have more than `most` keys: a key is a promise, so none is dropped for another. Call it once, in the transaction
    /// that the key was looked up in.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn remember(self, txn: &mut Txn<'_>, row: &Remembered, most: u32) -> Result<bool, StoreError> {
        // An expired row is counted until a sweep removes it.
        if self.row.is_none() {
            let counted = Counted::IdempotencyKeys(self.app);
            let count = count::count_kept(txn, counted)?;
            if count >= most {
                return Ok(false);
            }
            count::set_count(txn, counted, count + 1)?;
        }
        put_value(txn, self.key, idempotency::to_value(row))?;
        Ok(true)
    }
}

/// The number of remembered keys of an application, including expired ones that no sweep has removed yet. It is kept
/// beside them.
///
/// # Errors
/// Whatever the store reports.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<u32, StoreError> {
    count::count_kept(read, Counted::IdempotencyKeys(app))
}

/// Looks at the next `limit` rows of all applications and removes those expired by `now`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    now: UnixMs,
    limit: usize,
) -> Result<Swept, StoreError> {
    let (swept, gone) = sweep::sweep_rows(txn, idempotency::all(), position, limit, |_, _, value| {
        let row: Remembered = idempotency::from_value(value)?;
        Ok(row.expires_at <= now)
    })?;
    for (key, _) in gone {
        let (app, _) = idempotency::decode(&key)?;
        count::add(txn, Counted::IdempotencyKeys(app), -1)?;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;
    use model::Seq;

    fn put(txn: &mut Txn<'_>, app: AppId, key: &str, row: &Remembered) -> Result<(), StoreError> {
        assert!(find(txn, app, key)?.remember(txn, row, u32::MAX)?);
        Ok(())
    }

    fn get(store: &TestStore, app: AppId, key: &str, now: UnixMs) -> Result<Option<Remembered>, StoreError> {
        Ok(find(store, app, key)?.row(now).copied())
    }

    fn row(seq: u64, expires_at: u64) -> Remembered {
        Remembered { seq: Seq(seq), accepted_at: UnixMs(1), fingerprint: [3; 16], expires_at: UnixMs(expires_at) }
    }

    #[test]
    fn a_key_is_free_from_its_expiry_on_and_belongs_to_its_application() {
        let store = TestStore::default();
        store.write(|txn| put(txn, AppId(1), "key", &row(5, 100)));
        assert_eq!(get(&store, AppId(1), "key", UnixMs(99)).unwrap(), Some(row(5, 100)));
        assert_eq!(get(&store, AppId(1), "key", UnixMs(100)).unwrap(), None);
        assert_eq!(get(&store, AppId(2), "key", UnixMs(99)).unwrap(), None);
    }

    #[test]
    fn a_sweep_in_small_steps_removes_what_expired_and_nothing_else() {
        let store = TestStore::default();
        store.write(|txn| (0..20).try_for_each(|n| put(txn, AppId(n % 3), &format!("key {n}"), &row(1, n.into()))));
        let mut position = None;
        for step in 0.. {
            assert!(step <= 20, "the sweep does not end");
            let mut next = None;
            store.write(|txn| {
                next = sweep(txn, position.take(), UnixMs(9), 3)?.next;
                Ok(())
            });
            position = next;
            if position.is_none() {
                break;
            }
        }
        let counts = [0, 1, 2].map(|app| count(&store, AppId(app)).unwrap());
        assert_eq!((store.row_count(), counts), (10 + 3, [3, 4, 3]));
        for n in 10..20 {
            assert!(get(&store, AppId(n % 3), &format!("key {n}"), UnixMs(9)).unwrap().is_some());
        }
    }

    #[test]
    fn a_row_renewed_in_the_same_transaction_is_not_swept() {
        let store = TestStore::default();
        store.write(|txn| put(txn, AppId(1), "key", &row(1, 5)));
        store.write(|txn| {
            put(txn, AppId(1), "key", &row(2, 50))?;
            sweep(txn, None, UnixMs(9), 10).map(|_| ())
        });
        assert_eq!(get(&store, AppId(1), "key", UnixMs(9)).unwrap(), Some(row(2, 50)));
        assert_eq!(count(&store, AppId(1)).unwrap(), 1);
    }
}
