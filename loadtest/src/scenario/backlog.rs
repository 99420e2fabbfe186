//! `backlog`: the endpoint is down while events arrive, then it is up again.
//!
//! Before that it is healthy for a while, so that the drain can be compared with the same run's ordinary throughput,
//! and memory with that of a warm process.

use super::drain::Drain;
use super::rig::{Rig, Setup};
use crate::cli::{Backlog, Options};
use crate::drive::{Pace, Streams};
use crate::measure::Interval;
use crate::receive::Manner;
use crate::report::Outcome;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time that the endpoint is healthy at first, in seconds, unless the command line says another.
const SECONDS: f64 = 5.0;
/// The longest time that the breaker may stay open after the endpoint is up: its longest hold.
const PATIENCE_S: f64 = 60.0;

/// The time between two looks at the ledger while it drains: a short drain is over between two looks of the sampler.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs it.
pub(super) fn run(options: &Options, backlog: &Backlog) -> anyhow::Result<Outcome> {
    let policy = json!({"type": "fixed", "delayMs": 1000, "maxAttempts": 100, "jitter": "proportional"});
    let streams = Streams::one(1);
    let setup = Setup { changeable: 1, settings: json!({"retryPolicy": policy}), ..Setup::healthy(streams) };
    let mut rig = Rig::start(options, setup)?;
    let pace = Pace::Closed { window: options.window };
    let steady = rig.drive("healthy", pace, options.seconds.unwrap_or(SECONDS))?;
    rig.settle(0.0);
    let before_mib = rig.resident_mib();

    rig.set_manner(Manner::Down);
    let pushing = rig.push(Pace::Count { events: backlog.events })?;
    let mut most_mib: f64 = 0.0;
    let arriving = rig.watch("down, events arrive", |_, sample, _| {
        most_mib = most_mib.max(sample.resident_mib);
        pushing.is_over()
    });
    rig.end(pushing)?;

    rig.set_manner(Manner::Healthy);
    let (draining, drain) = watch_drain(&mut rig, options, &mut most_mib);

    let mut outcome = Outcome::new("backlog", format!("backlog --events {}", backlog.events));
    let drain_per_s = drain.per_s();
    outcome.fact("drain_per_s", "drain rate", drain_per_s, "/s");
    outcome.fact("drain_ratio", "drain rate : healthy throughput", drain_per_s / steady.delivered_per_s(), "");
    outcome.fact("wait_s", "up until the first delivery", drain.wait().as_secs_f64(), "s");
    outcome.fact("arrival_per_s", "events acknowledged while down", arriving.acked_per_s(), "/s");
    outcome.fact("resident_before_mib", "resident memory before", before_mib, "MiB");
    outcome.fact("resident_growth_mib", "resident memory, growth", most_mib - before_mib, "MiB");
    outcome.interval("", &draining);
    outcome.interval("healthy", &steady);
    Ok(rig.finish(outcome))
}

/// Watches until nothing is missing, or nothing has arrived for long.
fn watch_drain(rig: &mut Rig, options: &Options, most_mib: &mut f64) -> (Interval, Drain) {
    let (ledger, patience_s) = (Arc::clone(&rig.ledger), options.settle_seconds.max(PATIENCE_S));
    let (begin, is_over) = (Instant::now(), AtomicBool::new(false));
    let drain = Mutex::new(Drain::new(ledger.totals().healthy));
    let look = || {
        let mut drain = drain.lock().unwrap_or_else(PoisonError::into_inner);
        drain.see(begin.elapsed(), ledger.totals().healthy);
        drain.last()
    };
    let interval = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                look();
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let interval = rig.watch("up, draining", |_, sample, totals| {
            *most_mib = most_mib.max(sample.resident_mib);
            let is_stuck = begin.elapsed().saturating_sub(look()).as_secs_f64() > patience_s;
            is_stuck || totals.healthy >= totals.healthy_owed && ledger.missing() == 0
        });
        is_over.store(true, Relaxed);
        interval
    });
    (interval, drain.into_inner().unwrap_or_else(PoisonError::into_inner))
}
