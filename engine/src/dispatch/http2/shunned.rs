//! Receivers that flooded an HTTP/2 connection: they get HTTP/1.1 only, for a while.
//!
//! - *Who owns it:* the dialler of a shard; connections note in it why they were closed.
//! - *What bounds it:* [`RECEIVERS_MAX`] identities of connections.
//! - *When it is full:* the one that has least time left is forgotten: its next flood ends as the first did.
//! - *When the process dies:* forgotten.
//! - *When the input is hostile:* that is what it is for.

use crate::dispatch::identity::Identity;
use foldhash::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time for which a receiver is shunned.
const SHUNNED_FOR: Duration = Duration::from_secs(600);
/// Receivers that are remembered.
const RECEIVERS_MAX: usize = 4_096;

/// The receivers of one dispatcher. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::dispatch) struct Shunned(Arc<Mutex<HashMap<Identity, Instant>>>);

impl Shunned {
    /// Notes a flood.
    pub(super) fn note(&self, receiver: &Identity, now: Instant) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= RECEIVERS_MAX && !until.contains_key(receiver) {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= RECEIVERS_MAX && !until.contains_key(receiver) {
            let first = until.iter().min_by_key(|(_, until)| **until).map(|(receiver, _)| receiver.clone());
            first.map(|first| until.remove(&first));
        }
        until.insert(receiver.clone(), now + SHUNNED_FOR);
    }

    /// True if HTTP/2 is not to be offered to the receiver.
    pub(in crate::dispatch) fn contains(&self, receiver: &Identity, now: Instant) -> bool {
        let mut shunned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shunned.get(receiver) {
            None => false,
            Some(until) if *until > now => true,
            Some(_) => {
                shunned.remove(receiver);
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
        let receiver = |n: usize| Identity::new(true, &n.to_string(), None);
        assert!(!shunned.contains(&receiver(0), now));
        shunned.note(&receiver(0), now);
        assert!(shunned.contains(&receiver(0), now + SHUNNED_FOR / 2));
        assert!(!shunned.contains(&receiver(0), now + SHUNNED_FOR), "for ever");

        for n in 0..RECEIVERS_MAX + 10 {
            shunned.note(&receiver(n), now + Duration::from_millis(n as u64));
        }
        assert_eq!(shunned.0.lock().unwrap().len(), RECEIVERS_MAX);
        assert!(!shunned.contains(&receiver(9), now), "the oldest went first");
        assert!(shunned.contains(&receiver(10), now));
    }
}
