//! The cost of a signature: time for one `webhook-signature` header, HMAC-SHA256 (`v1`) and ed25519 (`v1a`), over
//! bodies of 1 KiB and 100 KiB. One attempt pays it once for each of its endpoint's secrets.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use benches::payload;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::prepare::sign::stamp;
use engine::prepare::{SigningKey, generate_ed25519_secret, generate_secret};
use std::hint::black_box;

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signing");
    let secrets = [("v1", generate_secret(&[7; 24])), ("v1a", generate_ed25519_secret(&[7; 32]))];
    for (name, secret) in secrets {
        let keys = [SigningKey::parse(&secret).expect("we generated it")];
        for len in [1024, 100 * 1024] {
            let body = payload(len);
            group.throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::new(name, len), |bencher| {
                let id = |out: &mut String| out.push_str("msg_0000000000000000000000000");
                bencher.iter(|| stamp(black_box(&keys).iter(), id, 1_700_000_000, black_box(&body)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, signing);
criterion_main!(benches);
