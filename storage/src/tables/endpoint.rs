//! Endpoints, with an index of the tenants' own names for them within an application.
//!
//! A row that is longer than one value lies in pieces ([`pieces`]). Every change is told to the engine once it is durable.
//! Deliberately only these rows: an endpoint's cursor and waiting deliveries are removed by a job, its history by
//! retention. A name that is taken moves to the endpoint put last; whether it
//! may is for the caller, who asks [`by_uid`] first.

mod pieces;

pub use pieces::ROW_BYTES_MAX;
pub(crate) use pieces::of_scan;

use crate::keys::{KeyKind, KeyRange, endpoint, endpoint_uid};
use crate::read::Read;
use crate::store::{Direction, StoreError};
use crate::tables::count::{self, Counted};
use crate::tables::{count_rows, delivery, endpoint_url, get_row, log, put_row, scan};
use crate::txn::{Change, Txn};
use model::{
    AppId, Cursor, Disabled, DisabledReason, Endpoint, EndpointHealth, EndpointId, EndpointRef, Gap, Seq, UnixMs,
    Wanted,
};

/// One endpoint.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn get(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Endpoint>, StoreError> {
    pieces::get(read, target)
}

/// The number of the endpoint that the tenant calls `uid`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn by_uid(read: &(impl Read + ?Sized), app: AppId, uid: &str) -> Result<Option<EndpointId>, StoreError> {
    get_row(read, KeyKind::EndpointUid, &endpoint_uid::encode(app, uid))
}

/// How many endpoints an application has. The number is kept beside them; where it is not noted yet they are counted.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn count(read: &(impl Read + ?Sized), app: AppId) -> Result<u32, StoreError> {
    match count::count(read, Counted::Endpoints(app))? {
        Some(count) => Ok(count),
        None => count_rows(read, &endpoint::of_app(app)),
    }
}

/// Endpoints of an application in the order of creation (or against it), at most `limit`, those beyond `after`.
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
    let after = after.map(|id| endpoint::encode(EndpointRef { app, endpoint: id }));
    scan_endpoints(read, &endpoint::of_app(app).beyond(after, direction), limit, direction)
}

/// Endpoints of every application, at most `limit`, those beyond `after`: how a start reads them all.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn scan_all(
    read: &(impl Read + ?Sized),
    after: Option<EndpointRef>,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    let range = endpoint::all().beyond(after.map(endpoint::encode), Direction::Forward);
    scan_endpoints(read, &range, limit, Direction::Forward)
}

fn scan_endpoints(
    read: &(impl Read + ?Sized),
    range: &KeyRange,
    limit: usize,
    direction: Direction,
) -> Result<Vec<Endpoint>, StoreError> {
    let rows = scan(read, range, limit, direction)?;
    rows.iter().filter_map(|(key, value)| of_scan(read, key, value).transpose()).collect()
}

/// Creates or replaces an endpoint, keeps the index right, also when its name changed, and tells the engine.
///
/// What is new or newly enabled gets only what is accepted from here on: `active_from` is set here, not by the caller.
/// What is newly disabled gets a gap that says what it does not get, with its filter; another filter ends that gap and
/// begins the next one, and enabling closes it. What is newly enabled or has a new URL has its failures forgotten: they
/// say nothing about it any more.
///
/// # Errors
/// Whatever the store reports; a refusal when the row is too large, with nothing written.
pub fn put(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let before = get(txn, row.target())?;
    put_over(txn, before.as_ref(), row.clone()).map(drop)
}

/// As [`put`], over the row that the caller has read in this transaction. Gives the row as it is stored.
///
/// # Errors
/// As [`put`].
pub fn put_over(txn: &mut Txn<'_>, before: Option<&Endpoint>, mut row: Endpoint) -> Result<Endpoint, StoreError> {
    let was_disabled = before.map(|before| before.disabled.is_some());
    if was_disabled != Some(false) && row.disabled.is_none() {
        row.active_from = log::head(txn, row.app)?;
    }
    pieces::put(txn, &row)?;
    if before.is_none() {
        let count = count(txn, row.app)?;
        count::set_count(txn, Counted::Endpoints(row.app), count.saturating_add(1))?;
    }
    match (was_disabled, &row.disabled) {
        (Some(true), None) => close_gap(txn, row.target(), row.active_from)?,
        (None | Some(false), Some(disabled)) => {
            open_gap(txn, &row, disabled.reason)?;
            split_gap(txn, &row)?;
        }
        (Some(true), Some(_)) if before.map(Wanted::by) != Some(Wanted::by(&row)) => split_gap(txn, &row)?,
        _ => {}
    }
    let enabled = was_disabled == Some(true) && row.disabled.is_none();
    let moved = before.is_some_and(|before| before.url != row.url);
    let url_number = match before {
        None => 0,
        Some(before) if moved => endpoint_url::keep(txn, row.target(), &before.url, row.updated_at)?,
        Some(_) => endpoint_url::next_number(txn, row.target())?,
    };
    if enabled || moved {
        delivery::put_health(txn, row.target(), &EndpointHealth::default());
    }
    if let Some(old) = before.and_then(|before| before.uid.as_ref())
        && row.uid.as_ref() != Some(old)
    {
        release(txn, row.target(), old)?;
    }
    if let Some(uid) = &row.uid {
        put_row(txn, endpoint_uid::encode(row.app, uid), &row.id)?;
    }
    txn.tell(Change::EndpointPut(Box::new(row.clone()), url_number));
    Ok(row)
}

/// Disables an endpoint for what it answered. One that is gone or disabled already is left as it is.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn disable(txn: &mut Txn<'_>, target: EndpointRef, reason: DisabledReason, now: UnixMs) -> Result<(), StoreError> {
    match get(txn, target)? {
        Some(mut row) if row.disabled.is_none() => {
            row.disabled = Some(Disabled { at: now, reason });
            row.updated_at = now;
            put(txn, &row)
        }
        _ => Ok(()),
    }
}

/// Where an endpoint stands, as far as is durable.
fn stands_at(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Cursor, StoreError> {
    match delivery::cursor(read, target)? {
        Some(cursor) => Ok(cursor),
        None => Ok(Cursor { upto: delivery::routed(read, target.app)?, holes: Vec::new() }),
    }
}

/// Where a gap that opens now begins: behind where the endpoint stands. Gaps lie one behind the other, so that the last
/// one to begin before a position is the one that tells. Where an earlier gap begins beyond that, all before it had been
/// settled then, and where the endpoint stands is only noted too low.
fn gap_begin(txn: &Txn<'_>, target: EndpointRef, upto: Seq) -> Result<Seq, StoreError> {
    let first = upto.next();
    Ok(match delivery::last_gap(txn, target)? {
        Some((earlier, gap)) if earlier >= first => gap.last.map_or(earlier, |last| last.next().max(earlier)),
        _ => first,
    })
}

fn close_gap(txn: &mut Txn<'_>, target: EndpointRef, last: Seq) -> Result<(), StoreError> {
    if let Some((first, gap)) = delivery::last_gap(txn, target)?
        && gap.last.is_none()
    {
        delivery::put_gap(txn, target, first, &Gap { last: Some(last), ..gap });
    }
    Ok(())
}

/// Opens a gap. What was accepted up to here and is not settled was judged by the filter that is committed.
fn open_gap(txn: &mut Txn<'_>, row: &Endpoint, reason: DisabledReason) -> Result<(), StoreError> {
    let (first, wanted) = match pieces::get(txn.before(), row.target())? {
        Some(before) => {
            let cursor = stands_at(txn, row.target())?;
            cancel_holes(txn, row.target(), &cursor.holes, reason)?;
            (gap_begin(txn, row.target(), cursor.upto)?, Wanted::by(&before))
        }
        // Nothing that was accepted before there was an endpoint was ever for it.
        None => (log::head(txn, row.app)?.next(), Wanted::by(row)),
    };
    delivery::put_gap(txn, row.target(), first, &Gap { last: None, reason, wanted: Some(wanted) });
    Ok(())
}

/// Deliveries that were overtaken, and that the endpoint wanted: each is a gap of its own, since what lies between them is
/// settled. One in flight shows what it comes to, and its gap tells nothing then.
fn cancel_holes(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    holes: &[Seq],
    reason: DisabledReason,
) -> Result<(), StoreError> {
    for hole in holes {
        let before = delivery::gap_before(txn, target, *hole)?;
        if before.is_none_or(|(_, gap)| gap.last.is_some_and(|last| last < *hole)) {
            let gap = Gap { last: Some(*hole), reason, wanted: Some(Wanted::default()) };
            delivery::put_gap(txn, target, *hole, &gap);
        }
    }
    Ok(())
}

/// The filter of a disabled endpoint changed, or may have: it wants what it says now of what is accepted from here on.
fn split_gap(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let head = log::head(txn, row.app)?;
    let Some((first, gap)) = delivery::last_gap(txn, row.target())?.filter(|(_, gap)| gap.last.is_none()) else {
        return Ok(());
    };
    if gap.wanted.as_ref() == Some(&Wanted::by(row)) {
        return Ok(());
    }
    let next = Gap { wanted: Some(Wanted::by(row)), ..gap.clone() };
    if first <= head {
        delivery::put_gap(txn, row.target(), first, &Gap { last: Some(head), ..gap });
    }
    delivery::put_gap(txn, row.target(), first.max(head.next()), &next);
    Ok(())
}

/// Removes an endpoint's row and its name and tells the engine.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn remove(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
    let target = row.target();
    // The name it has now, which need not be the one that the caller last saw.
    let stored = get(txn, target)?;
    if stored.is_some() {
        let count = count(txn, target.app)?;
        count::set_count(txn, Counted::Endpoints(target.app), count.saturating_sub(1))?;
    }
    if let Some(uid) = stored.and_then(|stored| stored.uid) {
        release(txn, target, &uid)?;
    }
    pieces::remove(txn, target)?;
    txn.tell(Change::EndpointDeleted(target));
    Ok(())
}

/// Frees a name, unless another endpoint has taken it since.
fn release(txn: &mut Txn<'_>, target: EndpointRef, uid: &str) -> Result<(), StoreError> {
    if by_uid(txn, target.app, uid)? == Some(target.endpoint) {
        txn.delete(endpoint_uid::encode(target.app, uid));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, plain_endpoint, target};

    fn endpoint(app: u32, id: u32, uid: Option<&str>) -> Endpoint {
        Endpoint {
            uid: uid.map(str::to_owned),
            event_types: vec!["invoice.*".to_owned()],
            rate_limit: Some(10),
            ..plain_endpoint(target(app, id))
        }
    }

    #[test]
    fn a_name_belongs_to_its_application_and_follows_a_change() {
        let store = TestStore::default();
        store.write(|txn| put(txn, &endpoint(1, 1, Some("hook"))));
        store.write(|txn| put(txn, &endpoint(2, 2, Some("hook"))));
        assert_eq!(by_uid(&store, AppId(1), "hook").unwrap(), Some(EndpointId(1)));
        assert_eq!(by_uid(&store, AppId(2), "hook").unwrap(), Some(EndpointId(2)));
        store.write(|txn| put(txn, &endpoint(1, 1, Some("other"))));
        assert_eq!(by_uid(&store, AppId(1), "hook").unwrap(), None);
        assert_eq!(by_uid(&store, AppId(2), "hook").unwrap(), Some(EndpointId(2)));
        assert_eq!(get(&store, target(1, 1)).unwrap(), Some(endpoint(1, 1, Some("other"))));
    }

    #[test]
    fn endpoints_are_counted_also_where_nobody_noted_how_many_there_are() {
        let store = TestStore::default();
        store.write(|txn| (1..=600).try_for_each(|id| put(txn, &endpoint(1, id, None))));
        store.write(|txn| put(txn, &endpoint(2, 700, None)));
        store.write(|txn| put(txn, &endpoint(1, 5, Some("again"))));
        let counts = |txn: &Txn<'_>| (count(txn, AppId(1)).unwrap(), count(txn, AppId(2)).unwrap());
        store.write(|txn| {
            assert_eq!(counts(txn), (600, 1));
            count::forget_counts(txn, 10)?;
            // Counted anew: what this transaction removes and adds is seen.
            remove(txn, &endpoint(1, 600, None))?;
            assert_eq!(counts(txn), (599, 1));
            remove(txn, &endpoint(2, 700, None))?;
            assert_eq!(counts(txn), (599, 0));
            put(txn, &endpoint(2, 701, None))?;
            assert_eq!(counts(txn), (599, 1));
            Ok(())
        });
        assert_eq!(count(&store, AppId(1)).unwrap(), 599);
    }

    #[test]
    fn changes_are_told_in_order_and_removal_leaves_no_row() {
        let store = TestStore::default();
        let changes = store.write(|txn| {
            put(txn, &endpoint(1, 1, Some("hook")))?;
            remove(txn, &endpoint(1, 1, None))
        });
        assert!(matches!(
            changes.as_slice(),
            [Change::EndpointPut(row, 0), Change::EndpointDeleted(gone)]
                if **row == endpoint(1, 1, Some("hook")) && *gone == target(1, 1)
        ));
        assert_eq!(store.row_count(), 0);
    }

    #[test]
    fn a_change_tells_the_number_of_the_url_also_of_one_that_moves_twice_in_a_transaction() {
        let store = TestStore::default();
        let at = |url: &str| Endpoint { url: url.to_owned(), ..endpoint(1, 1, None) };
        let numbers = |changes: Vec<Change>| -> Vec<u32> {
            let number = |change| if let Change::EndpointPut(_, number) = change { Some(number) } else { None };
            changes.into_iter().filter_map(number).collect()
        };
        let told = store.write(|txn| ["a", "b", "b", "c"].into_iter().try_for_each(|url| put(txn, &at(url))));
        assert_eq!(numbers(told), [0, 1, 1, 2]);
        let told = store.write(|txn| put(txn, &at("c")).and_then(|()| put(txn, &at("d"))));
        assert_eq!(numbers(told), [2, 3]);
        assert_eq!(endpoint_url::number(&store, target(1, 1)).unwrap(), 3);
    }

    #[test]
    fn failures_are_forgotten_with_a_new_url_or_when_enabled_again_and_at_no_other_change() {
        let failing =
            EndpointHealth { failing_since: Some(UnixMs(5)), breaker_openings: 2, ..EndpointHealth::default() };
        let old = endpoint(1, 1, None);
        let off = Endpoint {
            disabled: Some(Disabled { at: UnixMs(3), reason: DisabledReason::Failing }),
            ..endpoint(1, 1, None)
        };
        let renamed = endpoint(1, 1, Some("hook"));
        let moved = Endpoint { url: "https://example.com/other".to_owned(), ..endpoint(1, 1, None) };
        for (before, after, forgotten) in [
            (&old, &renamed, false),
            (&old, &off, false),
            (&off, &off, false),
            (&off, &old, true),
            (&old, &moved, true),
        ] {
            let store = TestStore::default();
            store.write(|txn| put(txn, before));
            store.write(|txn| {
                delivery::put_health(txn, target(1, 1), &failing);
                put(txn, after)
            });
            let health = delivery::health(&store, target(1, 1)).unwrap();
            assert_eq!(health == EndpointHealth::default(), forgotten, "{before:?} {after:?}");
        }
    }

    #[test]
    fn gaps_lie_one_behind_the_other_and_each_is_closed_even_within_one_transaction() {
        let on = endpoint(1, 1, None);
        let off =
            Endpoint { disabled: Some(Disabled { at: UnixMs(3), reason: DisabledReason::Operator }), ..on.clone() };
        let store = TestStore::default();
        let stand = |upto| {
            store.write(|txn| {
                delivery::put_routed(txn, AppId(1), Seq(upto));
                Ok(())
            });
        };
        let gap_of = |seq| {
            let gap = delivery::gap_before(&store, target(1, 1), Seq(seq)).unwrap();
            gap.map(|(first, gap)| (first.0, gap.last.map(|last| last.0)))
        };
        stand(9);
        store.write(|txn| put(txn, &on));
        store.write(|txn| put(txn, &off).and_then(|()| put(txn, &on)));
        assert_eq!(gap_of(99), Some((10, Some(9))), "nothing passed it by");
        stand(12);
        store.write(|txn| put(txn, &off));
        stand(15);
        store.write(|txn| put(txn, &on));
        assert_eq!(gap_of(99), Some((13, Some(15))));
        // It reports late, from before.
        store.write(|txn| {
            delivery::put_cursor(txn, target(1, 1), &Cursor { upto: Seq(11), holes: Vec::new() });
            put(txn, &off)
        });
        assert_eq!((gap_of(14), gap_of(99)), (Some((13, Some(15))), Some((16, None))));
        stand(20);
        store.write(|txn| put(txn, &on));
        assert_eq!(gap_of(99), Some((16, Some(20))));
    }

    #[test]
    fn a_gap_keeps_the_filter_that_it_was_passed_by_with() {
        let store = TestStore::default();
        let wants = |types: &[&str], off: bool| Endpoint {
            event_types: types.iter().map(|text| (*text).to_owned()).collect(),
            disabled: off.then_some(Disabled { at: UnixMs(3), reason: DisabledReason::Operator }),
            ..plain_endpoint(target(1, 1))
        };
        let stand = |upto| {
            store.write(|txn| {
                delivery::put_routed(txn, AppId(1), Seq(upto));
                Ok(())
            });
        };
        let gap_of = |seq| {
            let gap = delivery::gap_before(&store, target(1, 1), Seq(seq)).unwrap();
            gap.map(|(first, gap)| (first.0, gap.last.map(|last| last.0), gap.wanted.unwrap().event_types.join(",")))
        };
        stand(4);
        store.write(|txn| put(txn, &wants(&["a"], true)));
        store.write(|txn| put(txn, &wants(&["b"], true)));
        assert_eq!(gap_of(99), Some((5, None, "b".to_owned())), "made disabled: from the head on");
        stand(8);
        store.write(|txn| put(txn, &wants(&["c"], true)));
        stand(9);
        store.write(|txn| put(txn, &wants(&["d"], false)));
        assert_eq!(gap_of(8), Some((5, Some(8), "b".to_owned())));
        assert_eq!(gap_of(99), Some((9, Some(9), "c".to_owned())));
        // Another filter and disabled in one commit: what is not settled yet was taken under the filter before.
        store.write(|txn| {
            delivery::put_cursor(txn, target(1, 1), &Cursor { upto: Seq(9), holes: Vec::new() });
            delivery::put_routed(txn, AppId(1), Seq(12));
            Ok(())
        });
        store.write(|txn| put(txn, &wants(&["e"], false)).and_then(|()| put(txn, &wants(&["e"], true))));
        assert_eq!(gap_of(12), Some((10, Some(12), "d".to_owned())));
        assert_eq!(gap_of(99), Some((13, None, "e".to_owned())));
    }

    #[test]
    fn of_what_an_endpoint_has_passed_only_its_holes_are_cancelled() {
        let store = TestStore::default();
        let off = Some(Disabled { at: UnixMs(3), reason: DisabledReason::Gone });
        let row = Endpoint { event_types: vec!["a".to_owned()], ..plain_endpoint(target(1, 1)) };
        store.write(|txn| put(txn, &row));
        let stand = |upto, holes: &[u64]| {
            let cursor = Cursor { upto: Seq(upto), holes: holes.iter().map(|hole| Seq(*hole)).collect() };
            store.write(|txn| {
                delivery::put_cursor(txn, target(1, 1), &cursor);
                delivery::put_routed(txn, AppId(1), Seq(12));
                Ok(())
            });
        };
        let covered = || -> Vec<u64> {
            let covers = |seq: &u64| {
                let gap = delivery::gap_before(&store, target(1, 1), Seq(*seq)).unwrap();
                gap.is_some_and(|(_, gap)| gap.last.is_none_or(|last| last.0 >= *seq))
            };
            (1..=14).filter(covers).collect()
        };
        stand(9, &[2, 5]);
        store.write(|txn| put(txn, &Endpoint { disabled: off, ..row.clone() }));
        assert_eq!(covered(), [2, 5, 10, 11, 12, 13, 14]);
        store.write(|txn| put(txn, &row));
        assert_eq!(covered(), [2, 5, 10, 11, 12]);
        // A hole that an earlier gap covers, and one between two gaps.
        stand(12, &[3, 11]);
        store.write(|txn| put(txn, &Endpoint { disabled: off, ..row.clone() }));
        assert_eq!(covered(), [2, 3, 5, 10, 11, 12, 13, 14]);
    }

    #[test]
    fn lists_stay_within_the_application_and_a_scan_does_not() {
        let store = TestStore::default();
        store.write(|txn| {
            [(1, 1), (2, 2), (1, 3), (1, 4), (3, 5)].into_iter().try_for_each(|(a, e)| put(txn, &endpoint(a, e, None)))
        });
        let ids = |rows: Vec<Endpoint>| -> Vec<u32> { rows.iter().map(|row| row.id.0).collect() };
        let list = |after: Option<u32>, limit, direction| {
            ids(list(&store, AppId(1), after.map(EndpointId), limit, direction).unwrap())
        };
        assert_eq!(list(None, 9, Direction::Forward), [1, 3, 4]);
        assert_eq!(list(Some(1), 1, Direction::Forward), [3]);
        assert_eq!(list(None, 2, Direction::Reverse), [4, 3]);
        assert_eq!(list(Some(3), 9, Direction::Reverse), [1]);
        assert_eq!(ids(scan_all(&store, None, 9).unwrap()), [1, 3, 4, 2, 5]);
        assert_eq!(ids(scan_all(&store, Some(target(1, 3)), 2).unwrap()), [4, 2]);
    }
}
