//! The canvas of all plots: two panels, one above the other, as SVG text.
//!
//! Places within a panel are parts of it, from 0 to 1 to the right and upwards. There is no plotting library, and
//! scales are the callers' business.

pub(super) const WIDTH: f64 = 900.0;
pub(super) const LEFT: f64 = 80.0;
pub(super) const PLOT_WIDTH: f64 = WIDTH - LEFT - 130.0;
pub(super) const PANEL_HEIGHT: f64 = 200.0;
/// The upper ends of the panels.
pub(super) const TOPS: [f64; 2] = [50.0, 310.0];
const HEIGHT: f64 = 560.0;

/// The colour and the name of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pen {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
}

/// A plot with its title, nothing drawn yet.
pub(super) fn begin(title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\
         <text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{}</text>",
        escape(title)
    )
}

/// The whole plot.
pub(super) fn end(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

/// The frame of a panel.
pub(super) fn frame(svg: &mut String, top: f64) {
    push(
        svg,
        format_args!(
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{PLOT_WIDTH}\" height=\"{PANEL_HEIGHT}\" fill=\"none\" \
             stroke=\"#d0d7de\"/>"
        ),
    );
}

/// The `index`-th line of a panel, with its name at the right.
pub(super) fn line(svg: &mut String, top: f64, index: usize, pen: Pen, parts: impl Iterator<Item = (f64, f64)>) {
    let mut points = String::new();
    for part in parts {
        let (x, y) = place(top, part);
        push(&mut points, format_args!("{x:.1},{y:.1} "));
    }
    let Pen { name, colour } = pen;
    let (x, y) = (LEFT + PLOT_WIDTH + 10.0, top + 14.0 + 18.0 * index as f64);
    push(
        svg,
        format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{}</text>",
            points.trim_end(),
            escape(name)
        ),
    );
}

/// A dot where something was measured.
pub(super) fn dot(svg: &mut String, top: f64, pen: Pen, part: (f64, f64)) {
    let ((x, y), colour) = (place(top, part), pen.colour);
    push(svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
}

/// Texts at the left of a panel.
pub(super) fn ticks(svg: &mut String, top: f64, ticks: &[(f64, String)]) {
    for (part, text) in ticks {
        let (x, y) = (LEFT - 8.0, top + PANEL_HEIGHT * (1.0 - part) + 4.0);
        push(svg, format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escape(text)));
    }
}

/// Texts below the lower panel, and `row` lines further down.
pub(super) fn below(svg: &mut String, row: u32, part: f64, text: &str) {
    let (x, y) = (LEFT + part * PLOT_WIDTH, TOPS[1] + PANEL_HEIGHT + 18.0 * f64::from(row + 1));
    push(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", escape(text)));
}

/// Ticks of a scale from 0 to `top`.
pub(super) fn quarters(top: f64) -> [(f64, String); 5] {
    [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| (part, short(part * top)))
}

/// A number for a tick.
pub(super) fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{:.0}k", value / 1e3)
    } else if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Upwards is downwards in SVG; a point outside is drawn at the edge.
fn place(top: f64, (right, up): (f64, f64)) -> (f64, f64) {
    (LEFT + right.clamp(0.0, 1.0) * PLOT_WIDTH, top + PANEL_HEIGHT * (1.0 - up.clamp(0.0, 1.0)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.push_str(&arguments.to_string());
}

/// The points of each line of a plot, for tests.
#[cfg(test)]
pub(super) fn points_of(svg: &str) -> Vec<Vec<(f64, f64)>> {
    let lines = svg.split("<polyline points=\"").skip(1).map(|rest| &rest[..rest.find('"').unwrap()]);
    let points = |line: &str| {
        let pairs = line.split_whitespace().map(|point| point.split_once(',').unwrap());
        pairs.map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).collect()
    };
    lines.map(points).collect()
}

/// True when a point is in the panel that begins at `top`.
#[cfg(test)]
pub(super) fn is_within(top: f64, (x, y): (f64, f64)) -> bool {
    (LEFT..=LEFT + PLOT_WIDTH).contains(&x) && (top..=top + PANEL_HEIGHT).contains(&y)
}
