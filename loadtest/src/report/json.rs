//! Results for programs.

use super::{Curve, Findings, Outcome};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Writes everything to a file.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, findings: &Findings) -> std::io::Result<()> {
    std::fs::write(path, format!("{:#}\n", all(findings)))
}

fn all(findings: &Findings) -> Value {
    let targets: Vec<Value> = findings
        .targets
        .iter()
        .map(|row| json!({"what": row.what, "target": row.target, "value": row.value, "met": row.is_met}))
        .collect();
    json!({
        "command": std::env::args().skip(1).filter(|argument| !argument.starts_with("--key")).collect::<Vec<_>>(),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "processor": processor(),
        "scenarios": findings.outcomes.iter().map(one).collect::<Vec<_>>(),
        "targets": targets,
        "curves": findings.curves.iter().map(curve).collect::<Vec<_>>(),
    })
}

fn curve(curve: &Curve) -> Value {
    let points: Vec<Value> =
        curve.points.iter().map(|point| json!({"x": point.x, "outcome": one(&point.outcome)})).collect();
    json!({"axis": curve.axis, "grows": curve.grows, "points": points})
}

fn one(outcome: &Outcome) -> Value {
    let facts: Map<String, Value> = outcome.facts.iter().map(|fact| (fact.key.clone(), json!(fact.value))).collect();
    let account = &outcome.account;
    let samples: Vec<Value> = outcome
        .samples
        .iter()
        .map(|sample| {
            json!({
                "atS": sample.at_s, "ackedPerS": sample.acked_per_s, "deliveredPerS": sample.delivered_per_s,
                "p50Ms": sample.p50_ms, "p90Ms": sample.p90_ms, "p99Ms": sample.p99_ms,
                "residentMib": sample.resident_mib,
            })
        })
        .collect();
    json!({
        "scenario": outcome.scenario,
        "title": outcome.title,
        "round": outcome.round,
        "facts": facts,
        "ledger": {
            "sent": account.sent, "acknowledged": account.acked, "owed": account.owed, "received": account.received,
            "lost": account.lost, "duplicated": account.duplicated, "outOfOrder": account.out_of_order, "early": account.early,
            "changedIds": account.changed_ids, "badSignatures": account.bad_signatures, "unexpected": account.unexpected, "refused": account.refused,
        },
        "balances": outcome.complaints.is_empty(),
        "complaints": outcome.complaints,
        "samples": samples,
    })
}

/// The name that Linux gives the processor; empty elsewhere.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_by_their_keys() {
        let mut outcome = Outcome::new("steady", "steady".to_owned());
        outcome.fact("deliveries_per_s", "deliveries", 7.5, "/s");
        let json = all(&Findings { outcomes: vec![outcome], ..Findings::default() });
        assert_eq!(json["scenarios"][0]["facts"]["deliveries_per_s"], 7.5);
        assert_eq!(json["scenarios"][0]["round"], 1);
        assert_eq!(json["scenarios"][0]["balances"], true);
    }

    #[test]
    fn the_points_of_a_curve_are_outcomes_too() {
        let curves = vec![super::super::curve::tests::curve(&[(0, 40_000.0), (1_000, 50_000.0)])];
        let json = all(&Findings { curves, ..Findings::default() });
        let point = &json["curves"][0]["points"][1];
        assert_eq!((&point["x"], &point["outcome"]["facts"]["deliveries_per_s"]), (&json!(1_000), &json!(50_000.0)));
    }
}
