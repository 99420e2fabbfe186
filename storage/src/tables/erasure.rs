//! The row that tells that expunged data is still to be erased from the store's files. It holds a number that goes up
//! with each expunge, and it is gone once all is erased. So an erasure that a crash cut off is made after the next
//! start.
//!
//! Not the erasure itself: the caller runs [`Store::erase`](crate::Store::erase).

use crate::read::Read;
use crate::rows::meta;
use crate::store::StoreError;
use crate::tables::{get_row, put_value};
use crate::txn::Txn;

/// Name of the row. Persisted: never rename.
const WANTED: &str = "erase_wanted";

/// Notes that this transaction replaced data that is to be erased.
pub(super) fn want(txn: &mut Txn<'_>) -> Result<(), StoreError> {
    let before = wanted(txn)?.unwrap_or_default();
    put_value(txn, meta::encode(WANTED), meta::to_value(&before.wrapping_add(1)))
}

/// The number of an erasure that begins now. None when there is nothing to erase.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn wanted(read: &(impl Read + ?Sized)) -> Result<Option<u64>, StoreError> {
    get_row(read, &meta::encode(WANTED), meta::from_value)
}

/// Notes that an erasure of this number is durable. Data that was replaced after it began is still to be erased.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn done(txn: &mut Txn<'_>, number: u64) -> Result<(), StoreError> {
    if wanted(txn)? == Some(number) {
        txn.delete(meta::encode(WANTED));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;

    #[test]
    fn what_is_wanted_while_an_erasure_runs_is_wanted_after_it() {
        let store = TestStore::default();
        assert_eq!(wanted(&store).unwrap(), None);
        store.write(|txn| want(txn).and_then(|()| want(txn)));
        let first = wanted(&store).unwrap().unwrap();
        store.write(want);
        store.write(|txn| done(txn, first));
        let second = wanted(&store).unwrap().unwrap();
        assert_ne!(first, second);
        store.write(|txn| done(txn, second));
        assert_eq!((wanted(&store).unwrap(), store.row_count()), (None, 0));
    }
}
