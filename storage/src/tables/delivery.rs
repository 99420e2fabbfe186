//! The states of deliveries: marks for those that went well, rows only for those that did not.
//!
//! ```text
//! routed (application)     → every event up to here was offered to every endpoint it matched
//! cursor (endpoint)        → settled up to here, but for its holes; no row = stands at its application's `routed`
//! pending (endpoint, seq)  → one delivery that waits for another attempt
//! due (endpoint, time, seq)→ the same, by time: the first is the endpoint's next attempt
//! gap (endpoint, first)    → a range not sent because the endpoint was disabled
//! expired (endpoint)       → how much of the log was removed before its turn came
//! health (endpoint)        → its failures, so that a restart does not start over
//! ```
//!
//! `due` is kept by endpoint, not globally: a million overdue retries of one endpoint then concern no other endpoint.
//! Rows only: [`super::settle`] has the changes that a settlement makes to them.

use crate::read::Read;
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Direction, INLINE_MAX_BYTES, StoreError};
use crate::tables::sweep::{self, SweepPosition, Swept};
use crate::tables::{get_row, log};
use crate::txn::{Change, Txn, Wanted};
use model::{
    AppId, Cursor, DeadLetter, DeadLetterReason, EndpointHealth, EndpointId, EndpointRef, Expired, Gap, Pending, Seq,
    Trigger, UnixMs, Urgency,
};

/// The position up to which an application's events were offered to all their endpoints.
///
/// # Errors
/// Whatever the store reports.
pub fn routed(read: &(impl Read + ?Sized), app: AppId) -> Result<Seq, StoreError> {
    Ok(get_row(read, &rows::routed::encode(app), rows::routed::from_value)?.unwrap_or_default())
}

/// The row that [`routed`] reads.
pub(crate) fn want_routed(app: AppId, wanted: &mut Wanted) {
    wanted.add(rows::routed::encode(app));
}

/// Moves the mark of [`routed`].
pub fn put_routed(txn: &mut Txn<'_>, app: AppId, upto: Seq) {
    txn.put(rows::routed::encode(app), rows::routed::to_value(&upto));
}

/// Applications with the mark of [`routed`], ascending.
///
/// # Errors
/// Whatever the store reports.
pub fn list_routed(
    read: &(impl Read + ?Sized),
    after: Option<AppId>,
    limit: usize,
) -> Result<Vec<(AppId, Seq)>, StoreError> {
    let range = rows::routed::all().beyond(after.map(rows::routed::encode), Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter().map(|(key, value)| Ok((rows::routed::decode(key)?, rows::routed::from_value(value)?))).collect()
}

/// An endpoint's own mark, if it has one.
///
/// # Errors
/// Whatever the store reports.
pub fn cursor(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Cursor>, StoreError> {
    get_row(read, &rows::cursor::encode(target), rows::cursor::from_value)
}

/// Sets an endpoint's mark.
pub fn put_cursor(txn: &mut Txn<'_>, target: EndpointRef, cursor: &Cursor) {
    txn.put(rows::cursor::encode(target), rows::cursor::to_value(cursor));
}

/// Removes an endpoint's mark: the endpoint then stands at its application's mark.
pub fn remove_cursor(txn: &mut Txn<'_>, target: EndpointRef) {
    txn.delete(rows::cursor::encode(target));
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
    let range = rows::cursor::all().beyond(after.map(rows::cursor::encode), Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter().map(|(key, value)| Ok((rows::cursor::decode(key)?, rows::cursor::from_value(value)?))).collect()
}

/// A delivery that waits for another attempt.
///
/// # Errors
/// Whatever the store reports.
pub fn pending(read: &(impl Read + ?Sized), target: EndpointRef, seq: Seq) -> Result<Option<Pending>, StoreError> {
    get_row(read, &rows::pending::encode(target, seq), rows::pending::from_value)
}

/// The row of a delivery that waited for `due`.
///
/// A damaged row counts as a row that waits for `due` and knows of no attempts. The delivery is still owed, and its
/// outcome replaces the row.
///
/// # Errors
/// Whatever the store reports, but not a damaged row.
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
        txn.delete(rows::due::encode(target, was, seq));
    }
    txn.put(rows::pending::encode(target, seq), rows::pending::to_value(pending));
    txn.put(rows::due::encode(target, pending.due, seq), rows::due::to_value(pending.urgency()));
}

/// Ends the wait of a delivery whose row says `was`.
pub fn remove_pending(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, was: UnixMs) {
    txn.delete(rows::due::encode(target, was, seq));
    txn.delete(rows::pending::encode(target, seq));
}

/// Removes a row of the index alone, when no delivery waits for that time.
pub fn remove_due(txn: &mut Txn<'_>, target: EndpointRef, due: UnixMs, seq: Seq) {
    txn.delete(rows::due::encode(target, due, seq));
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
) -> Result<Vec<(UnixMs, Seq, Urgency)>, StoreError> {
    let shown = after.map(|(due, seq)| rows::due::encode(target, due, seq));
    let range = rows::due::of_endpoint(target).beyond(shown, Direction::Forward);
    let rows = read.scan(&range.start, &range.end, limit, Direction::Forward)?;
    rows.iter()
        .map(|(key, value)| {
            let (_, due, seq) = rows::due::decode(key)?;
            Ok((due, seq, rows::due::from_value(value)))
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
        range.start = rows::due::of_endpoint(after).end;
    }
    let rows = read.scan(&range.start, &range.end, 1, Direction::Forward)?;
    rows.first().map(|(key, _)| rows::due::decode(key).map(|(target, _, _)| target)).transpose()
}

/// Tells the engine of every endpoint of an application with deliveries that wait for an attempt.
///
/// # Errors
/// Whatever the store reports.
pub fn requeue_waiting(txn: &mut Txn<'_>, app: AppId) -> Result<(), StoreError> {
    let before_all = EndpointRef { app, endpoint: EndpointId(0) };
    let mut after = before_all;
    while let Some(next) = next_with_due(txn, Some(after))?.filter(|next| next.app == app) {
        txn.tell(Change::Requeued(next));
        after = next;
    }
    Ok(())
}

/// An endpoint's failure memory; healthy when there is none.
///
/// # Errors
/// Whatever the store reports.
pub fn health(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<EndpointHealth, StoreError> {
    Ok(get_row(read, &rows::health::encode(target), rows::health::from_value)?.unwrap_or_default())
}

/// Sets an endpoint's failure memory; a healthy one needs no row.
pub fn put_health(txn: &mut Txn<'_>, target: EndpointRef, health: &EndpointHealth) {
    if *health == EndpointHealth::default() {
        txn.delete(rows::health::encode(target));
    } else {
        txn.put(rows::health::encode(target), rows::health::to_value(health));
    }
}

/// Opens or closes a gap that begins at `first`. A filter that is too long for the row is left out: the range is then
/// shown by the endpoint's present filter.
pub fn put_gap(txn: &mut Txn<'_>, target: EndpointRef, first: Seq, gap: &Gap) {
    let mut value = rows::gap::to_value(gap);
    if value.len() > INLINE_MAX_BYTES {
        value = rows::gap::to_value(&Gap { wanted: None, ..*gap });
    }
    txn.put(rows::gap::encode(target, first), value);
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
    let range = rows::gap::of_endpoint(target).up_to(rows::gap::encode(target, seq));
    let rows = read.scan(&range.start, &range.end, 1, Direction::Reverse)?;
    rows.first().map(|(key, value)| Ok((rows::gap::decode(key)?.1, rows::gap::from_value(value)?))).transpose()
}

/// The gap that begins last, one of this very transaction included.
///
/// # Errors
/// Whatever the store reports.
pub fn last_gap(txn: &Txn<'_>, target: EndpointRef) -> Result<Option<(Seq, Gap)>, StoreError> {
    let row = txn.last_in(&rows::gap::of_endpoint(target))?;
    row.map(|(key, value)| Ok((rows::gap::decode(&key)?.1, rows::gap::from_value(&value)?))).transpose()
}

/// The part of the log that retention removed before the endpoint got it, if there was any.
///
/// # Errors
/// Whatever the store reports.
pub fn expired(read: &(impl Read + ?Sized), target: EndpointRef) -> Result<Option<Expired>, StoreError> {
    get_row(read, &rows::expired::encode(target), rows::expired::from_value)
}

/// Adds `found` to the part of the log that an endpoint did not get.
///
/// # Errors
/// Whatever the store reports.
pub fn add_expired(txn: &mut Txn<'_>, target: EndpointRef, found: Expired) -> Result<(), StoreError> {
    let all = expired(txn, target)?.map_or(found, |before| before.and(found));
    txn.put(rows::expired::encode(target), rows::expired::to_value(&all));
    Ok(())
}

/// Looks at the next `limit` rows of [`expired`] and removes those last noted before `before`.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep_expired(
    txn: &mut Txn<'_>,
    position: Option<SweepPosition>,
    before: UnixMs,
    limit: usize,
) -> Result<Swept, StoreError> {
    sweep::sweep(txn, rows::expired::all(), position, limit, |_, _, value| {
        let row: Expired = rows::expired::from_value(value)?;
        Ok(row.at < before)
    })
}

/// Looks at the next `limit` gaps and removes those that ended before the first event that is retained.
///
/// # Errors
/// Whatever the store reports, or a corrupt row.
pub fn sweep_gaps(txn: &mut Txn<'_>, position: Option<SweepPosition>, limit: usize) -> Result<Swept, StoreError> {
    let mut begin: Option<(AppId, Seq)> = None;
    sweep::sweep(txn, rows::gap::all(), position, limit, |txn, key, value| {
        let (target, _) = rows::gap::decode(key)?;
        let gap: Gap = rows::gap::from_value(value)?;
        let Some(last) = gap.last else { return Ok(false) };
        let first = match begin {
            Some((app, first)) if app == target.app => first,
            _ => log::begin(txn, target.app)?,
        };
        begin = Some((target.app, first));
        Ok(last < first)
    })
}

/// Gives up at most `limit` of an endpoint's waiting deliveries: those whose events lie before `begin` and are gone.
/// Answers how many it gave up.
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
    let before = Some(rows::pending::encode(target, begin));
    let range = rows::pending::of_endpoint(target).beyond(before, Direction::Reverse);
    let found = txn.scan(&range.start, &range.end, limit, Direction::Forward)?;
    let mut wanted = Wanted::default();
    for (key, _) in &found {
        super::dead_letter::want(target, rows::pending::decode(key)?.1, &mut wanted);
    }
    txn.fetch(wanted)?;
    let mut expired = 0;
    for (key, value) in found {
        let (_, seq) = rows::pending::decode(&key)?;
        // The row as this transaction sees it: an attempt may just have ended.
        let Some(value) = txn.seen(&key, &value) else { continue };
        let row = rows::pending::from_value(&value)?;
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
    if expired > 0 {
        // Its lane may hold up others for them until their retries would have been due.
        txn.tell(Change::Requeued(target));
    }
    Ok(expired)
}

/// The furthest that orders of one delivery in one millisecond are put ahead, in milliseconds.
const ORDERS_AHEAD_MAX_MS: u64 = 1_000;

/// Puts one delivery back in line by hand: due now, with a fresh round of attempts, its dead letter forgotten.
///
/// An attempt in flight settles only the row with the due time that it was started for. So of several orders in one
/// millisecond each is due a millisecond after the last; else that attempt would end a later one too.
///
/// # Errors
/// Whatever the store reports.
pub fn requeue(txn: &mut Txn<'_>, target: EndpointRef, seq: Seq, now: UnixMs) -> Result<(), StoreError> {
    let waits = pending(txn, target, seq)?;
    let is_next = |row: &Pending| {
        let is_order = row.attempts == 0 && row.trigger == Trigger::Manual;
        // One that is further ahead was ordered before the clock was set back.
        row.due == now || is_order && row.due > now && row.due.since_ms(now) <= ORDERS_AHEAD_MAX_MS
    };
    let was = waits.as_ref().map(|row| row.due);
    let due = waits.filter(is_next).map_or(now, |row| row.due.plus_ms(1));
    let row = Pending { attempts: 0, due, last_outcome: None, trigger: Trigger::Manual };
    put_pending(txn, target, seq, was, &row);
    super::dead_letter::remove(txn, target, seq)?;
    txn.tell(Change::Requeued(target));
    Ok(())
}

/// The rows that [`requeue`] reads.
pub fn want_requeue(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    want_pending(target, seq, wanted);
    super::dead_letter::want(target, seq, wanted);
}

/// The row that [`pending`] reads.
pub(super) fn want_pending(target: EndpointRef, seq: Seq, wanted: &mut Wanted) {
    wanted.add(rows::pending::encode(target, seq));
}

/// Removes up to `limit` rows of each kind of a deleted endpoint; answers how many it removed.
///
/// # Errors
/// Whatever the store reports.
pub fn purge(txn: &mut Txn<'_>, target: EndpointRef, limit: usize) -> Result<usize, StoreError> {
    let ranges = [
        rows::pending::of_endpoint(target),
        rows::due::of_endpoint(target),
        rows::gap::of_endpoint(target),
        KeyRange::prefix(rows::health::encode(target)),
        KeyRange::prefix(rows::expired::encode(target)),
        KeyRange::prefix(rows::cursor::encode(target)),
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
mod tests;
