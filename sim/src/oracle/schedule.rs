//! Scheduled messages: none is attempted before its time, and at its time each endpoint that wants it has it in line.
//! No attempt starts at a message's expiry or later.

use super::{Violation, at, ensure, is_put, named, of_kind};
use crate::node::Flight;
use engine::prepare::filter::Filter;
use engine::scheduled::AHEAD_MS;
use model::{AppId, EndpointRef, Event, Seq, UnixMs};
use storage::Batch;
use storage::rows::{self, KeyKind};
use storage::store::{MemoryStore, Write};
use storage::{Direction, Store};

/// Messages whose schedule ends with this batch because all who are to get it have it in line: with the time of each.
pub(super) fn put_in_line(batch: &Batch) -> Result<Vec<(AppId, UnixMs, Seq)>, Violation> {
    let mut ended = Vec::new();
    for (key, write) in of_kind(batch, KeyKind::Scheduled) {
        let (app, at, seq) = rows::scheduled::decode(key)?;
        if *write == Write::Delete && !is_put(batch, &rows::called_off::encode(app, seq)) {
            ended.push((app, at, seq));
        }
    }
    Ok(ended)
}

/// True if an endpoint with these filters, known since a time, is to have got a message that was due at `due`. One that
/// came, or changed, around that time may have got it or not.
pub(super) fn is_owed(filters: &[Filter], since: UnixMs, due: UnixMs, event: &Event) -> bool {
    since.plus_ms(AHEAD_MS) < due && filters.iter().all(|filter| filter.matches_when_due(event))
}

/// An attempt starts.
pub(super) fn check_start(target: EndpointRef, flight: &Flight, by_hand: bool) -> Result<(), Violation> {
    let (event, now) = (&flight.event, flight.started_at);
    let name = || named(target, event.seq);
    let is_early = event.deliver_at().is_some_and(|deliver_at| now < deliver_at);
    ensure!(!is_early || by_hand, "{} starts before its scheduled time: {}", name(), at(now));
    let is_late = event.expires_at().is_some_and(|expires_at| expires_at <= now);
    ensure!(!is_late, "{} starts after its message has expired: {}", name(), at(now));
    Ok(())
}

/// Nothing is left on the schedule once time has passed.
pub(super) fn check_rest(rows: &MemoryStore, is_deleted: impl Fn(AppId) -> bool) -> Result<(), Violation> {
    let range = rows::scheduled::all();
    for (key, _) in Store::scan(rows, &range.start, &range.end, usize::MAX, Direction::Forward)? {
        let (app, due, seq) = rows::scheduled::decode(&key)?;
        ensure!(is_deleted(app), "message {app}/{seq} stays on the schedule, of {}", at(due));
    }
    Ok(())
}
