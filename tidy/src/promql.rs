//! Expressions of Prometheus as text: the metrics that they name, with the labels that they match, against those that the
//! product exports.
//!
//! No parser of the language: promtool has one. A name is one of ours when it begins as ours do.

use crate::tree::Tree;
use std::collections::BTreeMap;

/// The names of the product's own metrics.
const NAMES: &str = "model/src/metric.rs";
/// Those that every process has.
const OF_A_PROCESS: &str = "server/src/process.rs";
/// Their labels. A test of the server holds this page against a real scrape.
const DOCUMENT: &str = "docs/METRICS.md";

/// The parts that a histogram has in place of itself.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Labels that every series has, or that a histogram has, without being in the document.
const GIVEN: [&str; 3] = ["job", "instance", "le"];

/// One place where a series is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector<'a> {
    /// Its name. One with a `:` is made by a recording rule.
    pub name: &'a str,
    /// Each label with its operator and value.
    pub matchers: Vec<(&'a str, &'a str, &'a str)>,
}

/// Every selector in `text` whose name is ours. Lines of comments and texts in double quotes are passed over.
#[must_use]
pub fn selectors(text: &str) -> Vec<Selector<'_>> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(of_line).collect()
}

fn of_line(line: &str) -> Vec<Selector<'_>> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(|letter: char| letter == '"' || is_of_name(letter)) {
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('"') {
            rest = after.split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        let end = rest.find(|letter: char| !is_of_name(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        let is_recorded = name.contains(':') && !name.ends_with(':') && !name.starts_with(':');
        if is_recorded || name.starts_with("pinion_") || name.starts_with("process_") {
            let inside = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            found.push(Selector { name, matchers: inside.map_or_else(Vec::new, |(inside, _)| matchers(inside)) });
            rest = inside.map_or(after, |(_, after)| after);
        }
    }
    found
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// The matchers between two braces; a value has no comma.
fn matchers(inside: &str) -> Vec<(&str, &str, &str)> {
    inside.split(',').filter_map(matcher).collect()
}

fn matcher(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('"')?;
    let label = before.trim_end_matches(['=', '!', '~', ' ']).trim_start();
    let operator = before.trim().strip_prefix(label)?.trim();
    Some((label, operator, rest.strip_suffix('"')?))
}

/// The metrics that the product exports, by name: each with its row of the document.
#[derive(Debug, Default)]
pub struct Exported<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Exported<'a> {
    /// Reads the names from the code, and the rows from the document.
    #[must_use]
    pub fn of(tree: &'a Tree) -> Exported<'a> {
        let quoted = |path: &str, prefix: &'static str| {
            let words = tree.text(path).unwrap_or_default().split('"').skip(1).step_by(2);
            words.filter(move |word| word.starts_with(prefix) && word.bytes().all(crate::rust::is_name))
        };
        let names = quoted(NAMES, "pinion_").chain(quoted(OF_A_PROCESS, "process_"));
        let document = tree.text(DOCUMENT).unwrap_or_default();
        let row = |name: &str| {
            let mut rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
            rows.find(|row| row.split(['{', '`']).next() == Some(name)).unwrap_or_default()
        };
        Exported(names.map(|name| (name, row(name))).collect())
    }

    /// The metric that a name stands for, when it is one or a part of a histogram.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&'a str> {
        let base = PARTS.iter().find_map(|part| name.strip_suffix(part));
        [Some(name), base].into_iter().flatten().find_map(|name| self.0.get_key_value(name)).map(|(name, _)| *name)
    }

    /// All of the product's own.
    pub fn own(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied().filter(|name| name.starts_with("pinion_"))
    }

    /// Names that nothing exports and no rule of `recorded` makes, and labels that a metric does not have. With `values`
    /// also values of labels that the document does not name.
    #[must_use]
    pub fn wrong(&self, text: &str, recorded: &[&str], values: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for Selector { name, matchers } in selectors(text) {
            if recorded.contains(&name) {
                continue;
            }
            let Some(row) = self.metric(name).and_then(|metric| self.0.get(metric)) else {
                wrong.push(format!("there is no metric {name}"));
                continue;
            };
            let labels = row.split('`').next().and_then(|key| key.split_once('{')).map_or("", |(_, labels)| labels);
            for (label, operator, value) in matchers.into_iter().filter(|(label, ..)| !GIVEN.contains(label)) {
                if !labels.trim_end_matches('}').split(',').any(|known| known == label) {
                    wrong.push(format!("{name} has no label {label}"));
                } else if values && !operator.contains('~') && !row.contains(&format!("`{value}`")) {
                    wrong.push(format!("{DOCUMENT} does not name the value {value} of {name}{{{label}}}"));
                }
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::of([
            (NAMES, "pub const A: &str = \"pinion_attempts_total\";\npub const B: &str = \"pinion_lag_seconds\";\n"),
            (OF_A_PROCESS, "(\"process_open_fds\", \"gauge\")\n"),
            (
                DOCUMENT,
                "| `pinion_attempts_total{outcome}` | counter | `success`, `timeout` |\n| `pinion_lag_seconds` |\n",
            ),
        ])
    }

    #[test]
    fn selectors_are_found_with_their_matchers() {
        let text = "rate(pinion_a{b=\"c\", d=~\"5..\"}[5m]) / on (job) a:pinion_b:rate5m # pinion_c\n# pinion_d\ne: \"pinion_f\"";
        let a = Selector { name: "pinion_a", matchers: vec![("b", "=", "c"), ("d", "=~", "5..")] };
        let plain = |name| Selector { name, matchers: vec![] };
        assert_eq!(selectors(text), [a, plain("a:pinion_b:rate5m"), plain("pinion_c")]);
    }

    #[test]
    fn metrics_labels_and_values_that_are_not_there_are_seen() {
        let tree = tree();
        let exported = Exported::of(&tree);
        let fine =
            "pinion_attempts_total{job=\"a\",outcome!=\"timeout\"} process_open_fds pinion_lag_seconds_bucket a:b:c";
        assert_eq!(exported.wrong(fine, &["a:b:c"], true), [""; 0]);
        let wrong = "pinion_attempts pinion_attempts_total{reason=\"a\"} pinion_attempts_total{outcome=\"time\"} a:b:c";
        let expected = [
            "there is no metric pinion_attempts",
            "pinion_attempts_total has no label reason",
            "docs/METRICS.md does not name the value time of pinion_attempts_total{outcome}",
            "there is no metric a:b:c",
        ];
        assert_eq!(exported.wrong(wrong, &[], true), expected);
        assert_eq!(exported.own().count(), 2);
    }
}
