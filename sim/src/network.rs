//! Receivers by URL, and what becomes of a request to one: decided when it is sent, seen when its time comes.
//!
//! No sockets: an attempt's result is what `engine::dispatch` would make of the same answer.

use engine::dispatch::Lack;
use engine::outcome::classify::outcome_of_status;
use model::{OutcomeClass, UnixMs};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// The health of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Answers 2xx at once.
    Fine,
    /// Answers 2xx after a while, at times after the deadline.
    Slow,
    /// Each time anything at all.
    Flaky,
    /// Takes every request and never answers.
    Silent,
    /// Refuses connections.
    Down,
    /// Answers 500.
    Broken,
    /// Asks for less.
    Busy,
    /// Answers with a client error.
    Refusing,
    /// Answers 410.
    Gone,
}

/// Every way to be, for a choice.
pub const HEALTHS: [Health; 9] = [
    Health::Fine,
    Health::Slow,
    Health::Flaky,
    Health::Silent,
    Health::Down,
    Health::Broken,
    Health::Busy,
    Health::Refusing,
    Health::Gone,
];

/// The course of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the receiver has it, if it ever does.
    pub arrives_at: Option<UnixMs>,
    /// True if the receiver takes it for good, whatever it answers.
    pub accepted: bool,
    /// When the attempt is over.
    pub ends_at: UnixMs,
    /// When it started.
    pub started_at: UnixMs,
    /// The outcome that it showed.
    pub outcome: OutcomeClass,
    /// The status, or 0.
    pub status: u16,
    /// Its `Retry-After`.
    pub retry_after: Option<Vec<u8>>,
    /// There was no attempt: something of ours was short.
    pub lack: Option<Lack>,
}

/// All receivers.
#[derive(Debug, Default)]
pub struct Network {
    health: BTreeMap<String, Health>,
    healed: bool,
}

/// An answer before it is timed.
struct Answer {
    status: u16,
    after_ms: u64,
    retry_after: Option<Vec<u8>>,
}

impl Network {
    /// A receiver changes.
    pub fn set(&mut self, url: &str, health: Health) {
        self.health.insert(url.to_owned(), health);
    }

    /// Everything answers from here on.
    pub fn heal(&mut self) {
        self.healed = true;
        self.health.clear();
    }

    /// A request to `url` with this deadline is sent at `now`.
    pub fn send(&self, url: &str, timeout_ms: u32, now: UnixMs, rng: &mut StdRng) -> Exchange {
        let mut health = self.health.get(url).copied().unwrap_or(Health::Fine);
        if health == Health::Flaky {
            health = HEALTHS[rng.random_range(0..HEALTHS.len() - 1)];
        }
        let answer = match health {
            Health::Fine | Health::Flaky => Answer::of(*pick(&[200, 201, 204], rng), rng.random_range(1..20)),
            Health::Slow => Answer::of(200, rng.random_range(1..=u64::from(timeout_ms) + u64::from(timeout_ms) / 4)),
            Health::Silent => Answer::of(0, u64::MAX / 4),
            Health::Down => return failed(now, now.plus_ms(1), OutcomeClass::ConnectError),
            Health::Broken => Answer::of(*pick(&[500, 501, 599], rng), rng.random_range(1..50)),
            Health::Busy => Answer {
                retry_after: retry_after(now, rng),
                ..Answer::of(*pick(&[429, 503, 502, 504, 425, 408], rng), rng.random_range(1..50))
            },
            Health::Refusing => Answer::of(*pick(&[400, 404, 422, 301, 101], rng), 2),
            Health::Gone => Answer::of(410, 2),
        };
        answer.timed(timeout_ms, now)
    }
}

impl Answer {
    fn of(status: u16, after_ms: u64) -> Answer {
        Answer { status, after_ms, retry_after: None }
    }

    fn timed(self, timeout_ms: u32, now: UnixMs) -> Exchange {
        let arrives_at = Some(now.plus_ms(self.after_ms.min(u64::from(timeout_ms)) / 2));
        if self.after_ms >= u64::from(timeout_ms) {
            let ends_at = now.plus_ms(timeout_ms.into());
            return Exchange { arrives_at, accepted: true, ..failed(now, ends_at, OutcomeClass::Timeout) };
        }
        let outcome = outcome_of_status(self.status);
        Exchange {
            arrives_at,
            accepted: outcome == OutcomeClass::Success,
            ends_at: now.plus_ms(self.after_ms),
            started_at: now,
            outcome,
            status: self.status,
            retry_after: self.retry_after,
            lack: None,
        }
    }
}

impl Exchange {
    /// No request could be made.
    #[must_use]
    pub fn unmade(now: UnixMs) -> Exchange {
        failed(now, now, OutcomeClass::InternalError)
    }

    /// No attempt could be made, for want of something of ours.
    #[must_use]
    pub fn lacking(lack: Lack, now: UnixMs) -> Exchange {
        Exchange { lack: Some(lack), ..failed(now, now.plus_ms(1), OutcomeClass::InternalError) }
    }
}

fn failed(now: UnixMs, ends_at: UnixMs, outcome: OutcomeClass) -> Exchange {
    Exchange {
        arrives_at: None,
        accepted: false,
        ends_at,
        started_at: now,
        outcome,
        status: 0,
        retry_after: None,
        lack: None,
    }
}

/// Seconds, a date by the receiver's clock, nonsense, or nothing.
fn retry_after(now: UnixMs, rng: &mut StdRng) -> Option<Vec<u8>> {
    let wait_s = *pick(&[0, 1, 3, 60, 3_600, 200_000], rng);
    match rng.random_range(0..4) {
        0 => None,
        1 => Some(wait_s.to_string().into_bytes()),
        2 => {
            let at = UNIX_EPOCH + Duration::from_millis(now.0) + Duration::from_secs(wait_s);
            Some(httpdate::fmt_http_date(at).into_bytes())
        }
        _ => Some(b"soon".to_vec()),
    }
}

/// One of several.
pub(crate) fn pick<'a, T>(from: &'a [T], rng: &mut (impl Rng + ?Sized)) -> &'a T {
    &from[rng.random_range(0..from.len())]
}
