//! Scenarios: each has its set-up, its manner of driving, and the numbers it shows.

mod all;
mod backlog;
mod burst;
mod contrast;
mod drain;
mod growth;
mod idle;
mod limit;
mod pause;
mod policy;
mod restart;
mod rig;
mod schedule;
mod throughput;

use crate::cli::{Cli, Scenario};
use crate::report::{Findings, Outcome};

/// Runs the scenario that was asked for.
///
/// # Errors
/// When a scenario could not run.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Findings> {
    match &cli.scenario {
        Scenario::All(all) => all::run(&cli.options, all),
        Scenario::Policies(policies) => policy::run(&cli.options, policies),
        Scenario::Growth(growth) => Ok(Findings { curves: growth::run(&cli.options, growth)?, ..Findings::default() }),
        one => Ok(Findings { outcomes: vec![run_one(one, &cli.options)?], ..Findings::default() }),
    }
}

fn run_one(scenario: &Scenario, options: &crate::cli::Options) -> anyhow::Result<Outcome> {
    match scenario {
        Scenario::Limit(limit) => limit::run(options, limit),
        Scenario::Steady => throughput::steady(options),
        Scenario::Fanout(fanout) => throughput::fanout(options, fanout),
        Scenario::Batch(batch) => throughput::batch(options, batch),
        Scenario::Open(open) => throughput::open(options, open),
        Scenario::Tenants(tenants) => throughput::tenants(options, tenants),
        Scenario::Blackhole(blackhole) => contrast::blackhole(options, blackhole),
        Scenario::Slow(slow) => contrast::slow(options, slow),
        Scenario::Flapping(flapping) => contrast::flapping(options, flapping),
        Scenario::Burst(burst) => burst::run(options, burst),
        Scenario::Backlog(backlog) => backlog::run(options, backlog),
        Scenario::Idle(idle) => idle::run(options, idle),
        Scenario::Restart(restart) => restart::run(options, restart),
        Scenario::Scheduled(scheduled) => schedule::run(options, scheduled),
        Scenario::Paused(paused) => pause::run(options, paused),
        Scenario::All(_) | Scenario::Growth(_) | Scenario::Policies(_) => unreachable!("it is not one scenario"),
    }
}
