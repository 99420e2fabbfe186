//! The in-flight window: the attempts that an endpoint may have at once, found as TCP finds its congestion window.
//!
//! Slow start (RFC 5681): from 16, one more per success, so the window doubles each round trip. The first sign of
//! congestion halves it, at most once per round trip. Attempts that were already in flight then say nothing new (the
//! «recover» mark of RFC 6582). From there it grows by one per window of successes. Never below 1, never above the
//! endpoint's maximum.
//!
//! It grows to no more than twice the attempts in flight: success at low load says nothing about high load. That number
//! is sampled once per round trip, because outcomes come back in batches. At the end of a batch, little is in flight
//! however busy the window was.
//!
//! Deliberately no judgement on health (`endpoint::breaker`) and no clock: round trips are told apart by the order in
//! which attempts started.

use model::OutcomeClass;

/// Attempts at once before anything is known.
pub const INITIAL_LIMIT: u16 = 16;

/// Attempts at once at most, if nothing else is configured.
pub const DEFAULT_MAX_LIMIT: u16 = 64;

/// The right to one attempt. Given back with [`Window::release`], exactly once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a slot that is not released is lost"]
pub struct Slot {
    number: u64,
}

/// The sign that an attempt gives of the endpoint's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It coped.
    Coped,
    /// It was too much.
    Congested,
    /// Nothing: it failed for another reason, or was not made.
    Nothing,
}

/// The window of one endpoint.
#[derive(Clone, Debug)]
pub struct Window {
    limit: u16,
    max: u16,
    in_flight: u16,
    /// Successes since the window last grew by one, while not in slow start.
    successes: u16,
    slow_start: bool,
    /// Slots are numbered in the order they are given out.
    next_number: u64,
    /// Slots below this were in flight when the window last shrank.
    recover: u64,
    /// A round trip ends with the first release of a slot from here on.
    round_end: u64,
    /// Slots in flight when the current round trip began.
    round_in_flight: u16,
}

// === impl Feedback ===

impl Feedback {
    /// The sign that an outcome gives of capacity.
    ///
    /// Time-outs, throttling and connections refused, reset or broken are the outside signs of overload. A plain 5xx
    /// is more often a defect than a queue, so it neither shrinks nor grows the window. Any other answer of the
    /// endpoint shows that it kept up.
    #[must_use]
    pub fn of(outcome: OutcomeClass) -> Feedback {
        match outcome {
            OutcomeClass::Success
            | OutcomeClass::Redirect
            | OutcomeClass::ClientError
            | OutcomeClass::Gone
            | OutcomeClass::RetryableClientError => Feedback::Coped,
            OutcomeClass::Throttled
            | OutcomeClass::Timeout
            | OutcomeClass::ConnectError
            | OutcomeClass::TransportError => Feedback::Congested,
            OutcomeClass::ServerError
            | OutcomeClass::DnsError
            | OutcomeClass::Refused
            | OutcomeClass::TlsError
            | OutcomeClass::InternalError => Feedback::Nothing,
        }
    }
}

// === impl Window ===

impl Window {
    /// An empty window in slow start. `max` 0 counts as 1.
    #[must_use]
    pub fn new(max: u16) -> Window {
        let max = max.max(1);
        let limit = INITIAL_LIMIT.min(max);
        Window {
            limit,
            max,
            in_flight: 0,
            successes: 0,
            slow_start: true,
            next_number: 0,
            recover: 0,
            round_end: 0,
            round_in_flight: 0,
        }
    }

    /// Attempts allowed at once.
    #[must_use]
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// Slots given out and not released. Above the limit for a while after it shrank.
    #[must_use]
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Slots that can be had now.
    #[must_use]
    pub fn room(&self) -> u16 {
        self.limit.saturating_sub(self.in_flight)
    }

    /// Takes a slot, if there is room.
    pub fn try_acquire(&mut self) -> Option<Slot> {
        if self.room() == 0 {
            return None;
        }
        self.in_flight += 1;
        let number = self.next_number;
        self.next_number += 1;
        Some(Slot { number })
    }

    /// Gives a slot back with the feedback of its attempt.
    pub fn release(&mut self, slot: Slot, feedback: Feedback) {
        if slot.number >= self.round_end {
            self.round_in_flight = self.in_flight;
            self.round_end = self.next_number;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if slot.number < self.recover {
            return;
        }
        match feedback {
            Feedback::Coped => self.grow(),
            Feedback::Congested => self.shrink(),
            Feedback::Nothing => {}
        }
    }

    /// Starts over from 1 in slow start: for an endpoint whose breaker has just closed. It reaches 64 in six round
    /// trips, where growth by one would take sixty.
    pub fn restart(&mut self) {
        self.limit = 1;
        self.successes = 0;
        self.slow_start = true;
        self.recover = self.next_number;
    }

    /// Another maximum from now on; 0 counts as 1.
    pub fn set_max(&mut self, max: u16) {
        self.max = max.max(1);
        self.limit = self.limit.min(self.max);
    }

    fn grow(&mut self) {
        if self.limit >= self.max || u32::from(self.limit) >= u32::from(self.round_in_flight) * 2 {
            return;
        }
        self.successes += 1;
        if self.slow_start || self.successes >= self.limit {
            self.limit += 1;
            self.successes = 0;
        }
    }

    fn shrink(&mut self) {
        self.limit = (self.limit / 2).max(1);
        self.successes = 0;
        self.slow_start = false;
        self.recover = self.next_number;
    }
}

#[cfg(test)]
mod tests;
