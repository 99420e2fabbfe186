//! Where deliveries stand: marks for those that went well, rows only for those that did not.
//!
//! ```text
//! routed (application)     → every event up to here was offered to every endpoint it matched
//! cursor (endpoint)        → settled up to here, but for its holes; no row = stands at its application's `routed`
//! pending (endpoint, seq)  → one delivery that waits for another attempt
//! due (endpoint, time, seq)→ the same, by time: what the endpoint's next attempt is
//! gap (endpoint, first)    → a stretch not sent because the endpoint was disabled
//! expired (endpoint)       → how much of the log was removed before its turn came
//! health (endpoint)        → its failures, so that a restart does not start over
//! ```
//!
//! `due` is kept by endpoint, not globally: an endpoint with a million overdue retries is then nobody else's business.
//! Deliberately rows only: what a settlement does to them is in [`super::settle`].

use crate::codec::{decode, encode};
use crate::keys::{self, KeyKind, KeyRange};
use crate::read::Read;
use crate::store::{Direction, MAX_VALUE_BYTES, StoreError};
use crate::tables::log;
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::txn::{Txn, Wanted};
use bytes::Bytes;
use model::{
    AppId, Cursor, DeadLetter, DeadLetterReason, EndpointHealth, EndpointRef, Expired, Gap, Pending, Seq, Trigger,
    UnixMs,
};

/// Value of a row of the due index: a retry of the schedule.
const SCHEDULED: &[u8] = b"";
/// Value of a row of the due index: asked for by hand, so not subject to the retry budget.
const MANUAL: &[u8] = b"m";

/// Up to where an application's events were offered to all their endpoints.
///
/// # Errors
/// Whatever the store reports.
pub fn routed(read: &(impl Read + ?Sized), app: AppId) -> Result<Seq, StoreError> {
    Ok(read.get(&keys::routed::encode(app))?.map(|value| decode("routed", &value)).transpose()?.unwrap_or_default())
}

/// The row that [`routed`] reads.
pub(crate) fn want_routed(app: AppId, wanted: &mut Wanted) {
    wanted.add(keys::routed::encode(app));
}

/// Moves the mark of [`routed`].
pub fn put_routed(txn: &mut Txn<'_>, app: AppId, upto: Seq) {
    txn.put(keys::routed::encode(app), encode(&upto));
}

/// Applications with such a mark, ascending.
///
/// # Errors
/// Whatever the store reports.
pub fn list_routed(
    read: &(impl Read + ?Sized),
    after: Option<AppId>,
    limit: usize,
) -> Result<Vec<(AppId, Seq)>, StoreError> {
    let range = keys::routed::all().beyond(after.map(keys::routed::encode), Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter().map(|(key, value)| Ok((keys::routed::decode(key)?, decode("routed", value)?))).collect()
}

/// An endpoint's own mark, if it has one.
///
/// # Errors
/// Whatever the store reports.
pub fn cursor(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Cursor>, StoreError> {
    read.get(&keys::cursor::encode(target))?.map(|value| decode("cursor", &value)).transpose()
}

/// Sets an endpoint's mark.
pub fn put_cursor(txn: &mut Txn<'_>, target: EndpointRef, cursor: &Cursor) {
    txn.put(keys::cursor::encode(target), encode(cursor));
}

/// Removes an endpoint's mark: it stands at its application's.
pub fn remove_cursor(txn: &mut Txn<'_>, target: EndpointRef) {
    txn.delete(keys::cursor::encode(target));
}

/// Endpoints with a mark of their own, ascending.
///
/// # Errors
/// Whatever the store reports.
pub fn list_cursors(
    read: &(impl Read + ?Sized),
    after: Option<EndpointRef>,
    limit: usize,
) -> Result<Vec<(EndpointRef, Cursor)>, StoreError> {
    let range = keys::cursor::all().beyond(after.map(keys::cursor::encode), Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter().map(|(key, value)| Ok((keys::cursor::decode(key)?, decode("cursor", value)?))).collect()
}

/// A delivery that waits for another attempt.
///
/// # Errors
/// Whatever the store reports.
pub fn pending(read: &(impl Read + ?Sized), target: EndpointRef, seq: Seq) -> Result<Option<Pending>, StoreError> {
    read.get(&keys::pending::encode(target, seq))?.map(|value| decode("pending", &value)).transpose()
}

/// The row of a delivery that waited for `due`. One that is damaged counts as one that says just this and knows of no
/// attempts: the delivery is still owed, and what it comes to replaces the row.
///
/// # Errors
/// Whatever the store reports, but for that.
pub fn pending_at(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
    due: UnixMs,
) -> Result<Option<Pending>, StoreError> {
    match pending(read, target, seq) {
        Err(StoreError::CorruptRow { kind, detail }) => {
            tracing::error!(app = %target.app, endpoint = %target.endpoint, %seq, kind, detail,
                "a row is damaged; its delivery begins anew");
            Ok(Some(Pending { attempts: 0, due, last_outcome: None, trigger: Trigger::Scheduled }))
        }
        result => result,
    }
}

/// Makes a delivery wait, replacing the row `was` that it had.
pub fn put_pending(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, was: Option<UnixMs>, pending: &Pending) {
    if let Some(was) = was {
        txn.delete(keys::due::encode(target, was, seq));
    }
    txn.put(keys::pending::encode(target, seq), encode(pending));
    let urgency = if pending.trigger == Trigger::Manual { MANUAL } else { SCHEDULED };
    txn.put(keys::due::encode(target, pending.due, seq), Bytes::from_static(urgency));
}

/// Ends a delivery's wait, whose row says `was`.
pub fn remove_pending(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, was: UnixMs) {
    txn.delete(keys::due::encode(target, was, seq));
    txn.delete(keys::pending::encode(target, seq));
}

/// Removes a row of the index alone, when no delivery waits for that time.
pub fn remove_due(txn: &mut Txn<'_>, target: EndpointRef, due: UnixMs, seq: Seq) {
    txn.delete(keys::due::encode(target, due, seq));
}

/// An endpoint's waiting deliveries after a place in the index, soonest first.
///
/// # Errors
/// Whatever the store reports.
pub fn list_due(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    after: Option<(UnixMs, Seq)>,
    limit: usize,
) -> Result<Vec<(UnixMs, Seq, Trigger)>, StoreError> {
    let shown = after.map(|(due, seq)| keys::due::encode(target, due, seq));
    let range = keys::due::of_endpoint(target).beyond(shown, Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter()
        .map(|(key, value)| {
            let (_, due, seq) = keys::due::decode(key)?;
            let trigger = if value.as_ref() == MANUAL { Trigger::Manual } else { Trigger::Scheduled };
            Ok((due, seq, trigger))
        })
        .collect()
}

/// The first endpoint after `after` that has a waiting delivery: one seek, however many wait.
///
/// # Errors
/// Whatever the store reports.
pub fn next_with_due(
    read: &(impl Read + ?Sized),
    after: Option<EndpointRef>,
) -> Result<Option<EndpointRef>, StoreError> {
    let mut range = KeyRange::prefix(vec![KeyKind::Due as u8]);
    if let Some(after) = after {
        range.start = keys::due::of_endpoint(after).end;
    }
    let rows = read.scan(&range.start, &range.end, 1, Direction::Forward)?;
    rows.first().map(|(key, _)| keys::due::decode(key).map(|(target, _, _)| target)).transpose()
}

/// An endpoint's failure memory; healthy when there is none.
///
/// # Errors
/// Whatever the store reports.
pub fn health(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<EndpointHealth, StoreError> {
    Ok(read.get(&keys::health::encode(target))?.map(|value| decode("health", &value)).transpose()?.unwrap_or_default())
}

/// Sets an endpoint's failure memory; a healthy one needs no row.
pub fn put_health(txn: &mut Txn<'_>, target: EndpointRef, health: &EndpointHealth) {
    if *health == EndpointHealth::default() {
        txn.delete(keys::health::encode(target));
    } else {
        txn.put(keys::health::encode(target), encode(health));
    }
}

/// Opens or closes a gap that begins at `first`. A filter that is too long for the row is left out: what is shown of such a
/// stretch then goes by the endpoint's present filter.
pub fn put_gap(txn: &mut Txn<'_>, target: EndpointRef, first: Seq, gap: &Gap) {
    let value = encode(gap);
    let value = if value.len() <= MAX_VALUE_BYTES { value } else { encode(&Gap { wanted: None, ..*gap }) };
    txn.put(keys::gap::encode(target, first), value);
}

/// The gap that begins last at or before `seq`.
///
/// # Errors
/// Whatever the store reports.
pub fn gap_before(
    read: &(impl Read + ?Sized),
    target: EndpointRef,
    seq: Seq,
) -> Result<Option<(Seq, Gap)>, StoreError> {
    let range = keys::gap::of_endpoint(target).up_to(keys::gap::encode(target, seq));
    let rows = read.scan(&range.start, &range.end, 1, Direction::Reverse)?;
    rows.first().map(|(key, value)| Ok((keys::gap::decode(key)?.1, decode("gap", value)?))).transpose()
}

/// The gap that begins last, one of this very transaction included.
///
/// # Errors
/// Whatever the store reports.
pub fn last_gap(txn: &Txn<'_>, target: EndpointRef) -> Result<Option<(Seq, Gap)>, StoreError> {
    let row = txn.last_in(&keys::gap::of_endpoint(target))?;
    row.map(|(key, value)| Ok((keys::gap::decode(&key)?.1, decode("gap", &value)?))).transpose()
}

/// What an endpoint did not get because retention removed it first, if there was any.
///
/// # Errors
/// Whatever the store reports.
pub fn expired(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Expired>, StoreError> {
    read.get(&keys::expired::encode(target))?.map(|value| decode("expired", &value)).transpose()
}

/// Adds to what an endpoint did not get.
///
/// # Errors
/// Whatever the store reports.
pub fn add_expired(txn: &mut Txn<'_>, target: EndpointRef, found: Expired) -> Result<(), StoreError> {
    let all = expired(txn, target)?.map_or(found, |before| before.and(found));
    txn.put(keys::expired::encode(target), encode(&all));
    Ok(())
}

/// Looks at the next `limit` such rows and removes those last noted before `before`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep_expired(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    before: UnixMs,
    limit: usize,
) -> Result<Swept, StoreError> {
    sweep::sweep(txn, keys::expired::all(), position, limit, |_, _, value| {
        let row: Expired = decode("expired", value)?;
        Ok(row.at < before)
    })
}

/// Looks at the next `limit` gaps and removes those that ended before the first event that is retained.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep_gaps(txn: &mut Txn<'_>, position: Option<SweepPosition>, limit: usize) -> Result<Swept, StoreError> {
    let mut begin: Option<(AppId, Seq)> = None;
    sweep::sweep(txn, keys::gap::all(), position, limit, |txn, key, value| {
        let (target, _) = keys::gap::decode(key)?;
        let gap: Gap = decode("gap", value)?;
        let Some(last) = gap.last else { return Ok(false) };
        let first = match begin {
            Some((app, first)) if app == target.app => first,
            _ => log::begin(txn, target.app)?,
        };
        begin = Some((target.app, first));
        Ok(last < first)
    })
}

/// Gives up to `limit` of an endpoint's waiting deliveries up whose events lie before `begin` and are gone. Answers how
/// many.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn expire_pending(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    begin: Seq,
    now: UnixMs,
    limit: usize,
) -> Result<u64, StoreError> {
    let before = Some(keys::pending::encode(target, begin));
    let range = keys::pending::of_endpoint(target).beyond(before, Direction::Reverse);
    let rows = txn.scan(&range.start, &range.end, limit, Direction::Forward)?;
    let mut wanted = Wanted::default();
    for (key, _) in &rows {
        super::dead_letter::want(target, keys::pending::decode(key)?.1, &mut wanted);
    }
    txn.fetch(wanted)?;
    let mut expired = 0;
    for (key, found) in rows {
        let (_, seq) = keys::pending::decode(&key)?;
        // As this transaction sees it: an attempt may just have ended.
        let Some(value) = txn.seen(&key, &found) else { continue };
        let row: Pending = decode("pending", &value)?;
        remove_pending(txn, target, seq, row.due);
        let letter = DeadLetter {
            at: now,
            attempts: row.attempts,
            reason: DeadLetterReason::Expired,
            last_outcome: row.last_outcome,
            last_status: 0,
        };
        super::dead_letter::put(txn, target, seq, &letter)?;
        expired += 1;
    }
    Ok(expired)
}

/// Puts one delivery back in line by hand: due now, with a fresh round of attempts, its dead letter forgotten.
///
/// An attempt that is in flight belongs to the place in line that it was taken from;
/// so a second order of the same millisecond gets another place, or that attempt would end it too.
///
/// # Errors
/// Whatever the store reports.
pub fn requeue(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, now: UnixMs) -> Result<(), StoreError> {
    let was = pending(txn, target, seq)?.map(|row| row.due);
    let due = if was == Some(now) { now.plus_ms(1) } else { now };
    let row = Pending { attempts: 0, due, last_outcome: None, trigger: Trigger::Manual };
    put_pending(txn, target, seq, was, &row);
    super::dead_letter::remove(txn, target, seq)?;
    txn.tell(crate::txn::Change::Requeued(target));
    Ok(())
}

/// The rows that [`requeue`] reads.
pub fn want_requeue(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    want_pending(target, seq, wanted);
    super::dead_letter::want(target, seq, wanted);
}

/// The row that [`pending`] reads.
pub(super) fn want_pending(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    wanted.add(keys::pending::encode(target, seq));
}

/// Removes up to `limit` rows of each kind of a deleted endpoint; answers how many it removed.
///
/// # Errors
/// Whatever the store reports.
pub fn purge(txn: &mut Txn<'_>, target: EndpointRef, limit: usize) -> Result<usize, StoreError> {
    let ranges = [
        keys::pending::of_endpoint(target),
        keys::due::of_endpoint(target),
        keys::gap::of_endpoint(target),
        KeyRange::prefix(keys::health::encode(target)),
        KeyRange::prefix(keys::expired::encode(target)),
        KeyRange::prefix(keys::cursor::encode(target)),
    ];
    let mut removed = 0;
    for range in ranges {
        for (key, _) in txn.scan(&range.start, &range.end, limit, Direction::Forward)? {
            txn.delete(key);
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};
    use model::{DisabledReason, Wanted};

    #[test]
    fn a_gap_of_the_version_before_reads_as_one_whose_filter_is_not_known() {
        let (store, target) = (TestStore::default(), target(1, 1));
        // The same without its last field.
        store.write(|txn| {
            txn.put(keys::gap::encode(target, Seq(3)), encode(&(Some(Seq(9)), DisabledReason::Gone)));
            Ok(())
        });
        let read = |seq| gap_before(&store, target, Seq(seq)).unwrap();
        let expected = Gap { last: Some(Seq(9)), reason: DisabledReason::Gone, wanted: None };
        assert_eq!(read(5), Some((Seq(3), expected.clone())));
        let wanted = Wanted { event_types: vec!["a".to_owned()], channels: vec!["c".to_owned()] };
        let newer = Gap { wanted: Some(wanted), ..expected };
        store.write(|txn| {
            put_gap(txn, target, Seq(3), &newer);
            Ok(())
        });
        assert_eq!(read(5), Some((Seq(3), newer)));
    }

    #[test]
    fn two_orders_of_one_millisecond_have_two_places_in_line() {
        let (store, target) = (TestStore::default(), target(1, 1));
        let due = || list_due(&store, target, None, 9).unwrap().iter().map(|(due, _, _)| due.0).collect::<Vec<_>>();
        store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
        assert_eq!(due(), [50]);
        store.write(|txn| requeue(txn, target, Seq(1), UnixMs(50)));
        assert_eq!(due(), [51]);
        assert_eq!(pending(&store, target, Seq(1)).unwrap().map(|row| row.due), Some(UnixMs(51)));
    }
}
