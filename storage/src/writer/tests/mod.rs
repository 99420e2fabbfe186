//! The promises of the writer: durable before answered, all or nothing, bounded, and one request's trouble its own.

mod messages;
mod reads;
mod settlements;
mod world;

use crate::read::Read;
use crate::store::memory::FaultOutcome;
use crate::store::{MemoryStore, Store, StoreError};
use crate::tables::{application, log};
use crate::txn::Change;
use crate::writer::{ChangeError, IngestError, WriterConfig, WriterHandle};
use model::{AppId, Seq};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use world::{APP, CONFIG, OTHER, World, app, is_waiting, message, poll, seq, start, stepped};

type Changed<T = ()> = Result<T, ChangeError<StoreError>>;

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let world = World::new(CONFIG);
    let mut first = world.hold();
    let mut second = start(world.writer.ingest(APP, vec![message("second")]));
    assert!(is_waiting(&mut first));
    assert_eq!(log::head(&world.store.rows, OTHER).unwrap(), Seq(0), "not durable yet");
    world.store.release();
    assert_eq!(seq(&first.await.unwrap()[0]), Seq(1));
    assert!(log::get(&world.store.rows, OTHER, Seq(1)).unwrap().is_some());
    world.store.wait_entered(2);
    assert!(is_waiting(&mut second), "another commit's durability is not its own");
    world.store.release();
    assert_eq!(seq(&second.await.unwrap()[0]), Seq(1));
    assert!(world.end());
}

#[tokio::test]
async fn a_failed_commit_is_told_to_all_who_wait_and_nothing_is_taken_any_more() {
    for (outcome, kept) in [(FaultOutcome::Lost, false), (FaultOutcome::Kept, true)] {
        let world = World::new(CONFIG);
        world.store.rows.fail_nth_apply(1, outcome);
        let first = world.hold();
        let second = start(world.writer.ingest(APP, vec![message("second")]));
        let change = start(world.writer.change(|_| Ok::<_, StoreError>(())));
        world.store.open();
        for answer in [first.await, second.await] {
            assert!(matches!(answer, Err(IngestError::Store(reason)) if reason.contains("injected")));
        }
        assert!(matches!(change.await, Err(ChangeError::Unavailable(reason)) if reason.contains("injected")));
        assert!(world.writer.failure().await.to_string().contains("injected"));
        assert_eq!(world.writer.ingest(APP, vec![message("late")]).await, Err(IngestError::ShuttingDown));
        let late: Changed = world.writer.change(|_| Ok(())).await;
        assert!(matches!(late, Err(ChangeError::Unavailable(reason)) if reason.contains("injected")));
        assert!(!world.writer.settle(&mut vec![world::report(world_target(), 1)]));
        assert!(world.notes.commits.lock().unwrap().is_empty(), "nobody was told of it");

        // The next process goes on behind the events that it finds.
        let next = World::on(world.store.rows.restart(), CONFIG, || model::UnixMs(500));
        let answer = next.writer.ingest(OTHER, vec![message("next")]).await.unwrap();
        assert_eq!(seq(&answer[0]), Seq(if kept { 2 } else { 1 }));
        assert!(world.end() && next.end());
    }
}

fn world_target() -> model::EndpointRef {
    crate::tables::testing::target(1, 1)
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_writes_nothing() {
    let world = World::new(WriterConfig { queue_capacity: 2, ..CONFIG });
    let first = world.hold();
    let second = start(world.writer.ingest(APP, vec![message("second")]));
    let third = start(world.writer.change(|_| Ok::<_, StoreError>(())));
    assert_eq!(world.writer.ingest(APP, vec![message("x")]).await, Err(IngestError::Busy { retry_after_s: 1 }));
    let change: Changed = world.writer.change(|_| panic!("must not run")).await;
    assert!(matches!(change, Err(ChangeError::Busy)));
    world.store.open();
    assert!(first.await.is_ok() && second.await.is_ok() && third.await.is_ok());
    assert_eq!(log::head(&world.store.rows, APP).unwrap(), Seq(1));
    assert!(world.end());
}

#[tokio::test]
async fn bytes_in_line_are_bounded_but_for_one_large_request() {
    let world = World::new(WriterConfig { queue_bytes: 1_000, ..CONFIG });
    let first = world.hold();
    let large = start(world.writer.ingest(APP, vec![message(&"x".repeat(50_000))]));
    assert!(matches!(world.writer.ingest(APP, vec![message("x")]).await, Err(IngestError::Busy { .. })));
    world.store.open();
    assert!(first.await.is_ok() && large.await.is_ok());
    assert!(world.writer.ingest(APP, vec![message("x")]).await.is_ok(), "what was taken no longer counts");
    assert!(world.end());
}

#[tokio::test]
async fn what_gathers_during_a_commit_shares_the_next_one_in_order() {
    let world = World::new(WriterConfig { commit_max_events: 30, ..CONFIG });
    let first = world.hold();
    let waiting: Vec<_> = (0..100)
        .map(|n| start(world.writer.ingest(if n % 2 == 0 { APP } else { OTHER }, vec![message(&n.to_string())])))
        .collect();
    world.store.open();
    first.await.unwrap();
    for (n, answer) in waiting.into_iter().enumerate() {
        // `hold` has taken the first position of the other application.
        let expected = if n % 2 == 0 { n / 2 + 1 } else { n / 2 + 2 };
        assert_eq!(seq(&answer.await.unwrap()[0]), Seq(expected as u64));
    }
    assert_eq!(world.store.commits(), 1 + 4, "100 requests in commits of up to 30");
    let (notes, store) = (world.notes.clone(), world.store.clone());
    assert!(world.end());
    for events in notes.commits.lock().unwrap().iter() {
        assert!(events.windows(2).all(|pair| (pair[0].app, pair[0].seq) < (pair[1].app, pair[1].seq)));
    }
    let stored = log::read_after(&store.rows, APP, Seq(0), usize::MAX, usize::MAX).unwrap();
    let payloads: Vec<_> = stored.iter().map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect();
    assert_eq!(payloads, (0..50).map(|n| (2 * n).to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_finishes_what_was_taken_and_ends_the_thread() {
    let world = World::new(CONFIG);
    let first = world.hold();
    let second = start(world.writer.ingest(APP, vec![message("second")]));
    world.writer.close();
    assert_eq!(world.writer.ingest(APP, vec![message("late")]).await, Err(IngestError::ShuttingDown));
    world.store.open();
    assert!(first.await.is_ok() && second.await.is_ok());
    let writer = world.writer.clone();
    assert!(world.end());
    assert_eq!(writer.failed(), None);
    assert!(!writer.settle(&mut vec![world::report(world_target(), 1)]), "nobody would take it");
}

#[tokio::test]
async fn who_stops_waiting_harms_nobody() {
    let world = World::new(CONFIG);
    drop(world.hold());
    drop(start(world.writer.ingest(APP, vec![message("dropped")])));
    drop(start(world.writer.change(|txn| {
        txn.put("dropped", "row");
        Ok::<_, StoreError>(())
    })));
    let last = start(world.writer.ingest(APP, vec![message("last")]));
    world.store.open();
    assert_eq!(seq(&last.await.unwrap()[0]), Seq(2), "the dropped one was taken all the same");
    assert!(Read::get(&world.store.rows, b"dropped").unwrap().is_some());
    assert!(world.end());
}

#[tokio::test]
async fn a_change_that_fails_in_any_way_leaves_nothing_and_fails_alone() {
    let world = World::new(CONFIG);
    let first = world.hold();
    let put = |txn: &mut crate::txn::Txn<'_>| txn.put("row", "value");
    let rejected = start(world.writer.change(move |txn| {
        put(txn);
        txn.tell(Change::JobStarted);
        Err::<(), _>("no")
    }));
    let panicked = start(world.writer.change(move |txn| {
        put(txn);
        panic!("on order");
        #[allow(unreachable_code, reason = "gives the closure its type")]
        Ok::<(), StoreError>(())
    }));
    let no_key = start(world.writer.change(move |txn| {
        put(txn);
        txn.put("", "value");
        Ok::<_, StoreError>(())
    }));
    let long_value = start(world.writer.change(move |txn| {
        put(txn);
        txn.put("long", vec![0; crate::store::MAX_VALUE_BYTES + 1]);
        Ok::<_, StoreError>(())
    }));
    let too_much = start(world.writer.change(|txn| {
        (0..3_000u32).for_each(|n| txn.put(n.to_be_bytes().to_vec(), vec![0; 8_000]));
        Ok::<_, StoreError>(())
    }));
    let sees_none = start(world.writer.change(|txn| txn.get(b"row").map(|row| row.is_none())));
    world.store.open();
    assert!(first.await.is_ok());
    assert!(matches!(rejected.await, Err(ChangeError::Rejected("no"))));
    assert!(matches!(panicked.await, Err(ChangeError::Unavailable(reason)) if reason.contains("panicked")));
    for refused in [no_key.await, long_value.await, too_much.await] {
        assert!(matches!(refused, Err(ChangeError::Refused(error)) if error.is_refusal()));
    }
    assert!(sees_none.await.unwrap());
    assert!(Read::get(&world.store.rows, b"row").unwrap().is_none());
    assert!(world.writer.ingest(APP, vec![message("on")]).await.is_ok());
    assert!(world.writer.failed().is_none() && world.end());
}

#[tokio::test]
async fn large_changes_share_a_commit_only_up_to_its_bound_and_stay_in_order() {
    let world = World::new(CONFIG);
    let first = world.hold();
    let large = |fill: u8| {
        start(world.writer.change(move |txn| {
            // Keys may not begin with a zero.
            const FIRST: u32 = 1 << 24;
            let before = txn.get(&FIRST.to_be_bytes())?.map(|value| value[0]);
            (FIRST..FIRST + 1_000).for_each(|n| txn.put(n.to_be_bytes().to_vec(), vec![fill; 8_000]));
            Ok::<_, StoreError>(before)
        }))
    };
    let changes: Vec<_> = (1..=12).map(large).collect();
    world.store.open();
    first.await.unwrap();
    for (before, change) in changes.into_iter().enumerate() {
        assert_eq!(change.await.unwrap(), (before > 0).then_some(before as u8));
    }
    assert_eq!(world.store.commits(), 1 + 12, "8 MB each");
    assert!(world.end());
}

#[tokio::test]
async fn a_panic_downstream_stops_everything_and_is_told() {
    let world = World::new(CONFIG);
    world.notes.panic_next.store(true, Ordering::SeqCst);
    let first = world.hold();
    let second = start(world.writer.ingest(APP, vec![message("second")]));
    world.store.release();
    assert!(first.await.is_ok(), "it was durable");
    assert!(matches!(second.await, Err(IngestError::Store(reason)) if reason.contains("panicked")));
    assert!(world.writer.failure().await.to_string().contains("panicked"));
    assert!(!world.end(), "the thread panicked");
}

#[tokio::test]
async fn a_store_that_failed_on_a_read_is_noticed_without_a_write() {
    let world = World::new(CONFIG);
    world.store.says_poisoned.store(true, Ordering::SeqCst);
    let change: Changed =
        world.writer.change(|_| Err(StoreError::Poisoned { reason: "a read failed".to_owned() })).await;
    assert!(change.is_err());
    assert!(world.writer.failure().await.to_string().contains("a read failed"));
    assert!(world.end());
}

#[tokio::test]
async fn messages_for_an_application_end_with_its_deletion_even_in_one_commit() {
    let world = World::new(CONFIG);
    world.writer.ingest(APP, vec![message("before")]).await.unwrap();
    let first = world.hold();
    let deletion = start(world.writer.change(|txn| {
        application::remove(txn, &app(APP))?;
        txn.tell(Change::ApplicationDeleted(APP));
        Ok::<_, StoreError>(())
    }));
    let after = start(world.writer.ingest(APP, vec![message("after")]));
    world.store.open();
    assert!(first.await.is_ok() && deletion.await.is_ok());
    assert_eq!(after.await, Err(IngestError::UnknownApplication));
    assert_eq!(world.writer.ingest(APP, vec![message("x")]).await, Err(IngestError::UnknownApplication));
    assert_eq!(world.writer.ingest(AppId(9), vec![message("x")]).await, Err(IngestError::UnknownApplication));
    assert!(world.store.poisoned().is_none() && world.end());
}

#[test]
fn a_step_makes_one_commit_of_what_waits_and_none_of_nothing() {
    let store = Arc::new(MemoryStore::new());
    let mut writer = stepped(store.clone(), CONFIG, []);
    assert!(writer.step(), "nothing to do is no failure");
    let change = |writer: &WriterHandle| {
        let writer = writer.clone();
        start(async move {
            writer
                .change(|txn| {
                    txn.put("key", "value");
                    Ok::<_, ()>(())
                })
                .await
        })
    };
    let mut waits = change(&writer.handle());
    assert!(Store::get(&*store, b"key").unwrap().is_none());
    assert!(writer.step());
    assert!(!is_waiting(&mut waits));
    assert!(Store::get(&*store, b"key").unwrap().is_some());
    store.fail_nth_apply(1, FaultOutcome::Kept);
    let mut waits = change(&writer.handle());
    assert!(!writer.step(), "the store failed");
    assert!(matches!(poll(&mut waits), Poll::Ready(Err(ChangeError::Unavailable(_)))));
}
