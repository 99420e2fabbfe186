//! Makes rows fit together again after some were lost: the invariants of `docs/FORMAT.md` hold again.
//!
//! In this order, as each relies on the one before: [`log`] (blocks and payloads that cannot be read go), [`index`]
//! (rows that others can be told from), [`marks`] (where applications and endpoints stand, and which positions are not
//! given out again), and here the counters and the sum of retained bytes.
//!
//! In doubt a delivery is made again: at least once is the promise. *What bounds it:* a page of rows at a time.

mod index;
mod log;
mod marks;

use bytes::Bytes;
use model::{AppId, EndpointId};

use super::report::Report;
use crate::rows::meta::Retained;
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Direction, Store, StoreError};
use crate::tables::retained;
use crate::tables::{count, counter};
use crate::txn::Txn;

/// Rows looked at in one step.
const PAGE: usize = 512;

/// The same of those that may be long.
const PAYLOADS_PAGE: usize = 4;

/// Mends the rows of `store`. About `lost_bytes_max` bytes of rows are lost.
pub(super) fn mend(store: &dyn Store, report: &mut Report, lost_bytes_max: u64) -> Result<(), StoreError> {
    let ends = log::mend(store, report)?;
    index::mend(store, report)?;
    marks::mend(store, report, lost_bytes_max, &ends)?;
    counters(store)?;
    // The counters still count the rows that were lost.
    while counted_anew(store)? {}
    let mut all = Retained::default();
    for kind in [KeyKind::Event, KeyKind::Payload, KeyKind::EventUid] {
        all.events += bytes_of(store, kind)?;
    }
    for kind in [KeyKind::AttemptFirst, KeyKind::AttemptLater, KeyKind::AttemptLaterBySeq] {
        all.attempts += bytes_of(store, kind)?;
    }
    commit(store, |txn| retained::put(txn, all))
}

/// Forgets some of the counts of what there is; whether there may be more.
fn counted_anew(store: &dyn Store) -> Result<bool, StoreError> {
    let mut forgotten = 0;
    commit(store, |txn| {
        forgotten = count::forget_counts(txn, PAGE)?;
        Ok(())
    })?;
    Ok(forgotten == PAGE)
}

/// No number is given out twice.
fn counters(store: &dyn Store) -> Result<(), StoreError> {
    let (mut app, mut endpoint) = (AppId(0), EndpointId(0));
    // Every row of a tenant begins with these numbers, also when that of the application itself is lost.
    for kind in KeyKind::of_apps() {
        let last = last_key(store, KeyRange::prefix(vec![kind as u8]))?;
        app = app.max(last.and_then(|key| rows::key::app_of(&key)).unwrap_or(app));
    }
    let kinds = [KeyKind::Endpoint, KeyKind::DeletedEndpoint, KeyKind::Cursor, KeyKind::Health, KeyKind::AttemptFirst];
    for kind in kinds {
        let mut after = None;
        loop {
            let range = rows::key::beyond_endpoint(kind, after);
            let rows = store.scan(&range.start, &range.end, 1, Direction::Forward)?;
            let Some((key, _)) = rows.first() else { break };
            let target = rows::key::endpoint_of(kind, key)?;
            endpoint = endpoint.max(target.endpoint);
            after = Some(target);
        }
    }
    let last = last_key(store, KeyRange::prefix(vec![KeyKind::Job as u8]))?;
    let job = last.map(|key| rows::job::decode(&key)).transpose()?.unwrap_or(0);
    commit(store, |txn| counter::raise(txn, app, endpoint, job))
}

fn bytes_of(store: &dyn Store, kind: KeyKind) -> Result<u64, StoreError> {
    let mut bytes = 0;
    pages(store, KeyRange::prefix(vec![kind as u8]), |rows| {
        bytes += rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        Ok(())
    })?;
    Ok(bytes)
}

/// Shows every row of a range, a page at a time; rows that `each` writes must not lie ahead.
fn pages(
    store: &dyn Store,
    mut range: KeyRange,
    mut each: impl FnMut(&[(Bytes, Bytes)]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    loop {
        let page = if range.start.first() == Some(&(KeyKind::Payload as u8)) { PAYLOADS_PAGE } else { PAGE };
        let rows = store.scan(&range.start, &range.end, page, Direction::Forward)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        range = range.beyond(Some(last.to_vec()), Direction::Forward);
        each(&rows)?;
    }
}

/// The key of the last row of a range.
fn last_key(store: &dyn Store, range: KeyRange) -> Result<Option<Bytes>, StoreError> {
    let rows = store.scan(&range.start, &range.end, 1, Direction::Reverse)?;
    Ok(rows.into_iter().next().map(|(key, _)| key))
}

/// One durable write.
fn commit(store: &dyn Store, write: impl FnOnce(&mut Txn<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut txn = Txn::new(store);
    write(&mut txn)?;
    store.apply(txn.into_parts().batch)
}
