//! The cost of everything but the network: events per second from ingest over the log, the router, an endpoint's lane and a
//! network that answers at once to the settlement in the store, with one endpoint and with ten, on sled and in memory.
//!
//! Requests of 100 events of 1 KiB, eight at a time. The writer and the router are the engine's own, on their own thread;
//! the shard is a small one of this benchmark (`shard`), which does with lanes what the engine's does, but without actors,
//! HTTP requests and signatures: these have benchmarks of their own.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

mod shard;

use benches::{APP, application, endpoint, message, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::EngineConfig;
use engine::router::Router;
use engine::shard::inbox::ShardInbox;
use model::UnixMs;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::disk::OpenOptions;
use storage::store::MemoryStore;
use storage::tables::progress::Progress;
use storage::tables::{self, settle};
use storage::writer::{SETTLED_HIGH_WATER, WriterConfig, WriterHandle};
use storage::{SharedStore, StoreError, Txn};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Events in one request.
const REQUEST_EVENTS: u64 = 100;

/// Requests under way at once.
const REQUESTS: usize = 8;

struct Pipeline {
    runtime: Runtime,
    store: SharedStore,
    writer: WriterHandle,
    writer_thread: std::thread::JoinHandle<()>,
    shard: shard::Running,
    endpoints: u32,
}

impl Pipeline {
    fn start(store: SharedStore, endpoints: u32) -> Pipeline {
        let rows: Vec<_> = (1..=endpoints).map(|id| endpoint(id, &[], &[])).collect();
        let mut txn = Txn::new(&*store);
        tables::application::put(&mut txn, &application(APP)).expect("it fits");
        rows.iter().for_each(|row| tables::endpoint::put(&mut txn, row).expect("it fits"));
        store.apply(txn.into_parts().0).expect("the store takes it");
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
        let now = Box::new(|| UnixMs(1_000_000));
        let (writer, writer_thread) =
            storage::writer::spawn(store.clone(), writer_config, progress, router, now, "writer".to_owned())
                .expect("a thread starts");
        let shard = shard::start(inbox, store.clone(), writer.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it needs no more than memory");
        Pipeline { runtime, store, writer, writer_thread, shard, endpoints }
    }

    /// Pushes so many requests and waits until everybody has everything and the store knows it.
    fn push(&self, requests: u64) -> Duration {
        let body = payload(1024);
        let delivered_before = self.shard.delivered();
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
            self.shard.wait_for(delivered_before + requests * REQUEST_EVENTS * u64::from(self.endpoints)).await;
            // All that was settled before this is in its commit or an earlier one.
            let barrier = self.writer.change(|_| Ok::<_, StoreError>(())).await;
            assert!(barrier.is_ok());
        });
        start.elapsed()
    }

    fn stop(self) {
        self.shard.stop();
        self.writer.close();
        assert!(self.writer_thread.join().is_ok());
        for id in 1..=self.endpoints {
            let target = endpoint(id, &[], &[]).target();
            assert!(!settle::has_outstanding(&*self.store, target).expect("the store can be read"));
        }
    }
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
