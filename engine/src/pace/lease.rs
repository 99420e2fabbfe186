//! An application's pace: so many attempts a second over all its endpoints, shared out in leases and in turns.
//!
//! All shares come from one token bucket, so their sum is the rate: in any span of `t` ms there are at most
//! `1 + rate × (t + 100) / 1000` attempts, as with an endpoint's own rate ([`crate::endpoint::rate_limit`]). An
//! endpoint that may send is given a **lease**: the right to one attempt, or to what 5 ms of a high rate bring. What of
//! it is not used is given back at once, so nothing has to expire.
//!
//! An endpoint that has to wait is given a **turn**: the time of the next token that no other endpoint was told of. So
//! each token wakes one endpoint and not all of them, and endpoints get equal parts. A turn that nobody takes (its
//! endpoint was deleted, or its breaker opened) does not stop the others. Those that wait look again every second, and
//! a full bucket is for any endpoint that asks.
//!
//! Pure: the time is an argument. No queue: an endpoint that waits keeps its own turn.

use crate::retry::token_bucket::{NextAt, TOKEN, TokenBucket, paced_capacity};
use model::UnixMs;

/// An endpoint that waits asks again after this long at the latest, in milliseconds.
const LOOK_AGAIN_MS: u64 = 1_000;

/// Leases in a second at most: a higher rate is leased in larger parts.
const LEASES_PER_S: u32 = 200;

/// Attempts of a lease at most.
const LEASE_MAX: u32 = 64;

/// Threads read the clock one after the other and come in another order. A step back by more than this is one of the
/// clock.
const DISORDER_MS: u64 = 1_000;

/// The turn of one endpoint, which keeps it between two questions. None to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    at_us: u64,
    /// The [`Pace::epoch`] that it belongs to; 0 for no turn.
    epoch: u32,
}

impl Turn {
    /// When it comes; none for no turn, or one that has come.
    #[must_use]
    pub fn waits_until(self, now: UnixMs) -> Option<UnixMs> {
        let at = UnixMs(self.at_us.div_ceil(1_000));
        (self.epoch != 0 && at > now).then_some(at)
    }
}

/// The pace of one application.
#[derive(Clone, Debug)]
pub struct Pace {
    rate_per_s: u32,
    bucket: TokenBucket,
    /// The latest time that anybody asked at.
    latest_ms: u64,
    /// The last turn that was given.
    last_turn_us: u64,
    /// Turns of another rate are void.
    epoch: u32,
}

// === impl Pace ===

impl Pace {
    /// One that has been idle. `rate_per_s` 0 counts as 1.
    #[must_use]
    pub fn new(rate_per_s: u32, now_ms: u64) -> Pace {
        let rate_per_s = rate_per_s.max(1);
        let bucket = TokenBucket::new(rate_per_s, paced_capacity(rate_per_s), now_ms);
        Pace { rate_per_s, bucket, latest_ms: now_ms, last_turn_us: 0, epoch: 1 }
    }

    /// Another rate from now on. Saved tokens stay, within the new bounds; turns are given anew.
    pub fn set_rate(&mut self, rate_per_s: u32, now_ms: u64) {
        let rate_per_s = rate_per_s.max(1);
        if rate_per_s == self.rate_per_s {
            return;
        }
        let now_ms = self.in_order(now_ms);
        self.bucket.reconfigure(rate_per_s, paced_capacity(rate_per_s), now_ms);
        (self.rate_per_s, self.last_turn_us) = (rate_per_s, 0);
        // Never 0, which is no turn.
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// A lease for an endpoint with this turn: how many attempts it may make, at least one.
    ///
    /// # Errors
    /// When to ask again; `turn` is to be kept until then.
    pub fn lease(&mut self, now_ms: u64, turn: &mut Turn) -> Result<u32, NextAt> {
        let now_ms = self.in_order(now_ms);
        let now_us = now_ms * 1_000;
        let level = self.bucket.level(now_ms);
        let is_waiting = turn.epoch == self.epoch;
        let is_due = is_waiting && turn.at_us <= now_us;
        let nobody_waits = self.last_turn_us <= now_us;
        if level >= TOKEN && (is_due || nobody_waits || level >= paced_capacity(self.rate_per_s)) {
            *turn = Turn::default();
            let granted = (level / TOKEN).min(self.lease_max().into());
            self.bucket.take_up_to(granted * TOKEN);
            // At most `LEASE_MAX`.
            return Ok(granted as u32);
        }
        if !is_waiting || is_due {
            let NextAt(token_ms) = self.bucket.next_token_at(now_ms);
            // One that was due and finds nothing stays first.
            let is_first = is_due || nobody_waits;
            let behind_us = if is_first { 0 } else { self.last_turn_us + self.interval_us() };
            *turn = Turn { at_us: behind_us.max(token_ms * 1_000), epoch: self.epoch };
            self.last_turn_us = self.last_turn_us.max(turn.at_us);
        }
        let at_ms = turn.at_us.div_ceil(1_000).min(now_ms + LOOK_AGAIN_MS);
        Err(NextAt(at_ms.max(now_ms + 1)))
    }

    /// Takes back the rest of a lease.
    pub fn give_back(&mut self, unused: u32) {
        self.bucket.put_back(u64::from(unused) * TOKEN);
    }

    /// True when all was given back, so that a new one would be the same.
    pub fn is_idle(&mut self, now_ms: u64) -> bool {
        let now_ms = self.in_order(now_ms);
        self.bucket.level(now_ms) >= paced_capacity(self.rate_per_s)
    }

    fn lease_max(&self) -> u32 {
        (self.rate_per_s / LEASES_PER_S).clamp(1, LEASE_MAX)
    }

    /// From one turn to the next.
    fn interval_us(&self) -> u64 {
        u64::from(self.lease_max()) * 1_000_000 / u64::from(self.rate_per_s)
    }

    /// The time of a question, never before the last one: a bucket that is shown an earlier time fills twice.
    fn in_order(&mut self, now_ms: u64) -> u64 {
        let is_step_back = now_ms + DISORDER_MS < self.latest_ms;
        if is_step_back {
            // Turns are of the clock before.
            self.last_turn_us = 0;
            self.epoch = self.epoch.wrapping_add(1).max(1);
        }
        self.latest_ms = if is_step_back { now_ms } else { self.latest_ms.max(now_ms) };
        self.latest_ms
    }
}

#[cfg(test)]
mod tests;
