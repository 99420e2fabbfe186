//! `pinion retry-preview`: a retry policy laid out in time, by the code that schedules. Needs no server.

use crate::cli::RetryPreviewArgs;
use engine::retry::preview::{Step, preview};
use engine::retry::schedule::Gap;
use model::RetryPolicy;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Bytes of a file with a policy at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreviewError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It is no policy.
    #[error("is no retry policy: {0}")]
    Wrong(String),
}

/// The preview as text, or as JSON.
///
/// # Errors
/// See [`PreviewError`].
pub(crate) fn run(arguments: &RetryPreviewArgs) -> Result<String, PreviewError> {
    let policy = policy_of(arguments)?;
    let steps = preview(&policy);
    Ok(if arguments.json { as_json(&steps) } else { as_table(&steps) })
}

fn policy_of(arguments: &RetryPreviewArgs) -> Result<RetryPolicy, PreviewError> {
    let text = match &arguments.policy {
        Some(path) => read(path)?,
        None => match flags(arguments) {
            fields if fields.is_empty() => return Ok(RetryPolicy::standard()),
            fields => Value::Object(fields).to_string(),
        },
    };
    admin_api::retry_policy_of(text.as_bytes()).map_err(PreviewError::Wrong)
}

/// The file's text, no further than a policy can be long.
fn read(path: &Path) -> Result<String, PreviewError> {
    let unreadable = |source| PreviewError::Unreadable { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(PreviewError::Wrong(format!("{bytes} bytes are more than any policy has")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// The flags as the JSON that the API takes: one reader has all rules.
fn flags(arguments: &RetryPreviewArgs) -> Map<String, Value> {
    let all = [
        ("type", arguments.kind.clone().map(Value::from)),
        ("delaysMs", (!arguments.delays_ms.is_empty()).then(|| json!(arguments.delays_ms))),
        ("initialMs", arguments.initial_ms.map(Value::from)),
        ("multiplier", arguments.multiplier.map(Value::from)),
        ("stepMs", arguments.step_ms.map(Value::from)),
        ("delayMs", arguments.delay_ms.map(Value::from)),
        ("maxAttempts", arguments.max_attempts.map(Value::from)),
        ("maxDelayMs", arguments.max_delay_ms.map(Value::from)),
        ("jitter", arguments.jitter.clone().map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect()
}

fn as_json(steps: &[Step]) -> String {
    let gap = |gap: Gap| json!({"earliestMs": gap.earliest_ms, "nominalMs": gap.nominal_ms, "latestMs": gap.latest_ms});
    let attempts: Vec<Value> = steps
        .iter()
        .map(|step| json!({"attempt": step.attempt, "gap": gap(step.gap), "offset": gap(step.offset)}))
        .collect();
    let last = steps.last().map_or_else(Gap::default, |step| step.offset);
    format!("{}\n", json!({"attempts": attempts, "deadLetterAfter": gap(last)}))
}

fn as_table(steps: &[Step]) -> String {
    let mut text = format!("{:>7}  {:>32}  {:>40}\n", "attempt", "after the one before", "after the first");
    for Step { attempt, gap, offset } in steps {
        // Writing to a text does not fail.
        let _written = writeln!(text, "{attempt:>7}  {:>32}  {:>40}", gap_text(*gap), gap_text(*offset));
    }
    let last = steps.last().map_or_else(Gap::default, |step| step.offset);
    let _written = writeln!(text, "dead letter after {}, and the time that the attempts take", gap_text(last));
    text
}

/// The nominal time, and the bounds where jitter makes some.
fn gap_text(gap: Gap) -> String {
    let nominal = span_text(gap.nominal_ms);
    if gap.earliest_ms == gap.latest_ms {
        return nominal;
    }
    format!("{nominal} ({} to {})", span_text(gap.earliest_ms), span_text(gap.latest_ms))
}

/// The two largest units of a span: `2h5m`, `5s`, `1.25s`.
fn span_text(ms: u64) -> String {
    const SECOND_MS: u64 = 1_000;
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", SECOND_MS)];
    if ms < 60 * SECOND_MS {
        return if ms > 0 && ms < SECOND_MS { format!("{ms}ms") } else { format!("{}s", ms as f64 / 1_000.0) };
    }
    let at = UNITS.iter().position(|(_, unit_ms)| ms >= *unit_ms).unwrap_or(UNITS.len() - 1);
    let (name, unit_ms) = UNITS[at];
    let (count, rest_ms) = (ms / unit_ms, ms % unit_ms);
    match UNITS.get(at + 1) {
        Some((smaller, smaller_ms)) if rest_ms >= *smaller_ms => {
            format!("{count}{name}{}{smaller}", rest_ms / smaller_ms)
        }
        _ => format!("{count}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_readable() {
        let spans = [(0, "0s"), (250, "250ms"), (1_250, "1.25s"), (5_000, "5s"), (300_000, "5m"), (7_500_000, "2h5m")];
        for (ms, text) in spans.into_iter().chain([(100_800_000, "1d4h"), (86_400_001, "1d"), (61_000, "1m1s")]) {
            assert_eq!(span_text(ms), text);
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_attempt_and_ends_with_the_dead_letter() {
        let text = as_table(&preview(&RetryPolicy::standard()));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 8 + 1);
        assert!(lines[2].ends_with("5s (4s to 6s)"), "{text}");
        assert!(lines[9].starts_with("dead letter after 1d3h"), "{text}");
    }
}
