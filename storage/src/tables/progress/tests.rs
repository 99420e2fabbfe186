//! Progress in lock-step with a naive world that remembers every delivery, across crashes at any point.

use super::*;
use crate::store::{MemoryStore, Store};
use crate::tables::testing::target;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const APPS: u32 = 2;
const ENDPOINTS: u32 = 3;

#[derive(Clone, Debug)]
enum Op {
    /// These events are durable now, each with a mask of endpoints that it matches, and are offered. `routed` follows
    /// at once, as the router does it, or only with a later event.
    Route {
        app: u32,
        matches: Vec<u8>,
        mark: bool,
    },
    /// An endpoint settles some of the events that it was offered, and reports.
    Settle {
        app: u32,
        endpoint: u32,
        which: u16,
    },
    Commit,
    /// Commits go on without anything new.
    Rest,
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1..=APPS, vec(0u8..1 << ENDPOINTS, 1..5), prop::bool::weighted(0.8))
            .prop_map(|(app, matches, mark)| Op::Route { app, matches, mark }),
        6 => (1..=APPS, 1..=ENDPOINTS, any::<u16>())
            .prop_map(|(app, endpoint, which)| Op::Settle { app, endpoint, which }),
        3 => Just(Op::Commit),
        1 => Just(Op::Rest),
        1 => Just(Op::Crash),
    ];
    vec(op, 1..60)
}

/// The knowledge of an endpoint's lane.
#[derive(Clone, Debug, Default)]
struct Lane {
    offered: BTreeSet<u64>,
    settled: BTreeSet<u64>,
    upto: u64,
    /// The position up to which it has looked.
    seen: u64,
}

impl Lane {
    fn owed(&self) -> BTreeSet<u64> {
        self.offered.difference(&self.settled).copied().collect()
    }

    fn cursor(&mut self) -> Cursor {
        let owed = self.owed();
        let last_settled = self.settled.last().copied().unwrap_or_default();
        self.upto = self.upto.max(if owed.is_empty() { self.seen } else { last_settled });
        Cursor { upto: Seq(self.upto), holes: owed.range(..=self.upto).map(|seq| Seq(*seq)).collect() }
    }
}

struct World {
    store: MemoryStore,
    progress: Progress,
    /// For each application, for each event, the mask of endpoints that it matches.
    log: BTreeMap<u32, Vec<u8>>,
    lanes: BTreeMap<EndpointRef, Lane>,
    /// The settled events as the store knows them.
    durable: BTreeMap<EndpointRef, BTreeSet<u64>>,
    /// Up to where events had been offered by the last commit. What is settled beyond may be owed once more.
    routed_at_commit: BTreeMap<AppId, u64>,
}

impl World {
    fn new() -> World {
        let lanes = (1..=APPS).flat_map(|app| (1..=ENDPOINTS).map(move |endpoint| target(app, endpoint)));
        World {
            store: MemoryStore::new(),
            progress: Progress::default(),
            log: BTreeMap::new(),
            lanes: lanes.map(|target| (target, Lane::default())).collect(),
            durable: BTreeMap::new(),
            routed_at_commit: (1..=APPS).map(|app| (AppId(app), 0)).collect(),
        }
    }

    fn matching(&self, target: EndpointRef, above: u64) -> BTreeSet<u64> {
        let log = self.log.get(&target.app.0).map_or(&[][..], Vec::as_slice);
        (1..)
            .zip(log)
            .filter(|(_, mask)| *mask >> (target.endpoint.0 - 1) & 1 == 1)
            .map(|(seq, _)| seq)
            .filter(|seq| *seq > above)
            .collect()
    }

    fn targets(&self) -> Vec<EndpointRef> {
        self.lanes.keys().copied().collect()
    }

    /// Offers the events above `above`, as the router does.
    fn offer(&mut self, app: u32, above: u64, mark: bool) {
        for target in self.targets().into_iter().filter(|target| target.app == AppId(app)) {
            let matching = self.matching(target, above);
            if let (Some(first), Some(last)) = (matching.first(), matching.last()) {
                self.progress.offered(target, Seq(*first), Seq(*last));
                let lane = self.lanes.get_mut(&target).unwrap();
                lane.seen = lane.seen.max(*last);
                lane.offered.extend(&matching);
            }
        }
        if mark {
            let head = self.log.get(&app).map_or(0, Vec::len) as u64;
            self.progress.set_routed(AppId(app), Seq(head));
        }
    }

    fn settle(&mut self, target: EndpointRef, which: u16) {
        let lane = self.lanes.get_mut(&target).unwrap();
        let some = lane.owed().into_iter().enumerate().filter(|(index, _)| which >> (index % 16) & 1 == 1);
        let some: Vec<u64> = some.map(|(_, seq)| seq).collect();
        lane.settled.extend(some);
        let cursor = lane.cursor();
        self.progress.settled(target, cursor);
    }

    fn commit(&mut self) -> usize {
        let mut txn = Txn::new(&self.store);
        self.progress.write(&mut txn, false);
        let batch = txn.into_parts().batch;
        let rows = batch.len();
        self.store.apply(batch).unwrap();
        for (target, lane) in &self.lanes {
            self.durable.insert(*target, lane.settled.clone());
        }
        for (app, routed) in &mut self.routed_at_commit {
            *routed = self.progress.routed(*app).0;
        }
        rows
    }

    /// The events that a start from these rows would deliver, without asking [`Progress`].
    fn owed_after_restart(&self, target: EndpointRef) -> BTreeSet<u64> {
        match delivery::cursor(&self.store, target).unwrap() {
            Some(cursor) => {
                let holes = cursor.holes.iter().map(|seq| seq.0);
                holes.chain(self.matching(target, cursor.upto.0)).collect()
            }
            None => self.matching(target, delivery::routed(&self.store, target.app).unwrap().0),
        }
    }

    fn check_durable(&self) -> Result<(), TestCaseError> {
        for (target, lane) in &self.lanes {
            let nothing = BTreeSet::new();
            let settled = self.durable.get(target).unwrap_or(&nothing);
            let owed = self.owed_after_restart(*target);
            let all = self.matching(*target, 0);
            for seq in all.difference(settled) {
                prop_assert!(owed.contains(seq), "{seq} of {target:?} would be lost");
            }
            for seq in settled.range(..=self.routed_at_commit[&target.app]) {
                prop_assert!(!owed.contains(seq), "{seq} of {target:?} would be sent again");
            }
            let has_row = delivery::cursor(&self.store, *target).unwrap().is_some();
            let clean = settled.is_superset(&lane.offered);
            prop_assert!(!(clean && has_row), "{target:?} owes nothing and has a row");
        }
        Ok(())
    }

    /// All marks are written: nobody that owes something is without a row.
    fn check_written(&self) -> Result<(), TestCaseError> {
        for app in 1..=APPS {
            let routed = delivery::routed(&self.store, AppId(app)).unwrap();
            prop_assert_eq!(routed, self.progress.routed(AppId(app)));
        }
        for target in self.progress.owing() {
            prop_assert_eq!(delivery::cursor(&self.store, target).unwrap(), Some(self.progress.position(target)));
        }
        Ok(())
    }

    /// Everything in memory is gone; the same code that starts a process starts it again.
    fn crash(&mut self) -> Result<(), TestCaseError> {
        self.store = self.store.restart();
        let expected: BTreeMap<_, _> = self.targets().into_iter().map(|t| (t, self.owed_after_restart(t))).collect();
        self.progress = Progress::load(&self.store).unwrap();
        let loaded: BTreeSet<EndpointRef> = self.progress.owing().collect();
        for target in self.targets() {
            let routed = self.progress.routed(target.app).0;
            let position = self.progress.position(target);
            let lane = self.lanes.get_mut(&target).unwrap();
            *lane = Lane { upto: position.upto.0, seen: position.upto.0.max(routed), ..Lane::default() };
            if loaded.contains(&target) {
                // It reads its log from its mark on.
                let mut offered = self.matching(target, position.upto.0);
                offered.extend(position.holes.iter().map(|seq| seq.0));
                self.lanes.get_mut(&target).unwrap().offered = offered.range(..=routed).copied().collect();
            }
        }
        for app in 1..=APPS {
            self.offer(app, self.progress.routed(AppId(app)).0, true);
        }
        for (target, lane) in &mut self.lanes {
            // The lane does not look at events that are offered again below its mark.
            let position = self.progress.position(*target);
            lane.offered.retain(|seq| *seq > position.upto.0 || position.holes.contains(&Seq(*seq)));
            prop_assert_eq!(&lane.owed(), &expected[target], "{:?}", target);
            // Events that were settled, but beyond the durable mark, are owed once more.
            let settled = self.durable.entry(*target).or_default();
            settled.retain(|seq| !lane.offered.contains(seq));
            lane.offered.extend(settled.iter());
            lane.settled = settled.clone();
        }
        Ok(())
    }
}

#[test]
fn marks_of_many_endpoints_are_written_by_several_commits() {
    let (store, mut progress) = (MemoryStore::new(), Progress::default());
    for app in 1..=5 {
        (1..=2_000).for_each(|endpoint| progress.offered(target(app, endpoint), Seq(1), Seq(1)));
        progress.set_routed(AppId(app), Seq(1));
    }
    let mut written = Vec::new();
    for _ in 0..3 {
        let mut txn = Txn::new(&store);
        progress.write(&mut txn, true);
        store.apply(txn.into_parts().batch).unwrap();
        written.push(delivery::list_cursors(&store, None, usize::MAX).unwrap().len());
    }
    assert_eq!(written, [6_000, 10_000, 10_000]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_owed_is_forgotten_and_nothing_settled_comes_back(ops in ops()) {
        let mut world = World::new();
        for op in ops {
            match op {
                Op::Route { app, matches, mark } => {
                    let log = world.log.entry(app).or_default();
                    let above = log.len() as u64;
                    log.extend(matches);
                    world.offer(app, above, mark);
                }
                Op::Settle { app, endpoint, which } => {
                    // Nothing is sent before the mark is set.
                    world.offer(app, u64::MAX - 1, true);
                    world.settle(target(app, endpoint), which);
                }
                Op::Commit => {
                    world.commit();
                }
                Op::Rest => {
                    for _ in 0..=WAITS_MOST {
                        world.commit();
                    }
                    prop_assert_eq!(world.commit(), 0, "nothing changed since");
                    world.check_written()?;
                    for target in world.targets() {
                        let again = world.progress.position(target);
                        world.progress.settled(target, again);
                    }
                    prop_assert_eq!(world.commit(), 0, "reported the same");
                }
                Op::Crash => world.crash()?,
            }
            world.check_durable()?;
        }
        // In the end all is settled: one row for each application, and none for any endpoint.
        for target in world.targets() {
            world.settle(target, u16::MAX);
        }
        for app in 1..=APPS {
            world.offer(app, u64::MAX - 1, true);
        }
        world.commit();
        world.check_durable()?;
        prop_assert!(delivery::list_cursors(&world.store, None, 100).unwrap().is_empty());
        prop_assert_eq!(world.progress.owing().count(), 0);
    }
}

fn cursor(upto: u64, holes: &[u64]) -> Cursor {
    Cursor { upto: Seq(upto), holes: holes.iter().map(|seq| Seq(*seq)).collect() }
}

/// As often as the marks may wait, and once more.
fn write_all(progress: &mut Progress, store: &MemoryStore) -> usize {
    (0..=WAITS_MOST).map(|_| write(progress, store)).sum()
}

fn write(progress: &mut Progress, store: &MemoryStore) -> usize {
    let mut txn = Txn::new(store);
    progress.write(&mut txn, false);
    let batch = txn.into_parts().batch;
    let rows = batch.len();
    store.apply(batch).unwrap();
    rows
}

#[test]
fn one_that_settles_before_the_next_commit_never_gets_a_row() {
    let (mut progress, store, one) = (Progress::default(), MemoryStore::new(), target(1, 1));
    for seq in 1..=100 {
        progress.offered(one, Seq(seq), Seq(seq));
        progress.set_routed(one.app, Seq(seq));
        progress.settled(one, cursor(seq, &[]));
        assert_eq!(write(&mut progress, &store), 1, "the application's mark alone");
    }
    assert_eq!(progress.position(one), cursor(100, &[]));
}

#[test]
fn a_debt_from_before_a_restart_does_not_grow_with_the_log() {
    let (mut progress, store, one) = (Progress::default(), MemoryStore::new(), target(1, 1));
    progress.offered(one, Seq(5), Seq(5));
    progress.set_routed(one.app, Seq(7));
    write_all(&mut progress, &store);
    let mut progress = Progress::load(&store).unwrap();
    // Its tenant goes on with events of other types.
    progress.set_routed(one.app, Seq(1_000));
    progress.settled(one, cursor(7, &[]));
    write_all(&mut progress, &store);
    assert_eq!(delivery::cursor(&store, one).unwrap(), None);
    assert_eq!(progress.position(one), cursor(1_000, &[]));
}

#[test]
fn what_is_offered_while_a_restart_catches_up_is_still_owed() {
    let (mut progress, store, one) = (Progress::default(), MemoryStore::new(), target(1, 1));
    progress.offered(one, Seq(5), Seq(5));
    progress.set_routed(one.app, Seq(7));
    write_all(&mut progress, &store);
    let mut progress = Progress::load(&store).unwrap();
    progress.offered(one, Seq(9), Seq(9));
    progress.settled(one, cursor(7, &[]));
    write_all(&mut progress, &store);
    progress.set_routed(one.app, Seq(10));
    write_all(&mut progress, &store);
    assert_eq!(delivery::cursor(&store, one).unwrap(), Some(cursor(7, &[])));
}

#[test]
fn the_forgotten_write_nothing() {
    let (mut progress, store) = (Progress::default(), MemoryStore::new());
    for endpoint in [target(1, 1), target(1, 2), target(2, 3)] {
        progress.offered(endpoint, Seq(1), Seq(1));
        progress.set_routed(endpoint.app, Seq(1));
    }
    progress.forget(target(1, 1));
    progress.forget_app(AppId(2));
    progress.settled(target(1, 1), cursor(0, &[]));
    progress.settled(target(2, 3), cursor(0, &[]));
    assert_eq!(write_all(&mut progress, &store), 2, "the first application and its other endpoint");
    assert!(delivery::cursor(&store, target(1, 2)).unwrap().is_some());
}

#[test]
fn a_mark_with_too_many_holes_for_a_row_owes_more_and_not_less() {
    let (mut progress, store, one) = (Progress::default(), MemoryStore::new(), target(1, 1));
    let first = Seq::MAX.0 - 10_000;
    progress.offered(one, Seq(first), Seq::MAX);
    progress.set_routed(one.app, Seq::MAX);
    let holes: Vec<u64> = (0..2_000).map(|n| first + 2 * n).collect();
    progress.settled(one, cursor(Seq::MAX.0, &holes));
    write_all(&mut progress, &store);
    let row = delivery::cursor(&store, one).unwrap().unwrap();
    assert_eq!(row.holes.len(), MAX_HOLES);
    assert!(holes.iter().all(|hole| Seq(*hole) > row.upto || row.holes.contains(&Seq(*hole))));
}
