//! The cost of moving time on, per timer that fires, and the longest single calls, for which other work on the thread
//! waits.
//!
//! Not criterion's to measure: the work of an hour is not spread evenly over it, and only a whole one tells. For its
//! longest calls ours is run three times with the same work, and of each call the shortest time counts: what the
//! machine took away (a shared one takes milliseconds) it does not take from the same call each time.

use crate::SPREAD_MS;
use crate::load::Loaded;
use crate::timers::Timers;
use engine::retry::wheel::Wheel;
use std::hint::black_box;
use std::time::Instant;

/// The time that passes between two calls.
const STEP_MS: u64 = 10;

/// The number of runs of ours.
const RUNS: usize = 3;

/// The times of calls.
#[derive(Default)]
struct Calls {
    took_ns: Vec<u64>,
    fired: usize,
    /// All calls of the first run together: the costs that are compared come from one run.
    total_ns: u64,
}

impl Calls {
    /// Times one call.
    fn time(&mut self, call: impl FnOnce()) {
        let start = Instant::now();
        call();
        let call_ns = start.elapsed().as_nanos() as u64;
        self.took_ns.push(call_ns);
        self.total_ns += call_ns;
    }

    /// Of each call the shorter time.
    fn shorter(mut self, other: &Calls) -> Calls {
        assert_eq!((self.fired, self.took_ns.len()), (other.fired, other.took_ns.len()), "it was other work");
        for (own, other) in self.took_ns.iter_mut().zip(&other.took_ns) {
            *own = (*own).min(*other);
        }
        self
    }

    fn print(mut self, name: &str) {
        self.took_ns.sort_unstable();
        let at_us = |share: f64| {
            let rank = (self.took_ns.len().saturating_sub(1) as f64 * share) as usize;
            self.took_ns.get(rank).copied().unwrap_or(0) as f64 / 1e3
        };
        let ns_per_fired = self.total_ns as f64 / self.fired.max(1) as f64;
        println!(
            "{name:<46} {:>8} fired, {ns_per_fired:>7.1} ns each, {:>6} calls, us: p50 {:>5.1}  p99 {:>5.1}  max {:>8.1}",
            self.fired,
            self.took_ns.len(),
            at_us(0.5),
            at_us(0.99),
            at_us(1.0),
        );
    }
}

/// The same work several times.
fn repeated(runs: usize, work: impl Fn() -> Calls) -> Calls {
    (1..runs).fold(work(), |calls, _| calls.shorter(&work()))
}

/// An hour in steps, each of as many calls as are asked for; each timer that fires is inserted anew.
pub(crate) fn print_hour<T: Timers>(size: usize) {
    let hour = || {
        let mut loaded = Loaded::<T>::new(size);
        let mut calls = Calls::default();
        let mut fired = Vec::new();
        for _ in 0..SPREAD_MS / STEP_MS {
            calls.fired += loaded.step(STEP_MS, &mut fired, |call| calls.time(call));
        }
        calls
    };
    let runs = if T::NAME == Wheel::<u64>::NAME { RUNS } else { 1 };
    repeated(runs, hour).print(&format!("advance/an hour/{}/{size}", T::NAME));
}

/// Half of all timers cancelled in a row: unlike criterion's cancels, of which each is followed by an insert.
pub(crate) fn print_half<T: Timers>(size: usize) {
    let ns = Loaded::<T>::new(size).cancel_half_ns();
    println!("cancel/half of them at random/{}/{size:<10} {ns:>6.1} ns each", T::NAME);
}

/// Our wheel where it has most to do at once: it says so and is called again, and each call is short.
pub(crate) fn print_worst_of_ours(size: usize) {
    let over_the_hour = || drain(&mut Loaded::<Wheel<u64>>::new(size).timers, SPREAD_MS);
    repeated(RUNS, over_the_hour).print(&format!("advance/one jump over the hour/pinion/{size}"));
    let at_one_tick = || {
        let mut wheel = Wheel::new(0);
        for number in 0..size as u64 {
            wheel.insert(SPREAD_MS, number);
        }
        drain(&mut wheel, SPREAD_MS)
    };
    repeated(RUNS, at_one_tick).print(&format!("advance/all at one tick/pinion/{size}"));
}

fn drain(wheel: &mut Wheel<u64>, now_ms: u64) -> Calls {
    let mut calls = Calls::default();
    let (mut fired, mut more) = (0, true);
    while more {
        calls.time(|| {
            let advanced = wheel.advance(now_ms, usize::MAX, &mut |number| {
                black_box(number);
            });
            more = advanced.more;
            fired += advanced.fired;
        });
    }
    assert!(wheel.is_empty());
    Calls { fired, ..calls }
}
