//! `policies`: the same load without any policy and with each one, for the cost to the endpoints that have it.
//!
//! In rounds, as a ratio is of neighbours in time. The load without a policy goes first in each round; the policies
//! follow, each round with another one first, so that none is always the last. What a policy promises is checked by
//! the ledger: that nothing is lost or comes twice, the order, the signature, and that no healthy endpoint's backup is
//! called.

use super::rig::Setup;
use super::throughput;
use crate::cli::{Options, Policies, Policy};
use crate::drive::Streams;
use crate::ledger::Promise;
use crate::receive::{HEX_HEADER, Scheme};
use crate::report::{Findings, Outcome};
use crate::system::BACKUP;
use anyhow::ensure;
use clap::ValueEnum as _;
use serde_json::json;

/// The length of each measurement, in seconds, unless the command line says another.
const SECONDS: f64 = 3.0;
/// The name of the load without a policy.
const PLAIN: &str = "plain";
/// True for every event: numbers have twelve digits, and no run has so many events.
const FILTER: &str = r#"payload.n.startsWith("0")"#;

/// Runs all rounds.
pub(super) fn run(options: &Options, policies: &Policies) -> anyhow::Result<Findings> {
    ensure!(options.url.is_none(), "each policy needs a fresh engine, not the one at --url");
    ensure!(!options.ordered, "--ordered is another load: one connection, and one attempt at a time");
    let options = Options { seconds: Some(options.seconds.unwrap_or(SECONDS)), ..options.clone() };
    let mut outcomes = Vec::new();
    for round in 1..=policies.rounds {
        for policy in order(&policies.only, round) {
            let outcome = Outcome { round, ..measure(&options, policies, policy)? };
            eprintln!(
                "round {round} of {}: {}, {:.0}/s, {:.1} µs of the engine",
                policies.rounds,
                outcome.title,
                outcome.value("deliveries_per_s"),
                outcome.value("engine_cpu_us")
            );
            outcomes.push(outcome);
        }
    }
    Ok(Findings { outcomes, base: Some(PLAIN), ..Findings::default() })
}

/// The measurements of a round, one after the other; `None` is the load without a policy.
fn order(only: &[Policy], round: u32) -> Vec<Option<Policy>> {
    let all = Policy::value_variants().iter().copied();
    let mut policies: Vec<Policy> = all.filter(|policy| only.is_empty() || only.contains(policy)).collect();
    let first = (round as usize - 1) % policies.len().max(1);
    policies.rotate_left(first);
    [None].into_iter().chain(policies.into_iter().map(Some)).collect()
}

fn measure(options: &Options, policies: &Policies, policy: Option<Policy>) -> anyhow::Result<Outcome> {
    let (scenario, title) = name(policy);
    let mut options = options.clone();
    if policy == Some(Policy::Details) {
        options.serve_arg.extend(["--attempt-details", "all"].map(str::to_owned));
    }
    throughput::closed(&options, setup(policies, policy), Outcome::new(scenario, title.to_owned()))
}

/// For programs, and for people.
fn name(policy: Option<Policy>) -> (&'static str, &'static str) {
    match policy {
        None => (PLAIN, PLAIN),
        Some(Policy::Filter) => ("filter", "filter"),
        Some(Policy::OrderKey) => ("order_key", "order by key"),
        Some(Policy::OrderEndpoint) => ("order_endpoint", "order by endpoint"),
        Some(Policy::Failover) => ("failover", "failover"),
        Some(Policy::Details) => ("details", "attempt details of all"),
        Some(Policy::Signature) => ("signature", "signature format"),
    }
}

fn setup(policies: &Policies, policy: Option<Policy>) -> Setup {
    let streams = Streams::even(policies.apps, policies.endpoints);
    let plain = Setup::healthy(streams.clone());
    match policy {
        None | Some(Policy::Details) => plain,
        Some(Policy::Filter) => Setup { settings: json!({"filter": FILTER}), ..plain },
        Some(Policy::OrderKey) => Setup {
            streams: streams.with_keys(policies.keys),
            settings: json!({"order": "key"}),
            promise: Promise::Times,
            ..plain
        },
        Some(Policy::OrderEndpoint) => {
            Setup { settings: json!({"order": "endpoint"}), promise: Promise::Times, ..plain }
        }
        Some(Policy::Failover) => {
            Setup { settings: json!({"failover": {"backupEndpointId": BACKUP}}), has_backup: true, ..plain }
        }
        Some(Policy::Signature) => {
            let format = json!({"scheme": "hexBody", "signatureHeader": HEX_HEADER});
            Setup { settings: json!({"signatureFormat": format}), scheme: Scheme::HexBody, ..plain }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_first_and_the_policies_take_turns_behind_it() {
        let all = Policy::value_variants();
        let (first, second) = (order(&[], 1), order(&[], 2));
        assert_eq!((first[0], second[0]), (None, None));
        assert_eq!((first[1], second[1]), (Some(all[0]), Some(all[1])));
        assert_eq!((first.len(), second.len()), (all.len() + 1, all.len() + 1));
        assert_eq!(order(&[Policy::Failover], 7), [None, Some(Policy::Failover)]);
    }

    #[test]
    fn every_policy_has_a_name_of_its_own() {
        let mut names: Vec<&str> = order(&[], 1).into_iter().map(|policy| name(policy).0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Policy::value_variants().len() + 1);
    }
}
