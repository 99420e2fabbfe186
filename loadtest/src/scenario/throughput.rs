//! `steady`, `fanout`, `batch`, `tenants`, `open`, and `steady` beside idle endpoints: healthy endpoints, one interval
//! of load.

use super::rig::{Rig, Setup};
use crate::cli::{Batch, Fanout, Open, Options, Tenants};
use crate::drive::{Pace, Streams};
use crate::report::Outcome;

/// The length of each of these measurements, in seconds, unless the command line says another.
const SECONDS: f64 = 10.0;
/// The time that `open` looks for the maximum, in seconds, when no rate is given.
const PROBE_SECONDS: f64 = 4.0;
/// The share of the maximum that `open` runs at then.
const OPEN_SHARE: f64 = 0.5;

/// One endpoint, single events, closed loop.
pub(super) fn steady(options: &Options) -> anyhow::Result<Outcome> {
    closed(options, Setup::healthy(Streams::one(1)), Outcome::new("steady", "steady".to_owned()))
}

/// `steady` beside endpoints of other applications that get nothing.
pub(super) fn beside(options: &Options, idle: Option<Streams>) -> anyhow::Result<Outcome> {
    let title = format!("steady beside {} idle endpoints", idle.as_ref().map_or(0, Streams::endpoints));
    closed(options, Setup { idle, ..Setup::healthy(Streams::one(1)) }, Outcome::new("steady", title))
}

/// Each event to several endpoints.
pub(super) fn fanout(options: &Options, fanout: &Fanout) -> anyhow::Result<Outcome> {
    let title = format!("fanout --endpoints {}", fanout.endpoints);
    closed(options, Setup::healthy(Streams::one(fanout.endpoints)), Outcome::new("fanout", title))
}

/// Several events in each request.
pub(super) fn batch(options: &Options, batch: &Batch) -> anyhow::Result<Outcome> {
    let streams = Streams::one(1).in_runs_of(batch.size);
    let setup = Setup { batch: Some(batch.size), ..Setup::healthy(streams) };
    closed(options, setup, Outcome::new("batch", format!("batch --size {}", batch.size)))
}

/// Many applications with skewed load.
pub(super) fn tenants(options: &Options, tenants: &Tenants) -> anyhow::Result<Outcome> {
    let title = format!("tenants --apps {}", tenants.apps);
    closed(options, Setup::healthy(Streams::skewed(tenants.apps)), Outcome::new("tenants", title))
}

/// A fixed rate, whatever the answers do.
pub(super) fn open(options: &Options, open: &Open) -> anyhow::Result<Outcome> {
    let mut rig = Rig::start(options, Setup::healthy(Streams::one(1)))?;
    let per_s = match open.rate {
        Some(rate) if rate > 0.0 => rate,
        Some(rate) => anyhow::bail!("a rate of {rate} events per second"),
        None => {
            let pace = Pace::Closed { window: options.window };
            let probe = rig.drive("looking for the maximum", pace, options.seconds.unwrap_or(PROBE_SECONDS))?;
            rig.settle(0.0);
            (probe.delivered_per_s() * OPEN_SHARE).max(1.0)
        }
    };
    let mut outcome = Outcome::new("open", format!("open --rate {per_s:.0}"));
    let interval = rig.drive("open loop", Pace::Open { per_s }, options.seconds.unwrap_or(SECONDS))?;
    rig.settle(0.0);
    outcome.interval("", &interval);
    Ok(rig.finish(outcome))
}

/// An interval of load in a closed loop.
pub(super) fn closed(options: &Options, setup: Setup, mut outcome: Outcome) -> anyhow::Result<Outcome> {
    let mut rig = Rig::start(options, setup)?;
    let pace = Pace::Closed { window: options.window };
    let interval = rig.drive(outcome.scenario, pace, options.seconds.unwrap_or(SECONDS))?;
    rig.settle(0.0);
    outcome.interval("", &interval);
    Ok(rig.finish(outcome))
}
