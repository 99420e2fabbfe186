//! Attempts: one, those at an endpoint, those of a message.
//!
//! The history is kept by endpoint in order of time; the attempts of one message are gathered from the endpoints of its
//! application. There is no index by status: a filter reads on within a bound, like that of any other list.

mod by_endpoint;
mod by_message;
mod place;

#[cfg(test)]
mod tests;

pub use by_endpoint::list_of_endpoint;
pub use by_message::list_of_message;
pub use place::{Cut, EndpointPlace, MessagePlace};

use super::bounds::PAGE_PAYLOAD_BYTES;
use super::log::MessageFilter;
use super::status::{StatusFilter, of_attempt};
use crate::error::Error;
use crate::find::find_endpoint;
use model::id::{IdKind, IdParts, attempt_id};
use model::{AppId, AttemptRecord, Endpoint, EndpointId, EndpointRef, Event};
use std::sync::Arc;
use storage::Read;
use storage::tables::{deleted_endpoint, endpoint, endpoint_url, history};

/// An attempt with its message and its endpoint.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The record of the attempt.
    pub record: AttemptRecord,
    /// The message; its payload is there where [`AttemptFilter::with_payloads`] asks for it.
    pub event: Event,
    /// The endpoint as it is, or as it was shown when it was deleted.
    pub endpoint: Arc<Endpoint>,
    /// The URL that was called, as far as it is known.
    pub url: Option<String>,
}

/// Which attempts a list shows, and how much of them.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    /// Of these messages; its bounds of time are those of an attempt's start.
    pub messages: MessageFilter,
    /// With one of these statuses.
    pub statuses: StatusFilter,
    /// With an HTTP status of this hundred, 0 to 500; 0 for attempts without an answer.
    pub status_class: Option<u16>,
    /// Payloads are shown, and a page ends early for their bytes.
    pub with_payloads: bool,
}

impl AttemptFilter {
    fn keeps(&self, record: &AttemptRecord) -> bool {
        self.statuses.passes(of_attempt(record))
            && self.status_class.is_none_or(|class| record.status / 100 * 100 == class)
            && self.messages.is_within(record.started_at)
    }

    /// The number of attempts of one message on a page, at most `limit`: fewer where each shows the payload.
    fn limit_of(&self, event: &Event, limit: usize) -> usize {
        let most = if self.with_payloads { PAGE_PAYLOAD_BYTES / event.payload.len().max(1) } else { limit };
        limit.min(most.max(1))
    }

    /// The message as it is listed: without a payload that nobody asked for, which a whole page of would be a lot to
    /// hold.
    fn shown(&self, event: Event) -> Event {
        if self.with_payloads { event } else { Event { payload: Default::default(), ..event } }
    }
}

/// The attempt of an id at a message. Its endpoint may have been deleted.
///
/// # Errors
/// Damage, and any error of the store.
pub fn find(read: &(impl Read + ?Sized), event: &Event, text: &str) -> Result<Option<Attempt>, Error> {
    let parts = IdParts::from_text(IdKind::Attempt, text).filter(|parts| parts.low == event.seq.0);
    let Some(parts) = parts else { return Ok(None) };
    let target = EndpointRef { app: event.app, endpoint: EndpointId(parts.number) };
    let living = endpoint::get(read, target)?;
    let Some(row) = living.map_or_else(|| deleted_endpoint::get(read, target), |row| Ok(Some(row)))? else {
        return Ok(None);
    };
    let records = history::of_message(read, target, event.seq)?;
    let found = records.into_iter().find(|record| attempt_id(row.id, record.seq, record.started_at) == text);
    let Some(record) = found else { return Ok(None) };
    Ok(Some(Attempt { url: url_called(read, &row, &record)?, record, event: event.clone(), endpoint: Arc::new(row) }))
}

/// The endpoint of an id or a uid, or a deleted one that has attempts yet, of an id.
///
/// # Errors
/// Damage, and any error of the store.
pub fn find_endpoint_ever(read: &(impl Read + ?Sized), app: AppId, text: &str) -> Result<Option<Endpoint>, Error> {
    if let Some(found) = find_endpoint(read, app, text)? {
        return Ok(Some(found));
    }
    let Some(parts) = IdParts::from_text(IdKind::Endpoint, text) else { return Ok(None) };
    let deleted = deleted_endpoint::get(read, EndpointRef { app, endpoint: EndpointId(parts.number) })?;
    Ok(deleted.filter(|row| row.public_id() == text))
}

/// The URL that an attempt called, as far as it is known.
fn url_called(read: &(impl Read + ?Sized), row: &Endpoint, record: &AttemptRecord) -> Result<Option<String>, Error> {
    Ok(endpoint_url::get(read, row.target(), record.url_number, &row.url)?)
}
