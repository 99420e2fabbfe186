//! A thousand seeds keep every promise.

use sim::Plan;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of an ordinary run; `cargo run --release -p sim -- --seeds A..B` runs more.
const SEEDS: u64 = 1_000;

#[test]
fn every_seed_keeps_every_promise() {
    let next = AtomicU64::new(0);
    let failures: Mutex<Vec<String>> = Mutex::default();
    let attempts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    match sim::run(Plan::of(seed), None, false) {
                        Ok(report) => drop(attempts.fetch_add(report.attempts, Ordering::Relaxed)),
                        Err(failure) => failures.lock().unwrap().push(failure.to_string()),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(attempts.into_inner() > 20 * SEEDS, "hardly anything happened");
}
