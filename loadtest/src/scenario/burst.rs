//! `burst`: quiet, then many events at once, again and again.

use super::rig::{Rig, Setup};
use crate::cli::{Burst, Options};
use crate::drive::{Pace, Streams};
use crate::measure::Interval;
use crate::report::Outcome;
use std::time::{Duration, Instant};

/// The length of the run, in seconds, unless the command line says another.
const SECONDS: f64 = 15.0;
/// Events of one request.
const BATCH: u32 = 100;
/// The quiet between two bursts.
const QUIET: Duration = Duration::from_secs(1);

/// Runs it.
pub(super) fn run(options: &Options, burst: &Burst) -> anyhow::Result<Outcome> {
    let streams = Streams::one(1).in_runs_of(BATCH);
    let mut rig = Rig::start(options, Setup { batch: Some(BATCH), ..Setup::healthy(streams) })?;
    let until = Instant::now() + Duration::from_secs_f64(options.seconds.unwrap_or(SECONDS));
    let (mut bursts, mut sum, mut slowest_ms): (u32, Option<Interval>, f64) = (0, None, 0.0);
    while bursts == 0 || Instant::now() < until {
        let pushing = rig.push(Pace::Count { events: burst.size.into() })?;
        let settle_s = options.settle_seconds;
        let interval = rig.watch("burst", |elapsed, _, totals| {
            let is_delivered = pushing.is_over() && totals.healthy >= totals.healthy_owed;
            is_delivered || elapsed.as_secs_f64() > settle_s
        });
        rig.end(pushing)?;
        bursts += 1;
        slowest_ms = slowest_ms.max(interval.latencies.delivery.max() as f64 / 1e3);
        sum = Some(match sum {
            None => interval,
            Some(before) => before.and(&interval),
        });
        rig.watch("quiet", |elapsed, _, _| elapsed >= QUIET);
    }
    rig.settle(0.0);
    let mut outcome = Outcome::new("burst", format!("burst --size {}", burst.size));
    outcome.fact("bursts", "bursts", bursts.into(), "");
    outcome.fact("slowest_ms", "slowest delivery of any burst", slowest_ms, "ms");
    if let Some(sum) = sum {
        outcome.interval("", &sum);
    }
    Ok(rig.finish(outcome))
}
