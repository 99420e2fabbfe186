//! The paces of applications, as shards share them: `throttleRate` paces an application as a whole.
//!
//! The endpoints of an application live on several shards, and one rate is for all of them. Each endpoint asks for a
//! [`lease`] before it makes attempts, and gives back the unused part in the same turn of its shard. Why one
//! bucket for all and not a part for each shard: docs/adr/0015-pace-of-an-application.md.
//!
//! - *Owner of the state:* the engine has one [`Paces`] for all shards; the settings of an endpoint have its
//!   application's. An application without a rate has none, and its endpoints ask nobody.
//! - *Bound:* one entry for each application with a rate and an endpoint at work. Others are removed once they are
//!   full again, when a new one is.
//! [`slots`] bound the attempts that an application has in flight at once, in the same manner.
//!
//! - *When the process dies here:* all begin full, so the first second may have a burst more.
//!
//! A lock is held for a look at one bucket, never across an await.

mod lease;
mod slots;

pub use lease::{Pace, Turn};
pub use slots::{AppSlots, LOOK_AGAIN_MS, Wake};

use crate::retry::token_bucket::NextAt;
use foldhash::HashMap;
use model::{AppId, UnixMs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Entries before unused ones are looked for.
const SWEPT_MIN: usize = 64;

/// The pace of one application, shared by shards.
#[derive(Debug)]
pub struct AppPace(Mutex<Pace>);

/// The paces and slots of all applications that have some.
#[derive(Debug, Default)]
pub struct Paces(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_app: HashMap<AppId, Arc<AppPace>>,
    /// Unused ones are looked for when there are as many as this.
    sweep_at: usize,
    /// Slots of applications with a bound on attempts at once; gone when no shard holds them any more.
    slots: HashMap<AppId, Weak<AppSlots>>,
}

// === impl AppPace ===

impl AppPace {
    /// See [`Pace::lease`].
    ///
    /// # Errors
    /// When to ask again.
    pub fn lease(&self, now: UnixMs, turn: &mut Turn) -> Result<u32, UnixMs> {
        self.pace().lease(now.0, turn).map_err(|NextAt(at_ms)| UnixMs(at_ms))
    }

    /// See [`Pace::give_back`].
    pub fn give_back(&self, unused: u32) {
        self.pace().give_back(unused);
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Each change is one call: a panic leaves it in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Paces ===

impl Paces {
    /// The pace of an application whose row says so many attempts a second; a row that was read later wins.
    #[must_use]
    pub fn of(&self, app: AppId, rate_per_s: u32, now: UnixMs) -> Arc<AppPace> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = entries.by_app.get(&app) {
            pace.pace().set_rate(rate_per_s, now.0);
            return Arc::clone(pace);
        }
        if entries.by_app.len() >= entries.sweep_at.max(SWEPT_MIN) {
            entries.by_app.retain(|_, pace| Arc::strong_count(pace) > 1 || !pace.pace().is_idle(now.0));
            entries.sweep_at = 2 * entries.by_app.len();
        }
        let pace = Arc::new(AppPace(Mutex::new(Pace::new(rate_per_s, now.0))));
        entries.by_app.insert(app, Arc::clone(&pace));
        pace
    }

    /// The slots of an application whose row says so many attempts at once; a row that was read later wins.
    #[must_use]
    pub fn slots(&self, app: AppId, most: u32) -> Arc<AppSlots> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = match entries.slots.get(&app).and_then(Weak::upgrade) {
            Some(slots) => slots,
            None => {
                entries.slots.retain(|_, slots| slots.strong_count() > 0);
                let slots = Arc::new(AppSlots::default());
                entries.slots.insert(app, Arc::downgrade(&slots));
                slots
            }
        };
        drop(entries);
        slots.set_most(most);
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_has_one_pace_wherever_it_is_asked_for() {
        let paces = Paces::default();
        let now = UnixMs(1_000);
        let (one, other) = (paces.of(AppId(1), 5, now), paces.of(AppId(1), 5, now));
        assert_eq!(one.lease(now, &mut Turn::default()), Ok(1));
        assert_eq!(other.lease(now, &mut Turn::default()), Err(UnixMs(1_100)), "the tenth of a second was saved up");
        let neighbour = paces.of(AppId(2), 5, now);
        assert_eq!(neighbour.lease(now, &mut Turn::default()), Ok(1));
    }

    #[test]
    fn those_that_nobody_uses_go_and_others_keep_what_they_owe() {
        let paces = Paces::default();
        let held = paces.of(AppId(0), 1, UnixMs(0));
        let owing = paces.of(AppId(1), 1, UnixMs(0));
        assert_eq!(owing.lease(UnixMs(0), &mut Turn::default()), Ok(1));
        drop(owing);
        for app in 2..1_000 {
            drop(paces.of(AppId(app), 1, UnixMs(0)));
        }
        let kept = paces.0.lock().unwrap().by_app.len();
        assert!(kept <= 2 * SWEPT_MIN, "{kept}");
        assert!(Arc::ptr_eq(&held, &paces.of(AppId(0), 1, UnixMs(0))));
        assert!(paces.of(AppId(1), 1, UnixMs(0)).lease(UnixMs(0), &mut Turn::default()).is_err());
    }
}
