//! The results of a run and their forms: tables, JSON, plots.

mod canvas;
mod contrast;
mod curve;
mod growth_svg;
mod json;
mod rounds;
mod svg;
mod table;

pub(crate) use self::curve::{Column, Curve, Panel, Point};
pub(crate) use self::growth_svg::write as write_growth_svg;
pub(crate) use self::json::write as write_json;
pub(crate) use self::rounds::{Spread, by_scenario, ratios, values};
pub(crate) use self::svg::write as write_svg;

use crate::ledger::Account;
use crate::measure::{Interval, Sample};

/// One number of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    /// For programs.
    pub(crate) key: String,
    /// For people.
    pub(crate) label: String,
    /// The number.
    pub(crate) value: f64,
    /// Its unit, may be empty.
    pub(crate) unit: &'static str,
}

/// The results of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The scenario with its parameters.
    pub(crate) title: String,
    /// Its name.
    pub(crate) scenario: &'static str,
    /// Which round of it, from 1 on. A scenario that `all` runs only once belongs to the last round, after which it
    /// runs.
    pub(crate) round: u32,
    /// Its numbers.
    pub(crate) facts: Vec<Fact>,
    /// The course of it.
    pub(crate) samples: Vec<Sample>,
    /// The ledger.
    pub(crate) account: Account,
    /// The faults of the ledger; empty when it balances.
    pub(crate) complaints: Vec<String>,
}

/// Everything that a run found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The results of each scenario, of each round.
    pub(crate) outcomes: Vec<Outcome>,
    /// The scenario that the others are compared with; only of `policies`.
    pub(crate) base: Option<&'static str>,
    /// The targets; only of `all`.
    pub(crate) targets: Vec<Target>,
    /// Only of `growth`, whose outcomes are in here.
    pub(crate) curves: Vec<Curve>,
}

/// A number to reach, for the summary of `all`.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The measured quantity.
    pub(crate) what: &'static str,
    /// The number to reach, in words.
    pub(crate) target: &'static str,
    /// The measured value, in words.
    pub(crate) value: String,
    /// True when it is reached.
    pub(crate) is_met: bool,
}

/// Rate of all cores together at `cpu_us` each. Steadier than a rate on a machine that others use too.
pub(crate) fn cpu_bound_per_s(cpu_us: f64) -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    cores as f64 * 1e6 / cpu_us
}

/// Prints the findings on standard output: a scenario alone, a summary of several, or all of them beside one.
pub(crate) fn print(findings: &Findings) {
    match findings.base {
        Some(base) => print!("{}", contrast::table(&findings.outcomes, base)),
        None => table::print(findings),
    }
}

impl Findings {
    /// True when every ledger balances.
    pub(crate) fn is_balanced(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.complaints.is_empty()) && self.curves.iter().all(Curve::is_balanced)
    }
}

impl Outcome {
    /// Without numbers yet.
    pub(crate) fn new(scenario: &'static str, title: String) -> Outcome {
        let (facts, samples, complaints) = (Vec::new(), Vec::new(), Vec::new());
        Outcome { title, scenario, round: 1, facts, samples, account: Account::default(), complaints }
    }

    /// Adds a number.
    pub(crate) fn fact(&mut self, key: &str, label: &str, value: f64, unit: &'static str) {
        self.facts.push(Fact { key: key.to_owned(), label: label.to_owned(), value, unit });
    }

    /// A number by its key; not a number when it is not there.
    pub(crate) fn value(&self, key: &str) -> f64 {
        self.facts.iter().find(|fact| fact.key == key).map_or(f64::NAN, |fact| fact.value)
    }

    /// Adds the numbers of an interval. `prefix` goes before keys and labels; empty for the main one.
    pub(crate) fn interval(&mut self, prefix: &str, interval: &Interval) {
        let mut add = |key: &str, label: &str, value: f64, unit: &'static str| {
            let key = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}_{key}") };
            let label = if prefix.is_empty() { label.to_owned() } else { format!("{prefix}: {label}") };
            self.facts.push(Fact { key, label, value, unit });
        };
        let ms = |us: u64| us as f64 / 1e3;
        let latencies = &interval.latencies;
        add("deliveries_per_s", "deliveries", interval.delivered_per_s(), "/s");
        if interval.acked > 0 {
            add("events_per_s", "events acknowledged", interval.acked_per_s(), "/s");
        }
        for (key, label, histogram) in [
            ("delivery", "intended send to receipt", &latencies.delivery),
            ("after_ack", "acknowledgement to receipt", &latencies.after_ack),
            ("ack", "intended send to acknowledgement", &latencies.ack),
        ] {
            for (quantile, name) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p999")] {
                if !histogram.is_empty() {
                    let value = ms(histogram.value_at_quantile(quantile));
                    add(&format!("{key}_{name}_ms"), &format!("{label}, {name}"), value, "ms");
                }
            }
        }
        if !latencies.delivery.is_empty() {
            add("delivery_max_ms", "intended send to receipt, max", ms(latencies.delivery.max()), "ms");
        }
        if let Some(cpu_us) = interval.engine_cpu_us() {
            add("engine_cpu_us", "CPU of the engine per delivery", cpu_us, "µs");
        }
        add("own_cpu_us", "CPU of pusher and receiver per delivery", interval.own_cpu_us(), "µs");
        if let Some(cpu_us) = interval.engine_cpu_us() {
            let bound = cpu_bound_per_s(cpu_us + interval.own_cpu_us());
            add("cpu_bound_per_s", "deliveries that this CPU allows on all cores", bound, "/s");
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Outcome;

    /// A scenario that only has a rate.
    pub(crate) fn outcome(scenario: &'static str, round: u32, rate: f64) -> Outcome {
        let mut outcome = Outcome { round, ..Outcome::new(scenario, scenario.to_owned()) };
        outcome.fact("deliveries_per_s", "deliveries", rate, "/s");
        outcome
    }
}
