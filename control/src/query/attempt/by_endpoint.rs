//! The attempts at one endpoint, newest first.

use super::{Attempt, AttemptFilter, Cut, EndpointPlace, url_called};
use crate::error::Error;
use crate::query::bounds::{PAGE_PAYLOAD_BYTES, PAGE_SCAN_MAX, PAGE_SEARCH_MAX};
use crate::query::log::MessageFilter;
use crate::query::paging::{Listed, Page};
use model::{AttemptRecord, Endpoint, Seq, UnixMs};
use std::sync::Arc;
use storage::Read;
use storage::tables::{event_uid, history, log};

/// First attempts are in order of their messages, not quite of their time. A list that is bounded by time goes on until
/// they are beyond the bound by more than attempts in flight can overlap.
const OVERLAP_MS: u64 = 10 * 60_000;

/// Attempts at an endpoint. An event past its retention takes its attempts with it.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list_of_endpoint(
    read: &(impl Read + ?Sized),
    endpoint: Endpoint,
    filter: &AttemptFilter,
    page: &Page<EndpointPlace>,
) -> Result<Listed<Attempt, Cut>, Error> {
    let narrowed = match &filter.messages.event_id {
        None => filter.clone(),
        Some(id) => match narrowed(read, &endpoint, id, filter)? {
            Some(narrowed) => narrowed,
            None => return Ok(Listed { items: Vec::new(), first: None, last: None, is_end: true }),
        },
    };
    let filter = &narrowed;
    let endpoint = Arc::new(endpoint);
    let (mut items, mut seen, mut bytes, mut is_end) = (Vec::new(), 0, 0, false);
    let start = start_of(read, &endpoint, filter, page)?;
    let mut cut = start;
    while items.len() < page.limit && bytes < PAGE_PAYLOAD_BYTES && !is_end {
        if seen >= if items.is_empty() { PAGE_SEARCH_MAX } else { PAGE_SCAN_MAX } {
            break;
        }
        // One at a time where each may be large: a page ends between two steps.
        let wanted = if filter.with_payloads { 1 } else { page.limit - items.len() };
        let listed = history::list_from(read, endpoint.target(), cut, wanted, page.direction())?;
        seen += listed.records.len();
        is_end = listed.is_end || is_past(&listed.records, filter, page.is_back());
        cut = listed.position;
        for record in listed.records.into_iter().filter(|record| filter.keeps(record)) {
            let event = log::get(read, endpoint.app, record.seq)?;
            if let Some(event) = event.filter(|event| filter.messages.fits(event)) {
                let event = filter.shown(event);
                bytes += event.payload.len();
                let url = url_called(read, &endpoint, &record)?;
                items.push(Attempt { record, event, endpoint: Arc::clone(&endpoint), url });
            }
        }
    }
    let (newest, oldest) = if page.is_back() { (cut, start) } else { (start, cut) };
    if page.is_back() {
        items.reverse();
    }
    let some = |cut| (seen > 0).then_some(cut);
    Ok(Listed { items, first: some(newest), last: some(oldest), is_end })
}

/// The filter of the attempts of one message, by the tenant's id of it: the list ends where the message came in, less what a clock
/// may have been set back by. None when there is no such message.
fn narrowed(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    id: &str,
    filter: &AttemptFilter,
) -> Result<Option<AttemptFilter>, Error> {
    let Some(seq) = event_uid::get(read, endpoint.app, id)? else { return Ok(None) };
    let Some(event) = log::get(read, endpoint.app, seq)? else { return Ok(None) };
    let began = UnixMs(event.accepted_at.0.saturating_sub(OVERLAP_MS));
    let messages = MessageFilter { after: filter.messages.after.max(Some(began)), ..filter.messages.clone() };
    Ok(Some(AttemptFilter { messages, ..filter.clone() }))
}

/// The cut that a page begins at; of the first page that above all attempts that there are, or that there were before
/// the filter's bound.
fn start_of(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    filter: &AttemptFilter,
    page: &Page<EndpointPlace>,
) -> Result<Cut, Error> {
    match page.place() {
        Some(EndpointPlace::Cut(cut)) => return Ok(*cut),
        Some(EndpointPlace::Beside(id)) => {
            return Ok(history::position_at(read, endpoint.target(), (Seq(id.low), id.at), page.is_back())?);
        }
        None => {}
    }
    let newest = history::newest(read, endpoint.target())?;
    let Some(before) = filter.messages.before else { return Ok(newest) };
    Ok(Cut {
        // No first attempt before a time is for a message taken at that time or later.
        first_below: log::before_time(read, endpoint.app, before)?.next().min(newest.first_below),
        later_before: (before, Seq::ZERO).min(newest.later_before),
    })
}

/// True if everything further on is older than the filter's bounds, or newer when going back.
fn is_past(records: &[AttemptRecord], filter: &AttemptFilter, is_back: bool) -> bool {
    let Some(last) = records.last() else { return false };
    match (is_back, filter.messages.after, filter.messages.before) {
        (false, Some(after), _) => last.started_at.plus_ms(OVERLAP_MS) < after,
        (true, _, Some(before)) => before.plus_ms(OVERLAP_MS) < last.started_at,
        _ => false,
    }
}
