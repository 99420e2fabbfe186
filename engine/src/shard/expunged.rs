//! Events expunged since the start, as far as copies of them may still wait in a shard's memory.
//!
//! The writer's thread adds an event before the client is told that it is expunged. The shard asks before each attempt.
//! So no attempt of the event starts after that answer, wherever its copy waits: an inbox, a mailbox, a lane, a read.
//!
//! - *What bounds it:* [`OF_APP_MAX`] positions of an application and [`ALL_MAX`] in all. Beyond, an application has
//!   one mark instead: everything at or below it *may* be expunged, and is read again from the store.
//! - *When the process dies here:* nothing is lost, copies in memory die with it.

use foldhash::HashMap;
use model::{AppId, Seq};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Positions of one application.
const OF_APP_MAX: usize = if cfg!(test) { 4 } else { 256 };

/// Positions of all applications.
const ALL_MAX: usize = if cfg!(test) { 10 } else { 16 * 1024 };

/// The events of all applications.
#[derive(Debug, Default)]
pub(super) struct Expunged {
    /// True if there is any. While nobody expunges, an attempt costs only this one load.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    apps: HashMap<AppId, OfApp>,
    positions: usize,
}

#[derive(Debug, Default)]
struct OfApp {
    /// Everything up to here may be expunged.
    upto: Seq,
    /// These are.
    beyond: BTreeSet<Seq>,
}

impl Expunged {
    /// The payload of this event is gone.
    pub(super) fn add(&self, app: AppId, seq: Seq) {
        let mut state = self.lock();
        let State { apps, positions } = &mut *state;
        let of_app = apps.entry(app).or_default();
        if seq > of_app.upto && of_app.beyond.insert(seq) {
            *positions += 1;
        }
        while of_app.beyond.len() > OF_APP_MAX || (*positions > ALL_MAX && !of_app.beyond.is_empty()) {
            of_app.upto = of_app.beyond.pop_first().unwrap_or_default().max(of_app.upto);
            *positions -= 1;
        }
        self.any.store(true, Ordering::SeqCst);
    }

    /// An application is gone.
    pub(super) fn forget(&self, app: AppId) {
        let mut state = self.lock();
        if let Some(of_app) = state.apps.remove(&app) {
            state.positions -= of_app.beyond.len();
        }
        self.any.store(!state.apps.is_empty(), Ordering::SeqCst);
    }

    /// True if a copy of this event in memory may date from before its expunging. `false` is certain.
    pub(super) fn may_have(&self, app: AppId, seq: Seq) -> bool {
        if !self.any.load(Ordering::SeqCst) {
            return false;
        }
        let state = self.lock();
        state.apps.get(&app).is_some_and(|of_app| seq <= of_app.upto || of_app.beyond.contains(&seq))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, a position too many costs one read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expunged: &Expunged, app: u32) -> Vec<u64> {
        (1..=20).filter(|seq| expunged.may_have(AppId(app), Seq(*seq))).collect()
    }

    #[test]
    fn what_was_added_is_found_and_nothing_else_up_to_the_bound() {
        let expunged = Expunged::default();
        assert!(found(&expunged, 1).is_empty());
        for seq in [9, 3, 9, 7] {
            expunged.add(AppId(1), Seq(seq));
        }
        assert_eq!(found(&expunged, 1), [3, 7, 9]);
        assert!(found(&expunged, 2).is_empty());
        expunged.add(AppId(1), Seq(12));
        expunged.add(AppId(1), Seq(5));
        assert_eq!(found(&expunged, 1), [1, 2, 3, 5, 7, 9, 12], "beyond the bound the lowest become a mark");
        expunged.forget(AppId(1));
        assert!(found(&expunged, 1).is_empty() && !expunged.any.load(Ordering::SeqCst));
    }

    #[test]
    fn all_applications_together_are_bounded_and_nothing_added_is_ever_missed() {
        let expunged = Expunged::default();
        for app in 0..9 {
            for seq in [2, 4, 6] {
                expunged.add(AppId(app), Seq(seq));
                assert!(expunged.may_have(AppId(app), Seq(seq)));
            }
        }
        assert!(expunged.lock().positions <= ALL_MAX);
        for app in 0..9 {
            assert!([2, 4, 6].into_iter().all(|seq| expunged.may_have(AppId(app), Seq(seq))));
            assert!(!expunged.may_have(AppId(app), Seq(7)));
        }
    }
}
