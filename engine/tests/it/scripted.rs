//! A shard over a scripted network: the requests of its attempts, and the end of an attempt that has a defect.

use crate::world::app;
use bytes::Bytes;
use engine::clock::Clock;
use engine::dispatch::scripted::Scripted;
use engine::dispatch::{AttemptRequest, AttemptResult, Guard};
use engine::prepare::generate_secret;
use engine::router::Router;
use engine::seal::{MasterKey, SealContext, SealPurpose};
use engine::shard::inbox::ShardInbox;
use engine::shard::{ShardParts, spawn_with};
use engine::{EngineConfig, PartitionId};
use model::endpoint::EndpointSecret;
use model::{
    AppId, AttemptRecord, Endpoint, EndpointId, EndpointRef, Jitter, OutcomeClass, RetryPolicy, Spacing, UnixMs,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use storage::store::MemoryStore;
use storage::tables::audit::Chain;
use storage::tables::progress::Progress;
use storage::tables::{application, endpoint, history};
use storage::writer::{NewMessage, SETTLED_HIGH_WATER, WriterConfig, WriterQuotas};
use storage::{SharedStore, Store, StoreError, Txn};
use tokio::sync::{Notify, mpsc};

const TARGET: EndpointRef = EndpointRef { app: AppId(1), endpoint: EndpointId(1) };

/// A store with one endpoint, which is retried at once.
fn store(master: &MasterKey) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let context = SealContext { app: TARGET.app, endpoint: TARGET.endpoint, purpose: SealPurpose::SigningSecret };
    let sealed = master.seal(generate_secret(&[7; 24]).as_bytes(), context).unwrap();
    let row = Endpoint {
        url: "https://receiver.example/hook".to_owned(),
        secrets: vec![EndpointSecret { sealed, expires_at: None }],
        retry_policy: Some(RetryPolicy {
            spacing: Spacing::Schedule { delays_ms: vec![1] },
            max_attempts: 2,
            max_delay_ms: 1_000,
            jitter: Jitter::None,
        }),
        ..Endpoint::plain(TARGET, UnixMs(1))
    };
    let mut txn = Txn::new(&*store);
    application::put(&mut txn, &app(TARGET.app)).unwrap();
    endpoint::put(&mut txn, &row).unwrap();
    store.apply(txn.into_parts().batch).unwrap();
    store
}

fn message() -> NewMessage {
    NewMessage {
        event_type: "invoice.paid".to_owned(),
        event_id: None,
        channels: Vec::new(),
        payload: Bytes::from_static(b"{}"),
        idempotency_key: None,
        only_for: None,
        more: None,
    }
}

#[tokio::test]
async fn an_attempt_with_a_defect_is_a_failure_of_ours_and_its_retry_is_sent_the_same() {
    let (clock, master) = (Clock::start(), Arc::new(MasterKey::new([3; 32])));
    let memory = store(&master);
    let store: SharedStore = memory.clone();
    let inbox = Arc::new(ShardInbox::default());
    let mut router = Router::new(vec![inbox.clone()], Arc::new(Notify::new()));
    router.put(&endpoint::get(&*store, TARGET).unwrap().unwrap());
    let config = WriterConfig {
        queue_capacity: 16,
        queue_bytes: 1 << 20,
        settled_high_water: SETTLED_HIGH_WATER,
        commit_max_events: 16,
        idempotency_ms: 1,
        quotas: WriterQuotas::default(),
    };
    let now = Box::new(move || clock.now());
    let (writer, thread) = storage::writer::spawn(
        store.clone(),
        config,
        Progress::default(),
        router,
        now,
        Chain::new(None),
        "writer".to_owned(),
    )
    .unwrap();
    let (sender, mut requests) = mpsc::channel::<AttemptRequest>(4);
    let first = Mutex::new(true);
    let script = Scripted(move |request: AttemptRequest| {
        sender.try_send(request).unwrap();
        let defect = std::mem::take(&mut *first.lock().unwrap());
        async move { if defect { panic!("a defect of the test") } else { AttemptResult::answered(204) } }
    });
    let config = Arc::new(EngineConfig::default());
    let shard = spawn_with(0, &config, clock, script).unwrap();
    let parts = ShardParts {
        partition: PartitionId(0),
        index: 0,
        config,
        inbox: inbox.clone(),
        store: store.clone(),
        writer: writer.clone(),
        master,
        guard: Arc::new(Guard::default()),
        paces: Arc::default(),
        seed: 1,
    };
    let left = shard.take(parts).unwrap();
    writer.ingest(TARGET.app, vec![message()]).await.unwrap();
    let mut next = async || tokio::time::timeout(Duration::from_secs(30), requests.recv()).await.unwrap().unwrap();
    let (one, other) = (next().await, next().await);
    assert_eq!((one.target.uri(), one.app, &*one.body), (other.target.uri(), TARGET.app, b"{}".as_slice()));
    assert_eq!((one.stamp.id(), one.body), (other.stamp.id(), other.body));
    inbox.stop();
    // Nothing is sent: the other end is dropped.
    drop(left.await);
    shard.end();
    tokio::task::spawn_blocking(move || shard.join()).await.unwrap();
    writer.change(|_| Ok::<_, StoreError>(())).await.unwrap();
    let record = |record: &AttemptRecord| (record.outcome, record.status);
    let shown: Vec<_> = history::of_message(&*store, TARGET, model::Seq(1)).unwrap().iter().map(record).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&(OutcomeClass::InternalError, 0)) && shown.contains(&(OutcomeClass::Success, 204)));
    writer.close();
    assert!(thread.join().is_ok());
}
