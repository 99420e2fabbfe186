//! The endpoints that still owe something: decides which marks the next commit writes.
//!
//! Owned by the writer thread and by nothing else. An endpoint appears here when an event is offered to it and leaves
//! when it has settled everything offered; only while it is here may it need a row. So a million idle endpoints cost
//! nothing, and an endpoint that got its last event a year ago does not make a restart read a year of its tenant's log.
//!
//! **Invariant:** whenever `routed(app) = R` is durable, every endpoint that was offered an event at or below `R` and
//! has not settled it has a durable cursor row below that event. [`Progress::write`] puts both in one commit.
//!
//! Marks of an application are not written with every event. While none of its endpoints has settled anything, a start
//! offers its latest events again and nothing is sent twice; by the time that one settles, most owe nothing any more and
//! never get a row. So its marks wait until an endpoint settles, the application or an endpoint of it changes, a
//! commit brings no event, or [`WAITS_MOST`] commits have passed.
//!
//! Not the settlement of single deliveries (that is [`super::settle`]).

use crate::read::Read;
use crate::store::StoreError;
use crate::tables::delivery;
use crate::txn::Txn;
use foldhash::HashMap;
use model::{AppId, Cursor, EndpointId, EndpointRef, Seq};
use std::collections::VecDeque;

/// Rows read in one step at start-up.
const ROWS_PER_SCAN: usize = 1_024;

/// Holes in one row at most: 9 bytes each, far below the largest value. More than attempts in flight to one endpoint.
const MAX_HOLES: usize = 800;

/// Commits for which the marks of an application may wait. A start reads so much of the log again at most, and retention
/// may keep so much of it longer.
const WAITS_MOST: u64 = 8;

/// Marks that one commit writes because they have waited for long enough; those of the last application may go beyond it.
/// After a start, every endpoint that owes something may have one: the next commits share them.
const MARKS_PER_COMMIT: usize = 4_096;

/// The marks of every application and of every endpoint that owes something.
#[derive(Debug, Default)]
pub struct Progress {
    apps: HashMap<AppId, AppProgress>,
    /// Those whose marks the next commit writes.
    due: Vec<AppId>,
    /// Those whose marks may wait, with the commit that they began to wait at. One whose marks were written since stands here
    /// until its time has come: at most one entry for each application that a commit touches, of the last few commits.
    waiting: VecDeque<(AppId, u64)>,
    /// Commits so far.
    commits: u64,
}

/// When the marks of an application are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Marks {
    /// They are as they should be.
    #[default]
    Written,
    /// Since this commit they are not.
    Wait(u64),
    /// With the next commit.
    Due,
}

#[derive(Debug, Default)]
struct AppProgress {
    routed: Seq,
    /// The position in the stored row.
    routed_written: Seq,
    marks: Marks,
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
        app.dirty_endpoints.push(target.endpoint);
        self.may_wait(target.app);
    }

    /// Notes that every event of this application up to `upto` has been offered to the endpoints that it matches.
    pub fn set_routed(&mut self, app: AppId, upto: Seq) {
        let progress = self.apps.entry(app).or_default();
        if upto > progress.routed {
            progress.routed = upto;
            // Nobody owes anything, so nobody's settlement would bring the mark along.
            if progress.owing.is_empty() { self.write_next(app) } else { self.may_wait(app) }
        }
    }

    /// Has the next commit write the marks of this application: one that settles, or changes who gets what of its events.
    pub fn write_next(&mut self, app: AppId) {
        if let Some(progress) = self.apps.get_mut(&app)
            && progress.marks != Marks::Due
        {
            progress.marks = Marks::Due;
            self.due.push(app);
        }
    }

    /// The marks of this application are to be written, and not at once.
    fn may_wait(&mut self, app: AppId) {
        if let Some(progress) = self.apps.get_mut(&app)
            && progress.marks == Marks::Written
        {
            progress.marks = Marks::Wait(self.commits);
            self.waiting.push_back((app, self.commits));
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
            app.dirty_endpoints.push(target.endpoint);
        }
        if moved || settled {
            // Else a start would offer again what is settled here.
            self.write_next(target.app);
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

    /// Collects the marks that are to be written with this commit. A quiet one brings no event: it has room for those that
    /// wait, and where nothing is pushed there may be no eighth commit, while retention waits for the marks.
    pub fn write(&mut self, txn: &mut Txn<'_>, is_quiet: bool) {
        let most = if is_quiet { 0 } else { WAITS_MOST };
        let mut marks = 0;
        while marks < MARKS_PER_COMMIT
            && let Some((app, since)) = self.waiting.pop_front_if(|(_, since)| *since + most <= self.commits)
        {
            if let Some(progress) = self.apps.get(&app).filter(|progress| progress.marks == Marks::Wait(since)) {
                marks += 1 + progress.dirty_endpoints.len();
                self.write_next(app);
            }
        }
        self.commits += 1;
        for app_id in self.due.drain(..) {
            if let Some(app) = self.apps.get_mut(&app_id) {
                app.write(txn, app_id);
            }
        }
    }
}

impl AppProgress {
    /// Collects the marks of this application, whose number is `id`.
    fn write(&mut self, txn: &mut Txn<'_>, id: AppId) {
        self.marks = Marks::Written;
        if self.routed != self.routed_written {
            delivery::put_routed(txn, id, self.routed);
            self.routed_written = self.routed;
        }
        for endpoint in self.dirty_endpoints.drain(..) {
            let target = EndpointRef { app: id, endpoint };
            // An endpoint is listed twice when it had settled and was offered something anew.
            let Some(owing) = self.owing.get_mut(&endpoint).filter(|owing| owing.dirty) else { continue };
            owing.dirty = false;
            if owing.is_settled() {
                delivery::remove_cursor(txn, target);
                self.owing.remove(&endpoint);
            } else {
                delivery::put_cursor(txn, target, &bounded(&owing.cursor));
                owing.row_written = true;
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
