//! Removal of attempts: those that are too old, those of events that are gone, and all of an endpoint that is gone.
//!
//! Bounded in each step; the caller comes back while there is more.

use crate::rows::attempt_first::run::{self, MAX_SPAN};
use crate::rows::{attempt_first, attempt_later, attempt_later_by_seq};
use crate::store::{Direction, StoreError};
use crate::tables::{drop_retained, remove_found, remove_retained, scan};
use crate::txn::{Growth, Txn, Wanted};
use bytes::Bytes;
use model::{AttemptRecord, EndpointRef, Seq, UnixMs};

/// The attempts and bytes that [`forget`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Attempts.
    pub attempts: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// There may be more to forget.
    pub more: bool,
}

/// Forgets attempts that started before `before`, and those of events before `begin`, which are gone.
///
/// It forgets at most `limit` rows of each sort of one endpoint. First attempts are packed: a run goes when all in it
/// may go. Until then it keeps the runs behind it. These are few: runs are in the order of the log and nearly in the
/// order of time.
///
/// # Errors
/// Whatever the store reports, or a corrupt key. A run that cannot be read is forgotten when the one behind it is.
pub fn forget(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    before: UnixMs,
    begin: Seq,
    limit: usize,
) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let runs = scan(txn, &attempt_first::of_endpoint(target), limit, Direction::Forward)?;
    let may_go = |record: &AttemptRecord| record.started_at < before || record.seq < begin;
    let mut unread: Vec<(Bytes, Bytes)> = Vec::new();
    let mut all = runs.len() == limit;
    for (key, found) in &runs {
        // The run as this transaction sees it: the transaction may have added to it.
        let Some(value) = txn.seen(key, found) else { continue };
        match run::decode(&value) {
            Ok(records) if records.iter().all(may_go) => {
                for (key, value) in unread.drain(..) {
                    forgotten.bytes += drop_retained(txn, key, &value, Growth::attempts);
                }
                forgotten.bytes += drop_retained(txn, key.clone(), &value, Growth::attempts);
                forgotten.attempts += records.len() as u64;
            }
            Ok(_) => {
                all = false;
                break;
            }
            Err(_) => unread.push((key.clone(), value)),
        }
    }
    forgotten.more = all && forgotten.attempts > 0;
    forget_laters(txn, target, before, begin, limit, &mut forgotten)?;
    Ok(forgotten)
}

fn forget_laters(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    before: UnixMs,
    begin: Seq,
    limit: usize,
    forgotten: &mut Forgotten,
) -> Result<(), StoreError> {
    let old = attempt_later::of_endpoint(target)
        .beyond(Some(attempt_later::encode(target, before, Seq::ZERO)), Direction::Reverse);
    let old = scan(txn, &old, limit, Direction::Forward)?;
    let orphaned = attempt_later_by_seq::of_endpoint(target)
        .beyond(Some(attempt_later_by_seq::encode(target, begin, UnixMs::ZERO)), Direction::Reverse);
    let orphaned = scan(txn, &orphaned, limit, Direction::Forward)?;
    forgotten.more |= old.len() == limit || orphaned.len() == limit;
    let mut places = Vec::with_capacity(old.len() + orphaned.len());
    for (key, _) in &old {
        let (_, started_at, seq) = attempt_later::decode(key)?;
        places.push((started_at, seq));
    }
    for (key, _) in &orphaned {
        let (_, seq, started_at) = attempt_later_by_seq::decode(key)?;
        places.push((started_at, seq));
    }
    fetch_laters(txn, target, &places)?;
    for (started_at, seq) in places {
        let bytes = remove_later(txn, target, started_at, seq)?;
        forgotten.bytes += bytes;
        forgotten.attempts += u64::from(bytes > 0);
    }
    Ok(())
}

/// Reads the rows of these further attempts in both of their places, at once.
fn fetch_laters(txn: &mut Txn<'_>, target: EndpointRef, places: &[(UnixMs, Seq)]) -> Result<(), StoreError> {
    let mut wanted = Wanted::default();
    for (started_at, seq) in places {
        wanted.add(attempt_later::encode(target, *started_at, *seq));
        wanted.add(attempt_later_by_seq::encode(target, *seq, *started_at));
    }
    txn.fetch(wanted)
}

/// Removes one further attempt from both of its places; answers its bytes, 0 when it was gone.
fn remove_later(txn: &mut Txn<'_>, target: EndpointRef, started_at: UnixMs, seq: Seq) -> Result<u64, StoreError> {
    let row = remove_retained(txn, attempt_later::encode(target, started_at, seq), Growth::attempts)?;
    Ok(row + remove_retained(txn, attempt_later_by_seq::encode(target, seq, started_at), Growth::attempts)?)
}

/// Forgets first attempts at positions well below `below` and further ones that started before `before`, at most
/// `limit` rows of each, by their keys alone. Answers `true` if there may be more to forget. With the largest of both
/// it forgets an endpoint.
///
/// A run is forgotten whole, once none of its records can be at `below` or above, so that up to 1023 positions
/// stay for longer.
///
/// # Errors
/// Whatever the store reports, or a corrupt key.
pub fn trim(
    txn: &mut Txn<'_>,
    target: EndpointRef,
    below: Seq,
    before: UnixMs,
    limit: usize,
) -> Result<bool, StoreError> {
    let wholly_below = attempt_first::encode(target, Seq(below.0.saturating_sub(MAX_SPAN - 1)));
    let range = attempt_first::of_endpoint(target).beyond(Some(wholly_below), Direction::Reverse);
    let runs = scan(txn, &range, limit, Direction::Forward)?;
    for (key, found) in &runs {
        remove_found(txn, key.clone(), found, Growth::attempts);
    }
    let range = attempt_later::of_endpoint(target)
        .beyond(Some(attempt_later::encode(target, before, Seq(0))), Direction::Reverse);
    let laters = scan(txn, &range, limit, Direction::Forward)?;
    let mut places = Vec::with_capacity(laters.len());
    for (key, _) in &laters {
        let (_, started_at, seq) = attempt_later::decode(key)?;
        places.push((started_at, seq));
    }
    fetch_laters(txn, target, &places)?;
    for (started_at, seq) in places {
        remove_later(txn, target, started_at, seq)?;
    }
    Ok(runs.len() == limit || laters.len() == limit)
}
