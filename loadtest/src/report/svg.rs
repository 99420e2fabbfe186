//! A plot of one run: throughput above, latency percentiles below, over time.
//!
//! There is no plotting library, as two panels of lines are little text. Latency is on a logarithmic scale.

use super::Outcome;
use super::canvas::{self, Pen, TOPS};
use crate::measure::Sample;
use std::path::Path;

/// Below this, latencies are drawn at the bottom.
const LATENCY_MIN_MS: f64 = 0.1;

/// One line of a panel.
struct Series {
    pen: Pen,
    value: fn(&Sample) -> f64,
}

const RATES: [Series; 2] = [
    Series { pen: Pen { name: "delivered/s", colour: "#1f6feb" }, value: |sample| sample.delivered_per_s },
    Series { pen: Pen { name: "accepted/s", colour: "#8b949e" }, value: |sample| sample.acked_per_s },
];
const LATENCIES: [Series; 3] = [
    Series { pen: Pen { name: "p99 ms", colour: "#cf222e" }, value: |sample| sample.p99_ms },
    Series { pen: Pen { name: "p90 ms", colour: "#bf8700" }, value: |sample| sample.p90_ms },
    Series { pen: Pen { name: "p50 ms", colour: "#1a7f37" }, value: |sample| sample.p50_ms },
];

/// Writes the plot of a scenario.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, outcome: &Outcome) -> std::io::Result<()> {
    std::fs::write(path, draw(&outcome.title, &outcome.samples))
}

fn draw(title: &str, samples: &[Sample]) -> String {
    let mut svg = canvas::begin(title);
    let end_s = samples.last().map_or(1.0, |sample| sample.at_s).max(1.0);
    let top_rate = most(samples, &RATES).max(1.0);
    panel(&mut svg, TOPS[0], samples, &RATES, end_s, |value| value / top_rate);
    canvas::ticks(&mut svg, TOPS[0], &canvas::quarters(top_rate));
    let decades = (most(samples, &LATENCIES).max(1.0) / LATENCY_MIN_MS).log10().ceil();
    let scale = move |value: f64| (value.max(LATENCY_MIN_MS) / LATENCY_MIN_MS).log10() / decades;
    panel(&mut svg, TOPS[1], samples, &LATENCIES, end_s, scale);
    let decades_shown: Vec<(f64, String)> = (0..=decades as i32)
        .map(|decade| (f64::from(decade) / decades, canvas::short(LATENCY_MIN_MS * 10_f64.powi(decade))))
        .collect();
    canvas::ticks(&mut svg, TOPS[1], &decades_shown);
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        canvas::below(&mut svg, 0, part, &format!("{:.1} s", part * end_s));
    }
    canvas::end(svg)
}

fn most(samples: &[Sample], series: &[Series]) -> f64 {
    series.iter().flat_map(|line| samples.iter().map(line.value)).fold(0.0, f64::max)
}

fn panel(svg: &mut String, top: f64, samples: &[Sample], series: &[Series], end_s: f64, scale: impl Fn(f64) -> f64) {
    canvas::frame(svg, top);
    for (index, line) in series.iter().enumerate() {
        let parts = samples.iter().map(|sample| (sample.at_s / end_s, scale((line.value)(sample))));
        canvas::line(svg, top, index, line.pen, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_line_for_each_series_within_its_panel() {
        let sample = |at_s: f64| Sample { at_s, delivered_per_s: at_s * 1e4, p99_ms: at_s * 10.0, ..Sample::default() };
        let samples: Vec<Sample> = (0..=20).map(|index| sample(f64::from(index) / 4.0)).collect();
        let svg = draw("a < b", &samples);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("a &lt; b"));
        let lines = canvas::points_of(&svg);
        assert_eq!(lines.len(), RATES.len() + LATENCIES.len());
        for (index, points) in lines.iter().enumerate() {
            let top = TOPS[usize::from(index >= RATES.len())];
            assert_eq!(points.len(), samples.len());
            assert!(points.iter().all(|point| canvas::is_within(top, *point)), "{points:?}");
        }
        let right = canvas::LEFT + canvas::PLOT_WIDTH;
        assert_eq!(lines[0].last(), Some(&(right, TOPS[0])), "the most is at the top right");
    }

    #[test]
    fn a_run_without_samples_is_drawn_too() {
        assert!(!draw("nothing", &[]).contains("NaN"));
    }
}
