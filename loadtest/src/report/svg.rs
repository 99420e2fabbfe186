//! A plot of one run: throughput above, latency percentiles below, over time.
//!
//! Deliberately no plotting library: two panels of lines are little text. Latency is on a logarithmic scale.

use super::Outcome;
use crate::measure::Sample;
use std::path::Path;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 80.0;
const PLOT_WIDTH: f64 = WIDTH - LEFT - 130.0;
const PANEL_HEIGHT: f64 = 200.0;
const TOPS: [f64; 2] = [50.0, 310.0];
const HEIGHT: f64 = 560.0;
/// Below this, latencies are drawn at the bottom.
const LATENCY_MIN_MS: f64 = 0.1;

/// One line of a panel.
struct Series {
    name: &'static str,
    colour: &'static str,
    value: fn(&Sample) -> f64,
}

const RATES: [Series; 2] = [
    Series { name: "delivered/s", colour: "#1f6feb", value: |sample| sample.delivered_per_s },
    Series { name: "accepted/s", colour: "#8b949e", value: |sample| sample.acked_per_s },
];
const LATENCIES: [Series; 3] = [
    Series { name: "p99 ms", colour: "#cf222e", value: |sample| sample.p99_ms },
    Series { name: "p90 ms", colour: "#bf8700", value: |sample| sample.p90_ms },
    Series { name: "p50 ms", colour: "#1a7f37", value: |sample| sample.p50_ms },
];

/// Writes the plot of a scenario.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(path: &Path, outcome: &Outcome) -> std::io::Result<()> {
    std::fs::write(path, draw(&outcome.title, &outcome.samples))
}

fn draw(title: &str, samples: &[Sample]) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{title}</text>"
    );
    let end_s = samples.last().map_or(1.0, |sample| sample.at_s).max(1.0);
    let top_rate = most(samples, &RATES).max(1.0);
    panel(&mut svg, TOPS[0], samples, &RATES, end_s, |value| value / top_rate);
    ticks(&mut svg, TOPS[0], &[0.0, 0.25, 0.5, 0.75, 1.0].map(|part| (part, short(part * top_rate))));
    let decades = (most(samples, &LATENCIES).max(1.0) / LATENCY_MIN_MS).log10().ceil();
    let scale = move |value: f64| (value.max(LATENCY_MIN_MS) / LATENCY_MIN_MS).log10() / decades;
    panel(&mut svg, TOPS[1], samples, &LATENCIES, end_s, scale);
    let decades_shown: Vec<(f64, String)> = (0..=decades as i32)
        .map(|decade| (f64::from(decade) / decades, short(LATENCY_MIN_MS * 10_f64.powi(decade))))
        .collect();
    ticks(&mut svg, TOPS[1], &decades_shown);
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y) = (LEFT + part * PLOT_WIDTH, TOPS[1] + PANEL_HEIGHT + 18.0);
        push(
            &mut svg,
            format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{:.1} s</text>", part * end_s),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn most(samples: &[Sample], series: &[Series]) -> f64 {
    series.iter().flat_map(|line| samples.iter().map(line.value)).fold(0.0, f64::max)
}

fn panel(svg: &mut String, top: f64, samples: &[Sample], series: &[Series], end_s: f64, scale: impl Fn(f64) -> f64) {
    push(
        svg,
        format_args!(
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{PLOT_WIDTH}\" height=\"{PANEL_HEIGHT}\" fill=\"none\" \
             stroke=\"#d0d7de\"/>"
        ),
    );
    for (index, line) in series.iter().enumerate() {
        let mut points = String::new();
        for sample in samples {
            let x = LEFT + sample.at_s / end_s * PLOT_WIDTH;
            let y = top + PANEL_HEIGHT * (1.0 - scale((line.value)(sample)).clamp(0.0, 1.0));
            push(&mut points, format_args!("{x:.1},{y:.1} "));
        }
        let Series { name, colour, .. } = line;
        let (x, y) = (LEFT + PLOT_WIDTH + 10.0, top + 14.0 + 18.0 * index as f64);
        push(
            svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{name}</text>",
                points.trim_end()
            ),
        );
    }
}

fn ticks(svg: &mut String, top: f64, ticks: &[(f64, String)]) {
    for (part, text) in ticks {
        let (x, y) = (LEFT - 8.0, top + PANEL_HEIGHT * (1.0 - part) + 4.0);
        push(svg, format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{text}</text>"));
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.push_str(&arguments.to_string());
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0}k", value / 1e3)
    } else if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
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
        let lines: Vec<&str> =
            svg.split("<polyline points=\"").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]).collect();
        assert_eq!(lines.len(), RATES.len() + LATENCIES.len());
        for (index, line) in lines.iter().enumerate() {
            let top = TOPS[usize::from(index >= RATES.len())];
            let points: Vec<(f64, f64)> = line
                .split(' ')
                .map(|point| point.split_once(',').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            assert_eq!(points.len(), samples.len());
            assert!(
                points
                    .iter()
                    .all(|(x, y)| (LEFT..=LEFT + PLOT_WIDTH).contains(x) && (top..=top + PANEL_HEIGHT).contains(y))
            );
        }
        assert!(
            lines[0].ends_with(&format!("{:.1},{:.1}", LEFT + PLOT_WIDTH, TOPS[0])),
            "the most is at the top right"
        );
    }

    #[test]
    fn a_run_without_samples_is_drawn_too() {
        assert!(!draw("nothing", &[]).contains("NaN"));
    }
}
