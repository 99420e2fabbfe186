//! A table of scenarios beside one of them: medians over rounds, and ratios to that one in the same round.
//!
//! It is Markdown, so that it can stand in a document as it was printed.

use super::table::{balance, number};
use super::{Outcome, by_scenario, ratios, values};

const HEADS: [&str; 8] =
    ["scenario, medians", "rounds", "deliveries/s", "of base", "engine µs", "of base", "p99 ms", "ledgers"];

/// A row for each scenario, in the order in which they were measured first.
pub(super) fn table(outcomes: &[Outcome], base: &str) -> String {
    let median = |scenario, key| number(values(outcomes, scenario, key).median);
    let of_base = |scenario, key| ratios(outcomes, scenario, base, key).show();
    let mut rows = vec![HEADS.map(|head| head.replace("base", base))];
    for group in by_scenario(outcomes) {
        let Some(Outcome { scenario, title, .. }) = group.first() else { continue };
        rows.push([
            title.clone(),
            group.len().to_string(),
            median(scenario, "deliveries_per_s"),
            of_base(scenario, "deliveries_per_s"),
            median(scenario, "engine_cpu_us"),
            of_base(scenario, "engine_cpu_us"),
            median(scenario, "delivery_p99_ms"),
            balance(&group),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let mut text = String::from("\n");
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            text.push_str(&format!("|{}|\n", rule.join("|")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::outcome;

    #[test]
    fn each_has_its_median_and_its_ratio_to_the_base_of_the_same_round() {
        let mut outcomes = Vec::new();
        for (round, plain, filter) in [(1, 100.0, 50.0), (2, 200.0, 160.0), (3, 10.0, 7.0)] {
            outcomes.extend([outcome("plain", round, plain), outcome("filter", round, filter)]);
        }
        outcomes[1].complaints.push("3 deliveries lost".to_owned());
        let text = table(&outcomes, "plain");
        let cells = |name: &str| -> Vec<String> {
            let row = text.lines().find(|line| line.starts_with(&format!("| {name} ")));
            row.unwrap().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        assert_eq!(cells("scenario, medians")[3], "of plain");
        assert_eq!(cells("plain")[..4], ["plain", "3", "100", "1.00 (1.00 to 1.00)"]);
        assert_eq!(cells("filter")[..4], ["filter", "3", "50.0", "0.70 (0.50 to 0.80)"]);
        assert_eq!(cells("plain")[7], "balance");
        assert_eq!(cells("filter")[7], "round 1: 3 deliveries lost");
    }
}
