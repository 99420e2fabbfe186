//! The cost of a timer while 1 thousand, 1 million and 10 million are pending: nanoseconds per insert, per cancel and
//! per timer that fires, bytes per timer, and the longest single call; our wheel beside two others, under the same
//! work.
//!
//! Deadlines are spread evenly over an hour. Calls are timed on the wall clock, many in a row, so consecutive ones
//! may overlap in the processor as they do in a loop of the engine. Two lines show the limit of the machine: changing
//! one place of a slab as large as all timers of 32 bytes, and one as large as their generations of 4 bytes.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

mod load;
mod memory;
mod pauses;
mod timers;

use benches::{Random, is_trial};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, measurement::WallTime};
use engine::retry::wheel::Wheel;
use load::{Loaded, SPREAD_MS};
use std::hint::black_box;
use std::time::{Duration, Instant};
use timers::{HashWheel, Timers, TokioQueue};

/// The numbers of pending timers that are measured.
fn sizes() -> &'static [usize] {
    if is_trial() { &[1_000] } else { &[1_000, 1_000_000, 10_000_000] }
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn costs<T: Timers>(group: &mut Group<'_>, size: usize) {
    // Filled when the first of these that was asked for runs.
    let mut filled: Option<Loaded<T>> = None;
    let id = |what: &str| BenchmarkId::new(format!("{what}/{}", T::NAME), size);
    group.bench_function(id("insert"), |bencher| {
        let loaded = filled.get_or_insert_with(|| Loaded::new(size));
        bencher.iter_custom(|count| loaded.time_inserts(count));
    });
    group.bench_function(id("cancel_in_order"), |bencher| {
        let loaded = filled.get_or_insert_with(|| Loaded::new(size));
        let mut next = 0;
        let mut pick = |_: &mut Random| {
            next = (next + 1) % size;
            next
        };
        bencher.iter_custom(|count| loaded.time_cancels(count, &mut pick));
    });
    group.bench_function(id("cancel_at_random"), |bencher| {
        let loaded = filled.get_or_insert_with(|| Loaded::new(size));
        let mut pick = |random: &mut Random| random.below(size as u64) as usize;
        bencher.iter_custom(|count| loaded.time_cancels(count, &mut pick));
    });
}

/// Changes places of a slab at random: the limit of a random cancel. `place` is not zero, or its memory would come
/// page by page, at the first touch.
fn random_places<P: Clone>(group: &mut Group<'_>, name: &str, size: usize, place: P, change: impl Fn(&mut P)) {
    group.bench_function(BenchmarkId::new(name, size), |bencher| {
        let mut places = vec![place.clone(); size];
        let mut random = Random::default();
        bencher.iter_custom(|count| {
            let mut total = Duration::ZERO;
            let mut left = count as usize;
            while left > 0 {
                let picks: Vec<usize> =
                    (0..left.min(load::BATCH)).map(|_| random.below(size as u64) as usize).collect();
                left -= picks.len();
                let start = Instant::now();
                for pick in picks {
                    change(&mut places[pick]);
                }
                total += start.elapsed();
            }
            black_box(&mut places);
            total
        });
    });
}

fn main() {
    if memory::is_asked(&[Wheel::<u64>::NAME, TokioQueue::NAME, HashWheel::NAME]) {
        memory::answer();
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("wheel");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for &size in sizes() {
        random_places(&mut group, "limit/change_32_bytes", size, [1u64; 4], |place| place[1] += 1);
        random_places(&mut group, "limit/change_4_bytes", size, 1u32, |place| *place += 1);
        costs::<Wheel<u64>>(&mut group, size);
        costs::<TokioQueue>(&mut group, size);
        costs::<HashWheel>(&mut group, size);
    }
    group.finish();
    // Measurements that criterion does not make, unless another was asked for by name.
    let asked = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wants = |what: &str| !is_trial() && asked.as_ref().is_none_or(|asked| asked == what);
    for &size in sizes() {
        if wants("half") {
            pauses::print_half::<Wheel<u64>>(size);
            pauses::print_half::<TokioQueue>(size);
            pauses::print_half::<HashWheel>(size);
        }
        if wants("advance") {
            pauses::print_hour::<Wheel<u64>>(size);
            pauses::print_hour::<TokioQueue>(size);
            pauses::print_hour::<HashWheel>(size);
        }
    }
    if wants("advance") {
        pauses::print_worst_of_ours(10_000_000);
    }
    if wants("resident") {
        memory::print(&sizes()[1..]);
    }
    criterion.final_summary();
}
