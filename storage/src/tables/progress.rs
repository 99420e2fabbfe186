//! The endpoints that still owe something: decides which marks the next commit writes.
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
use foldhash::HashMap;
use model::{AppId, Cursor, EndpointId, EndpointRef, Seq};

/// Rows read in one step at start-up.
const ROWS_PER_SCAN: usize = 1_024;

/// Holes in one row at most: 9 bytes each, far below the largest value. More than attempts in flight to one endpoint.
const MAX_HOLES: usize = 800;

/// The marks of every application and of every endpoint that owes something.
#[derive(Debug, Default)]
pub struct Progress {
    apps: HashMap<AppId, AppProgress>,
    dirty_apps: Vec<AppId>,
}

#[derive(Debug, Default)]
struct AppProgress {
    routed: Seq,
    /// The position in the stored row.
    routed_written: Seq,
    /// True if the next commit must look at this application.
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

impl Owing {
    fn is_settled(&self) -> bool {
        self.cursor.holes.is_empty() && self.cursor.upto >= self.last_offered
    }
}

impl AppProgress {
    /// Has the next commit look at one endpoint, or at the application only.
    fn touch(&mut self, app: AppId, endpoint: Option<EndpointId>, dirty_apps: &mut Vec<AppId>) {
        self.dirty_endpoints.extend(endpoint);
        if !self.dirty {
            self.dirty = true;
            dirty_apps.push(app);
        }
    }
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
                let app = progress.apps.entry(app).or_default();
                (app.routed, app.routed_written) = (routed, routed);
            }
        }
        let mut after = None;
        loop {
            let rows = delivery::list_cursors(read, after, ROWS_PER_SCAN)?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(*last);
            for (target, cursor) in rows {
                let app = progress.apps.entry(target.app).or_default();
                // The events offered to it are not recorded: at most all up to here. Events beyond are offered again.
                let owing = Owing { cursor, last_offered: app.routed, row_written: true, dirty: false };
                app.owing.insert(target.endpoint, owing);
            }
        }
        Ok(progress)
    }

    /// The position up to which this application's events were offered.
    #[must_use]
    pub fn routed(&self, app: AppId) -> Seq {
        self.apps.get(&app).map_or(Seq::ZERO, |app| app.routed)
    }

    /// The position of an endpoint: its own mark, or its application's.
    #[must_use]
    pub fn position(&self, target: EndpointRef) -> Cursor {
        let Some(app) = self.apps.get(&target.app) else { return Cursor::default() };
        match app.owing.get(&target.endpoint) {
            Some(owing) => owing.cursor.clone(),
            None => Cursor { upto: app.routed, holes: Vec::new() },
        }
    }

    /// True if an endpoint was offered an event that it has not settled.
    #[must_use]
    pub fn owes(&self, target: EndpointRef) -> bool {
        self.apps.get(&target.app).is_some_and(|app| app.owing.contains_key(&target.endpoint))
    }

    /// Endpoints that owe something, for start-up.
    pub fn owing(&self) -> impl Iterator<Item = EndpointRef> + '_ {
        self.apps.iter().flat_map(|(app, progress)| {
            progress.owing.keys().map(|endpoint| EndpointRef { app: *app, endpoint: *endpoint })
        })
    }

    /// Notes that the matching events of `first..=last` were offered to this endpoint. `first` must lie above `routed`,
    /// or, when it is offered again after a restart, above the endpoint's mark.
    pub fn offered(&mut self, target: EndpointRef, first: Seq, last: Seq) {
        let app = self.apps.entry(target.app).or_default();
        if let Some(owing) = app.owing.get_mut(&target.endpoint) {
            owing.last_offered = owing.last_offered.max(last);
            return;
        }
        let cursor = Cursor { upto: first.previous(), holes: Vec::new() };
        let owing = Owing { cursor, last_offered: last, row_written: false, dirty: true };
        app.owing.insert(target.endpoint, owing);
        app.touch(target.app, Some(target.endpoint), &mut self.dirty_apps);
    }

    /// Notes that every event of this application up to `upto` has been offered to the endpoints that it matches.
    pub fn set_routed(&mut self, app: AppId, upto: Seq) {
        let progress = self.apps.entry(app).or_default();
        if upto > progress.routed {
            progress.routed = upto;
            progress.touch(app, None, &mut self.dirty_apps);
        }
    }

    /// Takes the mark that an endpoint reports. A report of an endpoint that owes nothing says nothing new.
    pub fn settled(&mut self, target: EndpointRef, cursor: Cursor) {
        let Some(app) = self.apps.get_mut(&target.app) else { return };
        let Some(owing) = app.owing.get_mut(&target.endpoint) else { return };
        let moved = owing.cursor != cursor;
        owing.cursor = cursor;
        let settled = owing.is_settled();
        if settled && !owing.row_written {
            app.owing.remove(&target.endpoint);
        } else if (moved || settled) && !owing.dirty {
            owing.dirty = true;
            app.touch(target.app, Some(target.endpoint), &mut self.dirty_apps);
        }
    }

    /// Forgets an endpoint that was deleted: it owes nothing.
    pub fn forget(&mut self, target: EndpointRef) {
        if let Some(app) = self.apps.get_mut(&target.app) {
            app.owing.remove(&target.endpoint);
        }
    }

    /// Forgets an application that was deleted.
    pub fn forget_app(&mut self, app: AppId) {
        self.apps.remove(&app);
    }

    /// Collects the marks that changed since the last commit.
    pub fn write(&mut self, txn: &mut Txn<'_>) {
        for app_id in self.dirty_apps.drain(..) {
            let Some(app) = self.apps.get_mut(&app_id) else { continue };
            app.dirty = false;
            if app.routed != app.routed_written {
                delivery::put_routed(txn, app_id, app.routed);
                app.routed_written = app.routed;
            }
            for endpoint in app.dirty_endpoints.drain(..) {
                let target = EndpointRef { app: app_id, endpoint };
                // An endpoint is listed twice when it had settled and was offered something anew.
                let Some(owing) = app.owing.get_mut(&endpoint).filter(|owing| owing.dirty) else { continue };
                owing.dirty = false;
                if owing.is_settled() {
                    delivery::remove_cursor(txn, target);
                    app.owing.remove(&endpoint);
                } else {
                    delivery::put_cursor(txn, target, &bounded(&owing.cursor));
                    owing.row_written = true;
                }
            }
        }
    }
}

/// The mark as it fits a row: one with too many holes is set back to before the first hole too many. It then owes more
/// than it should, never less.
fn bounded(cursor: &Cursor) -> Cursor {
    match cursor.holes.get(MAX_HOLES) {
        Some(hole) => Cursor { upto: hole.previous(), holes: cursor.holes[..MAX_HOLES].to_vec() },
        None => cursor.clone(),
    }
}

#[cfg(test)]
mod tests;
