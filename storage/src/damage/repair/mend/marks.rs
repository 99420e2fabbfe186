//! The positions of applications and endpoints, and the positions that are not given out again.
//!
//! - A lost `routed` stands where the rows of deliveries prove that events were offered: events behind it are offered
//!   again.
//! - A lost `cursor` stands where the endpoint's last attempts were, or before its first event: it gets what follows
//!   again.
//! - If an application's last messages may be lost, `routed` moves beyond every position that they can have had, since
//!   the log goes on behind it. Endpoints without a cursor get one then, to be offered the events that are left before.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, Cursor, Endpoint, EndpointRef, Seq};

use super::super::report::Report;
use super::{PAGE, commit, last_key, pages};
use crate::rows::{self, KeyKind, KeyRange};
use crate::store::{Direction, Store, StoreError};
use crate::tables::{delivery, endpoint, history, log};

/// No event takes fewer bytes in a commit: its header alone has a position, a time and a type.
const EVENT_MIN_BYTES: u64 = 16;

/// Runs of first attempts that an endpoint's position is told from: more than were under way at once, in one commit
/// each.
const RUNS_BACK: usize = 64;

/// Mends the marks of every application. `ends`: up to where some had events that were taken out.
pub(super) fn mend(
    store: &dyn Store,
    report: &mut Report,
    lost_bytes_max: u64,
    ends: &BTreeMap<AppId, Seq>,
) -> Result<(), StoreError> {
    let mut apps = BTreeSet::new();
    for kind in [KeyKind::Application, KeyKind::Endpoint, KeyKind::Routed] {
        pages(store, KeyRange::prefix(vec![kind as u8]), |rows| {
            apps.extend(rows.iter().filter_map(|(key, _)| rows::key::app_of(key)));
            Ok(())
        })?;
    }
    let mut after = None;
    while let Some(app) = log::next_app(store, after)? {
        apps.insert(app);
        after = Some(app);
    }
    apps.extend(ends.keys());
    let lost_events_max = lost_bytes_max.div_ceil(EVENT_MIN_BYTES);
    apps.into_iter().try_for_each(|app| {
        let end = ends.get(&app).copied().unwrap_or_default();
        mend_app(store, report, (app, end), lost_events_max)
    })
}

fn mend_app(
    store: &dyn Store,
    report: &mut Report,
    (app, end): (AppId, Seq),
    lost_events_max: u64,
) -> Result<(), StoreError> {
    let endpoints = endpoints_of(store, app)?;
    let offered = offered(store, app, &endpoints)?;
    let head = log::head(store, app)?;
    let known = head.max(offered).max(last_payload(store, app)?).max(end);
    let routed = match delivery::routed(store, app)? {
        Seq::ZERO if report.is_lost(&rows::routed::encode(app)) => offered.min(head),
        routed => routed,
    };
    let behind = rows::event::encode(app, known.next());
    let end_is_lost = report.may_be_lost(&behind, &rows::event::of_app(app).end);
    let skipped_to = if end_is_lost { Seq((known.0 + lost_events_max).min(Seq::MAX.0 / 2)).max(known) } else { known };
    // A position that something was seen at is never given out again either.
    let moves = skipped_to > head;
    let mut cursors = Vec::new();
    for row in &endpoints {
        let target = row.target();
        if delivery::cursor(store, target).is_ok_and(|cursor| cursor.is_some()) {
            continue;
        }
        let upto = if report.is_lost(&rows::cursor::encode(target)) {
            let upto = told_by_attempts(store, row)?.min(routed);
            report.lost_cursor(target, upto);
            upto
        } else {
            routed
        };
        if upto < head && (moves || upto < routed) {
            cursors.push((target, Cursor { upto, holes: Vec::new() }));
        }
    }
    if end_is_lost {
        report.lost_end(app, known, skipped_to);
    }
    commit(store, |txn| {
        cursors.iter().for_each(|(target, cursor)| delivery::put_cursor(txn, *target, cursor));
        let routed = if moves { skipped_to } else { routed };
        if routed > Seq::ZERO {
            delivery::put_routed(txn, app, routed);
        }
        Ok(())
    })
}

fn endpoints_of(store: &dyn Store, app: AppId) -> Result<Vec<Endpoint>, StoreError> {
    let mut all: Vec<Endpoint> = Vec::new();
    loop {
        let page = endpoint::list(store, app, all.last().map(|row| row.id), PAGE, Direction::Forward)?;
        let more = page.len() == PAGE;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

/// The highest position that a delivery to any of these endpoints is known of.
fn offered(store: &dyn Store, app: AppId, endpoints: &[Endpoint]) -> Result<Seq, StoreError> {
    let mut highest = delivery::routed(store, app)?;
    for target in endpoints.iter().map(Endpoint::target) {
        if let Ok(Some(cursor)) = delivery::cursor(store, target) {
            highest = highest.max(cursor.upto).max(cursor.holes.last().copied().unwrap_or_default());
        }
        highest = highest.max(last(store, rows::pending::of_endpoint(target), rows::pending::decode)?);
        highest = highest.max(last(store, rows::dead_letter::of_endpoint(target), rows::dead_letter::decode)?);
        highest = highest.max(history::last_first(store, target)?.unwrap_or_default());
    }
    Ok(highest)
}

fn last(
    store: &dyn Store,
    range: KeyRange,
    decode: impl Fn(&[u8]) -> Result<(EndpointRef, Seq), StoreError>,
) -> Result<Seq, StoreError> {
    Ok(last_key(store, range)?.map(|key| decode(&key)).transpose()?.map_or(Seq::ZERO, |(_, seq)| seq))
}

fn last_payload(store: &dyn Store, app: AppId) -> Result<Seq, StoreError> {
    let last = last_key(store, rows::payload::of_app(app))?;
    Ok(last.map(|key| rows::payload::decode(&key)).transpose()?.map_or(Seq::ZERO, |(_, seq)| seq))
}

/// The position that an endpoint may have had, by its attempts; before all that is left when they are few.
fn told_by_attempts(store: &dyn Store, row: &Endpoint) -> Result<Seq, StoreError> {
    let range = rows::attempt_first::of_endpoint(row.target());
    let runs = store.scan(&range.start, &range.end, RUNS_BACK, Direction::Reverse)?;
    let begin = log::begin(store, row.app)?.previous().max(row.active_from);
    match runs.last() {
        Some((key, _)) if runs.len() == RUNS_BACK => Ok(rows::attempt_first::decode(key)?.1.previous().max(begin)),
        _ => Ok(begin),
    }
}
