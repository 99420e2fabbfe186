//! The bell: the writer's thread says that an application has a scheduled message, and when the first of them is due.
//!
//! - *Who owns the state:* both sides, by a lock that is held for one entry of a map.
//! - *What bounds it:* one entry for each application, until the task takes them.

use model::{AppId, UnixMs};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Everything that was rung since it was last taken: the soonest time of each application.
pub type Rung = BTreeMap<AppId, UnixMs>;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Bell {
    soonest: Mutex<Rung>,
    notify: Notify,
}

impl Bell {
    /// A message of this application is due at `at`.
    pub fn ring(&self, app: AppId, at: UnixMs) {
        let mut soonest = self.soonest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = soonest.entry(app).or_insert(at);
        *known = at.min(*known);
        drop(soonest);
        self.notify.notify_one();
    }

    /// Everything that was rung since the last call.
    #[must_use]
    pub fn take(&self) -> Rung {
        std::mem::take(&mut *self.soonest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when it has rung since it resolved last.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }
}
