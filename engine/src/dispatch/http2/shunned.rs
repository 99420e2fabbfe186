//! Receivers that flooded an HTTP/2 connection: they get HTTP/1.1 only, for a while.
//!
//! - *Who owns it:* the dialler of a shard; connections note in it why they were closed.
//! - *What bounds it:* [`ORIGINS_MAX`] names of scheme, host and port.
//! - *When it is full:* the one that has least time left is forgotten: its next flood ends as the first did.
//! - *When the process dies:* forgotten.
//! - *When the input is hostile:* that is what it is for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a receiver is shunned.
const SHUNNED_FOR: Duration = Duration::from_secs(600);
/// Receivers that are remembered.
const ORIGINS_MAX: usize = 4_096;

/// The receivers of one dispatcher. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::dispatch) struct Shunned(Arc<Mutex<HashMap<Arc<str>, Instant>>>);

impl Shunned {
    /// Notes a flood.
    pub(super) fn note(&self, origin: &Arc<str>, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= ORIGINS_MAX && !until.contains_key(origin) {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= ORIGINS_MAX && !until.contains_key(origin) {
            let first = until.iter().min_by_key(|(_, until)| **until).map(|(origin, _)| origin.clone());
            first.map(|first| until.remove(&first));
        }
        until.insert(origin.clone(), now + SHUNNED_FOR);
    }

    /// Whether HTTP/2 is not to be offered to it.
    pub(in crate::dispatch) fn contains(&self, origin: &str, now: Instant) -> bool {
        let mut shunned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shunned.get(origin) {
            None => false,
            Some(until) if *until > now => true,
            Some(_) => {
                shunned.remove(origin);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_shunned_for_a_while_and_no_more_than_the_bound_are() {
        let (shunned, now) = (Shunned::default(), Instant::now());
        let origin = |n: usize| Arc::<str>::from(format!("https://{n}"));
        assert!(!shunned.contains("https://0", now));
        shunned.note(&origin(0), now);
        assert!(shunned.contains("https://0", now + SHUNNED_FOR / 2));
        assert!(!shunned.contains("https://0", now + SHUNNED_FOR), "for ever");

        for n in 0..ORIGINS_MAX + 10 {
            shunned.note(&origin(n), now + Duration::from_millis(n as u64));
        }
        assert_eq!(shunned.0.lock().unwrap().len(), ORIGINS_MAX);
        assert!(!shunned.contains("https://9", now), "the oldest went first");
        assert!(shunned.contains("https://10", now));
    }
}
