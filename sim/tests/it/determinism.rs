//! One seed is one trace: in one process, whatever ran before, and in another one.

use sim::Plan;
use std::process::Command;

fn hash(seed: u64) -> Option<u64> {
    sim::run(Plan::of(seed), None, false).ok().map(|report| report.hash)
}

#[test]
fn a_seed_gives_the_same_trace_twice_and_another_seed_another() {
    for seed in 0..40 {
        assert!(hash(seed).is_some(), "seed {seed}");
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
        assert_ne!(hash(seed), hash(seed + 1), "seed {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_in_another_process() {
    for seed in [1, 7, 23, 300] {
        let run =
            Command::new(env!("CARGO_BIN_EXE_sim")).args(["--hash", "--seed", &seed.to_string()]).output().unwrap();
        let told = String::from_utf8(run.stdout).unwrap();
        assert_eq!(u64::from_str_radix(told.trim(), 16).ok(), hash(seed), "seed {seed}");
    }
}
