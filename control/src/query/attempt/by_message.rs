//! The attempts of one message, gathered from the endpoints of its application, newest first.
//!
//! The history is kept by endpoint, so each endpoint is looked at, with those that were deleted and have attempts yet.
//! A page looks at a bounded number of them, a *range*: nearly every application is one. One with more endpoints is
//! listed range by range, each newest first. A page that ends a range is not at the end of the list, even if it
//! found nothing, and leads on to the next range. Going back ends where the range began. Memory never holds more
//! attempts than those of a page and of one step of endpoints.
//!
//! There is no index by message: it would be a write for every attempt, for a list that is seldom asked for.

use super::{Attempt, AttemptFilter, MessagePlace, url_called};
use crate::error::Error;
use crate::query::bounds::ENDPOINTS_SCAN_MAX;
use crate::query::paging::{Listed, Page};
use model::id::IdParts;
use model::{AppId, AttemptRecord, Endpoint, EndpointId, Event};
use std::sync::Arc;
use storage::tables::{deleted_endpoint, history};
use storage::{Direction, Read};

/// Endpoints read in one step.
const ENDPOINTS_PER_STEP: usize = 256;

/// An attempt with its key in the order of time.
type Found = (IdParts, (AttemptRecord, Arc<Endpoint>));

/// Attempts of a message: at `only` one endpoint, or at all.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list_of_message(
    read: &(impl Read + ?Sized),
    event: &Event,
    only: Option<Endpoint>,
    filter: &AttemptFilter,
    page: &Page<MessagePlace>,
) -> Result<Listed<Attempt, MessagePlace>, Error> {
    let place = page.place().copied().unwrap_or_default();
    let page = &Page { limit: filter.limit_of(event, page.limit), ..page.clone() };
    let mut found: Vec<Found> = Vec::new();
    let mut gather = |rows: Vec<Endpoint>| gather(read, event, rows, filter, page, &mut found);
    let upto = match only {
        Some(row) => gather(vec![row]).map(|()| None)?,
        None => each_step(read, event.app, place, gather)?,
    };
    let at = |key| MessagePlace { after: Some(key), upto, ..place };
    let found = found.into_iter().map(|(key, item)| (at(key), item)).collect();
    let Listed { items, first, mut last, mut is_end } = page.listed(found, None);
    if let Some(upto) = upto.filter(|_| is_end && page.direction() == Direction::Reverse) {
        (last, is_end) = (Some(MessagePlace { from: upto, upto: None, after: None }), false);
    }
    let shown = filter.shown(event.clone());
    let with_url = |(record, endpoint): (AttemptRecord, Arc<Endpoint>)| {
        Ok(Attempt { url: url_called(read, &endpoint, &record)?, record, event: shown.clone(), endpoint })
    };
    let items = items.into_iter().map(with_url).collect::<Result<_, Error>>()?;
    Ok(Listed { items, first, last, is_end })
}

/// Adds the attempts at some endpoints to those that were found, and keeps those that belong to the page.
fn gather(
    read: &(impl Read + ?Sized),
    event: &Event,
    rows: Vec<Endpoint>,
    filter: &AttemptFilter,
    page: &Page<MessagePlace>,
    found: &mut Vec<Found>,
) -> Result<(), Error> {
    if !filter.messages.fits(event) {
        return Ok(());
    }
    let beside = page.place().and_then(|place| place.after);
    let is_beyond = |key: &IdParts| match (beside, page.direction()) {
        (None, _) => true,
        (Some(beside), Direction::Reverse) => *key < beside,
        (Some(beside), Direction::Forward) => *key > beside,
    };
    for row in rows {
        let row = Arc::new(row);
        for record in history::of_message(read, row.target(), event.seq)? {
            let key = IdParts { at: record.started_at, number: row.id.0, low: record.seq.0 };
            if is_beyond(&key) && filter.keeps(&record) {
                found.push((key, (record, Arc::clone(&row))));
            }
        }
    }
    found.sort_unstable_by_key(|(key, _)| *key);
    if page.direction() == Direction::Reverse {
        found.reverse();
    }
    found.truncate(page.find_limit());
    Ok(())
}

/// Shows the endpoints of a range to `gather`, step by step. Answers where the range ends, if another follows.
fn each_step(
    read: &(impl Read + ?Sized),
    app: AppId,
    place: MessagePlace,
    mut gather: impl FnMut(Vec<Endpoint>) -> Result<(), Error>,
) -> Result<Option<u32>, Error> {
    let (mut at, mut seen) = (place.from, 0);
    while seen < ENDPOINTS_SCAN_MAX {
        let wanted = ENDPOINTS_PER_STEP.min(ENDPOINTS_SCAN_MAX - seen);
        let mut rows = ever(read, app, at, wanted)?;
        let is_last = rows.len() < wanted || place.upto.is_some_and(|upto| rows.iter().any(|row| row.id.0 >= upto));
        rows.retain(|row| place.upto.is_none_or(|upto| row.id.0 <= upto));
        seen += rows.len();
        at = rows.last().map_or(at, |row| row.id.0);
        gather(rows)?;
        if is_last {
            return Ok(place.upto);
        }
    }
    let next = ever(read, app, at, 1)?;
    Ok(place.upto.or((!next.is_empty()).then_some(at)))
}

/// Endpoints behind `at`, deleted ones included.
fn ever(read: &(impl Read + ?Sized), app: AppId, at: u32, limit: usize) -> Result<Vec<Endpoint>, Error> {
    let rows = deleted_endpoint::list_with_living(read, app, Some(EndpointId(at)), limit, Direction::Forward)?;
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}
