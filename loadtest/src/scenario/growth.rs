//! `growth`: how throughput and cost change as one thing grows: endpoints, tenants, a backlog, payloads.
//!
//! A series of short runs of the other scenarios, each point on a fresh engine. It has no set-up of its own: a
//! point measures the same as the scenario of that name.

use super::{backlog, idle, limit, throughput};
use crate::cli::{Axis, Backlog, Fanout, Growth, Limit, Options, Tenants};
use crate::report::{Column, Curve, Outcome, Panel, Point};
use anyhow::{Context as _, ensure};

/// The length of the measurement of each point, in seconds, unless the command line says another.
const SECONDS: f64 = 3.0;
/// A backlog that only `--long` measures.
const LONG_BACKLOG: u32 = 1_000_000;

const RATE: Column = Column { key: "deliveries_per_s", head: "deliveries/s", panel: Some(Panel::Rate) };
const ENGINE: Column = Column { key: "engine_cpu_us", head: "engine µs", panel: Some(Panel::Cpu) };
const HARNESS: Column = Column { key: "own_cpu_us", head: "harness µs", panel: Some(Panel::Cpu) };
const RESIDENT: Column = Column { key: "resident_mib", head: "resident MiB", panel: None };
const COLUMNS: &[Column] = &[RATE, ENGINE, HARNESS, RESIDENT];

const BACKLOG_COLUMNS: &[Column] = &[
    Column { key: "drain_per_s", head: "drained/s", panel: Some(Panel::Rate) },
    Column { key: "healthy_deliveries_per_s", head: "healthy/s", panel: Some(Panel::Rate) },
    ENGINE,
    HARNESS,
    Column { key: "resident_before_mib", head: "resident MiB", panel: None },
    Column { key: "resident_growth_mib", head: "growth MiB", panel: None },
    Column { key: "wait_s", head: "wait s", panel: None },
];

const PAYLOAD_COLUMNS: &[Column] = &[
    RATE,
    Column { key: "limit_per_s", head: "limit/s", panel: Some(Panel::Rate) },
    Column { key: "of_limit", head: "of limit", panel: None },
    Column { key: "mib_per_s", head: "MiB/s", panel: None },
    ENGINE,
    HARNESS,
    Column { key: "limit_cpu_us", head: "limit µs", panel: Some(Panel::Cpu) },
    RESIDENT,
];

/// Measures one axis, or all of them.
pub(super) fn run(options: &Options, growth: &Growth) -> anyhow::Result<Vec<Curve>> {
    ensure!(options.url.is_none(), "each point needs a fresh engine, not the one at --url");
    ensure!(options.plot.is_none(), "the plots of growth are written by --plots, into a folder");
    let options = Options { seconds: Some(options.seconds.unwrap_or(SECONDS)), ..options.clone() };
    let axes = growth.axis.map_or_else(|| Axis::ALL.to_vec(), |axis| vec![axis]);
    axes.into_iter().map(|axis| measure(axis, growth.is_long, &options)).collect()
}

fn measure(axis: Axis, is_long: bool, options: &Options) -> anyhow::Result<Curve> {
    let mut curve = curve(axis);
    for x in points(axis, is_long) {
        let outcome = point(axis, x, options).with_context(|| format!("{x} {}", curve.grows))?;
        let key = curve.columns[0].key;
        eprintln!("{x} {}: {:.0}/s", curve.grows, outcome.value(key));
        curve.points.push(Point { x, outcome });
    }
    Ok(curve)
}

/// An axis without points.
fn curve(axis: Axis) -> Curve {
    let (name, title, grows, columns) = match axis {
        Axis::Endpoints => ("endpoints", "every event to N endpoints", "endpoints of each event", COLUMNS),
        Axis::Idle => ("idle", "one busy endpoint beside N idle ones", "idle endpoints", COLUMNS),
        Axis::Tenants => ("tenants", "skewed load over N applications", "applications", COLUMNS),
        Axis::Backlog => ("backlog", "N events wait for one endpoint", "events that wait", BACKLOG_COLUMNS),
        Axis::Payload => ("payload", "one endpoint, payloads of N KiB", "KiB of each payload", PAYLOAD_COLUMNS),
    };
    Curve { axis: name, title, grows, columns, points: Vec::new() }
}

/// The points of an axis.
fn points(axis: Axis, is_long: bool) -> Vec<u32> {
    let mut points = match axis {
        Axis::Endpoints => vec![1, 3, 10, 30, 100],
        Axis::Idle => vec![0, 1_000, 10_000, 100_000],
        Axis::Tenants => vec![1, 10, 100, 1_000, 10_000],
        Axis::Backlog => vec![10_000, 100_000, 300_000],
        Axis::Payload => vec![1, 10, 100],
    };
    if is_long && axis == Axis::Backlog {
        points.push(LONG_BACKLOG);
    }
    points
}

fn point(axis: Axis, x: u32, options: &Options) -> anyhow::Result<Outcome> {
    match axis {
        Axis::Endpoints => throughput::fanout(options, &Fanout { endpoints: x }),
        Axis::Idle => throughput::beside(options, (x > 0).then(|| idle::shape(x))),
        Axis::Tenants => throughput::tenants(options, &Tenants { apps: x }),
        Axis::Backlog => backlog::run(options, &Backlog { events: x.into() }),
        Axis::Payload => payload(options, x),
    }
}

/// Runs the engine with payloads of so many KiB, and the bare client just before it.
fn payload(options: &Options, kib: u32) -> anyhow::Result<Outcome> {
    let options = Options { payload_bytes: kib * 1_024, ..options.clone() };
    let limit = limit::run(&options, &Limit { threads: 1 })?;
    let mut outcome = throughput::steady(&options)?;
    let (rate, most) = (outcome.value("deliveries_per_s"), limit.value("deliveries_per_s"));
    outcome.fact("mib_per_s", "payloads delivered", rate * f64::from(kib) / 1_024.0, "MiB/s");
    outcome.fact("limit_per_s", "requests of limit", most, "/s");
    outcome.fact("limit_cpu_us", "CPU of client and receiver per request, in limit", limit.value("own_cpu_us"), "µs");
    outcome.fact("of_limit", "deliveries : requests of limit", rate / most, "");
    outcome.complaints.extend(limit.complaints.iter().map(|complaint| format!("limit: {complaint}")));
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_axis_has_points_that_grow_and_a_name_of_its_own() {
        for axis in Axis::ALL {
            let points = points(axis, true);
            assert!(points.len() >= 3 && points.is_sorted_by(|one, next| one < next), "{axis:?}: {points:?}");
        }
        let names: HashSet<&str> = Axis::ALL.iter().map(|axis| curve(*axis).axis).collect();
        assert_eq!(names.len(), Axis::ALL.len());
    }

    #[test]
    fn only_a_long_run_has_the_longest_backlog() {
        assert!(!points(Axis::Backlog, false).contains(&LONG_BACKLOG));
        assert_eq!(points(Axis::Backlog, true).last(), Some(&LONG_BACKLOG));
        assert_eq!(points(Axis::Tenants, true), points(Axis::Tenants, false));
    }

    #[test]
    fn every_axis_is_drawn_in_both_panels() {
        for axis in Axis::ALL {
            for panel in [Panel::Rate, Panel::Cpu] {
                assert!(curve(axis).columns.iter().any(|column| column.panel == Some(panel)), "{axis:?} {panel:?}");
            }
        }
    }
}
