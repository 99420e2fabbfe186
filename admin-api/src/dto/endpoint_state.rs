//! The state of an endpoint: its breaker, its failures, its dead letters.
//!
//! Rates are metrics and not shown here.

use crate::dto::timestamp::Timestamp;
use control::query::endpoint_state::EndpointState;
use engine::Holding;
use model::{Endpoint, UnixMs};
use serde::Serialize;
use utoipa::ToSchema;

/// Its deliveries wait for the end of a pause.
const PAUSE: &str = "pause";

/// The state of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointStateOut {
    /// `closed`: attempts are made; `open`: none are; `half_open`: one probe may go.
    breaker: &'static str,
    /// Until when the breaker stays open.
    breaker_open_until: Option<Timestamp>,
    /// The number of times that it opened since it was last closed.
    breaker_openings: u32,
    /// Until when it asked to be left alone, by `Retry-After`; null when that is over, or was a second at most.
    paused_until: Option<Timestamp>,
    /// The first failure since the last success.
    failing_since: Option<Timestamp>,
    /// Deliveries in a row that used up their attempts; counted while `disableAfterFailedDeliveries` is set.
    failed_deliveries: u16,
    disabled: bool,
    disabled_reason: Option<&'static str>,
    disabled_at: Option<Timestamp>,
    /// Dead letters, counted up to 10,000.
    dead_letters: u64,
    /// Something of Pinion's own that this endpoint waits for before it can be sent to: `connections`, `lookups`,
    /// `system` (descriptors, ports, memory), the egress `proxy`, `places` for attempts, or the `writer`. Or `pause`: it or
    /// its application is paused. Null when it waits for nothing of the kind.
    waiting_for: Option<&'static str>,
    /// Since when it has waited for that.
    waiting_since: Option<Timestamp>,
    /// The gate that keeps the next delivery from being sent now: `window` (`maxInFlight`), `retry_after`, `rate`,
    /// `application_rate`, `application_in_flight` (`maxInFlightTotal`), `breaker`, `retry_schedule` (no retry is due), `retry_budget`, or a name that `waitingFor` has; null when
    /// nothing holds it back, or there is nothing to send.
    held_back_by: Option<&'static str>,
    /// When that gate opens, if that is known.
    held_back_until: Option<Timestamp>,
    /// The messages that wait for their first try.
    backlog: BacklogOut,
    /// Messages that retention removed before this endpoint came to them; null when there were none.
    expired: Option<ExpiredOut>,
}

/// Messages of the application that the endpoint has not come to, as far as is durable. The number is a little high
/// while the endpoint is busy, and includes attempts in flight.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct BacklogOut {
    /// Positions of the application's log that it is behind, including those that its filter does not let through.
    messages: u64,
    /// When the oldest of those that it is to get was taken; null when none of the next 256 is for it.
    oldest_at: Option<Timestamp>,
    /// Seconds since that time.
    oldest_age_seconds: Option<u64>,
}

/// Messages past their retention that were never tried. They stand for at most so many deliveries: it is not known any
/// more which of them the endpoint's filter would have let through.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpiredOut {
    /// Messages of the application that were removed before their turn.
    messages: u64,
    /// When that was first noticed.
    since: Timestamp,
    /// When it was last noticed.
    until: Timestamp,
}

impl EndpointStateOut {
    /// As of `now`.
    pub(crate) fn of(endpoint: &Endpoint, state: EndpointState, holding: Holding, now: UnixMs) -> Self {
        let Holding { waiting, held } = holding;
        let EndpointState { health, dead_letters, backlog, expired, paused_since } = state;
        let waits = waiting.map(|waiting| (waiting.wanted.as_str(), waiting.since));
        let waits = paused_since.map(|since| (PAUSE, since)).or(waits);
        let breaker = match health.breaker_open_until {
            None => "closed",
            Some(until) if until > now => "open",
            Some(_) => "half_open",
        };
        EndpointStateOut {
            breaker,
            breaker_open_until: health.breaker_open_until.map(Timestamp),
            breaker_openings: health.breaker_openings,
            paused_until: health.paused_until.filter(|until| *until > now).map(Timestamp),
            failing_since: health.failing_since.map(Timestamp),
            failed_deliveries: health.failed_deliveries,
            disabled: endpoint.disabled.is_some(),
            disabled_reason: endpoint.disabled.map(|disabled| disabled.reason.as_str()),
            disabled_at: endpoint.disabled.map(|disabled| Timestamp(disabled.at)),
            dead_letters,
            waiting_for: waits.map(|(wanted, _)| wanted),
            waiting_since: waits.map(|(_, since)| Timestamp(since)),
            held_back_by: waits.map(|(wanted, _)| wanted).or(held.map(|held| held.by.as_str())),
            held_back_until: held.filter(|_| waits.is_none()).and_then(|held| held.until).map(Timestamp),
            backlog: BacklogOut {
                messages: backlog.messages,
                oldest_at: backlog.oldest_at.map(Timestamp),
                oldest_age_seconds: backlog.oldest_at.map(|at| now.since_ms(at) / 1_000),
            },
            expired: expired.map(|expired| ExpiredOut {
                messages: expired.positions,
                since: Timestamp(expired.since),
                until: Timestamp(expired.at),
            }),
        }
    }
}
