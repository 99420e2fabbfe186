//! The breaker's settings and their defaults.
//!
//! Deliberately no validation: every value is safe, and 0 switches a rule off.

/// The rules that trip a breaker, and the length of its holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that trip it; 0 switches this rule off.
    pub consecutive_failures: u32,
    /// A success rate below this trips it; 0 switches this rule off.
    pub min_success_percent: u32,
    /// The success rate counts only over at least so many results.
    pub min_samples: u32,
    /// The span that the success rate is taken over.
    pub window_ms: u64,
    /// The hold of the first opening, before jitter.
    pub hold_initial_ms: u64,
    /// The longest hold: an endpoint that is well again may have to wait for its probe for so long.
    pub hold_max_ms: u64,
}

// === impl BreakerConfig ===

impl Default for BreakerConfig {
    /// 5 in a row, or below 50 % of at least 20 within 10 s; holds from 5 s to 30 s.
    fn default() -> BreakerConfig {
        BreakerConfig {
            consecutive_failures: 5,
            min_success_percent: 50,
            min_samples: 20,
            window_ms: 10_000,
            hold_initial_ms: 5_000,
            hold_max_ms: 30_000,
        }
    }
}
