//! Jobs over dead letters, of one endpoint or of a whole application: redrive and purge.

use super::filter::{asks_for_message, names_letter, names_message};
use super::{CHUNK, cannot_be_sent, pace, passed};
use foldhash::{HashMap, HashMapExt};
use model::{Endpoint, EndpointId, EndpointRef, Job, LetterPlace, Seq, SkipReason, UnixMs};
use std::collections::hash_map::Entry;
use storage::tables::{dead_letter, delivery, endpoint, log};
use storage::{Direction, StoreError, Txn, Wanted};

/// The work on each dead letter that a job names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// It is put back in line.
    Redrive,
    /// It is forgotten.
    Purge,
}

/// The endpoints that a chunk has met, each read once.
type Met = HashMap<EndpointId, Option<Endpoint>>;

/// A chunk of dead letters, up to the last there was when the job began. Answers true at the end.
pub(super) fn chunk(txn: &mut Txn<'_>, row: &mut Job, deed: Deed, now: UnixMs) -> Result<bool, StoreError> {
    let places = match row.is_of_application() {
        true => dead_letter::list_of_app(txn, row.target.app, row.letter, CHUNK, Direction::Forward)?,
        false => {
            let seqs = dead_letter::positions(txn, row.target, Some(row.position), CHUNK)?;
            // Of one endpoint, they come in the order of their positions: their times do not matter.
            let place = |seq| LetterPlace { at: UnixMs::ZERO, endpoint: row.target.endpoint, seq };
            seqs.into_iter().map(place).collect()
        }
    };
    fetch(txn, row, &places, deed)?;
    let enough = row.affected + pace::of_chunk(row.rate_per_s, CHUNK) as u64;
    let mut met = Met::new();
    for place in &places {
        if is_behind_the_end(row, *place) {
            return Ok(true);
        }
        if row.affected == enough {
            return Ok(false);
        }
        match txn.whole(|txn| one(txn, row, *place, deed, (&mut met, now))) {
            Ok(Some(ruling)) => row.note(place.endpoint, place.seq, ruling),
            Ok(None) => {}
            Err(error) => row.note_failed(place.endpoint, place.seq, 1, passed::reason(error)?),
        }
        (row.position, row.letter) = (place.seq, row.is_of_application().then_some(*place));
    }
    Ok(places.len() < CHUNK)
}

/// Reads at once the rows that the chunk will look at.
fn fetch(txn: &mut Txn<'_>, row: &Job, places: &[LetterPlace], deed: Deed) -> Result<(), StoreError> {
    let mut wanted = Wanted::default();
    for place in places {
        let target = EndpointRef { app: row.target.app, endpoint: place.endpoint };
        match deed {
            Deed::Redrive => delivery::want_requeue(target, place.seq, &mut wanted),
            Deed::Purge => dead_letter::want(target, place.seq, &mut wanted),
        }
    }
    txn.fetch(wanted)
}

/// Dead letters that came after the job was to begin are not its own: a redriven delivery may fail again meanwhile.
fn is_behind_the_end(row: &Job, place: LetterPlace) -> bool {
    if row.is_of_application() { place.at > row.begins_at() } else { place.seq > row.last }
}

/// Decides about one dead letter, and does the deed to it if the job names it. None for an entry of the index whose row is
/// gone.
fn one(
    txn: &mut Txn<'_>,
    row: &Job,
    place: LetterPlace,
    deed: Deed,
    (met, now): (&mut Met, UnixMs),
) -> Result<Option<Result<(), SkipReason>>, StoreError> {
    let target = EndpointRef { app: row.target.app, endpoint: place.endpoint };
    let ruling = rule(txn, row, (target, place.seq), deed, (met, now))?;
    if ruling == Some(Ok(())) && !row.dry_run {
        match deed {
            Deed::Redrive => delivery::requeue(txn, target, place.seq, now)?,
            Deed::Purge => dead_letter::remove(txn, target, place.seq)?,
        }
    }
    Ok(ruling)
}

/// Decides about one dead letter; none when its row, or its endpoint, is gone. A purge without a filter looks at no row: it
/// takes damaged ones too.
fn rule(
    txn: &Txn<'_>,
    row: &Job,
    (target, seq): (EndpointRef, Seq),
    deed: Deed,
    (met, now): (&mut Met, UnixMs),
) -> Result<Option<Result<(), SkipReason>>, StoreError> {
    let is_bare = row.filter.is_none() && !row.is_of_application() && deed == Deed::Purge;
    if is_bare {
        return Ok(Some(Ok(())));
    }
    let Some(letter) = dead_letter::get(txn, target, seq)? else { return Ok(None) };
    if row.filter.as_ref().is_some_and(|filter| !names_letter(filter, &letter)) {
        return Ok(Some(Err(SkipReason::NotNamed)));
    }
    let asks = row.filter.as_ref().filter(|filter| asks_for_message(filter));
    if asks.is_none() && deed == Deed::Purge {
        return Ok(Some(Ok(())));
    }
    let event = log::get(txn, target.app, seq)?;
    if asks.is_some_and(|filter| !event.as_ref().is_some_and(|event| names_message(filter, event))) {
        return Ok(Some(Err(SkipReason::NotNamed)));
    }
    if deed == Deed::Purge {
        return Ok(Some(Ok(())));
    }
    let endpoint = match met.entry(target.endpoint) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(endpoint::get(txn, target)?),
    };
    // Deleted: its dead letters go with it.
    let Some(endpoint) = endpoint else { return Ok(None) };
    Ok(Some(cannot_be_sent(endpoint, event.as_ref(), now).map_or(Ok(()), Err)))
}
