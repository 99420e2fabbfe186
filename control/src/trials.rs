//! How often an application may have a URL tried that is not saved: else a key would be a port scanner.
//!
//! - *Who owns the state:* [`crate::Control`]. Nothing of it is durable.
//! - *What bounds it:* [`APPS_MAX`] applications. One that has all its trials back is forgotten.
//! - *When it is full:* applications that are not in it wait.

use crate::error::Error;
use model::{AppId, UnixMs};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Trials that an application may have at once, and in a moment after it had none for a while.
const BURST: u32 = 5;
/// One comes back after so long.
const EVERY_MS: u64 = 1_000;
/// Applications that may have trials at once.
const APPS_MAX: usize = if cfg!(test) { 3 } else { 1_024 };

/// The trials of all applications.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trials(Arc<Mutex<HashMap<AppId, Of>>>);

/// Those of one.
#[derive(Debug)]
struct Of {
    left: u32,
    /// Since when `left` is as it is.
    since: UnixMs,
    under_way: u32,
}

/// The right to one trial; the next may be made when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    trials: Trials,
    app: AppId,
}

impl Of {
    /// Adds what has come back. A clock that was set back adds nothing.
    fn refill(&mut self, now: UnixMs) {
        let back = now.since_ms(self.since) / EVERY_MS;
        self.left = BURST.min(self.left.saturating_add(u32::try_from(back).unwrap_or(u32::MAX)));
        self.since = if self.left == BURST || self.since > now { now } else { self.since.plus_ms(back * EVERY_MS) };
    }
}

impl Trials {
    /// # Errors
    /// [`Error::QuotaExceeded`], with the time after which to ask again.
    pub(crate) fn take(&self, app: AppId, now: UnixMs) -> Result<Permit, Error> {
        let refused = || Error::QuotaExceeded {
            quota: "endpoint_tests",
            of: "tests of a URL at once, and one a second",
            most: BURST,
            again_after_s: Some(EVERY_MS / 1_000),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= APPS_MAX && !all.contains_key(&app) {
            all.values_mut().for_each(|of| of.refill(now));
            all.retain(|_, of| of.left < BURST || of.under_way > 0);
            if all.len() >= APPS_MAX {
                return Err(refused());
            }
        }
        let of = all.entry(app).or_insert(Of { left: BURST, since: now, under_way: 0 });
        of.refill(now);
        if of.left == 0 || of.under_way >= BURST {
            return Err(refused());
        }
        of.left -= 1;
        of.under_way += 1;
        Ok(Permit { trials: self.clone(), app })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut all = self.trials.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = all.get_mut(&self.app) {
            of.under_way = of.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AppId = AppId(1);

    fn taken(trials: &Trials, app: AppId, at: u64) -> bool {
        trials.take(app, UnixMs(at)).is_ok()
    }

    #[test]
    fn five_at_once_and_then_one_a_second() {
        let trials = Trials::default();
        assert_eq!((0..9).filter(|_| taken(&trials, APP, 10_000)).count(), 5);
        assert!(!taken(&trials, APP, 10_999));
        assert_eq!((0..9).filter(|_| taken(&trials, APP, 12_500)).count(), 2);
        assert!(taken(&trials, APP, 13_000), "the half second before counts");
        assert!(!taken(&trials, APP, 5_000), "a clock that was set back gives nothing");
        assert_eq!((0..9).filter(|_| taken(&trials, APP, 90_000)).count(), 5, "and takes nothing");
    }

    #[test]
    fn those_under_way_hold_their_places() {
        let trials = Trials::default();
        let held: Vec<Permit> = (0..5).filter_map(|_| trials.take(APP, UnixMs(1_000)).ok()).collect();
        assert_eq!(held.len(), 5);
        assert!(!taken(&trials, APP, 60_000), "none has ended");
        drop(held);
        assert!(taken(&trials, APP, 60_000));
    }

    #[test]
    fn applications_are_bounded_and_those_that_have_all_back_are_forgotten() {
        let trials = Trials::default();
        assert_eq!((0..9).filter(|app| taken(&trials, AppId(*app), 1_000)).count(), APPS_MAX);
        assert!(taken(&trials, AppId(0), 1_000), "one that is in it goes on");
        assert!(taken(&trials, AppId(7), 10_000));
    }
}
