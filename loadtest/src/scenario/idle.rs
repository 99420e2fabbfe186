//! `idle`: many endpoints without traffic. It shows the memory of each, and the time of a start with them.

use super::rig::{Rig, Setup};
use crate::cli::{Idle, Options};
use crate::drive::{Pace, Streams};
use crate::report::Outcome;
use crate::system::Pinion;
use anyhow::Context as _;
use std::time::{Duration, Instant};

/// Endpoints of an application.
pub(super) const PER_APP: u32 = 1_000;
/// Memory is looked at so long after a start, when the memory that a start needs is freed.
pub(super) const CALM: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) fn run(options: &Options, idle: &Idle) -> anyhow::Result<Outcome> {
    let empty_mib = empty_mib(options)?;
    let streams = shape(idle.endpoints);
    let endpoints = streams.endpoints() as f64;
    let creating = Instant::now();
    let mut rig = Rig::start(options, Setup { is_killed: true, ..Setup::healthy(streams) })?;
    let create_s = creating.elapsed().as_secs_f64();
    rig.watch("idle", |elapsed, _, _| elapsed >= CALM);
    let created_mib = rig.resident_mib();
    rig.pinion.kill()?;
    let started = rig.pinion.start_again()?;
    rig.watch("started again", |elapsed, _, _| elapsed >= CALM);
    let restarted_mib = rig.resident_mib();

    // One event wakes the endpoints of one application: they are there.
    let pushing = rig.push(Pace::Count { events: 1 })?;
    let until_s = options.settle_seconds;
    rig.watch("one event", |elapsed, _, totals| {
        let is_delivered = totals.acked > 0 && totals.healthy >= totals.healthy_owed;
        is_delivered && pushing.is_over() || elapsed.as_secs_f64() > until_s
    });
    rig.end(pushing)?;

    let bytes_each = |mib: f64| (mib - empty_mib) * 1048576.0 / endpoints;
    let mut outcome = Outcome::new("idle", format!("idle --endpoints {endpoints}"));
    outcome.fact("bytes_each", "resident memory of each endpoint", bytes_each(restarted_mib), "B");
    outcome.fact("bytes_each_created", "the same before the restart", bytes_each(created_mib), "B");
    outcome.fact("start_s", "start until ready", started.as_secs_f64(), "s");
    outcome.fact("empty_mib", "resident memory without endpoints", empty_mib, "MiB");
    outcome.fact("create_per_s", "endpoints created", endpoints / create_s, "/s");
    Ok(rig.finish(outcome))
}

/// About so many endpoints (at least one) in applications of a thousand, or all in one.
pub(super) fn shape(endpoints: u32) -> Streams {
    let fan_out = endpoints.clamp(1, PER_APP);
    Streams::even(endpoints / fan_out, fan_out)
}

/// Resident memory of an engine with nothing in it.
pub(super) fn empty_mib(options: &Options) -> anyhow::Result<f64> {
    let pinion = Pinion::start(options)?;
    std::thread::sleep(CALM);
    let pid = pinion.pid().context("memory is only known of a process with --pid")?;
    let usage = crate::measure::Usage::of(pid).context("memory is only known where there is /proc")?;
    Ok(usage.resident_bytes as f64 / 1048576.0)
}
