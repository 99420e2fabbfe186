//! When keys were last used, noted in their rows at most about once a minute each.
//!
//! *What bounds it:* a note is a task and a small commit; [`NOTES_MAX`] are under way at once, and a key has one at most.
//! *When it is full, or the writer is busy:* the use is not noted; a later request of the key is.
//! *When the process dies here:* the time of the last use is up to a minute older than it was.

use crate::state::ApiState;
use control::query::key::KnownKey;
use model::UnixMs;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Notes under way at once.
const NOTES_MAX: usize = 64;

/// The hashes of keys whose use is being noted.
#[derive(Clone, Default)]
pub(crate) struct Uses(Arc<Mutex<HashSet<[u8; 32]>>>);

impl Uses {
    /// Notes that a key is used at `now`, if its row does not say so yet. Never waits.
    pub(crate) fn note(&self, state: &ApiState, known: &KnownKey, now: UnixMs) {
        let Some(row) = &known.row else { return };
        if !control::key::is_use_to_note(row.last_used_at, now) || !self.begin(row.hash) {
            return;
        }
        let (uses, control, hash) = (self.clone(), state.control.clone(), row.hash);
        tokio::spawn(async move {
            // A busy writer is asked again by a later request.
            let _noted = control.note_key_use(hash, now).await;
            uses.under_way().remove(&hash);
        });
    }

    /// False if it is under way already, or too many are.
    fn begin(&self, hash: [u8; 32]) -> bool {
        let mut under_way = self.under_way();
        under_way.len() < NOTES_MAX && under_way.insert(hash)
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<[u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_note_under_way_and_there_are_only_so_many() {
        let uses = Uses::default();
        assert_eq!((uses.begin([0; 32]), uses.begin([0; 32])), (true, false));
        assert!((1..NOTES_MAX as u8).all(|key| uses.begin([key; 32])));
        assert!(!uses.begin([200; 32]));
        uses.under_way().remove(&[0; 32]);
        assert!(uses.begin([200; 32]));
    }
}
