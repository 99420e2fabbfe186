//! The endpoints of a shard whose receivers must still prove that they want deliveries, and when each is asked next.
//!
//! - *Who owns the state:* the shard; the rows of endpoints have it all, and each change of a row comes here.
//! - *What bounds it:* unverified endpoints; challenges under way by [`UNDER_WAY_MAX`], and [`PER_APP_MAX`] of an
//!   application, so that one tenant's receivers, each of which may take its ten seconds, do not hold up another's.
//! - *When it is full:* the rest waits for the end of those under way.
//! - *When the process dies:* a start reads the rows again; a challenge that was under way is sent again.
//!
//! Pure but for a wake-up: [`super::verify`] makes the attempts.

use model::{AppId, EndpointId, EndpointRef, UnixMs};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Notify;

/// Challenges under way at once.
const UNDER_WAY_MAX: usize = 16;

/// Those of one application.
const PER_APP_MAX: usize = 2;

/// Everything that waits for its time, and everything under way.
#[derive(Default)]
pub struct Challenges {
    state: RefCell<State>,
    moved: Notify,
}

#[derive(Default)]
struct State {
    due: BTreeMap<EndpointRef, UnixMs>,
    by_time: BTreeSet<(UnixMs, EndpointRef)>,
    under_way: BTreeSet<EndpointRef>,
}

impl Challenges {
    /// An endpoint's row says when its receiver is to be asked; none for never.
    pub fn note(&self, target: EndpointRef, at: Option<UnixMs>) {
        let mut state = self.state.borrow_mut();
        // Nearly every row that comes here has no challenge.
        if at.is_none() && state.due.is_empty() {
            return;
        }
        if let Some(before) = state.due.remove(&target) {
            state.by_time.remove(&(before, target));
        }
        if let Some(at) = at {
            state.due.insert(target, at);
            state.by_time.insert((at, target));
            self.moved.notify_one();
        }
    }

    /// An application is gone, and so are its endpoints.
    pub fn forget(&self, app: AppId) {
        let mut state = self.state.borrow_mut();
        state.due.retain(|target, _| target.app != app);
        state.by_time.retain(|(_, target)| target.app != app);
    }

    /// The next endpoint whose receiver is to be asked now. It is under way until [`Challenges::over`].
    #[must_use]
    pub fn next(&self, now: UnixMs) -> Option<EndpointRef> {
        let mut state = self.state.borrow_mut();
        if state.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let may_go = |target: &EndpointRef| {
            let of_app = state.under_way.iter().filter(|other| other.app == target.app).count();
            of_app < PER_APP_MAX && !state.under_way.contains(target)
        };
        let mut due = state.by_time.iter().take_while(|(at, _)| *at <= now).copied();
        let (at, target) = due.find(|(_, target)| may_go(target))?;
        state.by_time.remove(&(at, target));
        state.due.remove(&target);
        state.under_way.insert(target);
        Some(target)
    }

    /// A challenge was answered, or was not. Its row said before this when the next one is due.
    pub fn over(&self, target: EndpointRef) {
        self.state.borrow_mut().under_way.remove(&target);
    }

    /// When the next one is due that is not due yet. Those that are due and wait go when another one is over.
    #[must_use]
    pub fn next_after(&self, now: UnixMs) -> Option<UnixMs> {
        let state = self.state.borrow();
        let after = (UnixMs(now.0.saturating_add(1)), EndpointRef { app: AppId(0), endpoint: EndpointId(0) });
        state.by_time.range(after..).next().map(|(at, _)| *at)
    }

    /// Waits until something may be due earlier than before.
    ///
    /// # Cancel safety
    /// A move that nobody waited for is remembered.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(app: u32, endpoint: u32) -> EndpointRef {
        EndpointRef { app: AppId(app), endpoint: EndpointId(endpoint) }
    }

    #[test]
    fn receivers_are_asked_when_they_are_due_and_never_twice_at_once() {
        let challenges = Challenges::default();
        challenges.note(target(1, 1), Some(UnixMs(10)));
        challenges.note(target(1, 2), Some(UnixMs(5)));
        assert_eq!((challenges.next(UnixMs(4)), challenges.next_after(UnixMs(4))), (None, Some(UnixMs(5))));
        assert_eq!(challenges.next(UnixMs(7)), Some(target(1, 2)));
        assert_eq!(challenges.next(UnixMs(7)), None);
        // Its row changes meanwhile: it waits for the end of the one under way.
        challenges.note(target(1, 2), Some(UnixMs(7)));
        assert_eq!(challenges.next(UnixMs(7)), None);
        challenges.over(target(1, 2));
        assert_eq!(challenges.next(UnixMs(7)), Some(target(1, 2)));
        challenges.note(target(1, 1), None);
        assert_eq!((challenges.next(UnixMs(99)), challenges.next_after(UnixMs(0))), (None, None));
    }

    #[test]
    fn one_tenants_receivers_hold_up_no_others() {
        let challenges = Challenges::default();
        (0..100).for_each(|endpoint| challenges.note(target(1, endpoint), Some(UnixMs(1))));
        (2..40).for_each(|app| challenges.note(target(app, 1_000), Some(UnixMs(2))));
        let asked: Vec<EndpointRef> = std::iter::from_fn(|| challenges.next(UnixMs(3))).collect();
        assert_eq!(asked.len(), UNDER_WAY_MAX);
        assert_eq!(asked.iter().filter(|target| target.app == AppId(1)).count(), PER_APP_MAX);
        challenges.over(asked[2]);
        assert_eq!(challenges.next(UnixMs(3)).map(|target| target.app), Some(AppId(UNDER_WAY_MAX as u32)));
        challenges.forget(AppId(1));
        challenges.over(asked[0]);
        assert_ne!(challenges.next(UnixMs(3)).map(|target| target.app), Some(AppId(1)));
    }
}
