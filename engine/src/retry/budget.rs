//! The retry budget: retries that fail are a share of the first attempts and the successes of the last seconds plus a
//! small steady floor. So a mass outage cannot turn into a retry storm.
//!
//! Each first attempt deposits a fraction of a token that expires after `ttl_ms`. A steady floor adds `floor_per_s`
//! tokens, at most one second of them at once, so that a quiet endpoint can retry at all. A retry takes one token, from
//! the deposit that expires first. A retry that succeeds gives its token back with a fraction more, for it shows that
//! the receiver is there again. So a million retries that an outage left behind begin at the floor, and are soon as
//! fast as the receiver takes them. In any span of time, retries <= ratio x first attempts + (1 + ratio) x retries that
//! succeeded (both in the span and the `ttl_ms` before it) + floor x (the span + 1 s). The numbers are those of
//! linkerd's retry budget: ratio 0.2, floor 10 a second, 10 s. A success returns the token it took, as in the retry
//! quota of the AWS SDKs.
//!
//! One budget is held per endpoint and one per shard; a retry needs both ([`withdraw_both`]). A budget does not choose
//! which retry goes first, and does not wait: a delivery that finds no token stays due, and has spent no attempt.

use crate::retry::recent::Recent;
use crate::retry::token_bucket::{TOKEN, TokenBucket};

pub use crate::retry::token_bucket::NextAt;

/// Configuration of a retry budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Retries allowed per 100 first attempts.
    pub ratio_percent: u32,
    /// Retries a second that are always allowed; 0 counts as 1, so that every retry has its turn.
    pub floor_per_s: u32,
    /// Time in ms for which the share of a first attempt can be used.
    pub ttl_ms: u64,
}

/// The budget of one endpoint, or of one shard. About 90 bytes.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// Thousandths of a token that one first attempt earns.
    deposit: u32,
    deposits: Recent<u32>,
    floor: TokenBucket,
}

// === impl BudgetConfig ===

impl Default for BudgetConfig {
    /// 20 per 100, at least 10 a second, over 10 s.
    fn default() -> BudgetConfig {
        BudgetConfig { ratio_percent: 20, floor_per_s: 10, ttl_ms: 10_000 }
    }
}

// === impl RetryBudget ===

impl RetryBudget {
    /// A budget with no deposits and a full floor. Times are ms on any one clock.
    #[must_use]
    pub fn new(config: BudgetConfig, now_ms: u64) -> RetryBudget {
        RetryBudget {
            deposit: config.ratio_percent.saturating_mul(TOKEN as u32 / 100),
            deposits: Recent::new(config.ttl_ms),
            floor: TokenBucket::new(config.floor_per_s, u64::from(config.floor_per_s).saturating_mul(TOKEN), now_ms),
        }
    }

    /// Notes one first attempt.
    pub fn deposit(&mut self, now_ms: u64) {
        let slot = self.deposits.at(now_ms);
        *slot = slot.saturating_add(self.deposit);
    }

    /// Notes a retry that took a token and succeeded: it gives it back and earns what a first attempt does.
    pub fn give_back(&mut self, now_ms: u64) {
        let slot = self.deposits.at(now_ms);
        *slot = slot.saturating_add(TOKEN as u32).saturating_add(self.deposit);
    }

    /// Asks if one retry may be made now, without taking it.
    ///
    /// # Errors
    /// When to ask again. The floor alone decides that time, as deposits may have expired by then.
    pub fn check(&mut self, now_ms: u64) -> Result<(), NextAt> {
        self.deposits.at(now_ms);
        let deposited: u64 = self.deposits.iter().map(|&slot| u64::from(slot)).sum();
        if deposited.saturating_add(self.floor.level(now_ms)) >= TOKEN {
            return Ok(());
        }
        Err(self.floor.next_token_at(now_ms))
    }

    /// Takes one retry.
    ///
    /// # Errors
    /// As [`RetryBudget::check`]; nothing is taken then.
    pub fn try_withdraw(&mut self, now_ms: u64) -> Result<(), NextAt> {
        self.check(now_ms)?;
        let mut owed = TOKEN;
        self.deposits.for_each_oldest_first(|slot| {
            let taken = owed.min(u64::from(*slot));
            // `taken` is at most the slot, so it fits.
            *slot -= taken as u32;
            owed -= taken;
        });
        self.floor.take_up_to(owed);
        Ok(())
    }
}

/// Takes one retry from both budgets, or from neither.
///
/// # Errors
/// When to ask again: the later of the two times.
pub fn withdraw_both(endpoint: &mut RetryBudget, shard: &mut RetryBudget, now_ms: u64) -> Result<(), NextAt> {
    match (endpoint.check(now_ms), shard.check(now_ms)) {
        (Ok(()), Ok(())) => {
            endpoint.try_withdraw(now_ms)?;
            shard.try_withdraw(now_ms)
        }
        (Err(a), Err(b)) => Err(a.max(b)),
        (Err(next), Ok(())) | (Ok(()), Err(next)) => Err(next),
    }
}

#[cfg(test)]
mod tests;
