//! Deleted endpoints that still have attempts: the part of them that a message's history shows.
//!
//! The row is that of the endpoint without its secrets, headers, certificates and user info. It is removed with the
//! last attempt, or with the application. The endpoint's name is free again: no lookup by uid finds a deleted endpoint.

use crate::read::Read;
use crate::rows::{attempt_first, attempt_later, deleted_endpoint};
use crate::store::{Direction, INLINE_MAX_BYTES, StoreError};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{endpoint_url, get_row, put_value, scan, scan_rows};
use crate::txn::Txn;
use model::{AppId, Endpoint, EndpointId, EndpointRef};

/// Keeps the part that is shown of an endpoint that is being deleted, if it has attempts.
///
/// # Errors
/// Whatever the store reports.
pub fn keep(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let target = row.target();
    let tried = txn.last_in(&attempt_first::of_endpoint(target))?.is_some()
        || txn.last_in(&attempt_later::of_endpoint(target))?.is_some();
    if !tried {
        return endpoint_url::forget(txn, target);
    }
    put_value(txn, deleted_endpoint::encode(target), deleted_endpoint::to_value(&shown_of(row)))
}

/// The part of an endpoint that may be shown. It fits one value: a longer row loses its filters and the texts that
/// people wrote.
fn shown_of(row: &Endpoint) -> Endpoint {
    let shown = Endpoint {
        url: endpoint_url::fitting(&row.url),
        secrets: Vec::new(),
        sealed_headers: None,
        sealed_user_info: None,
        ca_pem: String::new(),
        ..row.clone()
    };
    if deleted_endpoint::to_value(&shown).len() <= INLINE_MAX_BYTES {
        return shown;
    }
    let mut url: String = shown.url.chars().take(1_024).collect();
    url.push('…');
    let (event_types, channels) = (Vec::new(), Vec::new());
    Endpoint { url, event_types, channels, description: String::new(), metadata: "{}".to_owned(), ..shown }
}

/// The part of a deleted endpoint that is shown.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Endpoint>, StoreError> {
    get_row(read, &deleted_endpoint::encode(target), deleted_endpoint::from_value)
}

/// Deleted endpoints of an application in the order of creation (or against it), at most `limit`, those beyond `after`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<EndpointId>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Endpoint>, StoreError> {
    let after = after.map(|id| deleted_endpoint::encode(EndpointRef { app, endpoint: id }));
    let range = deleted_endpoint::of_app(app).beyond(after, direction);
    scan_rows(read, &range, limit, direction, deleted_endpoint::from_value)
}

/// Endpoints of an application, deleted ones too, as [`list`]. Each comes with `true` if it was deleted.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn list_with_living(
    read: &(impl Read + ?Sized),
    app: AppId,
    after: Option<EndpointId>,
    limit: usize,
    direction: Direction,
) -> Result<Vec<(Endpoint, bool)>, StoreError> {
    let living = super::endpoint::list(read, app, after, limit, direction)?;
    let deleted = list(read, app, after, limit, direction)?;
    if deleted.is_empty() {
        return Ok(living.into_iter().map(|row| (row, false)).collect());
    }
    let mut all: Vec<(Endpoint, bool)> = living.into_iter().map(|row| (row, false)).collect();
    all.extend(deleted.into_iter().map(|row| (row, true)));
    // An endpoint that is deleted between the two reads would be listed twice.
    all.sort_by_key(|(row, is_deleted)| (row.id, *is_deleted));
    all.dedup_by_key(|(row, _)| row.id);
    if direction == Direction::Reverse {
        all.reverse();
    }
    all.truncate(limit);
    Ok(all)
}

/// Looks at the next `limit` deleted endpoints and removes those whose last attempt is forgotten.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn sweep(txn: &mut Txn<'_>, position: Option<SweepPosition>, limit: usize) -> Result<Swept, StoreError> {
    let mut gone: Vec<EndpointRef> = Vec::new();
    let swept = sweep::sweep(txn, deleted_endpoint::all(), position, limit, |txn, key, _| {
        let target = deleted_endpoint::decode(key)?;
        let none = |range| Ok::<bool, StoreError>(scan(txn, &range, 1, Direction::Forward)?.is_empty());
        let is_past = none(attempt_first::of_endpoint(target))? && none(attempt_later::of_endpoint(target))?;
        gone.extend(is_past.then_some(target));
        Ok(is_past)
    })?;
    gone.into_iter().try_for_each(|target| endpoint_url::forget(txn, target))?;
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::endpoint;
    use crate::tables::history::{self, LastRuns};
    use crate::tables::testing::{TestStore, plain_endpoint, target};
    use model::{AttemptRecord, OutcomeClass, SealedBytes, Seq, Trigger, UnixMs};

    fn attempt() -> AttemptRecord {
        AttemptRecord {
            seq: Seq(1),
            started_at: UnixMs(5),
            duration_ms: 1,
            attempt: 1,
            trigger: Trigger::Scheduled,
            outcome: OutcomeClass::Success,
            status: 200,
            response: Vec::new(),
            next_attempt_at: None,
            note: None,
            url_number: 0,
            details: None,
        }
    }

    /// An endpoint with secrets, perhaps with an attempt, deleted.
    fn delete(store: &TestStore, id: u32, tried: bool) {
        let row = Endpoint {
            url: "https://me:pass@example.com/".to_owned(),
            uid: Some(format!("uid {id}")),
            sealed_headers: Some(SealedBytes(vec![1])),
            ..plain_endpoint(target(1, id))
        };
        store.write(|txn| endpoint::put(txn, &row));
        if tried {
            store.write(|txn| history::put_first(txn, &mut LastRuns::default(), row.target(), vec![attempt()]));
        }
        store.write(|txn| {
            keep(txn, &row)?;
            endpoint::remove(txn, &row)
        });
    }

    #[test]
    fn a_deleted_endpoint_shows_without_secrets_until_its_last_attempt_is_forgotten() {
        let store = TestStore::default();
        delete(&store, 1, true);
        delete(&store, 2, false);
        assert_eq!(get(&store, target(1, 2)).unwrap(), None, "it has no history");
        let shown = get(&store, target(1, 1)).unwrap().unwrap();
        assert_eq!((shown.url.as_str(), shown.uid.as_deref()), ("https://***@example.com/", Some("uid 1")));
        assert!(shown.secrets.is_empty() && shown.sealed_headers.is_none());
        let sweep = || {
            let mut removed = 0;
            store.write(|txn| {
                removed = sweep(txn, None, 10)?.removed;
                Ok(())
            });
            removed
        };
        assert_eq!(sweep(), 0);
        store.write(|txn| history::forget(txn, target(1, 1), UnixMs(9), Seq::ZERO, 10).map(drop));
        assert_eq!(sweep(), 1);
        assert_eq!(get(&store, target(1, 1)).unwrap(), None);
    }

    #[test]
    fn of_an_endpoint_with_more_than_a_row_takes_the_short_part_is_kept() {
        let long = Endpoint {
            url: format!("https://example.com/{}", "x".repeat(8_000)),
            event_types: (0..400).map(|number| format!("{number:0>64}")).collect(),
            ca_pem: "c".repeat(30_000),
            uid: Some("u".repeat(256)),
            ..plain_endpoint(target(1, 1))
        };
        let shown = shown_of(&long);
        assert!(deleted_endpoint::to_value(&shown).len() <= INLINE_MAX_BYTES);
        assert_eq!((shown.id, shown.uid, shown.ca_pem.as_str()), (long.id, long.uid.clone(), ""));
        // Its filter does not fit a gap either: it is disabled, moved and deleted all the same.
        let store = TestStore::default();
        let off = Some(model::Disabled { at: UnixMs(1), reason: model::DisabledReason::Gone });
        store.write(|txn| endpoint::put(txn, &long));
        store.write(|txn| history::put_first(txn, &mut LastRuns::default(), target(1, 1), vec![attempt()]));
        store.write(|txn| endpoint::put(txn, &Endpoint { disabled: off, ..long.clone() }));
        store.write(|txn| endpoint::put(txn, &Endpoint { url: "https://b.example/".to_owned(), ..long.clone() }));
        store.write(|txn| keep(txn, &long).and_then(|()| endpoint::remove(txn, &long)));
        assert!(get(&store, target(1, 1)).unwrap().is_some());
    }

    #[test]
    fn the_living_and_the_deleted_are_listed_together_in_order_and_by_page() {
        let store = TestStore::default();
        delete(&store, 2, true);
        delete(&store, 5, true);
        for id in [1, 3, 4] {
            store.write(|txn| endpoint::put(txn, &plain_endpoint(target(1, id))));
        }
        store.write(|txn| endpoint::put(txn, &plain_endpoint(target(2, 6))));
        let list = |after: Option<u32>, limit, direction| -> Vec<(u32, bool)> {
            let rows = list_with_living(&store, AppId(1), after.map(EndpointId), limit, direction).unwrap();
            rows.iter().map(|(row, is_deleted)| (row.id.0, *is_deleted)).collect()
        };
        let all = [(1, false), (2, true), (3, false), (4, false), (5, true)];
        assert_eq!(list(None, 9, Direction::Forward), all);
        assert_eq!(list(Some(1), 2, Direction::Forward), all[1..3]);
        assert_eq!(list(Some(5), 2, Direction::Reverse), [all[3], all[2]]);
    }
}
