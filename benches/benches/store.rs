//! The cost of making events durable: events per second through the writer, one request at a time, each of 1, 10, 100
//! or 1,000 events of 1 KiB, on sled (with its fdatasync, as in production) and on the model in memory.
//!
//! The difference between the two is the disk and sled; what is left is the writer and its wake-ups. Production is
//! faster than the small batches here: requests that arrive while a commit is under way share the next one.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, application, message, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{EndpointRef, Event, UnixMs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::disk::OpenOptions;
use storage::store::MemoryStore;
use storage::tables::audit::Chain;
use storage::tables::progress::Progress;
use storage::writer::{Downstream, SETTLED_HIGH_WATER, WriterConfig, WriterHandle, WriterQuotas};
use storage::{Change, SharedStore, Txn};

/// Nobody subscribes.
struct Nobody;

impl Downstream for Nobody {
    fn knows(&self, _: EndpointRef) -> bool {
        false
    }

    fn committed(&mut self, events: Vec<Event>, _: Vec<Change>, progress: &mut Progress) {
        if let Some(last) = events.last() {
            progress.set_routed(APP, last.seq);
        }
    }

    fn settlements_taken(&mut self) {}
}

fn writer(store: &SharedStore) -> (WriterHandle, std::thread::JoinHandle<()>) {
    let mut txn = Txn::new(&**store);
    storage::tables::application::put(&mut txn, &application(APP)).expect("it fits");
    store.apply(txn.into_parts().batch).expect("the store takes it");
    let config = WriterConfig {
        queue_capacity: 4_096,
        queue_bytes: 64 << 20,
        settled_high_water: SETTLED_HIGH_WATER,
        commit_max_events: 4_096,
        idempotency_ms: 86_400_000,
        quotas: WriterQuotas::default(),
    };
    let progress = Progress::load(&**store).expect("the store can be read");
    storage::writer::spawn(
        store.clone(),
        config,
        progress,
        Nobody,
        Box::new(|| UnixMs(1)),
        Chain::new(None),
        "writer".to_owned(),
    )
    .expect("a thread starts")
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/append");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs no more than memory");
    for kind in ["sled", "memory"] {
        for batch in [1, 10, 100, 1_000] {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::new(kind, batch), |bencher| {
                let dir = tempfile::tempdir().expect("a folder for the store");
                let store: SharedStore = match kind {
                    "sled" => Arc::new(OpenOptions::default().open(dir.path()).expect("an empty folder opens")),
                    _ => Arc::new(MemoryStore::new()),
                };
                let (handle, thread) = writer(&store);
                let body = payload(1024);
                bencher.iter_custom(|count| {
                    let mut total = Duration::ZERO;
                    for _ in 0..count {
                        let messages = (0..batch).map(|_| message("invoice.paid", &body)).collect();
                        let start = Instant::now();
                        let taken = runtime.block_on(handle.ingest(APP, messages));
                        total += start.elapsed();
                        assert!(taken.is_ok_and(|outcomes| outcomes.len() == batch as usize));
                    }
                    total
                });
                handle.close();
                assert!(thread.join().is_ok());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, append);
criterion_main!(benches);
