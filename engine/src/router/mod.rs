//! The router: fans each committed event out to the endpoints it matches, one message per shard and commit.
//!
//! It lives on the writer thread and owns its tables alone. So nothing is locked, and every commit sees the endpoints
//! as the commit before left them. It never waits: a shard that does not keep up is told later, see
//! [`crate::shard::inbox`].
//! No delivery state: [`Progress`] knows the endpoints' debts, and the lane sends.

mod names;
mod pause;
mod routes;

use crate::endpoint::offer::Offer;
use crate::prepare::filter::Filter;
use crate::scheduled::Bell;
use crate::shard::inbox::{Behind, EndpointChange, ShardInbox};
use foldhash::HashMap;
use model::{AppId, AppSettings, Cursor, Endpoint, EndpointId, EndpointRef, Event, Seq, UnixMs};
use routes::AppRoutes;
use std::sync::Arc;
use storage::Change;
use storage::tables::progress::Progress;
use storage::writer::Downstream;
use tokio::sync::Notify;

/// Matches of one application in one commit that are held and offered one by one: twice the bound of a shard's inbox.
///
/// For the events beyond, each endpoint that matches is only told the position up to which it must read the log.
const OFFERED_PER_COMMIT: usize = 32 * 1024;

/// Matches of one application in one commit that are looked for.
///
/// Beyond, the router looks for no more matches: every enabled endpoint of the application reads the log, and its lane
/// filters. This bounds the time of one commit on this thread.
const MATCHED_PER_COMMIT: usize = 128 * 1024;

/// The scratch that is kept between two commits, in matches: 12 bytes each.
const SCRATCH_KEPT: usize = 32 * 1024;

/// The fan-out of all applications.
pub struct Router {
    apps: HashMap<AppId, AppRoutes>,
    shards: Vec<Arc<ShardInbox>>,
    jobs: Arc<Notify>,
    scheduled: Arc<Bell>,
    /// Scratch, kept to save allocations: matches of one application's events in one commit.
    matched: Vec<(EndpointRef, u32)>,
    /// Scratch: endpoints that must read the log for events that were not offered one by one, with the first and the
    /// last position of these.
    unheld: Vec<(EndpointRef, Seq, Seq)>,
}

/// The changes of one commit, for shards.
#[derive(Default)]
struct Told {
    /// In the order of the commit: the last change of an endpoint is its state.
    endpoints: Vec<(EndpointRef, EndpointChange)>,
    apps: Vec<(AppId, Arc<AppSettings>)>,
    paused: Vec<(AppId, bool)>,
    requeued: Vec<EndpointRef>,
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
        let scheduled = Arc::new(Bell::default());
        Router { apps: HashMap::default(), shards, jobs, scheduled, matched: Vec::new(), unheld: Vec::new() }
    }

    /// The bell that rings when a scheduled message was taken.
    #[must_use]
    pub fn bell(&self) -> Arc<Bell> {
        self.scheduled.clone()
    }

    /// Adds or replaces an endpoint.
    pub fn put(&mut self, endpoint: &Endpoint) {
        self.replace(endpoint);
    }

    /// The same. Answers `true` if an endpoint that was and is enabled wants other events now.
    fn replace(&mut self, endpoint: &Endpoint) -> bool {
        let routes = self.apps.entry(endpoint.app).or_default();
        routes.pause(endpoint.id, endpoint.is_held());
        routes.put(endpoint.id, Filter::of(endpoint), endpoint.disabled.is_none())
    }

    /// An endpoint wants other events now.
    ///
    /// If it has not come to all that was offered, it reads the rest of the log with its new filter, whatever was
    /// offered before. As after a restart, the filter at a delivery's turn decides.
    fn wants_others(&self, target: EndpointRef, progress: &mut Progress) {
        if progress.owes(target) && !self.is_held(target) {
            let (from, upto) = (progress.position(target), progress.routed(target.app));
            progress.offered(target, from.upto.next(), upto);
            self.shard(target).behind(target, Behind { from, upto });
        }
    }

    /// Finds the endpoints that get durable events of one application, ascending, and tells `progress`.
    fn match_run(&mut self, app: AppId, events: &[Event], from: u32, progress: &mut Progress) {
        let (start, unheld_start) = (self.matched.len(), self.unheld.len());
        let mut any_waits = false;
        if let Some(routes) = self.apps.get(&app) {
            any_waits = routes.any_held();
            let mut held = 0;
            // An event is offered whole: its matches may go beyond the bound by one event.
            while held < events.len() && self.matched.len() - start < OFFERED_PER_COMMIT {
                let index = from + held as u32;
                routes.each_match(&events[held], |endpoint| self.matched.push((EndpointRef { app, endpoint }, index)));
                held += 1;
            }
            match_unheld(routes, app, &events[held..], &mut self.unheld);
        }
        // By endpoint, then by position: one endpoint's events in a row.
        self.matched[start..].sort_unstable();
        for run in self.matched[start..].chunk_by(|one, other| one.0 == other.0) {
            let seq_at = |at: &(EndpointRef, u32)| events[(at.1 - from) as usize].seq;
            progress.offered(run[0].0, seq_at(&run[0]), seq_at(&run[run.len() - 1]));
        }
        for (target, first, last) in &self.unheld[unheld_start..] {
            progress.offered(*target, *first, *last);
        }
        if let Some(last) = events.last() {
            progress.set_routed(app, last.seq);
        }
        if any_waits {
            self.withhold(app, start, unheld_start);
        }
    }

    /// Offers events again, through the log, that were durable before the start but perhaps not offered to everyone.
    pub fn reroute(&mut self, app: AppId, events: &[Event], progress: &mut Progress) {
        self.clear_scratch();
        self.match_run(app, events, 0, progress);
        for run in self.matched.chunk_by(|one, other| one.0 == other.0) {
            let last = events[run[run.len() - 1].1 as usize].seq;
            self.shard(run[0].0).behind(run[0].0, Behind { from: progress.position(run[0].0), upto: last });
        }
        for (target, _, last) in &self.unheld {
            self.shard(*target).behind(*target, Behind { from: progress.position(*target), upto: *last });
        }
    }

    /// Forgets the matches of the commit before, and gives back the memory that one large commit took.
    fn clear_scratch(&mut self) {
        self.matched.clear();
        self.matched.shrink_to(SCRATCH_KEPT);
        self.unheld.clear();
        self.unheld.shrink_to(SCRATCH_KEPT);
    }

    /// An endpoint is known to owe something up to `upto`: for start-up.
    pub fn resume(&self, target: EndpointRef, from: Cursor, upto: Seq) {
        if self.is_held(target) {
            return;
        }
        self.shard(target).behind(target, Behind { from, upto });
    }

    /// The receiver of an endpoint must be asked for its proof at this time: for start-up.
    pub fn challenge(&self, target: EndpointRef, at: UnixMs) {
        self.shard(target).challenge(target, at);
    }

    /// An endpoint has rows that wait for an attempt: for start-up and after changes by hand.
    pub fn requeued(&self, target: EndpointRef) {
        if self.is_held(target) {
            return;
        }
        self.shard(target).requeued(target);
    }

    fn shard(&self, target: EndpointRef) -> &ShardInbox {
        &self.shards[shard_of(target, self.shards.len())]
    }

    /// Applies a change; notes in `told` the news of it for shards.
    fn apply(&mut self, change: Change, told: &mut Told, progress: &mut Progress) {
        match change {
            Change::EndpointPut(endpoint, url_number) => {
                let target = endpoint.target();
                let was_held = self.is_held(target);
                // The mark is told first: then the lane takes nothing of the offers before it hears of the change.
                if self.replace(&endpoint) || was_held {
                    self.wants_others(target, progress);
                }
                told.endpoints.push((target, EndpointChange::Put(endpoint, url_number)));
            }
            Change::EndpointDeleted(target) => {
                if let Some(routes) = self.apps.get_mut(&target.app) {
                    routes.remove(target.endpoint);
                    routes.pause(target.endpoint, false);
                }
                told.endpoints.push((target, EndpointChange::Gone));
            }
            Change::ApplicationChanged(app, settings) => told.apps.push((app, settings)),
            Change::ApplicationPaused(app, paused) => {
                self.pause_all(app, paused, progress);
                told.paused.push((app, paused));
            }
            Change::ApplicationDeleted(app) => {
                self.apps.remove(&app);
                self.shards.iter().for_each(|shard| shard.app_gone(app));
            }
            Change::Requeued(target) => told.requeued.push(target),
            Change::JobStarted => self.jobs.notify_one(),
            Change::Scheduled(app, at) => self.scheduled.ring(app, at),
            // Nothing of it is kept here.
            Change::ApplicationPut(_) => {}
            // Told before, by `expunged`.
            Change::Expunged(..) => {}
        }
    }

    /// Tells each shard once the changes of a commit.
    fn tell(&self, told: Told) {
        let mut by_shard: Vec<Vec<(EndpointRef, EndpointChange)>> = Vec::new();
        by_shard.resize_with(self.shards.len(), Vec::new);
        for (target, change) in told.endpoints {
            by_shard[shard_of(target, self.shards.len())].push((target, change));
        }
        for (inbox, endpoints) in self.shards.iter().zip(by_shard) {
            if !endpoints.is_empty() || !told.apps.is_empty() || !told.paused.is_empty() {
                inbox.changed(endpoints, &told.apps, &told.paused);
            }
        }
    }

    /// One message per shard with everything this commit has for it.
    fn hand_out(&self, events: Vec<Event>) {
        if self.matched.is_empty() && self.unheld.is_empty() {
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
                inbox.offer(Offer::new(events.clone(), targets));
            }
        }
        // After the offers: unheld events come behind the held ones.
        for (target, first, last) in &self.unheld {
            let from = Cursor { upto: first.previous(), holes: Vec::new() };
            self.shard(*target).behind(*target, Behind { from, upto: *last });
        }
    }
}

/// Adds to `unheld`, for each endpoint that gets some of these events, the first position and the last.
fn match_unheld(routes: &AppRoutes, app: AppId, events: &[Event], unheld: &mut Vec<(EndpointRef, Seq, Seq)>) {
    let Some(last) = events.last() else { return };
    let (mut spans, mut looked_for): (HashMap<EndpointId, (Seq, Seq)>, usize) = (HashMap::default(), 0);
    // Neighbours of one type, as in most batches, are looked for once. The last of them stands for all. So an endpoint
    // that came in between is sent to the log for more than it gets, and its lane filters that.
    for run in events.chunk_by(wanted_by_the_same) {
        let (first, until) = (run[0].seq, &run[run.len() - 1]);
        if looked_for > MATCHED_PER_COMMIT {
            for endpoint in routes.enabled() {
                spans.entry(endpoint).or_insert((first, last.seq)).1 = last.seq;
            }
            break;
        }
        routes.each_match(until, |endpoint| {
            looked_for += 1;
            spans.entry(endpoint).or_insert((first, until.seq)).1 = until.seq;
        });
    }
    unheld.extend(spans.into_iter().map(|(endpoint, (first, last))| (EndpointRef { app, endpoint }, first, last)));
    // The same history always leads to the same next step.
    unheld.sort_unstable();
}

impl Downstream for Router {
    fn knows(&self, target: EndpointRef) -> bool {
        self.apps.get(&target.app).is_some_and(|routes| routes.contains(target.endpoint))
    }

    fn committed(&mut self, events: Vec<Event>, changes: Vec<Change>, progress: &mut Progress) {
        // Changes first: an endpoint created in this commit gets its events, one deleted in it gets none of them.
        let mut told = Told::default();
        for change in changes {
            self.apply(change, &mut told, progress);
        }
        // After the pauses of the same commit: an endpoint that is held by then is told when its pause ends, and the
        // transaction that ends a pause may not see a row that another one of its commit put in line.
        for target in std::mem::take(&mut told.requeued) {
            self.requeued(target);
        }
        if !told.endpoints.is_empty() || !told.apps.is_empty() || !told.paused.is_empty() {
            self.tell(told);
        }
        self.clear_scratch();
        let mut from = 0;
        for run in events.chunk_by(|one, other| one.app == other.app) {
            self.match_run(run[0].app, run, from, progress);
            from += run.len() as u32;
        }
        self.hand_out(events);
    }

    fn expunged(&mut self, app: AppId, seq: Seq) {
        self.shards.iter().for_each(|shard| shard.expunged(app, seq));
    }

    fn settlements_taken(&mut self) {
        for inbox in &self.shards {
            inbox.resume();
        }
    }
}

fn wanted_by_the_same(one: &Event, other: &Event) -> bool {
    let is_scheduled = |event: &Event| event.deliver_at().is_some();
    one.event_type == other.event_type
        && one.channels == other.channels
        && one.only_for == other.only_for
        && is_scheduled(one) == is_scheduled(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const APP: AppId = AppId(1);

    fn events(count: u64) -> Vec<Event> {
        let event = |seq| Event {
            app: APP,
            seq: Seq(seq),
            accepted_at: UnixMs(0),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::new(),
        };
        (1..=count).map(event).collect()
    }

    /// No two neighbours of one type.
    fn events_of_two_types(count: u64) -> Vec<Event> {
        let mut events = events(count);
        events.iter_mut().step_by(2).for_each(|event| event.event_type = Arc::from("b"));
        events
    }

    /// A router over one shard, with `endpoints` that want everything and one that wants something else.
    fn router(endpoints: u32) -> (Router, Arc<ShardInbox>) {
        let inbox = Arc::new(ShardInbox::default());
        let mut router = Router::new(vec![inbox.clone()], Arc::new(Notify::new()));
        for id in 1..=endpoints + 1 {
            let mut row = Endpoint::plain(EndpointRef { app: APP, endpoint: EndpointId(id) }, UnixMs(0));
            row.event_types = if id > endpoints { vec!["other".to_owned()] } else { Vec::new() };
            router.put(&row);
        }
        (router, inbox)
    }

    #[test]
    fn of_more_matches_than_a_commit_holds_each_endpoint_reads_the_log() {
        let (endpoints, count) = (1_000, 100);
        let (mut router, inbox) = router(endpoints);
        let mut progress = Progress::default();
        router.committed(events_of_two_types(count), Vec::new(), &mut progress);
        let news = inbox.take();
        let offered: usize = news.offers.iter().map(|offer| offer.targets.len()).sum();
        assert!(offered < OFFERED_PER_COMMIT + endpoints as usize, "{offered} are held");
        assert_eq!(news.behind.len(), endpoints as usize, "and not the one that wants something else");
        let first_unheld = Seq((offered / endpoints as usize) as u64 + 1);
        for behind in news.behind.values() {
            assert_eq!((behind.from.upto.next(), behind.upto), (first_unheld, Seq(count)));
        }
        assert_eq!(progress.owing().count(), endpoints as usize);
        router.committed(Vec::new(), vec![Change::JobStarted], &mut progress);
        assert!(router.matched.capacity() <= SCRATCH_KEPT && router.unheld.capacity() <= SCRATCH_KEPT);
    }

    #[test]
    fn beyond_what_a_commit_looks_for_everybody_reads_the_log() {
        let (mut router, inbox) = router(2_000);
        let mut progress = Progress::default();
        router.committed(events_of_two_types(600), Vec::new(), &mut progress);
        let news = inbox.take();
        assert_eq!(news.behind.len(), 2_001);
        assert!(news.behind.values().all(|behind| behind.upto == Seq(600)));
        let other = EndpointRef { app: APP, endpoint: EndpointId(2_001) };
        assert_eq!(progress.position(other).upto.next(), news.behind[&other].from.upto.next());
    }

    #[test]
    fn an_endpoint_with_a_backlog_that_wants_others_reads_the_rest_with_its_new_filter() {
        let (mut router, inbox) = router(1);
        let mut progress = Progress::default();
        let wants = |types: &[&str]| {
            let mut row = Endpoint::plain(EndpointRef { app: APP, endpoint: EndpointId(1) }, UnixMs(0));
            row.event_types = types.iter().map(|text| (*text).to_owned()).collect();
            vec![Change::EndpointPut(Box::new(row), 0)]
        };
        let target = EndpointRef { app: APP, endpoint: EndpointId(1) };
        router.committed(Vec::new(), wants(&["a"]), &mut progress);
        router.committed(events_of_two_types(4), Vec::new(), &mut progress);
        assert!(inbox.take().behind.is_empty(), "2 and 4 were offered");
        router.committed(Vec::new(), wants(&["a"]), &mut progress);
        assert!(inbox.take().behind.is_empty(), "the same filter");
        progress.settled(target, Cursor { upto: Seq(2), holes: Vec::new() });
        router.committed(Vec::new(), wants(&["a", "b"]), &mut progress);
        let news = inbox.take();
        assert_eq!((news.behind[&target].from.upto, news.behind[&target].upto), (Seq(2), Seq(4)));
        assert!(news.changed.contains_key(&target));
        // An endpoint that has settled all is not sent back to positions that it has passed.
        progress.settled(target, Cursor { upto: Seq(4), holes: Vec::new() });
        router.committed(Vec::new(), wants(&["b"]), &mut progress);
        assert!(inbox.take().behind.is_empty());
    }
}
