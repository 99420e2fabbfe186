//! `all`: a short form of each, and the targets.
//!
//! Scenarios with a target are run in rounds, and ratios are of neighbours in one round: `limit` measures first how
//! much the machine can do just then. A run fails only by its ledgers.

use super::run_one;
use crate::cli::{All, Backlog, Batch, Blackhole, Burst, Fanout, Flapping, Idle, Open, Options, Restart, Scenario};
use crate::cli::{Limit, Slow, Tenants};
use crate::report::{Findings, Outcome, Spread, Target, ratios, values};

/// The length of each interval, in seconds, unless the command line says another.
const SECONDS: f64 = 4.0;

/// Runs all of them.
pub(super) fn run(options: &Options, all: &All) -> anyhow::Result<Findings> {
    let options = Options { seconds: Some(options.seconds.unwrap_or(SECONDS)), ..options.clone() };
    let mut outcomes: Vec<Outcome> = Vec::new();
    for round in 1..=all.rounds {
        for scenario in in_each_round() {
            eprintln!("round {round} of {}: {scenario:?}", all.rounds);
            let scenario = match scenario {
                Scenario::Open(_) => Scenario::Open(Open { rate: half_of_steady(&outcomes, round) }),
                other => other,
            };
            outcomes.push(Outcome { round, ..run_one(&scenario, &options)? });
        }
    }
    for scenario in once(all) {
        eprintln!("{scenario:?}");
        outcomes.push(Outcome { round: all.rounds, ..run_one(&scenario, &options)? });
    }
    let targets = targets(&outcomes);
    Ok(Findings { outcomes, targets, ..Findings::default() })
}

/// In an order in which compared scenarios are near in time: with `limit`, and `tenants` with `steady`.
fn in_each_round() -> Vec<Scenario> {
    vec![
        Scenario::Limit(Limit { threads: 1 }),
        Scenario::Steady,
        Scenario::Tenants(Tenants { apps: 1_000 }),
        Scenario::Fanout(Fanout { endpoints: 10 }),
        Scenario::Batch(Batch { size: 100 }),
        Scenario::Open(Open { rate: None }),
        Scenario::Blackhole(Blackhole { bad: 10, of: 100 }),
    ]
}

fn once(all: &All) -> Vec<Scenario> {
    vec![
        Scenario::Slow(Slow { bad: 2, of: 10, delay_ms: 500 }),
        Scenario::Flapping(Flapping { bad: 2, of: 10, period_ms: 1_000 }),
        Scenario::Burst(Burst { size: 10_000 }),
        Scenario::Backlog(Backlog { events: all.backlog_events }),
        Scenario::Idle(Idle { endpoints: all.idle_endpoints }),
        Scenario::Restart(Restart { cycles: all.restart_cycles }),
    ]
}

/// The rate of `open`: half of the rate that `steady` of the same round reached.
fn half_of_steady(outcomes: &[Outcome], round: u32) -> Option<f64> {
    let steady = outcomes.iter().find(|outcome| outcome.scenario == "steady" && outcome.round == round);
    steady.map(|outcome| outcome.value("deliveries_per_s") / 2.0)
}

/// The numbers to reach, each by its median over the rounds. A target that was not measured is not met.
fn targets(outcomes: &[Outcome]) -> Vec<Target> {
    let rate_of = |scenario, base| ratios(outcomes, scenario, base, "deliveries_per_s");
    let at_least = |what, target, measured: Spread, least: f64| Target {
        what,
        target,
        value: measured.show(),
        is_met: measured.median >= least,
    };
    let both = |what, target, value: String, is_met| Target { what, target, value, is_met };
    let pair = |scenario, keys: [&str; 2]| keys.map(|key| values(outcomes, scenario, key));
    let [p50, p99] = pair("open", ["delivery_p50_ms", "delivery_p99_ms"]);
    let [healthy, healthy_p99] = pair("blackhole", ["throughput_ratio", "p99_ratio"]);
    let [growth, drain] = pair("backlog", ["resident_growth_mib", "drain_ratio"]).map(|spread| spread.median);
    let [bytes, start] = pair("idle", ["bytes_each", "start_s"]).map(|spread| spread.median);
    vec![
        at_least("steady", "0.40 of limit", rate_of("steady", "limit"), 0.40),
        at_least("fanout --endpoints 10", "0.80 of limit", rate_of("fanout", "limit"), 0.80),
        at_least("batch --size 100", "0.60 of limit", rate_of("batch", "limit"), 0.60),
        at_least("tenants --apps 1000", "0.85 of steady", rate_of("tenants", "steady"), 0.85),
        both(
            "open at half: send to receipt",
            "p50 <= 2 ms, p99 <= 10 ms",
            format!("p50 {} ms, p99 {} ms", p50.show(), p99.show()),
            p50.median <= 2.0 && p99.median <= 10.0,
        ),
        both(
            "blackhole --bad 10 --of 100, healthy ones",
            "rate >= 0.95, p99 <= 1.10",
            format!("rate {}, p99 {}", healthy.show(), healthy_p99.show()),
            healthy.median >= 0.95 && healthy_p99.median <= 1.10,
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
    use crate::report::testing::outcome;

    #[test]
    fn a_target_is_met_from_its_number_on_and_not_without_one() {
        let targets = targets(&[outcome("limit", 1, 100.0), outcome("steady", 1, 40.0), outcome("fanout", 1, 79.0)]);
        let row = |what: &str| targets.iter().find(|row| row.what.starts_with(what)).unwrap();
        assert!(row("steady").is_met);
        assert!(!row("fanout").is_met);
        assert!(!row("idle").is_met, "it was not measured");
        assert!(row("every ledger").is_met);
    }

    #[test]
    fn over_several_rounds_the_median_decides_and_the_ends_are_shown() {
        let mut outcomes = Vec::new();
        for (round, steady, p99_ms) in [(1, 39.0, 9.0), (2, 90.0, 50.0), (3, 41.0, 7.0)] {
            let mut open = outcome("open", round, 20.0);
            open.fact("delivery_p50_ms", "p50", 1.0, "ms");
            open.fact("delivery_p99_ms", "p99", p99_ms, "ms");
            outcomes.extend([outcome("limit", round, 100.0), outcome("steady", round, steady), open]);
        }
        let targets = targets(&outcomes);
        let row = |what: &str| targets.iter().find(|row| row.what.starts_with(what)).unwrap();
        assert_eq!((row("steady").value.as_str(), row("steady").is_met), ("0.41 (0.39 to 0.90)", true));
        assert_eq!(row("open").value, "p50 1.00 (1.00 to 1.00) ms, p99 9.00 (7.00 to 50.00) ms");
        assert!(row("open").is_met);
        assert_eq!(half_of_steady(&outcomes, 2), Some(45.0));
    }
}
