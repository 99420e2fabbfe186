//! The dashboard of Grafana, made from the table in [`crate::panels`]. The committed file is what this makes.
//!
//! Data source, job and instances are variables, so that the file fits any Grafana.

use crate::panels::{Panel, Row};
use crate::promql::{Exported, selectors};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The committed file.
pub const FILE: &str = "ops/grafana/pinion.json";

/// Metrics that no panel shows, each with the reason. One that is shown is refused, so that the list stays true.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("pinion_setting_seconds", "a bound that no panel draws beside its quantity"),
    ("pinion_setting_bytes_per_second", "as above"),
    ("pinion_setting_number", "as above"),
];

/// The matchers that stand for `@`.
const MATCHERS: &str = "job=\"$job\",instance=~\"$instance\"";
/// The interval that stands for `$i`: a few scrapes, or more when the picture is coarse.
const INTERVAL: &str = "$__rate_interval";

/// Panels beside each other. Grafana's grid has 24 columns.
const ACROSS: usize = 3;
const PANEL_WIDTH: usize = 24 / ACROSS;
const PANEL_HEIGHT: usize = 8;

/// The dashboard as the text of its file.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let board = json!({
        "uid": "pinion",
        "title": "Pinion",
        "tags": ["pinion"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        // The pointer is shown in all panels at once.
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables()},
        "panels": panels(rows),
    });
    format!("{board:#}\n")
}

fn variables() -> Value {
    let query = |name: &str, label: &str, of: &str, is_many: bool| {
        json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": source(),
            "query": {"query": of, "refId": name},
            "definition": of,
            // When the time range changes.
            "refresh": 2,
            "sort": 1,
            "multi": is_many,
            "includeAll": is_many,
            "allValue": if is_many { json!(".*") } else { Value::Null },
        })
    };
    json!([
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        query("job", "Job", "label_values(pinion_build_info, job)", false),
        query("instance", "Instance", "label_values(pinion_build_info{job=\"$job\"}, instance)", true),
    ])
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// All rows and panels with their places, numbered from 1.
fn panels(rows: &[Row]) -> Vec<Value> {
    let mut shown = Vec::new();
    let mut top = 0;
    for row in rows {
        shown.push(json!({
            "id": shown.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            "panels": [],
        }));
        top += 1;
        for (index, panel) in row.panels.iter().enumerate() {
            let (x, y) = (index % ACROSS * PANEL_WIDTH, top + index / ACROSS * PANEL_HEIGHT);
            let place = json!({"x": x, "y": y, "w": PANEL_WIDTH, "h": PANEL_HEIGHT});
            shown.push(lines(panel, shown.len() + 1, place));
        }
        top += row.panels.len().div_ceil(ACROSS) * PANEL_HEIGHT;
    }
    shown
}

fn lines(panel: &Panel, id: usize, place: Value) -> Value {
    let target = |(letter, (legend, expression)): (char, &(&str, &str))| {
        json!({
            "refId": letter.to_string(),
            "datasource": source(),
            "expr": expanded(expression),
            "legendFormat": legend,
        })
    };
    json!({
        "id": id,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source(),
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": ('A'..='Z').zip(panel.lines).map(target).collect::<Vec<_>>(),
    })
}

fn expanded(expression: &str) -> String {
    expression.replace('@', MATCHERS).replace("$i]", &format!("{INTERVAL}]"))
}

/// Expressions with metrics, labels or values that are not exported or that select no instance, metrics that no panel
/// shows, and panels that cannot be told apart.
#[must_use]
pub fn check(rows: &[Row], exported: &Exported<'_>, left_out: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut titles, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for panel in rows.iter().flat_map(|row| row.panels) {
        let title = panel.title;
        if !titles.insert(title) {
            wrong.push(format!("two panels have the title `{title}`"));
        }
        for expression in panel.lines.iter().map(|(_, expression)| expanded(expression)) {
            wrong.extend(exported.wrong(&expression, &[], true).into_iter().map(|wrong| format!("`{title}`: {wrong}")));
            for selector in selectors(&expression) {
                shown.extend(exported.metric(selector.name));
                if !["job", "instance"].iter().all(|label| selector.matchers.iter().any(|(known, ..)| known == label)) {
                    wrong.push(format!("`{title}`: {} does not select job and instance", selector.name));
                }
            }
        }
    }
    for metric in exported.own() {
        let is_left_out = left_out.iter().any(|(name, _)| *name == metric);
        match (shown.contains(metric), is_left_out) {
            (false, false) => wrong.push(format!("no panel shows {metric}")),
            (true, true) => wrong.push(format!("a panel shows {metric}; take it out of LEFT_OUT")),
            (true, false) | (false, true) => {}
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panels::ROWS;
    use crate::tree::Tree;

    const ROW: Row = Row {
        title: "a",
        panels: &[
            Panel { title: "b", unit: "s", lines: &[("c", "rate(pinion_a{@}[$i])")] },
            Panel { title: "b", unit: "s", lines: &[("c", "pinion_b"), ("d", "pinion_d{@}")] },
        ],
    };

    #[test]
    fn panels_that_show_what_is_not_there_are_seen() {
        let tree = Tree::of([
            ("model/src/metric.rs", "\"pinion_a\" \"pinion_b\" \"pinion_c\""),
            ("docs/METRICS.md", "| `pinion_a` |\n| `pinion_b` |\n| `pinion_c` |\n"),
        ]);
        let expected = [
            "two panels have the title `b`",
            "`b`: pinion_b does not select job and instance",
            "`b`: there is no metric pinion_d",
            "a panel shows pinion_a; take it out of LEFT_OUT",
            "no panel shows pinion_c",
        ];
        assert_eq!(check(&[ROW], &Exported::of(&tree), &[("pinion_a", "why")]), expected);
    }

    #[test]
    fn ids_are_unique_places_do_not_overlap_and_the_data_source_is_a_variable() {
        let board: Value = serde_json::from_str(&render(ROWS)).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len());
        let mut cells = BTreeSet::new();
        for panel in panels {
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in place("x")..place("x") + place("w") {
                assert!((place("y")..place("y") + place("h")).all(|y| x < 24 && cells.insert((x, y))), "{panel}");
            }
            for target in panel["targets"].as_array().into_iter().flatten().chain([panel]) {
                let is_row = target["type"] == "row";
                assert!(is_row || target["datasource"]["uid"] == "${datasource}", "{target}");
            }
        }
        assert_eq!(board["templating"]["list"][0]["type"], "datasource");
    }

    #[test]
    fn an_expression_selects_by_the_variables() {
        assert_eq!(
            expanded("rate(pinion_a{@}[$i]) / pinion_b{@,c=\"d\"}"),
            "rate(pinion_a{job=\"$job\",instance=~\"$instance\"}[$__rate_interval]) / \
             pinion_b{job=\"$job\",instance=~\"$instance\",c=\"d\"}"
        );
    }
}
