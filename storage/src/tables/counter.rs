//! Numbers that are given out in order and never again, even when their holder is gone.
//!
//! Each counter has one row. Only rare things have a counter here: the log itself counts the positions of events.

use crate::rows::{KeyKind, meta};
use crate::store::StoreError;
use crate::tables::{get_row, put_value};
use crate::txn::Txn;
use model::{AppId, EndpointId};

// Names of rows. Persisted: never rename.
const LAST_APP: &str = "last_app_id";
const LAST_ENDPOINT: &str = "last_endpoint_id";
const LAST_JOB: &str = "last_job_number";

/// The number for a new application, from 1.
///
/// # Errors
/// Whatever the store reports; [`StoreError::CorruptRow`] after 2^32 - 1 of them.
pub fn next_app_id(txn: &mut Txn<'_>) -> Result<AppId, StoreError> {
    next(txn, LAST_APP).map(AppId)
}

/// The number for a new endpoint of any application, from 1.
///
/// # Errors
/// As for [`next_app_id`].
pub fn next_endpoint_id(txn: &mut Txn<'_>) -> Result<EndpointId, StoreError> {
    next(txn, LAST_ENDPOINT).map(EndpointId)
}

/// The number for a new job, from 1.
///
/// # Errors
/// As for [`next_app_id`].
pub fn next_job_number(txn: &mut Txn<'_>) -> Result<u32, StoreError> {
    next(txn, LAST_JOB)
}

/// Raises each counter to the given number at least, so that no number in use is given out again.
///
/// # Errors
/// Whatever the store reports.
pub(crate) fn raise(txn: &mut Txn<'_>, app: AppId, endpoint: EndpointId, job: u32) -> Result<(), StoreError> {
    for (name, there) in [(LAST_APP, app.0), (LAST_ENDPOINT, endpoint.0), (LAST_JOB, job)] {
        let key = meta::encode(name);
        let last: u32 = get_row(txn, &key, meta::from_value)?.unwrap_or(0);
        if last < there {
            put_value(txn, key, meta::to_value(&there))?;
        }
    }
    Ok(())
}

fn next(txn: &mut Txn<'_>, name: &str) -> Result<u32, StoreError> {
    let key = meta::encode(name);
    let last: u32 = get_row(txn, &key, meta::from_value)?.unwrap_or(0);
    let Some(number) = last.checked_add(1) else {
        return Err(StoreError::CorruptRow { kind: KeyKind::Meta.name(), detail: format!("{name} is used up") });
    };
    put_value(txn, key, meta::to_value(&number))?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::TestStore;

    #[test]
    fn numbers_go_on_within_and_across_transactions_and_never_mix() {
        let store = TestStore::default();
        store.write(|txn| {
            assert_eq!(next_app_id(txn)?, AppId(1));
            assert_eq!(next_app_id(txn)?, AppId(2));
            assert_eq!(next_endpoint_id(txn)?, EndpointId(1));
            Ok(())
        });
        store.write(|txn| {
            assert_eq!(next_app_id(txn)?, AppId(3));
            assert_eq!(next_job_number(txn)?, 1);
            Ok(())
        });
    }

    #[test]
    fn the_last_number_is_not_followed_by_the_first() {
        let store = TestStore::default();
        store.write(|txn| put_value(txn, meta::encode(LAST_APP), meta::to_value(&u32::MAX)));
        assert!(next_app_id(&mut Txn::new(&store)).is_err());
    }
}
