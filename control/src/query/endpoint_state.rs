//! The state of an endpoint, and statistics of its deliveries.
//!
//! Statistics are counted from the newest messages when they are asked for; nothing is kept for them.

use super::bounds::{
    BACKLOG_EVENTS_MAX, BACKLOG_STEPS_MAX, DEAD_LETTERS_COUNTED_MAX, PAGE_PAYLOAD_BYTES, STATS_EVENTS_MAX,
};
use super::log::{MessageFilter, Step, each};
use super::status::Standing;
use crate::error::Error;
use engine::prepare::filter::Filter;
use engine::{DeliveryState, Standings};
use model::{Cursor, DeliveryStatus, Endpoint, EndpointHealth, Event, Expired, UnixMs};
use std::cell::Cell;
use storage::tables::{application, dead_letter, delivery, log};
use storage::{Direction, Read};

/// The state of an endpoint, as far as it is durable.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// Its breaker and its failures.
    pub health: EndpointHealth,
    /// Its dead letters, counted up to [`DEAD_LETTERS_COUNTED_MAX`].
    pub dead_letters: u64,
    /// The messages that wait for their first try.
    pub backlog: Backlog,
    /// The messages that retention removed before the endpoint came to them, and will have.
    pub expired: Option<Expired>,
    /// Since when its deliveries wait because it or its application is paused.
    pub paused_since: Option<UnixMs>,
}

/// The messages that an endpoint has not come to: between its cursor, or the first hole of it, and the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Positions of the application's log that it is behind, those included that its filter does not let through.
    pub messages: u64,
    /// When the oldest of those that it is to get was taken; none when none of the next [`BACKLOG_EVENTS_MAX`] is for
    /// it.
    pub oldest_at: Option<UnixMs>,
}

/// The number of an endpoint's deliveries by status. Each message that is listed for the endpoint counts under the
/// status that the list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Delivered.
    pub success: u64,
    /// On their way.
    pub sending: u64,
    /// Given up.
    pub fail: u64,
    /// Never tried, because the endpoint was disabled.
    pub canceled: u64,
    /// Their attempts are past their retention, so nothing is known of them any more. They are not listed.
    pub history_gone: u64,
    /// Older messages of the period were left out: only the newest [`STATS_EVENTS_MAX`] are counted.
    pub is_truncated: bool,
}

/// Reads how an endpoint fares.
///
/// # Errors
/// Damage, and any error of the store.
pub fn state_of(read: &(impl Read + ?Sized), endpoint: &Endpoint, now: UnixMs) -> Result<EndpointState, Error> {
    Ok(EndpointState {
        health: delivery::health(read, endpoint.target())?,
        dead_letters: dead_letter::count_upto(read, endpoint.target(), DEAD_LETTERS_COUNTED_MAX)?,
        expired: expired_so_far(read, endpoint, now)?,
        backlog: backlog_of(read, endpoint)?,
        paused_since: paused_since(read, endpoint)?,
    })
}

/// Counts the deliveries of an endpoint, of messages that were taken in a period: from `since` to `until`, both
/// included.
///
/// # Errors
/// Damage, and any error of the store.
pub fn stats_of(
    read: &(impl Read + ?Sized),
    endpoint: &Endpoint,
    since: Option<UnixMs>,
    until: Option<UnixMs>,
) -> Result<Stats, Error> {
    let (mut stats, mut seen) = (Stats::default(), 0);
    let standings = Standings::read(read, endpoint)?;
    let look = |event: Event| {
        if seen == STATS_EVENTS_MAX {
            return Ok(Step::Stop);
        }
        seen += 1;
        if event.is_test() {
            return Ok(Step::On);
        }
        stats.count(&standings.of(read, &event)?);
        Ok(Step::On)
    };
    let before = until.map(|until| until.plus_ms(1));
    let span = MessageFilter { after: since, before, ..MessageFilter::default() }.span(read, endpoint.app)?;
    let is_end = each(read, endpoint.app, span, (None, Direction::Reverse), look)?;
    Ok(Stats { is_truncated: !is_end, ..stats })
}

impl Stats {
    fn count(&mut self, state: &DeliveryState) {
        match Standing::of_delivery(state).map(|standing| standing.status) {
            Some(DeliveryStatus::Success) => self.success += 1,
            // No delivery is pending among the messages of its endpoint.
            Some(DeliveryStatus::Sending | DeliveryStatus::Pending) => self.sending += 1,
            Some(DeliveryStatus::Fail) => self.fail += 1,
            Some(DeliveryStatus::Canceled) => self.canceled += 1,
            None => self.history_gone += u64::from(*state == DeliveryState::HistoryGone),
        }
    }
}

/// The earlier of both pauses. Nothing waits for an endpoint that is disabled.
fn paused_since(read: &(impl Read + ?Sized), endpoint: &Endpoint) -> Result<Option<UnixMs>, Error> {
    if endpoint.disabled.is_some() {
        return Ok(None);
    }
    let with_application = application::get(read, endpoint.app)?.and_then(|app| app.paused_at);
    Ok(endpoint.paused.map(|paused| paused.at).into_iter().chain(with_application).min())
}

fn backlog_of(read: &(impl Read + ?Sized), endpoint: &Endpoint) -> Result<Backlog, Error> {
    if endpoint.disabled.is_some() {
        // It is passed over, not waited for.
        return Ok(Backlog::default());
    }
    let noted = delivery::cursor(read, endpoint.target())?;
    // An endpoint without a cursor owes none of the routed messages.
    let cursor = match &noted {
        Some(cursor) => cursor.clone(),
        None => Cursor { upto: delivery::routed(read, endpoint.app)?, holes: Vec::new() },
    };
    let first = cursor.holes.first().copied().unwrap_or(cursor.upto.next());
    let next = log::read_after(read, endpoint.app, first.previous(), BACKLOG_EVENTS_MAX, PAGE_PAYLOAD_BYTES)?;
    let filter = Filter::of(endpoint);
    let steps = Cell::new(0);
    let is_owed = |event: &&Event| {
        let not_tried = event.seq > cursor.upto || cursor.holes.contains(&event.seq);
        // Once a content filter has taken as many steps as an answer may cost, the rest counts as owed: it waits.
        not_tried && filter.selects(event) && (steps.get() > BACKLOG_STEPS_MAX || filter.matches_in(event, &steps))
    };
    let oldest_at = next.iter().find(is_owed).map(|event| event.accepted_at);
    if noted.is_none() && oldest_at.is_none() {
        return Ok(Backlog::default());
    }
    let behind = log::head(read, endpoint.app)?.0.saturating_sub(cursor.upto.0);
    Ok(Backlog { messages: behind + cursor.holes.len() as u64, oldest_at })
}

/// The expired messages of an endpoint: those that are noted, and those between its cursor and the beginning of the
/// log, which are not noted yet.
fn expired_so_far(read: &(impl Read + ?Sized), endpoint: &Endpoint, now: UnixMs) -> Result<Option<Expired>, Error> {
    let noted = delivery::expired(read, endpoint.target())?;
    let Some(cursor) = delivery::cursor(read, endpoint.target())? else { return Ok(noted) };
    let range = Expired::range(cursor.upto.next(), log::begin(read, endpoint.app)?.previous(), now);
    if range.positions == 0 || endpoint.disabled.is_some() {
        return Ok(noted);
    }
    Ok(Some(noted.map_or(range, |noted| noted.and(range))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{APP, append, message, plain_endpoint, put_endpoints, store_of, write};
    use model::Seq;

    #[test]
    fn both_bounds_of_the_period_of_statistics_belong_to_it() {
        let store = store_of(|txn| put_endpoints(txn, 1));
        append(&store, (1..=5).map(|seq| message(seq, "a", 1)));
        let counted = |since: u64, until: u64| {
            let stats = stats_of(&store, &plain_endpoint(1), Some(UnixMs(since)), Some(UnixMs(until))).unwrap();
            (stats.sending, stats.is_truncated)
        };
        assert_eq!(counted(20, 40), (3, false));
        assert_eq!(counted(21, 39), (1, false));
        assert_eq!(counted(51, 90), (0, false));
    }

    #[test]
    fn a_backlog_is_all_behind_the_cursor_and_its_holes_and_its_oldest_is_one_that_is_wanted() {
        let endpoint = Endpoint { event_types: vec!["b".to_owned()], ..plain_endpoint(1) };
        let store = store_of(|txn| storage::tables::endpoint::put(txn, &endpoint));
        append(&store, (1..=6).map(|seq| message(seq, if seq % 2 == 0 { "b" } else { "a" }, 1)));
        let backlog = |upto: u64, holes: &[u64]| {
            let cursor = Cursor { upto: Seq(upto), holes: holes.iter().map(|seq| Seq(*seq)).collect() };
            write(&store, |txn| {
                delivery::put_cursor(txn, endpoint.target(), &cursor);
                Ok(())
            });
            state_of(&store, &endpoint, UnixMs(100)).unwrap().backlog
        };
        assert_eq!(backlog(3, &[]), Backlog { messages: 3, oldest_at: Some(UnixMs(40)) });
        assert_eq!(backlog(3, &[2]), Backlog { messages: 4, oldest_at: Some(UnixMs(20)) });
        assert_eq!(backlog(6, &[]), Backlog::default());
        write(&store, |txn| {
            delivery::put_routed(txn, APP, Seq(6));
            delivery::remove_cursor(txn, endpoint.target());
            Ok(())
        });
        assert_eq!(state_of(&store, &endpoint, UnixMs(100)).unwrap().backlog, Backlog::default());
    }
}
