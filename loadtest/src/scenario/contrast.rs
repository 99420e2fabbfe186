//! `blackhole`, `slow`, `flapping`: the same load first with all endpoints healthy, then with some that are not.
//!
//! Each endpoint has an application of its own, and an equal share of the load. Throughput is compared at full load
//! (closed loop), latency at half of that (open loop); both only of the endpoints that stay healthy.

use super::rig::{Rig, Setup};
use crate::cli::{Blackhole, Flapping, Options, Slow};
use crate::drive::{Pace, Streams};
use crate::measure::Interval;
use crate::receive::Manner;
use crate::report::Outcome;
use anyhow::ensure;
use serde_json::{Value, json};

/// The length of each of the four intervals, in seconds, unless the command line says another.
const SECONDS: f64 = 8.0;
/// The share of the maximum that latency is compared at.
const OPEN_SHARE: f64 = 0.5;
/// The longest time that an open breaker may keep the last deliveries waiting.
const PATIENCE_S: f64 = 60.0;

/// The difference in the second half.
struct Contrast {
    outcome: Outcome,
    bad: u32,
    of: u32,
    manner: Manner,
    flap_ms: Option<u64>,
    /// True when the bad ones recover at the end and must get everything.
    recovers: bool,
    bad_settings: Value,
}

/// Endpoints that take a request and never answer.
pub(super) fn blackhole(options: &Options, scenario: &Blackhole) -> anyhow::Result<Outcome> {
    let Blackhole { bad, of } = *scenario;
    let title = format!("blackhole --bad {bad} --of {of}");
    let outcome = Outcome::new("blackhole", title);
    let (manner, bad_settings) = (Manner::Silent, json!({}));
    contrast(options, Contrast { outcome, bad, of, manner, flap_ms: None, recovers: false, bad_settings })
}

/// Endpoints that answer late.
pub(super) fn slow(options: &Options, scenario: &Slow) -> anyhow::Result<Outcome> {
    let Slow { bad, of, delay_ms } = *scenario;
    let outcome = Outcome::new("slow", format!("slow --bad {bad} --of {of} --delay-ms {delay_ms}"));
    let (manner, bad_settings) = (Manner::Slow(delay_ms), json!({}));
    contrast(options, Contrast { outcome, bad, of, manner, flap_ms: None, recovers: true, bad_settings })
}

/// Endpoints that fail and recover, again and again.
pub(super) fn flapping(options: &Options, scenario: &Flapping) -> anyhow::Result<Outcome> {
    let Flapping { bad, of, period_ms } = *scenario;
    let outcome = Outcome::new("flapping", format!("flapping --bad {bad} --of {of} --period-ms {period_ms}"));
    let policy = json!({"type": "fixed", "delayMs": 500, "maxAttempts": 100, "jitter": "proportional"});
    let (manner, bad_settings) = (Manner::Down, json!({"retryPolicy": policy}));
    contrast(options, Contrast { outcome, bad, of, manner, flap_ms: Some(period_ms), recovers: true, bad_settings })
}

fn contrast(options: &Options, contrast: Contrast) -> anyhow::Result<Outcome> {
    let Contrast { mut outcome, bad, of, manner, flap_ms, recovers, bad_settings } = contrast;
    ensure!(bad > 0 && bad < of, "--bad must be at least 1 and below --of");
    let streams = Streams::even(of, 1).with_bad(bad, recovers);
    let mut rig = Rig::start(options, Setup { changeable: bad, bad_settings, ..Setup::healthy(streams) })?;
    let seconds = options.seconds.unwrap_or(SECONDS);
    // The window is for each healthy endpoint's application together, and so independent of how many are bad.
    let closed = Pace::Closed { window: options.window };
    let full = rig.drive("none bad, full load", closed, seconds)?;
    rig.settle(0.0);
    let open = Pace::Open { per_s: (full.acked_per_s() * OPEN_SHARE).max(1.0) };
    let half = rig.drive("none bad, half load", open, seconds)?;
    rig.settle(0.0);
    rig.set_manner(manner);
    rig.flap_ms = flap_ms;
    let full_bad = rig.drive("some bad, full load", closed, seconds)?;
    rig.watch("some bad, between", |elapsed, _, totals| {
        totals.healthy >= totals.healthy_owed || elapsed.as_secs_f64() > options.settle_seconds
    });
    let half_bad = rig.drive("some bad, half load", open, seconds)?;
    rig.flap_ms = None;
    rig.set_manner(if recovers { Manner::Healthy } else { manner });
    let settled = rig.settle(if recovers { PATIENCE_S } else { 0.0 });
    outcome.fact(
        "throughput_ratio",
        "healthy throughput, with bad ones : without",
        ratio_of_rates(&full_bad, &full),
        "",
    );
    let (p99, p99_bad) = (p99_ms(&half), p99_ms(&half_bad));
    outcome.fact("p99_ratio", "healthy p99, with bad ones : without", p99_bad / p99, "");
    outcome.interval("", &full_bad);
    outcome.interval("none_bad", &full);
    outcome.interval("half_load", &half_bad);
    outcome.interval("half_load_none_bad", &half);
    if recovers {
        outcome.fact("settle_s", "time until nothing was missing", settled.seconds, "s");
    }
    Ok(rig.finish(outcome))
}

fn ratio_of_rates(one: &Interval, other: &Interval) -> f64 {
    one.delivered_per_s() / other.delivered_per_s().max(f64::MIN_POSITIVE)
}

fn p99_ms(interval: &Interval) -> f64 {
    interval.latencies.delivery.value_at_quantile(0.99) as f64 / 1e3
}
