//! The reasons for which an endpoint with something to send sends nothing now.
//!
//! Two kinds: something of this process is short ([`WaitingFor`]), or a gate of the endpoint or its application is closed
//! ([`Gate`]). A lane and its shard know both, and a caller may ask them. Nothing is noted for a gate: it is looked at when
//! somebody asks, so a delivery costs nothing more.

use crate::dispatch::Lack;
use model::UnixMs;

/// Something of ours that an endpoint with work to do waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// A place for an attempt on its shard.
    Places,
    /// The writer, which has enough to settle.
    Writer,
    /// Something that an attempt needs.
    Lack(Lack),
}

impl WaitingFor {
    /// For answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            WaitingFor::Places => "places",
            WaitingFor::Writer => "writer",
            WaitingFor::Lack(lack) => lack.as_str(),
        }
    }
}

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The thing that is short.
    pub wanted: WaitingFor,
    /// When the wait began.
    pub since: UnixMs,
}

/// A gate that a delivery passes on its way. A policy that holds deliveries back adds its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As many attempts as it may have are in flight.
    Window,
    /// It asked to be left alone, by `Retry-After` or with a status that says so.
    RetryAfter,
    /// Its rate.
    Rate,
    /// The rate of its application.
    ApplicationRate,
    /// As many attempts as its application may have at once are in flight.
    ApplicationInFlight,
    /// Its circuit breaker.
    Breaker,
    /// Only retries wait, and none is due.
    RetrySchedule,
    /// Only retries wait, and there are as many as the budget allows already.
    RetryBudget,
}

impl Gate {
    /// For answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Gate::Window => "window",
            Gate::RetryAfter => "retry_after",
            Gate::Rate => "rate",
            Gate::ApplicationRate => "application_rate",
            Gate::ApplicationInFlight => "application_in_flight",
            Gate::Breaker => "breaker",
            Gate::RetrySchedule => "retry_schedule",
            Gate::RetryBudget => "retry_budget",
        }
    }
}

/// The first closed gate of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which one.
    pub by: Gate,
    /// When it opens, if that is known.
    pub until: Option<UnixMs>,
}

/// The answer to a caller who asks why an endpoint sends nothing now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Something of this process is short.
    pub waiting: Option<Waiting>,
    /// A gate is closed.
    pub held: Option<Held>,
}
