//! Proof that the owner of an endpoint controls its receiver: a challenge that the receiver must send back.

use crate::time::UnixMs;

/// The challenge of an endpoint, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// 32 random bytes as 64 hex digits. Another origin of the URL gets another challenge.
    pub challenge: String,
    /// Attempts made.
    pub attempts: u32,
    /// When the next attempt is due; none when no more are made until somebody asks.
    pub next_at: Option<UnixMs>,
    /// When somebody last asked for an attempt, which may be done only so often.
    pub asked_at: Option<UnixMs>,
    /// When the receiver proved it; none before that.
    pub verified_at: Option<UnixMs>,
    /// The reason why the last attempt proved nothing, in words; empty before the first attempt and after the last.
    pub problem: String,
}

impl Verification {
    /// One whose first attempt is due at once.
    #[must_use]
    pub fn new(challenge: String, now: UnixMs) -> Verification {
        Verification {
            challenge,
            attempts: 0,
            next_at: Some(now),
            asked_at: None,
            verified_at: None,
            problem: String::new(),
        }
    }
}
