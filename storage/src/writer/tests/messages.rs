//! Idempotency keys, event ids and sizes of messages.

use super::world::{APP, CONFIG, OTHER, World, message, seq, start};
use crate::rows::{digest, event_uid, idempotency};
use crate::store::{MemoryStore, StoreError};
use crate::tables::{self, log};
use crate::txn::Txn;
use crate::writer::{IngestError, IngestOutcome, NewMessage, WriterConfig, WriterQuotas};
use model::{EndpointId, Seq, UnixMs};
use std::sync::atomic::{AtomicU64, Ordering};

fn keyed(key: &str, payload: &str) -> NewMessage {
    NewMessage { idempotency_key: Some(key.to_owned()), ..message(payload) }
}

fn named(event_id: &str) -> NewMessage {
    NewMessage { event_id: Some(event_id.to_owned()), ..message("x") }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_in_one_batch_one_commit_and_later() {
    static NOW: AtomicU64 = AtomicU64::new(500);
    let world = World::on(MemoryStore::new(), CONFIG, || UnixMs(NOW.load(Ordering::SeqCst)));
    let first = world.hold();
    let batch = vec![keyed("k", "a"), keyed("k", "a"), keyed("k", "b"), keyed("l", "a")];
    let batch = start(world.writer.ingest(APP, batch));
    let same_commit = start(world.writer.ingest(APP, vec![keyed("k", "a")]));
    let other_app = start(world.writer.ingest(OTHER, vec![keyed("k", "other")]));
    world.store.open();
    first.await.unwrap();
    let batch = batch.await.unwrap();
    let IngestOutcome::Accepted(original) = &batch[0] else { panic!("{:?}", batch[0]) };
    let repeated = IngestOutcome::Repeated(original.clone());
    assert_eq!(batch[1..3], [repeated.clone(), IngestOutcome::KeyReused]);
    assert_eq!(seq(&batch[3]), Seq(2), "a repetition takes no position");
    assert_eq!(same_commit.await.unwrap()[0], repeated);
    assert!(matches!(other_app.await.unwrap()[..], [IngestOutcome::Accepted(_)]));

    NOW.store(1_499, Ordering::SeqCst);
    assert_eq!(world.writer.ingest(APP, vec![keyed("k", "a")]).await.unwrap(), [repeated]);
    assert_eq!(world.writer.ingest(APP, vec![keyed("k", "b")]).await.unwrap(), [IngestOutcome::KeyReused]);
    NOW.store(1_500, Ordering::SeqCst);
    let anew = world.writer.ingest(APP, vec![keyed("k", "b")]).await.unwrap();
    assert!(matches!(&anew[..], [IngestOutcome::Accepted(event)] if event.seq == Seq(3)), "the key has expired");
    assert_eq!(log::head(&world.store.rows, APP).unwrap(), Seq(3));
    assert!(world.end());
}

#[tokio::test]
async fn a_damaged_row_refuses_the_messages_that_need_it_and_no_other() {
    let world = World::new(CONFIG);
    let both = NewMessage { idempotency_key: Some("k".to_owned()), ..named("e") };
    world.writer.ingest(APP, vec![both.clone()]).await.unwrap();
    let rows = [idempotency::encode(APP, digest("k")), event_uid::encode(APP, digest("e"))];
    for (key, kind) in rows.into_iter().zip(["idempotency", "event_uid"]) {
        let damage = move |txn: &mut Txn<'_>| {
            txn.put(key, "what is this");
            Ok::<(), StoreError>(())
        };
        world.writer.change(damage).await.unwrap();
        let message = NewMessage {
            idempotency_key: both.idempotency_key.clone().filter(|_| kind == "idempotency"),
            ..both.clone()
        };
        let outcomes = world.writer.ingest(APP, vec![message.clone(), keyed("other", "x")]).await.unwrap();
        assert_eq!(outcomes[0], IngestOutcome::Damaged { kind });
        assert!(matches!(outcomes[1], IngestOutcome::Accepted(_) | IngestOutcome::Repeated(_)), "{:?}", outcomes[1]);
    }
    assert_eq!(log::head(&world.store.rows, APP).unwrap(), Seq(2));
    assert!(world.end());
}

#[tokio::test]
async fn every_part_of_a_message_tells_it_from_another_under_the_same_key() {
    let world = World::new(CONFIG);
    let original = NewMessage { channels: vec!["a".to_owned()], ..keyed("k", "{}") };
    assert!(matches!(world.writer.ingest(APP, vec![original.clone()]).await.unwrap()[0], IngestOutcome::Accepted(_)));
    let others = [
        NewMessage { event_type: "invoice.sent".to_owned(), ..original.clone() },
        NewMessage { event_id: Some(String::new()), ..original.clone() },
        NewMessage { event_id: Some("id".to_owned()), ..original.clone() },
        NewMessage { channels: Vec::new(), ..original.clone() },
        // The same bytes, cut elsewhere.
        NewMessage { channels: Vec::new(), payload: b"\x01\0\0\0\0\0\0\0a{}".as_slice().into(), ..original.clone() },
        NewMessage { channels: vec!["a".to_owned(), "b".to_owned()], ..original.clone() },
        NewMessage { only_for: Some(EndpointId(3)), ..original.clone() },
        NewMessage { payload: b"{ }".as_slice().into(), ..original.clone() },
    ];
    for other in others {
        assert_eq!(
            world.writer.ingest(APP, vec![other.clone()]).await.unwrap(),
            [IngestOutcome::KeyReused],
            "{other:?}"
        );
    }
    assert!(matches!(world.writer.ingest(APP, vec![original]).await.unwrap()[0], IngestOutcome::Repeated(_)));
    assert!(world.end());
}

#[tokio::test]
async fn an_event_id_is_taken_once_within_a_batch_a_commit_and_ever() {
    let world = World::new(CONFIG);
    let first = world.hold();
    let batch = start(world.writer.ingest(APP, vec![named("e"), named("e"), named("f")]));
    let same_commit = start(world.writer.ingest(APP, vec![named("e")]));
    let other_app = start(world.writer.ingest(OTHER, vec![named("e")]));
    world.store.open();
    first.await.unwrap();
    let batch = batch.await.unwrap();
    assert_eq!((seq(&batch[0]), &batch[1], seq(&batch[2])), (Seq(1), &IngestOutcome::DuplicateEventId, Seq(2)));
    assert_eq!(same_commit.await.unwrap(), [IngestOutcome::DuplicateEventId]);
    assert!(matches!(other_app.await.unwrap()[..], [IngestOutcome::Accepted(_)]));
    assert_eq!(world.writer.ingest(APP, vec![named("f")]).await.unwrap(), [IngestOutcome::DuplicateEventId]);

    // A duplicate leaves its idempotency key free.
    let keyed = |id: &str| NewMessage { idempotency_key: Some("k".to_owned()), ..named(id) };
    assert_eq!(world.writer.ingest(APP, vec![keyed("e")]).await.unwrap(), [IngestOutcome::DuplicateEventId]);
    assert!(matches!(world.writer.ingest(APP, vec![keyed("g")]).await.unwrap()[..], [IngestOutcome::Accepted(_)]));

    // And so it is after a restart.
    let next = World::on(world.store.rows.restart(), CONFIG, || UnixMs(500));
    assert_eq!(next.writer.ingest(APP, vec![named("g")]).await.unwrap(), [IngestOutcome::DuplicateEventId]);
    assert!(world.end() && next.end());
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_alone() {
    let world = World::new(CONFIG);
    let first = world.hold();
    let good = start(world.writer.ingest(APP, vec![message("good")]));
    let channels = NewMessage { channels: vec!["c".repeat(500); 17], ..message("x") };
    let too_large = [
        vec![named(&"e".repeat(9_000))],
        vec![message("x"), channels],
        vec![NewMessage { event_type: "t".repeat(8_192), ..message("x") }],
        vec![message(&"x".repeat(17 << 20))],
        vec![message(&"x".repeat(1 << 20)); 16],
    ];
    for messages in too_large {
        assert_eq!(world.writer.ingest(APP, messages).await, Err(IngestError::TooLarge));
    }
    world.store.open();
    first.await.unwrap();
    assert_eq!(seq(&good.await.unwrap()[0]), Seq(1));
    // The largest that is taken: an id that just fits a block, and a payload of 15 MiB beside others.
    let id = (7_000..8_192).rev().map(|n| "e".repeat(n)).find(|id| named(id).fits_a_block()).unwrap();
    let large = NewMessage { payload: vec![b'x'; 15 << 20].into(), ..named(&id) };
    assert_eq!(seq(&world.writer.ingest(APP, vec![large.clone()]).await.unwrap()[0]), Seq(2));
    let stored = log::get(&world.store.rows, APP, Seq(2)).unwrap().unwrap();
    assert!(stored.payload == large.payload && stored.event_id.as_deref() == Some(id.as_str()));
    assert!(world.writer.failed().is_none() && world.end());
}

#[tokio::test]
async fn one_key_too_many_is_refused_and_the_others_keep_their_promise() {
    static NOW: AtomicU64 = AtomicU64::new(500);
    let quotas = WriterQuotas { idempotency_keys: 2, ..CONFIG.quotas };
    let world = World::on(MemoryStore::new(), WriterConfig { quotas, ..CONFIG }, || UnixMs(NOW.load(Ordering::SeqCst)));
    let batch = vec![keyed("a", "x"), keyed("a", "x"), keyed("b", "x"), keyed("c", "x"), message("without a key")];
    let outcomes = world.writer.ingest(APP, batch).await.unwrap();
    assert!(matches!(outcomes[1], IngestOutcome::Repeated(_)));
    assert_eq!(outcomes[3], IngestOutcome::TooManyKeys { most: 2 });
    assert_eq!(seq(&outcomes[4]), Seq(3), "what is refused takes no position");
    assert!(matches!(
        world.writer.ingest(OTHER, vec![keyed("c", "x")]).await.unwrap()[..],
        [IngestOutcome::Accepted(_)]
    ));

    // A refused message leaves nothing behind, neither its key nor its event id.
    let both = NewMessage { idempotency_key: Some("c".to_owned()), ..named("e") };
    assert_eq!(world.writer.ingest(APP, vec![both]).await.unwrap(), [IngestOutcome::TooManyKeys { most: 2 }]);
    assert!(matches!(world.writer.ingest(APP, vec![named("e")]).await.unwrap()[..], [IngestOutcome::Accepted(_)]));

    // A key that is there may be used again, also when it has expired; another finds room once a sweep removed some.
    NOW.store(1_500, Ordering::SeqCst);
    assert!(matches!(world.writer.ingest(APP, vec![keyed("a", "y")]).await.unwrap()[..], [IngestOutcome::Accepted(_)]));
    let again = world.writer.ingest(APP, vec![keyed("c", "x")]).await.unwrap();
    assert_eq!(again, [IngestOutcome::TooManyKeys { most: 2 }]);
    let sweep =
        |txn: &mut Txn<'_>| tables::idempotency::sweep(txn, None, UnixMs(1_500), 100).map(|swept| swept.removed);
    assert_eq!(world.writer.change(sweep).await.unwrap(), 2, "that of the other application too");
    assert!(matches!(world.writer.ingest(APP, vec![keyed("c", "x")]).await.unwrap()[..], [IngestOutcome::Accepted(_)]));
    assert!(world.end());
}
