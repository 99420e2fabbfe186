//! The router: fans each committed event out to the endpoints it matches, one message per shard and commit.
//!
//! It lives on the writer thread and owns its tables alone, so nothing is locked and every commit sees the endpoints as
//! the commit before left them. It never waits: a shard that does not keep up is told later, see [`crate::shard::inbox`].
//! Deliberately no delivery state: who owes what is [`Progress`]'s, how to send is the lane's.

mod routes;

use crate::endpoint::filter::Filter;
use crate::endpoint::offer::Offer;
use crate::shard::inbox::{Behind, ShardInbox};
use model::{AppId, Cursor, Endpoint, EndpointRef, Event, Seq};
use routes::AppRoutes;
use std::collections::HashMap;
use std::sync::Arc;
use storage::Change;
use storage::tables::progress::Progress;
use storage::writer::Downstream;
use tokio::sync::Notify;

/// The fan-out of all applications.
pub struct Router {
    apps: HashMap<AppId, AppRoutes>,
    shards: Vec<Arc<ShardInbox>>,
    jobs: Arc<Notify>,
    /// Scratch, kept to save allocations: matches of one application's events in one commit.
    matched: Vec<(EndpointRef, u32)>,
}

/// The shard that an endpoint lives on.
#[must_use]
pub fn shard_of(target: EndpointRef, shards: usize) -> usize {
    // Fibonacci hashing: endpoints created one after the other spread evenly.
    let mixed = u64::from(target.endpoint.0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as usize % shards
}

impl Router {
    /// Knows nobody yet; `jobs` is woken when a job was created.
    #[must_use]
    pub fn new(shards: Vec<Arc<ShardInbox>>, jobs: Arc<Notify>) -> Router {
        Router { apps: HashMap::new(), shards, jobs, matched: Vec::new() }
    }

    /// Adds or replaces an endpoint.
    pub fn put(&mut self, endpoint: &Endpoint) {
        self.apps.entry(endpoint.app).or_default().put(endpoint.id, Filter::of(endpoint), endpoint.disabled.is_none());
    }

    /// Events of one application, ascending, are durable: finds who gets which, and says so to `progress`.
    fn match_run(&mut self, app: AppId, events: &[Event], from: u32, progress: &mut Progress) -> usize {
        let start = self.matched.len();
        if let Some(routes) = self.apps.get(&app) {
            for (index, event) in events.iter().enumerate() {
                let index = from + index as u32;
                routes.each_match(event, |endpoint| self.matched.push((EndpointRef { app, endpoint }, index)));
            }
        }
        // By endpoint, then by position: one endpoint's events in a row.
        self.matched[start..].sort_unstable();
        for run in self.matched[start..].chunk_by(|one, other| one.0 == other.0) {
            let seq_at = |at: &(EndpointRef, u32)| events[(at.1 - from) as usize].seq;
            progress.offered(run[0].0, seq_at(&run[0]), seq_at(&run[run.len() - 1]));
        }
        if let Some(last) = events.last() {
            progress.set_routed(app, last.seq);
        }
        start
    }

    /// Events that were durable before the start but perhaps not offered to everyone: offered again, through the log.
    pub fn reroute(&mut self, app: AppId, events: &[Event], progress: &mut Progress) {
        self.matched.clear();
        self.match_run(app, events, 0, progress);
        for run in self.matched.chunk_by(|one, other| one.0 == other.0) {
            let last = events[run[run.len() - 1].1 as usize].seq;
            self.shard(run[0].0).behind(run[0].0, Behind { from: progress.position(run[0].0), upto: last });
        }
    }

    /// An endpoint is known to owe something up to `upto`: for start-up.
    pub fn resume(&self, target: EndpointRef, from: Cursor, upto: Seq) {
        self.shard(target).behind(target, Behind { from, upto });
    }

    /// An endpoint has rows that wait for an attempt: for start-up and after changes by hand.
    pub fn requeued(&self, target: EndpointRef) {
        self.shard(target).requeued(target);
    }

    fn shard(&self, target: EndpointRef) -> &ShardInbox {
        &self.shards[shard_of(target, self.shards.len())]
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::EndpointPut(endpoint) => {
                self.put(&endpoint);
                self.shard(endpoint.target()).changed(endpoint.target());
            }
            Change::EndpointDeleted(target) => {
                if let Some(routes) = self.apps.get_mut(&target.app) {
                    routes.remove(target.endpoint);
                }
                self.shard(target).changed(target);
            }
            Change::ApplicationPaced(app) => self.tell_endpoints(app, self.apps.get(&app)),
            Change::ApplicationDeleted(app) => {
                let routes = self.apps.remove(&app);
                self.tell_endpoints(app, routes.as_ref());
            }
            Change::Requeued(target) => self.requeued(target),
            Change::JobStarted => self.jobs.notify_one(),
            // Nothing of it is kept here.
            Change::ApplicationPut(_) => {}
        }
    }

    /// Has every endpoint of an application look at its rows again.
    fn tell_endpoints(&self, app: AppId, routes: Option<&AppRoutes>) {
        for endpoint in routes.into_iter().flat_map(AppRoutes::endpoints) {
            let target = EndpointRef { app, endpoint };
            self.shard(target).changed(target);
        }
    }

    /// One message per shard with everything this commit has for it.
    fn hand_out(&self, events: Vec<Event>) {
        if self.matched.is_empty() {
            return;
        }
        let events: Arc<[Event]> = events.into();
        let shards = self.shards.len();
        let mut targets: Vec<Vec<(EndpointRef, u32)>> = vec![Vec::new(); shards];
        for matched in &self.matched {
            targets[shard_of(matched.0, shards)].push(*matched);
        }
        for (inbox, targets) in self.shards.iter().zip(targets) {
            if !targets.is_empty() {
                inbox.offer(Offer { events: events.clone(), targets });
            }
        }
    }
}

impl Downstream for Router {
    fn knows(&self, target: EndpointRef) -> bool {
        self.apps.get(&target.app).is_some_and(|routes| routes.contains(target.endpoint))
    }

    fn committed(&mut self, events: Vec<Event>, changes: Vec<Change>, progress: &mut Progress) {
        // Changes first: an endpoint created in this commit gets its events, one deleted in it gets none of them.
        for change in changes {
            self.apply(change);
        }
        self.matched.clear();
        let mut from = 0;
        for run in events.chunk_by(|one, other| one.app == other.app) {
            self.match_run(run[0].app, run, from, progress);
            from += run.len() as u32;
        }
        self.hand_out(events);
    }

    fn settlements_taken(&mut self) {
        for inbox in &self.shards {
            inbox.resume();
        }
    }
}
