//! Ranges of the log that an endpoint does not get while it is disabled: see [`super::put`].

use super::get;
use crate::read::Read;
use crate::store::StoreError;
use crate::tables::{delivery, log};
use crate::txn::Txn;
use model::{Cursor, DisabledReason, Endpoint, EndpointRef, Gap, Seq, Wanted};

/// The durable position of an endpoint: its own mark, or its application's.
fn stands_at(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Cursor, StoreError> {
    match delivery::cursor(read, target)? {
        Some(cursor) => Ok(cursor),
        None => Ok(Cursor { upto: delivery::routed(read, target.app)?, holes: Vec::new() }),
    }
}

/// The first position of a gap that opens now: behind the endpoint's mark.
///
/// Gaps lie one behind the other, so the last gap to begin before a position is the one that counts for it. An earlier
/// gap may begin beyond the mark. All before that gap had been settled then, and the mark is only noted too low.
fn begin(txn: &Txn<'_>, target: EndpointRef, upto: Seq) -> Result<Seq, StoreError> {
    let first = upto.next();
    Ok(match delivery::last_gap(txn, target)? {
        Some((earlier, gap)) if earlier >= first => gap.last.map_or(earlier, |last| last.next().max(earlier)),
        _ => first,
    })
}

/// Closes the gap of an endpoint that is enabled: events accepted behind `last` are for it.
pub(super) fn close(txn: &mut Txn<'_>, target: EndpointRef, last: Seq) -> Result<(), StoreError> {
    if let Some((first, gap)) = delivery::last_gap(txn, target)?
        && gap.last.is_none()
    {
        delivery::put_gap(txn, target, first, &Gap { last: Some(last), ..gap });
    }
    Ok(())
}

/// Opens a gap. The committed filter has judged the events that were accepted up to here and are not settled.
pub(super) fn open(txn: &mut Txn<'_>, row: &Endpoint, reason: DisabledReason) -> Result<(), StoreError> {
    let (first, wanted) = match get(txn.before(), row.target())? {
        Some(before) => {
            let cursor = stands_at(txn, row.target())?;
            cancel_holes(txn, row.target(), &cursor.holes, reason)?;
            (begin(txn, row.target(), cursor.upto)?, Wanted::by(&before))
        }
        // No event accepted before there was an endpoint was ever for it.
        None => (log::head(txn, row.app)?.next(), Wanted::by(row)),
    };
    delivery::put_gap(txn, row.target(), first, &Gap { last: None, reason, wanted: Some(wanted) });
    Ok(())
}

/// Opens a gap for each delivery that was overtaken and that the endpoint wanted, since all between them is settled. A
/// delivery in flight shows its own outcome, and its gap tells nothing then.
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

/// Splits the open gap of a disabled endpoint if its filter changed: the new filter judges events accepted from here
/// on.
pub(super) fn split(txn: &mut Txn<'_>, row: &Endpoint) -> Result<(), StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::endpoint::put;
    use crate::tables::testing::{TestStore, plain_endpoint, target};
    use model::{AppId, Disabled, UnixMs};

    #[test]
    fn gaps_lie_one_behind_the_other_and_each_is_closed_even_within_one_transaction() {
        let on = plain_endpoint(target(1, 1));
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
        // The endpoint reports late, from before.
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
        // Another filter and disabled in one commit: events not settled yet were taken under the filter before.
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
}
