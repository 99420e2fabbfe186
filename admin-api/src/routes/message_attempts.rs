//! The attempts of one message, gathered from the endpoints of its application, newest first.
//!
//! The history is kept by endpoint, so each endpoint is looked at, those that were deleted and have attempts yet included. A page looks at a bounded number of them, a *stretch*:
//! nearly every application is one. One with more endpoints is listed stretch by stretch, each newest first; a page that
//! ends a stretch says `done: false`, whatever it found, and its iterator leads on to the next. Going back ends where the
//! stretch began. In memory are never more attempts than a page and one step of endpoints have.
//!
//! Deliberately no index by message: it would be a write for every attempt, for a list that is seldom asked for.

use super::attempt::{ListQuery, find_ever, url_called};
use crate::dto::attempt::MessageAttemptOut;
use crate::dto::fields::ListResponse;
use crate::error::ApiError;
use crate::limits::ENDPOINTS_SCAN_MAX;
use crate::paging::Page;
use model::id::{IdKind, IdParts};
use model::{AppId, AttemptRecord, Endpoint, EndpointId, Event};
use storage::read::Read;
use storage::tables::{deleted_endpoint, history};
use storage::{Direction, StoreError};

/// Endpoints read in one step.
const ENDPOINTS_PER_STEP: usize = 256;

/// Where a page begins, or an attempt stands.
///
/// As text an attempt's id; in any but an only stretch `from.upto.attempt`, where what is not known is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The stretch begins behind this endpoint.
    from: u32,
    /// It ends with this one; none when it is the last, or has not been looked at. Kept, so that the stretch stays what
    /// it was when endpoints are deleted.
    upto: Option<u32>,
    /// The attempt that the page begins behind.
    after: Option<IdParts>,
}

/// Attempts with their place in the order of time.
type Found = (IdParts, AttemptRecord, Endpoint);

impl Place {
    /// Reads [`Place::to_text`] back.
    pub(super) fn from_text(text: &str) -> Option<Place> {
        let attempt = |text: &str| IdParts::from_text(IdKind::Attempt, text);
        let number = |text: &str| text.parse::<u32>().ok();
        let Some((from, rest)) = text.split_once('.') else {
            return attempt(text).map(|after| Place { after: Some(after), ..Place::default() });
        };
        let (upto, after) = rest.split_once('.')?;
        Some(Place {
            from: number(from)?,
            upto: if upto.is_empty() { None } else { Some(number(upto)?) },
            after: if after.is_empty() { None } else { Some(attempt(after)?) },
        })
    }

    fn to_text(self) -> String {
        let after = self.after.map(|after| after.to_text(IdKind::Attempt)).unwrap_or_default();
        match (self.from, self.upto) {
            (0, None) => after,
            (from, upto) => format!("{from}.{}.{after}", upto.map(|upto| upto.to_string()).unwrap_or_default()),
        }
    }
}

/// One page.
///
/// # Errors
/// 404 when the query names an endpoint that is not there; whatever the store reports.
pub(super) fn page_of_message(
    read: &(impl Read + ?Sized),
    event: &Event,
    query: &ListQuery,
    page: &Page<Place>,
) -> Result<ListResponse<MessageAttemptOut>, ApiError> {
    let page = &query.cut(page, event);
    let place = page.after.unwrap_or_default();
    let (filter, direction) = (query.filter(), page.direction());
    let behind = |key: &IdParts| match (place.after, direction) {
        (None, _) => true,
        (Some(after), Direction::Reverse) => *key < after,
        (Some(after), Direction::Forward) => *key > after,
    };
    let mut found: Vec<Found> = Vec::new();
    let mut gather = |rows: Vec<Endpoint>| {
        for row in rows.into_iter().filter(|_| filter.fits(event)) {
            for record in history::of_message(read, row.target(), event.seq)? {
                let key = IdParts { at: record.started_at, number: row.id.0, low: record.seq.0 };
                if behind(&key) && query.keeps(&record, &filter) {
                    found.push((key, record, row.clone()));
                }
            }
        }
        found.sort_unstable_by_key(|(key, _, _)| *key);
        if direction == Direction::Reverse {
            found.reverse();
        }
        found.truncate(page.read_limit());
        Ok(())
    };
    let upto = match &query.endpoint_id {
        Some(text) => {
            let row = find_ever(read, event.app, text)?.ok_or(ApiError::NotFound("endpoint"))?;
            gather(vec![row])?;
            None
        }
        None => each_step(read, event.app, place, gather)?,
    };
    let is_stretch_done = found.len() <= page.limit && direction == Direction::Reverse;
    let with_url = |(key, record, row): Found| {
        let url = url_called(read, &row, &record)?;
        Ok((key, record, row, url))
    };
    let found = found.into_iter().map(with_url).collect::<Result<Vec<_>, ApiError>>()?;
    let key = |(key, ..): &(IdParts, _, _, _)| Place { after: Some(*key), upto, ..place }.to_text();
    let mut list = page.respond(found, key, |(_, record, row, url)| query.show(record, event, row, url.clone()));
    if let Some(upto) = upto.filter(|_| is_stretch_done) {
        list.iterator = Some(Place { from: upto, upto: None, after: None }.to_text());
        list.done = false;
    }
    Ok(list)
}

/// Shows the endpoints of a stretch to `gather`, step by step. Answers where the stretch ends, if another follows.
fn each_step(
    read: &(impl Read + ?Sized),
    app: AppId,
    place: Place,
    mut gather: impl FnMut(Vec<Endpoint>) -> Result<(), StoreError>,
) -> Result<Option<u32>, StoreError> {
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
fn ever(read: &(impl Read + ?Sized), app: AppId, at: u32, limit: usize) -> Result<Vec<Endpoint>, StoreError> {
    let rows = deleted_endpoint::list_with_living(read, app, Some(EndpointId(at)), limit, Direction::Forward)?;
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::UnixMs;

    #[test]
    fn places_read_back_and_the_only_stretch_is_not_named() {
        let after = IdParts { at: UnixMs(5), number: 7, low: 9 };
        for (from, upto, after) in
            [(0, None, Some(after)), (0, Some(4), Some(after)), (4, None, None), (4, Some(8), Some(after))]
        {
            let place = Place { from, upto, after };
            assert_eq!(Place::from_text(&place.to_text()), Some(place));
        }
        let only = Place { after: Some(after), ..Place::default() };
        assert_eq!(only.to_text(), after.to_text(IdKind::Attempt));
        for wrong in ["", "1", "1.2", "x..", "1.x.", "1.2.x", ".."] {
            assert_eq!(Place::from_text(wrong), None, "{wrong}");
        }
    }
}
