//! What the timing wheel costs with 1 thousand, 1 million and 10 million timers pending: per insert, per cancel,
//! per fired timer, and the longest single call. Deadlines are spread evenly over an hour.
//!
//! It does not compare with other timers. Calls are timed on the wall clock; for the longest single call, those
//! during which the scheduler ran something else (4 ms and more on a busy machine) are counted but left out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use engine::retry::wheel::{TimerKey, Wheel};

const SIZES: [usize; 3] = [1_000, 1_000_000, 10_000_000];
const SPREAD_MS: u64 = 3_600_000;
/// How many calls are timed at a stretch, so that reading the clock does not count.
const BATCH: usize = 1024;

/// A random source that costs next to nothing: Marsaglia's xorshift64 (2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A wheel with `keys.len()` timers pending, whose payloads are their positions in `keys`.
struct Loaded {
    wheel: Wheel<u64>,
    keys: Vec<TimerKey>,
    random: Random,
    now_ms: u64,
}

impl Loaded {
    fn new(size: usize) -> Self {
        let mut random = Random(88_172_645_463_325_252);
        let mut wheel = Wheel::new(0);
        let keys = (0..size as u64).map(|position| wheel.insert(1 + random.below(SPREAD_MS), position)).collect();
        Self { wheel, keys, random, now_ms: 0 }
    }

    fn deadline_ms(&mut self) -> u64 {
        self.now_ms + 1 + self.random.below(SPREAD_MS)
    }

    /// Times inserts on top of those pending.
    fn time_inserts(&mut self, count: u64) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = count as usize;
        let mut keys = Vec::with_capacity(BATCH);
        while left > 0 {
            let deadlines: Vec<_> = (0..left.min(BATCH)).map(|_| self.deadline_ms()).collect();
            left -= deadlines.len();
            let start = Instant::now();
            for deadline_ms in &deadlines {
                keys.push(self.wheel.insert(*deadline_ms, 0));
            }
            total += start.elapsed();
            for key in keys.drain(..) {
                assert!(self.wheel.cancel(key).is_some());
            }
        }
        total
    }

    /// Times cancels of pending timers, at the positions that `pick` chooses; each is then inserted anew.
    fn time_cancels(&mut self, count: u64, mut pick: impl FnMut(&mut Random) -> usize) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = count as usize;
        while left > 0 {
            let mut positions: Vec<_> = (0..left.min(BATCH)).map(|_| pick(&mut self.random)).collect();
            left -= positions.len();
            let keys: Vec<_> = positions.iter().map(|position| self.keys[*position]).collect();
            let start = Instant::now();
            for key in keys {
                black_box(self.wheel.cancel(key));
            }
            total += start.elapsed();
            // A position may have been picked twice (its second cancel then met a stale key).
            positions.sort_unstable();
            positions.dedup();
            for position in positions {
                let deadline_ms = self.deadline_ms();
                self.keys[position] = self.wheel.insert(deadline_ms, position as u64);
            }
        }
        total
    }

    /// Times advances, each to the next tick that has work, until `count` timers have fired; each is then
    /// inserted anew.
    fn time_advances(&mut self, count: u64) -> Duration {
        let mut total = Duration::ZERO;
        let mut fired_total = 0;
        let mut fired = Vec::new();
        while fired_total < count {
            self.now_ms = self.wheel.next_deadline_ms().unwrap_or(0).max(self.now_ms);
            let start = Instant::now();
            let advanced = self.wheel.advance(self.now_ms, usize::MAX, &mut |payload| fired.push(payload));
            total += start.elapsed();
            fired_total += advanced.fired as u64;
            for position in fired.drain(..) {
                let deadline_ms = self.deadline_ms();
                self.keys[position as usize] = self.wheel.insert(deadline_ms, position);
            }
        }
        total.mul_f64(count as f64 / fired_total as f64)
    }
}

fn costs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for size in SIZES {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("fill_from_empty", size), |bencher| {
            bencher.iter_with_large_drop(|| Loaded::new(size));
        });
    }
    for size in SIZES {
        group.throughput(Throughput::Elements(1));
        let mut loaded = Loaded::new(size);
        group.bench_function(BenchmarkId::new("insert", size), |bencher| {
            bencher.iter_custom(|count| loaded.time_inserts(count));
        });
        group.bench_function(BenchmarkId::new("cancel_in_order", size), |bencher| {
            let mut next = 0;
            let mut pick = |_: &mut Random| {
                next = (next + 1) % size;
                next
            };
            bencher.iter_custom(|count| loaded.time_cancels(count, &mut pick));
        });
        group.bench_function(BenchmarkId::new("cancel_at_random", size), |bencher| {
            let mut pick = |random: &mut Random| random.below(size as u64) as usize;
            bencher.iter_custom(|count| loaded.time_cancels(count, &mut pick));
        });
        group.bench_function(BenchmarkId::new("advance_per_fired", size), |bencher| {
            bencher.iter_custom(|count| loaded.time_advances(count));
        });
    }
    group.finish();
}

/// How often this thread was given a processor, where the system tells (Linux, with schedstats).
fn timeslices() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().nth(2)?.parse().ok()
}

/// Advances by `step_ms` until `until_ms`, calling again while there is more, and prints how long calls took.
fn pauses(name: &str, wheel: &mut Wheel<u64>, step_ms: u64, until_ms: u64) {
    let mut took_ns = Vec::new();
    let (mut fired, mut interrupted) = (0, 0);
    let mut slices = timeslices();
    let mut now_ms = 0;
    while now_ms < until_ms {
        now_ms += step_ms;
        let mut more = true;
        while more {
            let start = Instant::now();
            let advanced = wheel.advance(now_ms, usize::MAX, &mut |payload| {
                black_box(payload);
            });
            let call_ns = start.elapsed().as_nanos() as u64;
            fired += advanced.fired;
            more = advanced.more;
            let slices_now = timeslices();
            if slices_now == slices {
                took_ns.push(call_ns);
            } else {
                interrupted += 1;
            }
            slices = slices_now;
        }
    }
    took_ns.sort_unstable();
    let at = |share: f64| {
        let rank = (took_ns.len().saturating_sub(1) as f64 * share) as usize;
        took_ns.get(rank).copied().unwrap_or(0) as f64 / 1e3
    };
    println!(
        "{name:<40} {fired:>8} fired in {:>5} calls, us: p50 {:>5.1}  p99 {:>5.1}  p99.9 {:>5.1}  max {:>6.1} \
         ({interrupted} interrupted)",
        took_ns.len() + interrupted,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn print_pauses() {
    for size in SIZES {
        let mut wheel = Loaded::new(size).wheel;
        pauses(&format!("pauses/{size}/a minute of ticks"), &mut wheel, 1, 60_000);
        pauses(&format!("pauses/{size}/one jump over the hour"), &mut wheel, SPREAD_MS, SPREAD_MS);
        for payload in 0..size as u64 {
            wheel.insert(2 * SPREAD_MS, payload);
        }
        pauses(&format!("pauses/{size}/all at one tick"), &mut wheel, SPREAD_MS, 2 * SPREAD_MS);
        assert!(wheel.is_empty());
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    costs(&mut criterion);
    // `cargo test` and `cargo bench -- --test` only ask whether it runs.
    if !std::env::args().any(|arg| arg == "--test") {
        print_pauses();
    }
    criterion.final_summary();
}
