//! `restart`: kill -9 under load, again and again. Nothing acknowledged may be lost; some may arrive twice.

use super::rig::{Rig, Setup};
use crate::cli::{Options, Restart};
use crate::drive::{Pace, Streams};
use crate::report::Outcome;

/// The time of pushing before each kill, in seconds, unless the command line says another.
const SECONDS: f64 = 3.0;

/// Runs it.
pub(super) fn run(options: &Options, restart: &Restart) -> anyhow::Result<Outcome> {
    let seconds = options.seconds.unwrap_or(SECONDS);
    let mut rig = Rig::start(options, Setup { is_killed: true, ..Setup::healthy(Streams::one(2)) })?;
    let pushing = rig.push(Pace::Closed { window: options.window })?;
    let mut slowest_s: f64 = 0.0;
    for cycle in 1..=restart.cycles {
        let what = format!("until kill {cycle} of {}", restart.cycles);
        rig.watch(&what, |elapsed, _, _| elapsed.as_secs_f64() >= seconds);
        rig.pinion.kill()?;
        slowest_s = slowest_s.max(rig.pinion.start_again()?.as_secs_f64());
    }
    let interval = rig.watch("after the last", |elapsed, _, _| elapsed.as_secs_f64() >= seconds);
    rig.end(pushing)?;
    let settled = rig.settle(0.0);
    let mut outcome = Outcome::new("restart", format!("restart --cycles {}", restart.cycles));
    outcome.fact("start_max_s", "slowest start until ready", slowest_s, "s");
    outcome.fact("settle_s", "time until nothing was missing", settled.seconds, "s");
    outcome.interval("", &interval);
    let mut outcome = rig.finish(outcome);
    let duplicated = outcome.account.duplicated as f64;
    outcome.fact("duplicated", "deliveries that arrived twice", duplicated, "");
    Ok(outcome)
}
