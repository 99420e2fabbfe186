//! The cost of the circuit breaker per attempt: nanoseconds to ask for a ticket and to hand its result back, while all
//! goes well, and to be turned away by an open one.

use criterion::{Criterion, criterion_group, criterion_main};
use engine::endpoint::breaker::{Admission, Breaker, BreakerConfig};
use engine::outcome::classify::HealthSignal;
use model::UnixMs;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::hint::black_box;

fn breaker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker");
    let mut rng = StdRng::seed_from_u64(1);
    let mut breaker = Breaker::new(BreakerConfig::default());
    // A thousand attempts a second: the window of the success rate moves on.
    let mut now_us = 0;
    group.bench_function("closed/acquire_and_result", |bencher| {
        bencher.iter(|| {
            now_us += 1_000;
            let now = UnixMs(now_us / 1_000);
            if let Admission::Allowed(ticket) = breaker.try_acquire(black_box(now)) {
                black_box(breaker.on_result(ticket, HealthSignal::Healthy, now, &mut rng));
            }
        });
    });
    let now = UnixMs(1_000_000);
    let mut open = Breaker::new(BreakerConfig::default());
    while let Admission::Allowed(ticket) = open.try_acquire(now) {
        black_box(open.on_result(ticket, HealthSignal::Failing, now, &mut rng));
    }
    group.bench_function("open/turned_away", |bencher| bencher.iter(|| black_box(open.try_acquire(black_box(now)))));
    group.finish();
}

criterion_group!(benches, breaker);
criterion_main!(benches);
