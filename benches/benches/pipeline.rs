//! The cost of everything but the network: events per second from ingest over the log, the router, a shard and a
//! network that answers at once to the settlement in the store, with one endpoint and with ten, on sled and in memory.
//!
//! Requests of 100 events of 1 KiB, eight at a time. Writer, router and shard are the engine's own, each on its thread,
//! actors, plans and signatures included. HTTP is left out.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, application, endpoint, message, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::EngineConfig;
use engine::PartitionId;
use engine::clock::Clock;
use engine::dispatch::scripted::Scripted;
use engine::dispatch::{AttemptRequest, AttemptResult, Guard};
use engine::prepare::generate_secret;
use engine::router::Router;
use engine::seal::{MasterKey, SealContext, SealPurpose};
use engine::shard::inbox::ShardInbox;
use engine::shard::{ShardParts, ShardThread, spawn_with};
use model::Endpoint;
use model::endpoint::EndpointSecret;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use storage::disk::OpenOptions;
use storage::store::MemoryStore;
use storage::tables::audit::Chain;
use storage::tables::progress::Progress;
use storage::tables::{self, settle};
use storage::writer::{SETTLED_HIGH_WATER, WriterConfig, WriterHandle};
use storage::{SharedStore, StoreError, Txn};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot, watch};

/// Events in one request.
const REQUEST_EVENTS: u64 = 100;

/// Requests under way at once.
const REQUESTS: usize = 8;

struct Pipeline {
    runtime: Runtime,
    store: SharedStore,
    writer: WriterHandle,
    writer_thread: std::thread::JoinHandle<()>,
    inbox: Arc<ShardInbox>,
    shard: ShardThread,
    /// Resolves when the lanes have left the shard.
    left: oneshot::Receiver<()>,
    /// Deliveries so far, told by the hundred.
    delivered: watch::Receiver<u64>,
    endpoints: u32,
}

impl Pipeline {
    fn start(store: SharedStore, endpoints: u32) -> Pipeline {
        let (clock, master) = (Clock::start(), Arc::new(MasterKey::new([7; 32])));
        let rows: Vec<_> = (1..=endpoints).map(|id| signed(endpoint(id, &[], &[]), &master)).collect();
        let mut txn = Txn::new(&*store);
        tables::application::put(&mut txn, &application(APP)).expect("it fits");
        rows.iter().for_each(|row| tables::endpoint::put(&mut txn, row).expect("it fits"));
        store.apply(txn.into_parts().batch).expect("the store takes it");
        let inbox = Arc::new(ShardInbox::default());
        let mut router = Router::new(vec![inbox.clone()], Arc::new(Notify::new()));
        rows.iter().for_each(|row| router.put(row));
        let config = EngineConfig::default();
        let writer_config = WriterConfig {
            queue_capacity: config.ingest_queue_capacity,
            queue_bytes: config.ingest_queue_bytes,
            settled_high_water: SETTLED_HIGH_WATER,
            commit_max_events: config.commit_max_events,
            idempotency_ms: config.idempotency_ms,
            quotas: config.quotas,
        };
        let progress = Progress::load(&*store).expect("the store can be read");
        let now = Box::new(move || clock.now());
        let (writer, writer_thread) = storage::writer::spawn(
            store.clone(),
            writer_config,
            progress,
            router,
            now,
            Chain::new(None),
            "writer".to_owned(),
        )
        .expect("a thread starts");
        let (told, delivered) = watch::channel(0);
        let count = AtomicU64::new(0);
        let network = Scripted(move |_: AttemptRequest| {
            let count = count.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_multiple_of(REQUEST_EVENTS) {
                told.send_replace(count);
            }
            ready(AttemptResult::answered(204))
        });
        let shard = spawn_with(0, &config, clock, network).expect("a thread starts");
        let parts = ShardParts {
            partition: PartitionId(0),
            index: 0,
            config: Arc::new(config),
            inbox: inbox.clone(),
            store: store.clone(),
            writer: writer.clone(),
            master,
            guard: Arc::new(Guard::new(vec!["127.0.0.0/8".parse().expect("it is a range")])),
            paces: Arc::default(),
            seed: 1,
        };
        let left = shard.take(parts).expect("the thread runs");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than memory");
        Pipeline { runtime, store, writer, writer_thread, inbox, shard, left, delivered, endpoints }
    }

    /// Pushes so many requests and waits until everybody has everything and the store knows it.
    fn push(&self, requests: u64) -> Duration {
        let body = payload(1024);
        let before = *self.delivered.borrow();
        let start = Instant::now();
        self.runtime.block_on(async {
            let mut left = requests;
            while left > 0 {
                let together = left.min(REQUESTS as u64);
                left -= together;
                let requests = (0..together).map(|_| {
                    let messages = (0..REQUEST_EVENTS).map(|_| message("invoice.paid", &body)).collect();
                    self.writer.ingest(APP, messages)
                });
                let taken = futures_util::future::join_all(requests).await;
                assert!(taken.iter().all(Result::is_ok));
            }
            let wanted = before + requests * REQUEST_EVENTS * u64::from(self.endpoints);
            let all = self.delivered.clone().wait_for(|delivered| *delivered >= wanted).await.map(|_| ());
            assert!(all.is_ok(), "the shard ended");
            // All that was handed over before this is in its commit or an earlier one.
            let barrier = self.writer.change(|_| Ok::<_, StoreError>(())).await;
            assert!(barrier.is_ok());
        });
        start.elapsed()
    }

    fn stop(self) {
        self.inbox.stop();
        // Nothing is sent: the other end is dropped.
        drop(self.runtime.block_on(self.left));
        self.shard.end();
        self.shard.join();
        self.writer.close();
        assert!(self.writer_thread.join().is_ok());
        for id in 1..=self.endpoints {
            let target = endpoint(id, &[], &[]).target();
            assert!(!settle::has_outstanding(&*self.store, target).expect("the store can be read"));
        }
    }
}

/// The endpoint with a secret to sign by.
fn signed(row: Endpoint, master: &MasterKey) -> Endpoint {
    let context = SealContext { app: row.app, endpoint: row.id, purpose: SealPurpose::SigningSecret };
    let sealed = master.seal(generate_secret(&[7; 24]).as_bytes(), context).expect("it is short");
    Endpoint { secrets: vec![EndpointSecret { sealed, expires_at: None }], ..row }
}

fn pipeline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(REQUEST_EVENTS));
    for kind in ["sled", "memory"] {
        for endpoints in [1, 10] {
            group.bench_function(BenchmarkId::new(format!("{kind}/endpoints"), endpoints), |bencher| {
                let dir = tempfile::tempdir().expect("a folder for the store");
                let store: SharedStore = match kind {
                    "sled" => Arc::new(OpenOptions::default().open(dir.path()).expect("an empty folder opens")),
                    _ => Arc::new(MemoryStore::new()),
                };
                let pipeline = Pipeline::start(store, endpoints);
                bencher.iter_custom(|requests| pipeline.push(requests));
                pipeline.stop();
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
