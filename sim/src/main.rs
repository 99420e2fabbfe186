//! `sim`: replays a seed and prints what happens, or runs many seeds and says which of them break a promise.

use anyhow::{Context, bail};
use clap::Parser;
use sim::{Failure, Plan};
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Failing seeds shown in full.
const SHOWN_MAX: usize = 5;

/// Runs Pinion's cores under virtual time from a seed, and checks the contract after every step.
#[derive(Parser)]
struct Arguments {
    /// Replays one seed and prints its trace.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs many seeds, e.g. 0..1000, and prints those that fail.
    #[arg(long)]
    seeds: Option<String>,
    /// Steps of each run: fewer steps of a failing seed show its failure with less before it, as long as it still
    /// fails.
    #[arg(long, default_value_t = sim::plan::STEPS)]
    steps: u32,
    /// With --seed: looks for the fewest steps that still fail, and replays those.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// With --seed: prints nothing but the hash of the trace.
    #[arg(long, requires = "seed")]
    hash: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match (&arguments.seed, &arguments.seeds) {
        (Some(seed), _) => one(*seed, &arguments),
        (None, Some(seeds)) => many(seeds, arguments.steps),
        (None, None) => bail!("say --seed N or --seeds A..B"),
    }
}

fn plan(seed: u64, steps: u32) -> Plan {
    Plan { steps, ..Plan::of(seed) }
}

fn one(seed: u64, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = arguments.steps;
    if arguments.shrink {
        steps = (0..=steps).find(|steps| sim::run(plan(seed, *steps), None, false).is_err()).unwrap_or(steps);
        println!("{steps} steps");
    }
    match sim::run(plan(seed, steps), None, !arguments.hash) {
        Ok(report) if arguments.hash => println!("{:016x}", report.hash),
        Ok(report) => println!("{report:?}"),
        Err(failure) => bail!("{failure}"),
    }
    Ok(())
}

fn many(seeds: &str, steps: u32) -> anyhow::Result<()> {
    let (first, last) = seeds.split_once("..").context("seeds are given as A..B")?;
    let (first, last): (u64, u64) = (first.parse()?, last.parse()?);
    let begun = Instant::now();
    let (next, attempts, crashes) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let failures: Mutex<Vec<Box<Failure>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last {
                        return;
                    }
                    match sim::run(plan(seed, steps), None, false) {
                        Ok(report) => {
                            attempts.fetch_add(report.attempts, Ordering::Relaxed);
                            crashes.fetch_add(u64::from(report.crashes), Ordering::Relaxed);
                        }
                        Err(failure) => {
                            if let Ok(mut failures) = failures.lock() {
                                failures.push(failure);
                            }
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort_by_key(|failure| failure.seed);
    for failure in failures.iter().take(SHOWN_MAX) {
        println!("--- {failure}");
        failure.last.iter().for_each(|line| println!("    {line}"));
    }
    failures.iter().skip(SHOWN_MAX).for_each(|failure| println!("--- {failure}"));
    println!(
        "{} seeds, {} attempts, {} crashes, {} failures, {:.1} s",
        last.saturating_sub(first),
        attempts.load(Ordering::Relaxed),
        crashes.load(Ordering::Relaxed),
        failures.len(),
        begun.elapsed().as_secs_f64()
    );
    if failures.is_empty() { Ok(()) } else { bail!("{} of the seeds broke a promise", failures.len()) }
}
