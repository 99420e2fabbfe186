//! Growth along an axis: points that were measured, and a table of them.
//!
//! The table is Markdown, so that it can stand in a document as it was printed. It has no fitting and no verdict.

use super::Outcome;
use super::table::{number, thousands};

/// Points along an axis.
#[derive(Debug)]
pub(crate) struct Curve {
    /// Its name, which its file is named after.
    pub(crate) axis: &'static str,
    /// In words.
    pub(crate) title: &'static str,
    /// The growing quantity.
    pub(crate) grows: &'static str,
    /// The columns of each point.
    pub(crate) columns: &'static [Column],
    /// In the order of growth.
    pub(crate) points: Vec<Point>,
}

/// A number of each point.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its key among the facts.
    pub(crate) key: &'static str,
    /// For people.
    pub(crate) head: &'static str,
    /// The panel that it is drawn in.
    pub(crate) panel: Option<Panel>,
}

/// A part of the plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    /// The upper one: so many per second.
    Rate,
    /// The lower one: CPU of each delivery, in µs.
    Cpu,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Point {
    /// The amount of the growing quantity.
    pub(crate) x: u32,
    /// The result of a run with so much of it.
    pub(crate) outcome: Outcome,
}

impl Curve {
    /// The title, and a table in Markdown with a row for each point.
    pub(crate) fn table(&self) -> String {
        let heads = [self.grows].into_iter().chain(self.columns.iter().map(|column| column.head)).chain(["ledger"]);
        let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).collect()];
        for Point { x, outcome } in &self.points {
            let cells = self.columns.iter().map(|column| number(outcome.value(column.key)));
            let balance =
                if outcome.complaints.is_empty() { "balances".to_owned() } else { outcome.complaints.join(", ") };
            rows.push([thousands((*x).into())].into_iter().chain(cells).chain([balance]).collect());
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        let mut text = format!("\n{}\n\n", self.title);
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|width| format!("{}:", "-".repeat(width + 1))).collect();
                text.push_str(&format!("|{}|\n", rule.join("|")));
            }
        }
        text
    }

    /// True when the ledgers of all points balance.
    pub(crate) fn is_balanced(&self) -> bool {
        self.points.iter().all(|point| point.outcome.complaints.is_empty())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { key: "deliveries_per_s", head: "deliveries/s", panel: Some(Panel::Rate) },
        Column { key: "engine_cpu_us", head: "engine µs", panel: Some(Panel::Cpu) },
        Column { key: "own_cpu_us", head: "harness µs", panel: Some(Panel::Cpu) },
        Column { key: "resident_max_mib", head: "MiB", panel: None },
    ];

    pub(in super::super) fn curve(points: &[(u32, f64)]) -> Curve {
        let points = points.iter().map(|&(x, rate)| {
            let mut outcome = Outcome::new("steady", "steady".to_owned());
            outcome.fact("deliveries_per_s", "deliveries", rate, "/s");
            outcome.fact("engine_cpu_us", "CPU", 1e6 / rate, "µs");
            Point { x, outcome }
        });
        let (axis, title, grows) = ("endpoints", "a < b", "endpoints & more");
        Curve { axis, title, grows, columns: COLUMNS, points: points.collect() }
    }

    #[test]
    fn a_table_has_a_row_for_each_point_and_says_what_does_not_balance() {
        let mut curve = curve(&[(0, 40_000.0), (1_000, 50_000.0)]);
        assert!(curve.is_balanced());
        curve.points[1].outcome.complaints.push("3 deliveries lost".to_owned());
        assert!(!curve.is_balanced());
        let text = curve.table();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert_eq!(rows[0], ["endpoints & more", "deliveries/s", "engine µs", "harness µs", "MiB", "ledger"]);
        assert_eq!(rows[2], ["0", "40,000", "25.0", "-", "-", "balances"]);
        assert_eq!(rows[3], ["1,000", "50,000", "20.0", "-", "-", "3 deliveries lost"]);
    }
}
