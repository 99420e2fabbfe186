//! `all`: a short form of each, and what was to be reached.
//!
//! The ratios are of this run: what a machine can do is measured by `limit`, first.

use super::run_one;
use crate::cli::{All, Backlog, Batch, Blackhole, Burst, Fanout, Flapping, Idle, Open, Options, Restart, Scenario};
use crate::cli::{Limit, Slow, Tenants};
use crate::report::{Outcome, Target};

/// How long each stretch is when nobody says.
const SECONDS: f64 = 5.0;

/// Runs all of them.
pub(super) fn run(options: &Options, all: &All) -> anyhow::Result<(Vec<Outcome>, Vec<Target>)> {
    let options = Options { seconds: Some(options.seconds.unwrap_or(SECONDS)), ..options.clone() };
    let mut outcomes = Vec::new();
    for scenario in scenarios(all) {
        eprintln!("{scenario:?}");
        let rate = outcomes.iter().find(|outcome: &&Outcome| outcome.scenario == "steady");
        let rate = rate.map(|outcome| outcome.value("deliveries_per_s") / 2.0);
        let scenario = if matches!(scenario, Scenario::Open(_)) { Scenario::Open(Open { rate }) } else { scenario };
        outcomes.push(run_one(&scenario, &options)?);
    }
    let targets = targets(&outcomes);
    Ok((outcomes, targets))
}

fn scenarios(all: &All) -> Vec<Scenario> {
    vec![
        Scenario::Limit(Limit { threads: 1 }),
        Scenario::Steady,
        Scenario::Fanout(Fanout { endpoints: 10 }),
        Scenario::Batch(Batch { size: 100 }),
        Scenario::Tenants(Tenants { apps: 1_000 }),
        Scenario::Open(Open { rate: None }),
        Scenario::Blackhole(Blackhole { bad: 10, of: 100 }),
        Scenario::Slow(Slow { bad: 2, of: 10, delay_ms: 500 }),
        Scenario::Flapping(Flapping { bad: 2, of: 10, period_ms: 1_000 }),
        Scenario::Burst(Burst { size: 10_000 }),
        Scenario::Backlog(Backlog { events: all.backlog_events }),
        Scenario::Idle(Idle { endpoints: all.idle_endpoints }),
        Scenario::Restart(Restart { cycles: all.restart_cycles }),
    ]
}

/// The numbers to reach. What was not measured is not met.
fn targets(outcomes: &[Outcome]) -> Vec<Target> {
    let value = |scenario: &str, key: &str| {
        let outcome = outcomes.iter().find(|outcome| outcome.scenario == scenario);
        outcome.map_or(f64::NAN, |outcome| outcome.value(key))
    };
    let rate = |scenario| value(scenario, "deliveries_per_s");
    let at_least = |what, target, measured: f64, least: f64| Target {
        what,
        target,
        value: format!("{measured:.2}"),
        is_met: measured >= least,
    };
    let both = |what, target, value: String, is_met| Target { what, target, value, is_met };
    let limit = rate("limit");
    let (p50, p99) = (value("open", "delivery_p50_ms"), value("open", "delivery_p99_ms"));
    let (healthy, healthy_p99) = (value("blackhole", "throughput_ratio"), value("blackhole", "p99_ratio"));
    let (growth, drain) = (value("backlog", "resident_growth_mib"), value("backlog", "drain_ratio"));
    let (bytes, start) = (value("idle", "bytes_each"), value("idle", "start_s"));
    vec![
        at_least("steady", "0.40 of limit", rate("steady") / limit, 0.40),
        at_least("fanout --endpoints 10", "0.80 of limit", rate("fanout") / limit, 0.80),
        at_least("batch --size 100", "0.60 of limit", rate("batch") / limit, 0.60),
        at_least("tenants --apps 1000", "0.85 of steady", rate("tenants") / rate("steady"), 0.85),
        both(
            "open at half: send to receipt",
            "p50 <= 2 ms, p99 <= 10 ms",
            format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
            p50 <= 2.0 && p99 <= 10.0,
        ),
        both(
            "blackhole --bad 10 --of 100, healthy ones",
            "rate >= 0.95, p99 <= 1.10",
            format!("rate {healthy:.2}, p99 {healthy_p99:.2}"),
            healthy >= 0.95 && healthy_p99 <= 1.10,
        ),
        both(
            "backlog",
            "<= 64 MiB, 0.80 of steady",
            format!("{growth:.0} MiB, {drain:.2}"),
            growth <= 64.0 && drain >= 0.80,
        ),
        both(
            "idle",
            "<= 1024 B each, start <= 10 s",
            format!("{bytes:.0} B each, start {start:.1} s"),
            bytes <= 1_024.0 && start <= 10.0,
        ),
        both(
            "every ledger",
            "balances",
            format!("{} do not", outcomes.iter().filter(|outcome| !outcome.complaints.is_empty()).count()),
            outcomes.iter().all(|outcome| outcome.complaints.is_empty()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(scenario: &'static str, rate: f64) -> Outcome {
        let mut outcome = Outcome::new(scenario, scenario.to_owned());
        outcome.fact("deliveries_per_s", "deliveries", rate, "/s");
        outcome
    }

    #[test]
    fn a_target_is_met_from_its_number_on_and_not_without_one() {
        let targets = targets(&[outcome("limit", 100.0), outcome("steady", 40.0), outcome("fanout", 79.0)]);
        let is_met = |what: &str| targets.iter().find(|row| row.what.starts_with(what)).unwrap().is_met;
        assert!(is_met("steady"));
        assert!(!is_met("fanout"));
        assert!(!is_met("idle"), "it was not measured");
        assert!(is_met("every ledger"));
    }
}
