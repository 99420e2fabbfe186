//! `paused`: many paused endpoints, each with events that wait. It shows the memory of each, the time of a start with
//! them, and the time until one that is resumed gets its first delivery.
//!
//! Only the last endpoint is resumed, and is owed what waits; anything that arrives at another one is a fault. It is
//! resumed several times: the first time is also the first write after the start, which is slower.

use super::idle::{CALM, PER_APP, empty_mib};
use super::rig::{Rig, Setup};
use crate::cli::{Options, Paused};
use crate::drive::{Pace, Streams};
use crate::report::{Outcome, Spread};
use anyhow::ensure;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Events of one request.
const BATCH: u32 = 100;
/// The number of times that an endpoint is resumed.
const RESUMES: usize = 6;
/// The uid of that endpoint.
const RESUMED: &str = "resumed";
/// Between two looks for its first delivery.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Runs it.
pub(super) fn run(options: &Options, paused: &Paused) -> anyhow::Result<Outcome> {
    ensure!(options.url.is_none(), "it needs an engine of its own, which it starts again");
    let empty_mib = empty_mib(options)?;
    let (streams, batch) = shape(paused);
    let (apps, endpoints) = (streams.count(), streams.endpoints() as f64);
    let settings = json!({"paused": true, "uid": RESUMED});
    let setup =
        Setup { settings, bad_settings: json!({"paused": true}), batch: Some(batch), ..Setup::healthy(streams) };
    let mut rig = Rig::start(options, setup)?;
    rig.watch("paused", |elapsed, _, _| elapsed >= CALM);
    let created_mib = rig.resident_mib();

    let events = u64::from(apps) * u64::from(paused.waiting);
    arrive(&mut rig, events)?;
    let waiting_mib = rig.resident_mib();
    rig.pinion.kill()?;
    let started = rig.pinion.start_again()?;
    rig.watch("started again", |elapsed, _, _| elapsed >= CALM);
    let restarted_mib = rig.resident_mib();

    let first = resume(&rig, options, apps - 1)?;
    rig.settle(0.0);
    let mut others = Vec::new();
    for _ in 1..RESUMES {
        rig.pinion.access().call_alone("POST", &path(&rig, apps - 1, "pause"), &Value::Null)?;
        arrive(&mut rig, events)?;
        others.push(resume(&rig, options, apps - 1)?.as_secs_f64() * 1e3);
        rig.settle(0.0);
    }
    let bytes_each = |mib: f64| (mib - empty_mib) * 1048576.0 / endpoints;
    let title = format!("paused --endpoints {endpoints} --waiting {}", paused.waiting);
    let mut outcome = Outcome::new("paused", title);
    outcome.fact("bytes_each", "resident memory of each endpoint", bytes_each(restarted_mib), "B");
    outcome.fact("bytes_each_waiting", "the same before the restart", bytes_each(waiting_mib), "B");
    outcome.fact("bytes_each_created", "the same before events came", bytes_each(created_mib), "B");
    outcome.fact("empty_mib", "resident memory without endpoints", empty_mib, "MiB");
    outcome.fact("start_s", "start until ready", started.as_secs_f64(), "s");
    outcome.fact("resumed_ms", "resumed until its first delivery, median", Spread::of(others).median, "ms");
    let first_ms = first.as_secs_f64() * 1e3;
    outcome.fact("resumed_first_ms", "the same, as the first write after the start", first_ms, "ms");
    let totals = rig.ledger.totals();
    let mut outcome = rig.finish(outcome);
    if totals.received > totals.healthy {
        let count = totals.received - totals.healthy;
        outcome.complaints.push(format!("{count} deliveries to paused endpoints"));
    }
    Ok(outcome)
}

/// About so many endpoints, at least two, in applications of a thousand that get their events in turn, and the events
/// of one request. All endpoints but the last are owed nothing.
fn shape(paused: &Paused) -> (Streams, u32) {
    let fan_out = paused.endpoints.min(PER_APP);
    let apps = paused.endpoints / fan_out;
    // A request is for one application, and each gets the same number of events.
    let batch = (1..=BATCH.min(paused.waiting)).rev().find(|size| paused.waiting.is_multiple_of(*size)).unwrap_or(1);
    (Streams::in_turn(apps, fan_out).in_runs_of(batch).with_bad(apps * fan_out - 1, false), batch)
}

/// Hands in events, which wait, until the engine is calm again.
fn arrive(rig: &mut Rig, events: u64) -> anyhow::Result<()> {
    let pushing = rig.push(Pace::Count { events })?;
    rig.watch("paused, events arrive", |_, _, _| pushing.is_over());
    rig.end(pushing)?;
    rig.watch("paused, events wait", |elapsed, _, _| elapsed >= CALM);
    Ok(())
}

/// An order to the endpoint of an application that is resumed.
fn path(rig: &Rig, stream: u32, order: &str) -> String {
    format!("/api/v1/app/{}/endpoint/{RESUMED}/{order}", rig.app(stream))
}

/// Resumes the endpoint that is owed something, of this application; the time until something arrives there.
fn resume(rig: &Rig, options: &Options, stream: u32) -> anyhow::Result<Duration> {
    let (path, before) = (path(rig, stream, "resume"), rig.ledger.totals().healthy);
    let begin = Instant::now();
    rig.pinion.access().call_alone("POST", &path, &Value::Null)?;
    while rig.ledger.totals().healthy == before {
        ensure!(begin.elapsed().as_secs_f64() < options.settle_seconds, "nothing arrived at the resumed endpoint");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_endpoint_is_owed_something_and_each_application_gets_the_same() {
        for (endpoints, waiting, batch) in [(2, 3, 3), (1_000, 101, 1), (3_500, 150, 75)] {
            let (streams, found) = shape(&Paused { endpoints, waiting });
            assert_eq!(found, batch);
            let owed: Vec<usize> = (0..streams.endpoints()).filter(|endpoint| streams.is_owed(*endpoint)).collect();
            assert_eq!(owed, [streams.endpoints() - 1]);
            let events = u64::from(streams.count()) * u64::from(waiting);
            let of_last = (0..events).filter(|number| streams.healthy_of(*number) == 1).count();
            assert_eq!(of_last, waiting as usize);
        }
    }
}
