//! `backlog`: the endpoint is down while events arrive, then it is up again.
//!
//! Before that it is healthy for a while, so that the drain can be compared with the same run's ordinary throughput,
//! and memory with what a warm process has.

use super::rig::{Rig, Setup};
use crate::cli::{Backlog, Options};
use crate::drive::{Pace, Streams};
use crate::receive::Manner;
use crate::report::Outcome;
use serde_json::json;
use std::time::Duration;

/// How long it is healthy at first, when nobody says.
const SECONDS: f64 = 5.0;
/// How long the breaker may stay open after the endpoint is up: its longest hold.
const PATIENCE_S: f64 = 330.0;

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
    let begin = rig.ledger.totals().healthy;
    let (mut first, mut last) = (None, (Duration::ZERO, begin));
    let ledger = std::sync::Arc::clone(&rig.ledger);
    let draining = rig.watch("up, draining", |elapsed, sample, totals| {
        most_mib = most_mib.max(sample.resident_mib);
        if totals.healthy > last.1 {
            first.get_or_insert((elapsed, totals.healthy));
            last = (elapsed, totals.healthy);
        }
        let is_stuck = (elapsed - last.0).as_secs_f64() > options.settle_seconds.max(PATIENCE_S);
        is_stuck || totals.healthy >= totals.healthy_owed && ledger.missing() == 0
    });

    let mut outcome = Outcome::new("backlog", format!("backlog --events {}", backlog.events));
    let (first, first_count) = first.unwrap_or_default();
    let drain_s = (last.0 - first).as_secs_f64().max(f64::MIN_POSITIVE);
    let drain_per_s = (last.1 - first_count) as f64 / drain_s;
    outcome.fact("drain_per_s", "drain rate", drain_per_s, "/s");
    outcome.fact("drain_ratio", "drain rate : healthy throughput", drain_per_s / steady.delivered_per_s(), "");
    outcome.fact("wait_s", "up until the first delivery", first.as_secs_f64(), "s");
    outcome.fact("arrival_per_s", "events acknowledged while down", arriving.acked_per_s(), "/s");
    outcome.fact("resident_before_mib", "resident memory before", before_mib, "MiB");
    outcome.fact("resident_growth_mib", "resident memory, growth", most_mib - before_mib, "MiB");
    outcome.stretch("", &draining);
    outcome.stretch("healthy", &steady);
    Ok(rig.finish(outcome))
}
