//! `scheduled`: many events that are due a day later. It shows their memory and disk, the time of a start with them,
//! and how late those are that are due within seconds beside them.
//!
//! The lateness is measured alone first, then after the restart. Events that are due a day later must not arrive.

use super::idle::CALM;
use super::rig::{Rig, Setup};
use crate::cli::{Options, Scheduled};
use crate::drive::{Pace, Streams};
use crate::measure::Latencies;
use crate::report::Outcome;
use anyhow::ensure;
use std::time::Duration;

/// Events of one request.
const BATCH: u32 = 100;
/// The time until the many events are due.
const DAY: Duration = Duration::from_secs(86_400);
/// The time until the first of the few is due, long enough to hand in all of them.
const LEAD: Duration = Duration::from_secs(5);
/// The time from one of these to the next: each has a time of its own, and none waits for another.
const EVERY: Duration = Duration::from_millis(5);

/// Runs it.
pub(super) fn run(options: &Options, scheduled: &Scheduled) -> anyhow::Result<Outcome> {
    ensure!(options.url.is_none(), "it needs an engine of its own, which it starts again");
    let streams = Streams::one(1).in_runs_of(BATCH);
    let mut rig = Rig::start(options, Setup { batch: Some(BATCH), ..Setup::healthy(streams) })?;
    let alone = deliver(&mut rig, "due soon, alone", scheduled.due)?;
    rig.watch("calm", |elapsed, _, _| elapsed >= CALM);
    let (before_mib, before_bytes) = (rig.resident_mib(), rig.pinion.disk_bytes());

    let first = rig.ledger.next_number();
    let events = scheduled.events.next_multiple_of(BATCH.into());
    rig.ledger.hold(first..first + events);
    let pushing = rig.push_due(Pace::Count { events }, Some(rig.due(DAY, Duration::ZERO)))?;
    let arriving = rig.watch("events arrive, due a day later", |_, _, _| pushing.is_over());
    rig.end(pushing)?;
    rig.watch("scheduled", |elapsed, _, _| elapsed >= CALM);
    let (waiting_mib, bytes) = (rig.resident_mib(), rig.pinion.disk_bytes());
    rig.pinion.kill()?;
    let started = rig.pinion.start_again()?;
    rig.watch("started again", |elapsed, _, _| elapsed >= CALM);
    let restarted_mib = rig.resident_mib();
    let beside = deliver(&mut rig, "due soon, beside the others", scheduled.due)?;

    let mut outcome = Outcome::new("scheduled", format!("scheduled --events {events}"));
    outcome.fact("arrival_per_s", "scheduled events acknowledged", arriving.acked_per_s(), "/s");
    outcome.fact("resident_before_mib", "resident memory before", before_mib, "MiB");
    outcome.fact("resident_growth_mib", "resident memory, growth", waiting_mib - before_mib, "MiB");
    let restarted_growth_mib = restarted_mib - before_mib;
    outcome.fact("restarted_growth_mib", "the same after the restart", restarted_growth_mib, "MiB");
    if let Some((bytes, before)) = bytes.zip(before_bytes) {
        let grown = bytes.saturating_sub(before) as f64;
        outcome.fact("disk_mib", "files, growth", grown / 1048576.0, "MiB");
        outcome.fact("disk_bytes_each", "files, growth for each event", grown / events as f64, "B");
    }
    outcome.fact("start_s", "start until ready", started.as_secs_f64(), "s");
    add_lateness(&mut outcome, ["late", "due soon beside them, late by"], &beside);
    add_lateness(&mut outcome, ["late_alone", "due soon without them, late by"], &alone);
    Ok(rig.finish(outcome))
}

/// Hands in events that are due soon and waits for them; latencies count from the time that each is due.
fn deliver(rig: &mut Rig, what: &str, events: u64) -> anyhow::Result<Latencies> {
    let events = events.next_multiple_of(BATCH.into());
    let pushing = rig.push_due(Pace::Count { events }, Some(rig.due(LEAD, EVERY)))?;
    let handing = rig.watch(what, |_, _, _| pushing.is_over());
    rig.end(pushing)?;
    let settling = rig.settle((LEAD + EVERY * u32::try_from(events).unwrap_or(u32::MAX)).as_secs_f64());
    Ok(handing.and(&settling).latencies)
}

fn add_lateness(outcome: &mut Outcome, [key, label]: [&str; 2], latencies: &Latencies) {
    let late = &latencies.delivery;
    for (name, us) in [("p50", late.value_at_quantile(0.5)), ("p99", late.value_at_quantile(0.99)), ("max", late.max())]
    {
        outcome.fact(&format!("{key}_{name}_ms"), &format!("{label}, {name}"), us as f64 / 1e3, "ms");
    }
}
