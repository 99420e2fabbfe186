//! Which endpoint still owes what: decides which marks the next commit writes.
//!
//! Owned by the writer thread and by nothing else. An endpoint appears here when an event is offered to it and leaves
//! when it has settled everything offered; only while it is here may it need a row. So a million idle endpoints cost
//! nothing, and an endpoint that got its last event a year ago does not make a restart read a year of its tenant's log.
//!
//! **Invariant:** whenever `routed(app) = R` is durable, every endpoint that was offered an event at or below `R` and
//! has not settled it has a durable cursor row below that event. [`Progress::write`] puts both in one commit.
//!
//! Deliberately not the settlement of single deliveries (that is [`super::settle`]).

use crate::read::Read;
use crate::store::StoreError;
use crate::tables::delivery;
use crate::txn::Txn;
use model::{AppId, Cursor, EndpointId, EndpointRef, Seq};
use std::collections::HashMap;

/// Rows read in one step at start-up.
const ROWS_PER_SCAN: usize = 1_024;

/// Where every application and every owing endpoint stands.
#[derive(Debug, Default)]
pub struct Progress {
    apps: HashMap<AppId, AppProgress>,
    dirty_apps: Vec<AppId>,
}

#[derive(Debug, Default)]
struct AppProgress {
    routed: Seq,
    dirty: bool,
    owing: HashMap<EndpointId, Owing>,
    dirty_endpoints: Vec<EndpointId>,
}

/// An endpoint that has been offered something it has not settled.
#[derive(Debug)]
struct Owing {
    cursor: Cursor,
    last_offered: Seq,
    row_written: bool,
    dirty: bool,
}

impl Progress {
    /// Reads all marks: one pass over applications and over endpoints with a row, none over events.
    ///
    /// # Errors
    /// Whatever the store reports.
    pub fn load(read: &(impl Read + ?Sized)) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        let mut after = None;
        loop {
            let rows = delivery::list_routed(read, after, ROWS_PER_SCAN)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            for (app, routed) in rows {
                progress.apps.entry(app).or_default().routed = routed;
            }
        }
        let mut after = None;
        loop {
            let rows = delivery::list_cursors(read, after, ROWS_PER_SCAN)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            for (target, cursor) in rows {
                let app = progress.apps.entry(target.app).or_default();
                // What it was offered is not recorded, but nobody was offered more than this: the rest of the log is
                // offered again. So it owes nothing once it has read up to here.
                let owing = Owing { cursor, last_offered: app.routed, row_written: true, dirty: false };
                app.owing.insert(target.endpoint, owing);
            }
        }
        Ok(progress)
    }

    /// Up to where this application's events were offered.
    #[must_use]
    pub fn routed(&self, app: AppId) -> Seq {
        self.apps.get(&app).map_or(Seq::ZERO, |app| app.routed)
    }

    /// Where an endpoint stands: its own mark, or its application's.
    #[must_use]
    pub fn position(&self, target: EndpointRef) -> Cursor {
        let Some(app) = self.apps.get(&target.app) else { return Cursor::default() };
        match app.owing.get(&target.endpoint) {
            Some(owing) => owing.cursor.clone(),
            None => Cursor { upto: app.routed, holes: Vec::new() },
        }
    }

    /// Endpoints that owe something, for start-up.
    pub fn owing(&self) -> impl Iterator<Item = EndpointRef> + '_ {
        self.apps.iter().flat_map(|(app, progress)| {
            progress.owing.keys().map(|endpoint| EndpointRef { app: *app, endpoint: *endpoint })
        })
    }

    /// Events of `first..=last` that match were offered to this endpoint.
    pub fn offered(&mut self, target: EndpointRef, first: Seq, last: Seq) {
        let app = self.apps.entry(target.app).or_default();
        let owing = app.owing.entry(target.endpoint).or_insert_with(|| {
            app.dirty_endpoints.push(target.endpoint);
            let cursor = Cursor { upto: first.previous(), holes: Vec::new() };
            Owing { cursor, last_offered: last, row_written: false, dirty: true }
        });
        owing.last_offered = owing.last_offered.max(last);
    }

    /// Every event of this application up to `upto` has been offered to whom it matches.
    pub fn set_routed(&mut self, app: AppId, upto: Seq) {
        let progress = self.apps.entry(app).or_default();
        if upto > progress.routed {
            progress.routed = upto;
            if !progress.dirty {
                progress.dirty = true;
                self.dirty_apps.push(app);
            }
        }
    }

    /// An endpoint reports where it stands.
    pub fn settled(&mut self, target: EndpointRef, cursor: Cursor) {
        let Some(app) = self.apps.get_mut(&target.app) else { return };
        let Some(owing) = app.owing.get_mut(&target.endpoint) else { return };
        let clean = cursor.holes.is_empty() && cursor.upto >= owing.last_offered;
        if clean && !owing.row_written {
            app.owing.remove(&target.endpoint);
        } else if clean || owing.cursor != cursor {
            owing.cursor = cursor;
            if !owing.dirty {
                owing.dirty = true;
                app.dirty_endpoints.push(target.endpoint);
            }
        }
        if !app.dirty {
            app.dirty = true;
            self.dirty_apps.push(target.app);
        }
    }

    /// An endpoint was deleted: it owes nothing.
    pub fn forget(&mut self, target: EndpointRef) {
        if let Some(app) = self.apps.get_mut(&target.app) {
            app.owing.remove(&target.endpoint);
        }
    }

    /// An application was deleted.
    pub fn forget_app(&mut self, app: AppId) {
        self.apps.remove(&app);
    }

    /// Collects the marks that changed since the last commit.
    pub fn write(&mut self, txn: &mut Txn<'_>) {
        for app_id in self.dirty_apps.drain(..) {
            let Some(app) = self.apps.get_mut(&app_id) else { continue };
            app.dirty = false;
            delivery::put_routed(txn, app_id, app.routed);
            for endpoint in app.dirty_endpoints.drain(..) {
                let target = EndpointRef { app: app_id, endpoint };
                let Some(owing) = app.owing.get_mut(&endpoint) else { continue };
                owing.dirty = false;
                let clean = owing.cursor.holes.is_empty() && owing.cursor.upto >= owing.last_offered;
                if clean {
                    delivery::remove_cursor(txn, target);
                    app.owing.remove(&endpoint);
                } else {
                    delivery::put_cursor(txn, target, &owing.cursor);
                    owing.row_written = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::testing::{TestStore, target};

    fn write(store: &TestStore, progress: &mut Progress) {
        store.write(|txn| {
            progress.write(txn);
            Ok(())
        });
    }

    #[test]
    fn after_a_restart_an_endpoint_owes_what_was_routed_before_and_what_it_is_offered_since() {
        let (store, at) = (TestStore::default(), target(1, 1));
        let mut before = Progress::default();
        before.offered(at, Seq(3), Seq(5));
        before.set_routed(at.app, Seq(8));
        write(&store, &mut before);

        let mut progress = Progress::load(&store).unwrap();
        assert_eq!(progress.position(at).upto, Seq(2));
        // Not for it: that others get more does not make it owe more.
        progress.set_routed(at.app, Seq(20));
        progress.settled(at, Cursor { upto: Seq(5), holes: Vec::new() });
        write(&store, &mut progress);
        assert!(delivery::cursor(&store, at).unwrap().is_some(), "it may have been offered up to 8");
        progress.settled(at, Cursor { upto: Seq(8), holes: Vec::new() });
        write(&store, &mut progress);
        assert_eq!(delivery::cursor(&store, at).unwrap(), None);
        assert_eq!(progress.position(at).upto, Seq(20));
    }

    #[test]
    fn what_is_offered_after_a_restart_is_owed_too() {
        let (store, at) = (TestStore::default(), target(1, 1));
        let mut before = Progress::default();
        before.offered(at, Seq(3), Seq(5));
        before.set_routed(at.app, Seq(5));
        write(&store, &mut before);

        let mut progress = Progress::load(&store).unwrap();
        progress.offered(at, Seq(6), Seq(6));
        progress.set_routed(at.app, Seq(6));
        progress.settled(at, Cursor { upto: Seq(5), holes: Vec::new() });
        write(&store, &mut progress);
        assert_eq!(progress.position(at).upto, Seq(5));
        assert!(delivery::cursor(&store, at).unwrap().is_some());
    }
}
