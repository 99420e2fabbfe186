//! Settlements: never refused, bounded by asking, dropped only for endpoints that are gone.

use super::super::inbox::WriterHandle;
use super::world::{APP, CONFIG, World, message, report};
use crate::rows::endpoint::VALUE_BYTES_MAX;
use crate::tables::testing::{plain_endpoint, target};
use crate::tables::{application, delivery, endpoint};
use model::{Disabled, DisabledReason, Endpoint, Pending, Seq, Settled, Settlement, Trigger, UnixMs, Verdict};
use std::sync::atomic::Ordering;

fn settled(count: u64) -> Vec<Settled> {
    let one =
        |seq| Settled { seq: Seq(seq), accepted_at: UnixMs(1), was_due: None, record: None, verdict: Verdict::Done };
    (1..=count).map(one).collect()
}

#[tokio::test]
async fn a_settlement_moves_its_endpoint_and_one_for_an_unknown_endpoint_is_dropped() {
    let world = World::new(CONFIG);
    world.notes.known.lock().unwrap().insert(target(1, 1));
    world.writer.ingest(APP, vec![message("a"), message("b")]).await.unwrap();
    // The downstream is told after the answer: an empty change comes behind it.
    world.writer.change(|_| Ok::<_, ()>(())).await.unwrap();
    let retry = Pending { attempts: 1, due: UnixMs(900), last_outcome: None, trigger: Trigger::Scheduled };
    let moved = |endpoint| {
        let mut moved = settled(1);
        moved[0].verdict = Verdict::Retry(retry.clone());
        Settlement { settled: moved, ..report(target(1, endpoint), 1) }
    };
    assert!(world.writer.settle(&mut vec![moved(1), moved(2)]));
    world.writer.change(|_| Ok::<_, ()>(())).await.unwrap();
    let rows = &world.store.rows;
    assert_eq!(delivery::pending(rows, target(1, 1), Seq(1)).unwrap(), Some(retry));
    assert_eq!(delivery::cursor(rows, target(1, 1)).unwrap().unwrap().upto, Seq(1));
    assert_eq!(delivery::routed(rows, APP).unwrap(), Seq(2));
    assert_eq!(delivery::pending(rows, target(1, 2), Seq(1)).unwrap(), None);
    assert_eq!(delivery::cursor(rows, target(1, 2)).unwrap(), None);
    assert!(world.end());
}

#[test]
fn who_is_told_to_hold_back_hears_again_though_others_keep_the_line_busy() {
    let writer = WriterHandle::new(CONFIG);
    let one = |count| vec![Settlement { settled: settled(count), ..report(target(1, 1), 1) }];
    while writer.settle(&mut one(1_000)) {}
    for commit in 0.. {
        assert!(commit < 100, "nobody told it to go on");
        let taken = writer.take().unwrap();
        let settled: usize = taken.settlements.iter().map(|settlement| settlement.settled.len()).sum();
        assert!(settled <= 4 * 1024);
        if taken.settlements_were_full {
            break;
        }
        // Another shard, which the line has room for: never empty again.
        writer.settle(&mut one(4_000));
    }
    assert!(!writer.take().unwrap().settlements_were_full, "once is enough");
}

#[test]
fn reports_without_deliveries_are_bounded_too() {
    let writer = WriterHandle::new(CONFIG);
    let mut reports = 0;
    while writer.settle(&mut vec![report(target(1, 1), 1)]) {
        reports += 1;
        assert!(reports < 100_000);
    }
    assert!(writer.take().unwrap().settlements.len() <= 4 * 1024);
}

#[tokio::test]
async fn the_call_to_go_on_comes_while_the_writer_runs() {
    let world = World::new(CONFIG);
    let first = world.hold();
    while world.writer.settle(&mut vec![report(target(1, 1), 1); 500]) {}
    world.store.open();
    first.await.unwrap();
    let notes = world.notes.clone();
    assert!(world.end(), "closing takes what is left");
    assert_eq!(notes.settlements_taken.load(Ordering::SeqCst), 1);
}

fn endpoint_row(description: String) -> Endpoint {
    Endpoint { description, ..plain_endpoint(target(APP.0, 1)) }
}

#[tokio::test]
async fn an_endpoint_is_disabled_and_one_whose_row_is_full_to_the_brim_stops_nobody() {
    for full in [false, true] {
        let world = World::new(CONFIG);
        world.notes.known.lock().unwrap().insert(target(1, 1));
        let bare = crate::rows::endpoint::to_value(&endpoint_row("x".repeat(100_000))).len() - 100_000;
        let length = if full { VALUE_BYTES_MAX - bare } else { 10 };
        let put = move |txn: &mut crate::txn::Txn<'_>| endpoint::put(txn, &endpoint_row("x".repeat(length)));
        world.writer.change(put).await.unwrap();
        let disable = Some(DisabledReason::Gone);
        world.writer.settle(&mut vec![Settlement { disable, ..report(target(1, 1), 0) }]);
        world.writer.change(|_| Ok::<_, ()>(())).await.unwrap();
        let row = endpoint::get(&world.store.rows, target(1, 1)).unwrap().unwrap();
        let expected = Disabled { at: UnixMs(500), reason: DisabledReason::Gone };
        assert_eq!(row.disabled, (!full).then_some(expected));
        assert!(application::get(&world.store.rows, APP).unwrap().is_some());
        assert!(world.writer.failed().is_none() && world.end());
    }
}
