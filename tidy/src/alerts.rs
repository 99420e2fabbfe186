//! The rules of Prometheus under `ops/prometheus`: each alert has its labels and annotations, its entry among the runbooks
//! and its tests, and names only what is exported.
//!
//! That the rules are sound and that the tests pass is promtool's to say: `ops/check.sh` asks it.

use crate::promql::Exported;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The alerts.
const ALERTS: &str = "ops/prometheus/alerts.yml";
/// The recording rules.
const RECORDING: &str = "ops/prometheus/recording.yml";
/// The folder of unit tests.
const TESTS: &str = "ops/prometheus/tests/";
/// The page with an entry for each alert.
const RUNBOOKS: &str = "docs/RUNBOOKS.md";

/// The parts of each entry.
const PARTS: [&str; 5] = ["**Meaning.**", "**Impact.**", "**Look.**", "**Do.**", "**Never.**"];

/// Alerts that lack something, and entries of no alert.
#[must_use]
pub fn entries(tree: &Tree) -> Vec<String> {
    let rules = alerts(tree);
    let entries = entries_of(tree.text(RUNBOOKS).unwrap_or_default());
    let mut wrong = Vec::new();
    for (name, rule) in &rules {
        let runbook = format!("runbook_url: {RUNBOOKS}#{}", name.to_lowercase());
        let wanted = ["    summary: ", "    description: ", &runbook];
        let missing = wanted.iter().filter(|wanted| !rule.contains(**wanted));
        wrong.extend(missing.map(|missing| format!("{ALERTS}: {name} has no `{}`", missing.trim())));
        if !["critical", "warning"].iter().any(|severity| rule.contains(&format!("severity: {severity}\n"))) {
            wrong.push(format!("{ALERTS}: {name} is neither critical nor a warning"));
        }
        match entries.iter().find(|(entry, _)| entry == name) {
            None => wrong.push(format!("{RUNBOOKS}: there is no entry for {name}")),
            Some((_, text)) => {
                let missing = PARTS.iter().filter(|part| !text.contains(**part));
                wrong.extend(missing.map(|part| format!("{RUNBOOKS}: {name} has no part `{part}`")));
            }
        }
    }
    let names: BTreeSet<&str> = rules.iter().map(|(name, _)| *name).collect();
    let stale = entries.iter().filter(|(entry, _)| !names.contains(entry));
    wrong.extend(stale.map(|(entry, _)| format!("{RUNBOOKS}: there is no alert {entry}")));
    if names.len() != rules.len() {
        wrong.push(format!("{ALERTS}: two alerts have one name"));
    }
    wrong
}

/// Alerts without a test that they fire, or without one that they do not.
#[must_use]
pub fn tested(tree: &Tree) -> Vec<String> {
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for (_, text) in tests(tree) {
        for case in text.split("alertname: ").skip(1) {
            let name = case.lines().next().unwrap_or_default();
            let is_silent = case.split("exp_alerts:").nth(1).is_some_and(|after| after.trim_start().starts_with("[]"));
            if is_silent {
                silent.insert(name)
            } else {
                firing.insert(name)
            };
        }
    }
    let mut wrong = Vec::new();
    for (name, _) in alerts(tree) {
        for (cases, what) in [(&firing, "fires"), (&silent, "does not fire")] {
            if !cases.contains(name) {
                wrong.push(format!("{TESTS}: no test shows that {name} {what}"));
            }
        }
    }
    wrong
}

/// Metrics, labels and recorded series in rules and tests that are not there.
#[must_use]
pub fn metrics(tree: &Tree) -> Vec<String> {
    let exported = Exported::of(tree);
    let text = |path| tree.text(path).unwrap_or_default();
    let recorded: Vec<&str> =
        text(RECORDING).lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();
    let rules = [ALERTS, RECORDING].map(|path| (path, text(path), true));
    let tests = tests(tree).map(|(path, text)| (path, text, false));
    let files = rules.into_iter().chain(tests);
    let wrong = files.flat_map(|(path, text, values)| {
        let wrong = exported.wrong(text, &recorded, values);
        wrong.into_iter().map(move |wrong| format!("{path}: {wrong}"))
    });
    wrong.collect()
}

/// Each alert with the text of its rule.
fn alerts(tree: &Tree) -> Vec<(&str, &str)> {
    let rules = tree.text(ALERTS).unwrap_or_default().split("- alert: ").skip(1);
    rules.map(|rule| (rule.lines().next().unwrap_or_default(), rule)).collect()
}

/// Each entry with its text. An entry's heading is one word.
fn entries_of(document: &str) -> Vec<(&str, &str)> {
    let sections = document.split("\n## ").skip(1);
    sections.map(|section| (section.lines().next().unwrap_or_default(), section)).collect()
}

fn tests(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.files().filter(|(path, _)| path.starts_with(TESTS)).map(|(path, file)| (path, file.text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "      - alert: PinionDown\n        expr: up == 0\n        labels:\n          severity: critical\n        \
                        annotations:\n          summary: \"a\"\n          description: \"b\"\n          \
                        runbook_url: docs/RUNBOOKS.md#piniondown\n";
    const ENTRY: &str = "# R\n\n## PinionDown\n\n**Meaning.** **Impact.** **Look.** **Do.** **Never.**\n";
    const CASES: &str = "- alertname: PinionDown\n  exp_alerts:\n    - exp_labels: {a: b}\n- eval_time: 1m\n  alertname: PinionDown\n  \
                         exp_alerts: []\n";

    fn tree(rule: &str, entry: &str, cases: &str) -> Tree {
        Tree::of([(ALERTS, rule), (RUNBOOKS, entry), ("ops/prometheus/tests/a.yml", cases)])
    }

    #[test]
    fn an_alert_without_its_parts_is_seen() {
        assert_eq!(entries(&tree(RULE, ENTRY, CASES)), [""; 0]);
        let bare = RULE.replace("critical", "high").replace("#piniondown", "#down");
        let expected = [
            "ops/prometheus/alerts.yml: PinionDown has no `runbook_url: docs/RUNBOOKS.md#piniondown`",
            "ops/prometheus/alerts.yml: PinionDown is neither critical nor a warning",
            "docs/RUNBOOKS.md: PinionDown has no part `**Never.**`",
        ];
        assert_eq!(entries(&tree(&bare, &ENTRY.replace("**Never.**", ""), CASES)), expected);
    }

    #[test]
    fn entries_without_an_alert_and_alerts_without_an_entry_are_seen() {
        let wrong = entries(&tree(RULE, &ENTRY.replace("PinionDown", "PinionUp"), CASES));
        assert_eq!(
            wrong,
            ["docs/RUNBOOKS.md: there is no entry for PinionDown", "docs/RUNBOOKS.md: there is no alert PinionUp"]
        );
        let twice = [RULE, RULE].concat();
        assert_eq!(entries(&tree(&twice, ENTRY, CASES)), ["ops/prometheus/alerts.yml: two alerts have one name"]);
    }

    #[test]
    fn an_alert_without_both_tests_is_seen() {
        assert_eq!(tested(&tree(RULE, ENTRY, CASES)), [""; 0]);
        let one = CASES.split("- eval_time").next().unwrap_or_default();
        assert_eq!(
            tested(&tree(RULE, ENTRY, one)),
            ["ops/prometheus/tests/: no test shows that PinionDown does not fire"]
        );
        assert_eq!(tested(&tree(RULE, ENTRY, "")).len(), 2);
    }

    #[test]
    fn metrics_that_are_not_there_are_seen_in_rules_and_tests() {
        let wrong = metrics(&tree("expr: pinion_gone", ENTRY, "series: 'pinion_gone{a=\"b\"}'"));
        let expected = [
            "ops/prometheus/alerts.yml: there is no metric pinion_gone",
            "ops/prometheus/tests/a.yml: there is no metric pinion_gone",
        ];
        assert_eq!(wrong, expected);
    }
}
