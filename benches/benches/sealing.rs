//! The cost of sealing and opening a secret with AES-256-GCM: time for a signing secret of 38 bytes and for a set of
//! custom headers of 4 KiB. Paid when an endpoint is changed (seal) and when it gets an actor (open), not per attempt.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::{APP, payload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::seal::{MasterKey, SealContext, SealPurpose};
use model::EndpointId;
use std::hint::black_box;

fn sealing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sealing");
    let key = MasterKey::new([7; 32]);
    let context = SealContext { app: APP, endpoint: EndpointId(1), purpose: SealPurpose::SigningSecret };
    for len in [38, 4096] {
        let plain = payload(len);
        let sealed = key.seal(&plain, context).expect("it is short");
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter(|| key.seal(black_box(&plain), context));
        });
        group.bench_function(BenchmarkId::new("open", len), |bencher| {
            bencher.iter(|| key.open(black_box(&sealed), context));
        });
    }
    group.finish();
}

criterion_group!(benches, sealing);
criterion_main!(benches);
