//! Results for programs.

use super::{Outcome, Target};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Writes everything to a file.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, outcomes: &[Outcome], targets: &[Target]) -> std::io::Result<()> {
    std::fs::write(path, format!("{:#}\n", all(outcomes, targets)))
}

fn all(outcomes: &[Outcome], targets: &[Target]) -> Value {
    let targets: Vec<Value> = targets
        .iter()
        .map(|row| json!({"what": row.what, "target": row.target, "value": row.value, "met": row.is_met}))
        .collect();
    json!({
        "command": std::env::args().skip(1).filter(|argument| !argument.starts_with("--key")).collect::<Vec<_>>(),
        "cores": std::thread::available_parallelism().map_or(0, |cores| cores.get()),
        "processor": processor(),
        "scenarios": outcomes.iter().map(one).collect::<Vec<_>>(),
        "targets": targets,
    })
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
            "lost": account.lost, "duplicated": account.duplicated, "outOfOrder": account.out_of_order,
            "changedIds": account.changed_ids, "badSignatures": account.bad_signatures, "unexpected": account.unexpected, "refused": account.refused,
        },
        "balances": outcome.complaints.is_empty(),
        "complaints": outcome.complaints,
        "samples": samples,
    })
}

/// What Linux calls it; empty elsewhere.
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
        let json = all(&[outcome], &[]);
        assert_eq!(json["scenarios"][0]["facts"]["deliveries_per_s"], 7.5);
        assert_eq!(json["scenarios"][0]["round"], 1);
        assert_eq!(json["scenarios"][0]["balances"], true);
    }
}
