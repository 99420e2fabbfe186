//! A token bucket that counts in thousandths: `rate` tokens a second are exactly `rate` thousandths a millisecond, so
//! integers never drift.
//!
//! It is no queue: it says when to ask again, and the caller waits.

/// When to ask again, in ms on the clock that the question was asked with.
///
/// Room for *one* is certain then, if no one else takes it first: callers with many waiting keep them in one line
/// behind one timer instead of waking them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextAt(pub u64);

/// One token in thousandths.
pub(crate) const TOKEN: u64 = 1_000;

/// The time in ms that a caller may come late without losing its turn, where attempts are paced.
pub(crate) const LATENESS_MS: u64 = 100;

/// The capacity of a bucket that paces attempts at this rate, in thousandths: one token and those of [`LATENESS_MS`].
pub(crate) fn paced_capacity(rate_per_s: u32) -> u64 {
    TOKEN + u64::from(rate_per_s.max(1)) * LATENESS_MS
}

/// A bucket that fills at a steady rate up to a capacity.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    rate_per_s: u32,
    capacity: u64,
    level: u64,
    filled_at_ms: u64,
}

impl TokenBucket {
    /// A full bucket. `rate_per_s` 0 counts as 1, because a bucket that never fills has no answer to «when»;
    /// `capacity`, in thousandths, is at least one token.
    pub(crate) fn new(rate_per_s: u32, capacity: u64, now_ms: u64) -> TokenBucket {
        let capacity = capacity.max(TOKEN);
        TokenBucket { rate_per_s: rate_per_s.max(1), capacity, level: capacity, filled_at_ms: now_ms }
    }

    /// Thousandths of tokens that are there now.
    ///
    /// A clock that went backwards adds nothing and is followed: waiting for it to catch up could take hours.
    pub(crate) fn level(&mut self, now_ms: u64) -> u64 {
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms);
        let gained = elapsed_ms.saturating_mul(u64::from(self.rate_per_s));
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.filled_at_ms = now_ms;
        self.level
    }

    /// Takes up to `amount` thousandths out of what [`TokenBucket::level`] last said; returns what it took.
    pub(crate) fn take_up_to(&mut self, amount: u64) -> u64 {
        let taken = amount.min(self.level);
        self.level -= taken;
        taken
    }

    /// Puts back tokens that were taken and not used, up to the capacity.
    pub(crate) fn put_back(&mut self, amount: u64) {
        self.level = self.level.saturating_add(amount).min(self.capacity);
    }

    /// When the bucket holds a whole token by its own rate alone; never before `now_ms`.
    pub(crate) fn next_token_at(&mut self, now_ms: u64) -> NextAt {
        let missing = TOKEN.saturating_sub(self.level(now_ms));
        NextAt(now_ms.saturating_add(missing.div_ceil(u64::from(self.rate_per_s))))
    }

    /// Another rate and capacity from now on; the tokens that are there stay, within the new capacity.
    pub(crate) fn reconfigure(&mut self, rate_per_s: u32, capacity: u64, now_ms: u64) {
        let level = self.level(now_ms);
        *self = TokenBucket::new(rate_per_s, capacity, now_ms);
        self.level = level.min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_at_its_rate_up_to_its_capacity() {
        let mut bucket = TokenBucket::new(3, 2 * TOKEN, 0);
        assert_eq!(bucket.take_up_to(5 * TOKEN), 2 * TOKEN);
        assert_eq!(bucket.level(100), 300);
        assert_eq!(bucket.next_token_at(100), NextAt(100 + 234), "700 thousandths at 3 per ms, rounded up");
        assert_eq!(bucket.level(334), 1_002);
        assert_eq!(bucket.next_token_at(334), NextAt(334));
        assert_eq!(bucket.level(1_000_000), 2 * TOKEN);
    }

    #[test]
    fn a_clock_that_steps_back_neither_fills_nor_freezes_it() {
        let mut bucket = TokenBucket::new(1, TOKEN, 1_000_000);
        bucket.take_up_to(TOKEN);
        assert_eq!(bucket.level(10), 0);
        assert_eq!(bucket.level(1_010), TOKEN);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = TokenBucket::new(u32::MAX, u64::MAX, 0);
        assert_eq!(bucket.level(u64::MAX), u64::MAX);
        let mut stopped = TokenBucket::new(0, 0, 0);
        stopped.take_up_to(TOKEN);
        assert_eq!(stopped.next_token_at(u64::MAX - 1), NextAt(u64::MAX - 1), "long filled at 1 per s");
    }

    #[test]
    fn a_new_rate_keeps_what_is_there() {
        let mut bucket = TokenBucket::new(10, 4 * TOKEN, 0);
        bucket.take_up_to(TOKEN);
        bucket.reconfigure(20, 2 * TOKEN, 0);
        assert_eq!(bucket.level(0), 2 * TOKEN);
        bucket.take_up_to(2 * TOKEN);
        bucket.reconfigure(20, 8 * TOKEN, 0);
        assert_eq!(bucket.level(50), TOKEN);
    }
}
