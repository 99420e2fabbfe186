//! Tables for people, on standard output.

use super::{Findings, Outcome, Target, by_scenario, ratios, values};

/// Prints the findings: a scenario alone, or a summary of several.
pub(super) fn print(findings: &Findings) {
    for curve in &findings.curves {
        print!("{}", curve.table());
    }
    match findings.outcomes.as_slice() {
        [] => {}
        [outcome] => print!("{}", one(outcome)),
        outcomes => print!("{}", all(outcomes, &findings.targets)),
    }
}

fn one(outcome: &Outcome) -> String {
    let mut text = format!("\n{}\n", outcome.title);
    let width = outcome.facts.iter().map(|fact| fact.label.chars().count()).max().unwrap_or_default();
    for fact in &outcome.facts {
        line(&mut text, format_args!("  {:<width$}  {:>12} {}", fact.label, number(fact.value), fact.unit));
    }
    ledger(outcome, &mut text);
    text
}

/// A line for each scenario: the median of each number over its rounds, and the complaints of its ledgers.
fn all(outcomes: &[Outcome], targets: &[Target]) -> String {
    let median = |scenario, key| number(values(outcomes, scenario, key).median);
    let of_limit = |scenario, key| number(ratios(outcomes, scenario, "limit", key).median);
    let mut text = String::new();
    let heads = ["deliveries/s", "of limit", "by CPU", "p50 ms", "p99 ms", "CPU µs"];
    let columns_of_heads = columns(heads.map(str::to_owned));
    line(&mut text, format_args!("\n{:<44}{:>7}{columns_of_heads}  ledgers", "scenario, medians", "rounds"));
    for group in by_scenario(outcomes) {
        // The last title: that of `open` names its rate, which is another one in each round.
        let Some(Outcome { scenario, title, .. }) = group.last() else { continue };
        let cells = [
            median(scenario, "deliveries_per_s"),
            of_limit(scenario, "deliveries_per_s"),
            of_limit(scenario, "cpu_bound_per_s"),
            median(scenario, "delivery_p50_ms"),
            median(scenario, "delivery_p99_ms"),
            median(scenario, "engine_cpu_us"),
        ];
        let balance = balance(&group);
        line(&mut text, format_args!("{title:<44}{:>7}{}  {balance}", group.len(), columns(cells)));
    }
    let (what, target, value) = ("what", "to reach", "measured: median (least to greatest)");
    line(&mut text, format_args!("\n{what:<42} {target:<30} {value:<56} met"));
    for row in targets {
        let met = if row.is_met { "yes" } else { "NO" };
        line(&mut text, format_args!("{:<42} {:<30} {:<56} {met}", row.what, row.target, row.value));
    }
    text
}

pub(super) fn balance(group: &[&Outcome]) -> String {
    let wrong = group.iter().filter(|outcome| !outcome.complaints.is_empty());
    let complaints: Vec<String> =
        wrong.map(|outcome| format!("round {}: {}", outcome.round, outcome.complaints.join(", "))).collect();
    if complaints.is_empty() { "balance".to_owned() } else { complaints.join("; ") }
}

/// Right-aligned.
fn columns(cells: [String; 6]) -> String {
    cells.iter().map(|cell| format!("{cell:>13}")).collect()
}

fn ledger(outcome: &Outcome, text: &mut String) {
    let account = &outcome.account;
    line(
        text,
        format_args!(
            "  ledger: {} events sent, {} acknowledged, {} deliveries owed, {} received; lost {}, duplicated {}, \
             out of order {}, early {}, changed ids {}, bad signatures {}, unexpected {}",
            account.sent,
            account.acked,
            account.owed,
            account.received,
            account.lost,
            account.duplicated,
            account.out_of_order,
            account.early,
            account.changed_ids,
            account.bad_signatures,
            account.unexpected,
        ),
    );
    if outcome.complaints.is_empty() {
        line(text, format_args!("  The ledger balances."));
    } else {
        line(text, format_args!("  THE LEDGER DOES NOT BALANCE: {}", outcome.complaints.join(", ")));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.push_str(&arguments.to_string());
    text.push('\n');
}

/// With as many digits as make sense; nothing for a number that is not there.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    match value.abs() {
        abs if abs >= 1_000.0 => thousands(value),
        abs if abs >= 100.0 => format!("{value:.0}"),
        abs if abs >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// With commas and no digits after the point.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_sensible_digits() {
        let numbers =
            [(1_234_567.8, "1,234,568"), (999.4, "999"), (12.34, "12.3"), (0.456, "0.46"), (1_000.0, "1,000")];
        for (value, text) in numbers {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::NAN), "-");
    }

    #[test]
    fn a_table_says_when_the_ledger_does_not_balance() {
        let mut outcome = Outcome::new("steady", "steady".to_owned());
        outcome.fact("deliveries_per_s", "deliveries", 1_234.0, "/s");
        assert!(one(&outcome).contains("The ledger balances"));
        outcome.complaints.push("3 deliveries lost".to_owned());
        assert!(one(&outcome).contains("DOES NOT BALANCE: 3 deliveries lost"));
        assert!(all(&[outcome], &[]).contains("round 1: 3 deliveries lost"));
    }

    #[test]
    fn the_summary_has_a_line_for_each_scenario_with_its_medians() {
        let mut outcomes = Vec::new();
        for (round, limit, steady) in [(1, 100.0, 50.0), (2, 200.0, 60.0), (3, 400.0, 320.0)] {
            for (scenario, rate) in [("limit", limit), ("steady", steady)] {
                let mut outcome = Outcome { round, ..Outcome::new(scenario, format!("{scenario} of {round}")) };
                outcome.fact("deliveries_per_s", "deliveries", rate, "/s");
                outcomes.push(outcome);
            }
        }
        outcomes[1].complaints.push("3 deliveries lost".to_owned());
        let text = all(&outcomes, &[]);
        let rows: Vec<&str> = text.lines().filter(|line| line.contains(" of ") && !line.contains("medians")).collect();
        let [limit, steady] = rows[..] else { panic!("not one line for each: {text}") };
        let cells: Vec<&str> = steady.split_whitespace().collect();
        assert_eq!(cells[..6], ["steady", "of", "3", "3", "60.0", "0.50"], "{steady}");
        assert!(limit.ends_with("balance") && steady.ends_with("round 1: 3 deliveries lost"), "{text}");
    }
}
