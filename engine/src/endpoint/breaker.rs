//! The circuit breaker of one endpoint. **Closed** passes traffic, **Open** rejects it, **HalfOpen** has one probe out.
//!
//! | from | to | when |
//! |---|---|---|
//! | Closed | Open | so many failures in a row, or too low a success rate over the last seconds |
//! | Open | HalfOpen | the hold is over and a caller asks: its attempt is the probe |
//! | HalfOpen | Closed | the probe found the endpoint healthy |
//! | HalfOpen | Open | the probe failed or was throttled: a longer hold. Or it was not made: no new hold |
//! | any | Closed | the endpoint has a new URL or was enabled again: failures from before say nothing |
//!
//! A hold starts at 5 s and doubles with each opening since the breaker was last closed, up to 30 s. It is drawn from
//! the upper half of that, so that endpoints that failed together are not probed together. An open breaker spends no
//! attempts and no sockets: deliveries wait, and their attempts are not counted down.
//!
//! Throttling (429) lowers the success rate and fails a probe, but it is no failure in a row: the endpoint is alive.
//!
//! Every admission carries a [`Ticket`] of the period it was given in. A result from an earlier period, such as a slow
//! attempt from before the breaker opened, is void: it neither closes nor trips the breaker.
//!
//! The breaker has no clock, no timer and no queue: the caller asks again at the time that the breaker names. The caller
//! also stores [`Breaker::snapshot`], so that a restart does not flood an endpoint that is known to be down.

mod config;
mod success_rate;

use crate::outcome::classify::HealthSignal;
use crate::retry::schedule::{doubled_ms, jittered_ms};
use model::{EndpointHealth, Jitter, UnixMs};
use rand::Rng;
use success_rate::SuccessRate;

pub use config::BreakerConfig;

/// The state in the standard words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Traffic passes.
    Closed,
    /// Traffic is rejected, or its hold is over and nobody has asked yet.
    Open {
        /// The end of the hold.
        until: UnixMs,
    },
    /// One probe is out.
    HalfOpen,
}

/// An answer to «may I make an attempt?».
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Allowed(Ticket),
    /// Yes, and every other attempt waits for the result.
    Probe(Ticket),
    /// No.
    Rejected {
        /// When to ask again; none while a probe is out: ask after its result.
        until: Option<UnixMs>,
    },
}

/// The right to one attempt. Returned with [`Breaker::on_result`] or [`Breaker::release`], exactly once: the breaker
/// waits for a probe's ticket without limit.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a breaker whose probe is not returned stays half-open"]
pub struct Ticket {
    period: u32,
    probe: bool,
}

/// A change of state, for a log line, a metric and a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Closed => Open.
    Opened {
        /// The end of the hold.
        until: UnixMs,
        /// Which rule tripped it.
        reason: TripReason,
    },
    /// HalfOpen => Open, after a failed probe.
    Reopened {
        /// The end of the hold.
        until: UnixMs,
    },
    /// HalfOpen => Closed, or any => Closed by [`Breaker::reset`].
    Closed,
}

/// Which rule tripped a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TripReason {
    /// Failures in a row.
    ConsecutiveFailures,
    /// The success rate over the last seconds.
    LowSuccessRate,
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
    /// Counts admissions that are mutually void: a new one with each opening, closing and probe.
    period: u32,
    /// Openings since it was last closed.
    openings: u32,
    /// The end of the last hold; kept while half-open, so that a restart then probes instead of flooding.
    open_until: Option<UnixMs>,
    consecutive_failures: u32,
    success_rate: SuccessRate,
}

// === impl Ticket ===

impl Ticket {
    /// True if the attempt is a probe.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Breaker {
        Breaker {
            config,
            state: State::Closed,
            period: 0,
            openings: 0,
            open_until: None,
            consecutive_failures: 0,
            success_rate: SuccessRate::new(config.window_ms),
        }
    }

    /// A breaker as [`Breaker::snapshot`] remembered it. A hold that lies further ahead than any hold can (the clock
    /// stepped back in between) is cut to the longest.
    #[must_use]
    pub fn restore(config: BreakerConfig, health: &EndpointHealth, now: UnixMs) -> Breaker {
        let mut breaker = Breaker::new(config);
        if let Some(until) = health.breaker_open_until {
            let until = until.min(now.plus_ms(config.hold_max_ms));
            breaker.state = State::Open { until };
            breaker.open_until = Some(until);
            breaker.openings = health.breaker_openings.max(1);
        }
        breaker
    }

    /// The part of the health that a restart restores the breaker from; the caller fills in the rest.
    ///
    /// Changes only with a [`Transition`].
    #[must_use]
    pub fn snapshot(&self) -> EndpointHealth {
        EndpointHealth {
            breaker_open_until: self.open_until,
            breaker_openings: self.openings,
            ..EndpointHealth::default()
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Asks to make an attempt now.
    pub fn try_acquire(&mut self, now: UnixMs) -> Admission {
        match self.state {
            State::Closed => Admission::Allowed(Ticket { period: self.period, probe: false }),

            // ## Open => (Open | HalfOpen)
            //
            // The hold is cut as in `restore`, or a clock set back by a day would hold for a day.
            State::Open { until } => {
                let until = until.min(now.plus_ms(self.config.hold_max_ms));
                if until > now {
                    self.state = State::Open { until };
                    self.open_until = Some(until);
                    return Admission::Rejected { until: Some(until) };
                }
                self.enter(State::HalfOpen);
                Admission::Probe(Ticket { period: self.period, probe: true })
            }

            State::HalfOpen => Admission::Rejected { until: None },
        }
    }

    /// Takes the result of an admitted attempt.
    pub fn on_result(
        &mut self,
        ticket: Ticket,
        signal: HealthSignal,
        now: UnixMs,
        rng: &mut (impl Rng + ?Sized),
    ) -> Option<Transition> {
        if ticket.period != self.period {
            return None;
        }
        match (self.state, signal) {
            // An attempt that failed on this side is as good as one that was not made.
            (_, HealthSignal::Unknown) => {
                self.release(ticket);
                None
            }

            // ## Closed => (Closed | Open)
            (State::Closed, _) => {
                let reason = self.count(signal, now)?;
                let until = self.open(now, rng);
                Some(Transition::Opened { until, reason })
            }

            // ## HalfOpen => (Closed | Open)
            (State::HalfOpen, HealthSignal::Healthy) => {
                self.close();
                Some(Transition::Closed)
            }
            (State::HalfOpen, HealthSignal::Failing | HealthSignal::Throttled) => {
                let until = self.open(now, rng);
                Some(Transition::Reopened { until })
            }

            // No ticket is ever given for this period.
            (State::Open { .. }, _) => None,
        }
    }

    /// Takes back the ticket of an attempt that was not made. If it was the probe, the next attempt is the probe.
    pub fn release(&mut self, ticket: Ticket) {
        if ticket.period == self.period && self.state == State::HalfOpen {
            self.enter(State::Open { until: self.open_until.unwrap_or(UnixMs::ZERO) });
        }
    }

    /// Forgets everything: the receiver behind it now is not the one that failed. Tickets given before are void.
    pub fn reset(&mut self) -> Option<Transition> {
        let was_closed = self.state == State::Closed;
        self.close();
        (!was_closed).then_some(Transition::Closed)
    }

    /// Counts a result while closed. Answers the rule that it trips.
    fn count(&mut self, signal: HealthSignal, now: UnixMs) -> Option<TripReason> {
        let healthy = signal == HealthSignal::Healthy;
        self.success_rate.add(now, healthy);
        if healthy {
            self.consecutive_failures = 0;
            return None;
        }
        if signal == HealthSignal::Failing {
            self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        }
        let config = &self.config;
        if config.consecutive_failures > 0 && self.consecutive_failures >= config.consecutive_failures {
            return Some(TripReason::ConsecutiveFailures);
        }
        let low = self.success_rate.is_below(config.min_success_percent, config.min_samples);
        low.then_some(TripReason::LowSuccessRate)
    }

    /// Opens with the next longer hold; returns its end.
    fn open(&mut self, now: UnixMs, rng: &mut (impl Rng + ?Sized)) -> UnixMs {
        let hold_ms = doubled_ms(self.config.hold_initial_ms, self.openings).min(self.config.hold_max_ms);
        let until = now.plus_ms(jittered_ms(hold_ms, Jitter::Equal, hold_ms, rng));
        self.openings = self.openings.saturating_add(1);
        self.open_until = Some(until);
        self.enter(State::Open { until });
        until
    }

    /// Closes with a clean record.
    fn close(&mut self) {
        self.openings = 0;
        self.open_until = None;
        self.consecutive_failures = 0;
        self.success_rate = SuccessRate::new(self.config.window_ms);
        self.enter(State::Closed);
    }

    /// A new state voids every ticket given before.
    fn enter(&mut self, state: State) {
        self.state = state;
        self.period = self.period.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
