//! Dead letters of an endpoint, or of a whole application, as a list and as counts.

use super::paging::{Listed, Page};
use crate::error::Error;
use model::id::IdParts;
use model::{AppId, DeadLetter, DeadLetterReason, Endpoint, EndpointId, EndpointRef, Event, LetterPlace, Seq, UnixMs};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use storage::tables::{dead_letter, endpoint, history, log};
use storage::{Direction, Read};

/// Dead letters that a count by reason looks at.
const COUNTED_MAX: usize = 10_000;

/// Characters of an error that a list shows.
const ERROR_CHARS_MAX: usize = 256;

/// A dead letter with its message.
#[derive(Clone, Debug)]
pub struct ListedLetter {
    /// The parts of the message's id.
    pub message: IdParts,
    /// The message without its payload; none when it is past its retention.
    pub event: Option<Event>,
    /// The dead letter.
    pub letter: DeadLetter,
}

/// Dead letters in the order of their messages.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    page: &Page<IdParts>,
) -> Result<Listed<ListedLetter, IdParts>, Error> {
    let source = |after: Option<&IdParts>, limit| {
        let after = after.map(|parts| Seq(parts.low));
        let letters = dead_letter::list(read, endpoint.target(), after, limit, page.direction())?;
        let with_event = letters.into_iter().map(|(seq, letter)| {
            // Payloads are not shown, and those of a whole page would be a lot to hold.
            let event = log::get(read, endpoint.app, seq)?.map(|event| Event { payload: Default::default(), ..event });
            let at = event.as_ref().map_or(UnixMs::ZERO, |event| event.accepted_at);
            Ok(ListedLetter { message: IdParts { at, number: endpoint.app.0, low: seq.0 }, event, letter })
        });
        with_event.collect()
    };
    page.find(source, |row| row.message, |row| Ok(Some(row)))
}

/// The dead letters of an application that a caller wants to see.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Only those given up for this reason.
    pub reason: Option<DeadLetterReason>,
    /// Only messages of this type.
    pub event_type: Option<String>,
    /// Only of this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only those given up from then on.
    pub since: Option<UnixMs>,
    /// Only those given up until then.
    pub until: Option<UnixMs>,
}

/// A dead letter of an application.
#[derive(Clone, Debug)]
pub struct AppLetter {
    /// The endpoint of the delivery, as it is now.
    pub endpoint: Endpoint,
    /// The dead letter with its message.
    pub letter: ListedLetter,
    /// The error of its last attempt in words, or the beginning of the answer.
    pub error: Option<String>,
}

/// Numbers of the dead letters of an application.
#[derive(Clone, Debug, Default)]
pub struct LetterCount {
    /// All of them.
    pub total: u32,
    /// By reason, of those that were looked at.
    pub by_reason: Vec<(DeadLetterReason, u64)>,
    /// The newest ones that were looked at.
    pub looked_at: u64,
}

/// Dead letters of an application in the order in which deliveries were given up.
///
/// # Errors
/// Damage, and any error of the store.
pub fn list_of_app(
    read: &(impl Read + ?Sized),
    app: AppId,
    filter: &LetterFilter,
    page: &Page<LetterPlace>,
) -> Result<Listed<AppLetter, LetterPlace>, Error> {
    let mut met: HashMap<EndpointId, Option<Endpoint>> = HashMap::new();
    let source = |after: Option<&LetterPlace>, limit| {
        Ok(dead_letter::list_of_app(read, app, bounded(after, filter, page), limit, page.direction())?)
    };
    page.find(
        source,
        |place| *place,
        |place| {
            let is_in_time = filter.since.is_none_or(|since| place.at >= since)
                && filter.until.is_none_or(|until| place.at <= until);
            if !is_in_time || filter.endpoint.is_some_and(|wanted| wanted != place.endpoint) {
                return Ok(None);
            }
            let target = EndpointRef { app, endpoint: place.endpoint };
            let Some(letter) = dead_letter::get(read, target, place.seq)? else { return Ok(None) };
            if filter.reason.is_some_and(|wanted| wanted != letter.reason) {
                return Ok(None);
            }
            let event = log::get(read, app, place.seq)?.map(|event| Event { payload: Default::default(), ..event });
            let event_type = event.as_ref().map(|event| &*event.event_type);
            if filter.event_type.as_deref().is_some_and(|wanted| event_type != Some(wanted)) {
                return Ok(None);
            }
            let endpoint = match met.entry(place.endpoint) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(endpoint::get(read, target)?),
            };
            // A deleted endpoint's dead letters are on their way out.
            let Some(endpoint) = endpoint else { return Ok(None) };
            let at = event.as_ref().map_or(UnixMs::ZERO, |event| event.accepted_at);
            let message = IdParts { at, number: app.0, low: place.seq.0 };
            let error = error_of(read, target, place.seq)?;
            let letter = ListedLetter { message, event, letter };
            Ok(Some(AppLetter { endpoint: endpoint.clone(), letter, error }))
        },
    )
}

/// The place that a read begins behind: the page's own, or the end of the span of time that is asked for, so that what
/// lies before it need not be looked at.
fn bounded(after: Option<&LetterPlace>, filter: &LetterFilter, page: &Page<LetterPlace>) -> Option<LetterPlace> {
    let edge = match page.direction() {
        Direction::Forward => filter.since.map(|since| LetterPlace {
            at: UnixMs(since.0.saturating_sub(1)),
            endpoint: EndpointId(u32::MAX),
            seq: Seq(u64::MAX),
        }),
        Direction::Reverse => filter.until.map(|until| LetterPlace {
            at: UnixMs(until.0.saturating_add(1)),
            endpoint: EndpointId(0),
            seq: Seq::ZERO,
        }),
    };
    match (after.copied(), edge, page.direction()) {
        (Some(after), Some(edge), Direction::Forward) => Some(after.max(edge)),
        (Some(after), Some(edge), Direction::Reverse) => Some(after.min(edge)),
        (after, edge, _) => after.or(edge),
    }
}

fn error_of(read: &(impl Read + ?Sized), target: EndpointRef, seq: Seq) -> Result<Option<String>, Error> {
    let attempts = history::of_message(read, target, seq)?;
    let last = attempts.iter().max_by_key(|attempt| attempt.started_at);
    Ok(last.map(|attempt| String::from_utf8_lossy(&attempt.response).chars().take(ERROR_CHARS_MAX).collect()))
}

/// Counts the dead letters of an application. By reason, the newest are looked at, [`COUNTED_MAX`] at most.
///
/// # Errors
/// Damage, and any error of the store.
pub fn count_of_app(read: &(impl Read + ?Sized), app: AppId) -> Result<LetterCount, Error> {
    let places = dead_letter::list_of_app(read, app, None, COUNTED_MAX, Direction::Reverse)?;
    let mut by_reason: Vec<(DeadLetterReason, u64)> = DeadLetterReason::ALL.map(|reason| (reason, 0)).to_vec();
    let mut looked_at = 0;
    for place in places {
        let target = EndpointRef { app, endpoint: place.endpoint };
        let Some(letter) = dead_letter::get(read, target, place.seq)? else { continue };
        looked_at += 1;
        by_reason.iter_mut().filter(|(reason, _)| *reason == letter.reason).for_each(|(_, count)| *count += 1);
    }
    Ok(LetterCount { total: dead_letter::count(read, app)?, by_reason, looked_at })
}
