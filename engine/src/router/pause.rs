//! Endpoints that are held: paused, or of an application that is. Their deliveries wait on disk, and shards are told nothing.
//!
//! So a paused endpoint needs no actor. `Progress` knows what it owes, as it does of any other. When a pause ends, the
//! endpoint is sent to the log for all of it; its retries are told by the transaction that ends the pause.

use super::Router;
use model::{AppId, EndpointId, EndpointRef};
use storage::tables::progress::Progress;

impl Router {
    /// An application is paused, or not any more: for start-up.
    pub fn pause_app(&mut self, app: AppId, paused: bool) {
        self.apps.entry(app).or_default().pause_all(paused);
    }

    /// True if the deliveries of an endpoint wait on disk and no shard is told of them.
    pub(super) fn is_held(&self, target: EndpointRef) -> bool {
        self.apps.get(&target.app).is_some_and(|routes| routes.is_held(target.endpoint))
    }

    /// An application is paused, or not any more: its endpoints read what they have not come to.
    pub(super) fn pause_all(&mut self, app: AppId, paused: bool, progress: &mut Progress) {
        self.pause_app(app, paused);
        if paused {
            return;
        }
        let Some(routes) = self.apps.get(&app) else { return };
        let mut released: Vec<EndpointId> = routes.enabled().filter(|id| !routes.is_held(*id)).collect();
        // The same history always leads to the same next step.
        released.sort_unstable();
        released.into_iter().for_each(|endpoint| self.wants_others(EndpointRef { app, endpoint }, progress));
    }

    /// Drops the matches of endpoints that are held from what is handed out: they are known to owe them.
    pub(super) fn withhold(&mut self, app: AppId, start: usize, unheld_start: usize) {
        let Some(routes) = self.apps.get(&app) else { return };
        let matched: Vec<_> = self.matched.drain(start..).filter(|(of, _)| !routes.is_held(of.endpoint)).collect();
        self.matched.extend(matched);
        let unheld: Vec<_> =
            self.unheld.drain(unheld_start..).filter(|(of, ..)| !routes.is_held(of.endpoint)).collect();
        self.unheld.extend(unheld);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::inbox::{News, ShardInbox};
    use bytes::Bytes;
    use model::{Cursor, Endpoint, Event, Paused, PausedReason, Seq, UnixMs};
    use std::sync::Arc;
    use storage::Change;
    use storage::writer::Downstream;

    const APP: AppId = AppId(1);

    fn target(endpoint: u32) -> EndpointRef {
        EndpointRef { app: APP, endpoint: EndpointId(endpoint) }
    }

    fn event(seq: u64) -> Event {
        Event {
            app: APP,
            seq: Seq(seq),
            accepted_at: UnixMs(0),
            event_type: Arc::from("a"),
            event_id: None,
            channels: Vec::new(),
            only_for: None,
            more: None,
            payload: Bytes::new(),
        }
    }

    struct World {
        router: Router,
        inbox: Arc<ShardInbox>,
        progress: Progress,
    }

    impl World {
        fn new() -> World {
            let inbox = Arc::new(ShardInbox::default());
            let router = Router::new(vec![inbox.clone()], Arc::default());
            World { router, inbox, progress: Progress::default() }
        }

        fn commit(&mut self, events: Vec<Event>, changes: Vec<Change>) -> News {
            self.router.committed(events, changes, &mut self.progress);
            self.inbox.take()
        }

        fn put(&mut self, endpoint: u32, paused: bool) -> News {
            let mut row = Endpoint::plain(target(endpoint), UnixMs(0));
            row.paused = paused.then_some(Paused { at: UnixMs(1), reason: PausedReason::Operator });
            self.commit(Vec::new(), vec![Change::EndpointPut(Box::new(row), 0)])
        }
    }

    fn offered(news: &News) -> Vec<u32> {
        let targets = news.offers.iter().flat_map(|offer| &offer.targets);
        targets.map(|(target, _)| target.endpoint.0).collect()
    }

    #[test]
    fn a_paused_endpoint_owes_what_is_for_it_and_its_shard_hears_of_nothing_until_it_goes_on() {
        let mut world = World::new();
        world.put(1, true);
        world.put(2, false);
        assert_eq!(offered(&world.commit(vec![event(1), event(2)], Vec::new())), [2, 2]);
        assert!(world.progress.owes(target(1)));
        world.router.requeued(target(1));
        world.router.resume(target(1), Cursor::default(), Seq(2));
        let news = world.inbox.take();
        assert!(news.requeued.is_empty() && news.behind.is_empty());
        let news = world.put(1, false);
        assert_eq!((news.behind[&target(1)].from.upto, news.behind[&target(1)].upto), (Seq(0), Seq(2)));
        assert_eq!(offered(&world.commit(vec![event(3)], Vec::new())), [1, 2]);
    }

    #[test]
    fn a_paused_application_holds_all_its_endpoints_and_lets_go_those_that_are_not_paused_themselves() {
        let mut world = World::new();
        world.put(1, true);
        world.put(2, false);
        let news = world.commit(vec![event(1)], vec![Change::ApplicationPaused(APP, true)]);
        assert!(news.offers.is_empty() && news.paused[&APP].1);
        let news = world.commit(Vec::new(), vec![Change::ApplicationPaused(APP, false)]);
        assert_eq!(news.behind.keys().copied().collect::<Vec<_>>(), [target(2)]);
        assert!(!news.paused[&APP].1);
    }

    #[test]
    fn a_delivery_that_is_put_in_line_in_the_commit_that_ends_the_pause_is_told() {
        let mut world = World::new();
        world.put(1, true);
        let row = Endpoint::plain(target(1), UnixMs(0));
        let changes = vec![Change::Requeued(target(1)), Change::EndpointPut(Box::new(row), 0)];
        assert!(world.commit(Vec::new(), changes).requeued.contains(&target(1)));
        world.commit(Vec::new(), vec![Change::ApplicationPaused(APP, true)]);
        let changes = vec![Change::Requeued(target(1)), Change::ApplicationPaused(APP, false)];
        assert!(world.commit(Vec::new(), changes).requeued.contains(&target(1)));
    }

    #[test]
    fn an_endpoint_that_is_disabled_while_it_is_paused_is_told_so_that_it_ends_what_waits() {
        let mut world = World::new();
        world.put(1, true);
        world.commit(vec![event(1)], Vec::new());
        let mut row = Endpoint::plain(target(1), UnixMs(0));
        row.paused = Some(Paused { at: UnixMs(1), reason: PausedReason::Operator });
        row.disabled = Some(model::Disabled { at: UnixMs(2), reason: model::DisabledReason::Operator });
        let news = world.commit(Vec::new(), vec![Change::EndpointPut(Box::new(row), 0)]);
        assert_eq!(news.behind[&target(1)].upto, Seq(1));
    }
}
