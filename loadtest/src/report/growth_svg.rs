//! A plot of growth: rates above, CPU of each delivery below, over a logarithmic axis of the growing quantity.
//!
//! Both scales upwards begin at 0, so that a line twice as high is twice as much. Nothing at all (0) has no logarithm:
//! it stands one decade left of the least that is something.

use super::canvas::{self, Pen, TOPS};
use super::curve::{Column, Curve, Panel};
use super::table::thousands;
use std::path::Path;

/// Room left and right of the points, as a part of the panel.
const MARGIN: f64 = 0.04;
/// Of the lines of a panel, the most important first.
const COLOURS: [[&str; 3]; 2] = [["#1f6feb", "#8b949e", "#1a7f37"], ["#cf222e", "#8b949e", "#bf8700"]];
const PANELS: [Panel; 2] = [Panel::Rate, Panel::Cpu];

/// Writes `DIR/AXIS.svg`; makes the folder.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(folder: &Path, curve: &Curve) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{}.svg", curve.axis)), draw(curve))
}

fn draw(curve: &Curve) -> String {
    let mut svg = canvas::begin(curve.title);
    let rights = rights(&curve.points.iter().map(|point| point.x).collect::<Vec<_>>());
    for ((panel, top), colours) in PANELS.into_iter().zip(TOPS).zip(COLOURS) {
        canvas::frame(&mut svg, top);
        let columns: Vec<&Column> = curve.columns.iter().filter(|column| column.panel == Some(panel)).collect();
        let all = columns.iter().flat_map(|column| curve.points.iter().map(|point| point.outcome.value(column.key)));
        // `max` passes over NaN.
        let most = all.fold(1.0, f64::max);
        canvas::ticks(&mut svg, top, &canvas::quarters(most));
        for (index, column) in columns.iter().enumerate() {
            let pen = Pen { name: column.head, colour: colours[index % colours.len()] };
            let values = curve.points.iter().map(|point| point.outcome.value(column.key) / most);
            let parts: Vec<(f64, f64)> = rights.iter().copied().zip(values).filter(|(_, up)| up.is_finite()).collect();
            canvas::line(&mut svg, top, index, pen, parts.iter().copied());
            parts.iter().for_each(|part| canvas::dot(&mut svg, top, pen, *part));
        }
    }
    for (right, point) in rights.iter().zip(&curve.points) {
        canvas::below(&mut svg, 0, *right, &thousands(point.x.into()));
    }
    canvas::below(&mut svg, 1, 0.5, curve.grows);
    canvas::end(svg)
}

/// The places of the points from left to right, as parts of the panel.
fn rights(xs: &[u32]) -> Vec<f64> {
    let something = xs.iter().copied().filter(|x| *x > 0).min().unwrap_or(1);
    let decades = |x: u32| if x == 0 { f64::from(something).log10() - 1.0 } else { f64::from(x).log10() };
    let least = xs.iter().copied().map(decades).fold(f64::INFINITY, f64::min);
    let most = xs.iter().copied().map(decades).fold(f64::NEG_INFINITY, f64::max);
    let part = |x: u32| if most > least { (decades(x) - least) / (most - least) } else { 0.5 };
    xs.iter().map(|x| MARGIN + part(*x) * (1.0 - 2.0 * MARGIN)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::curve::tests::curve;
    use super::*;

    #[test]
    fn every_point_is_within_its_panel_and_has_a_label() {
        let svg = draw(&curve(&[(0, 40_000.0), (1_000, 50_000.0), (10_000, 20_000.0), (100_000, 10_000.0)]));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
        let lines = canvas::points_of(&svg);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 0], "the last was not measured");
        for (line, top) in lines.iter().zip([TOPS[0], TOPS[1], TOPS[1]]) {
            assert!(line.iter().all(|point| canvas::is_within(top, *point)), "{line:?}");
        }
        assert_eq!(svg.matches("<circle").count(), 8);
        assert_eq!(lines[0][1].1, TOPS[0], "the most is at the top");
        for text in
            ["a &lt; b", "deliveries/s", "engine µs", "harness µs", "0", "1,000", "100,000", "endpoints &amp; more"]
        {
            assert!(svg.contains(&format!(">{text}</text>")), "{text} is not there");
        }
        assert!(!svg.contains("MiB"), "it is only in the table");
    }

    #[test]
    fn steps_of_a_decade_are_equally_wide_and_nothing_is_one_to_the_left() {
        let rights = rights(&[0, 1_000, 10_000, 100_000]);
        assert!((rights[0] - MARGIN).abs() < 1e-9 && (rights[3] - (1.0 - MARGIN)).abs() < 1e-9, "{rights:?}");
        let steps: Vec<f64> = rights.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (step - steps[0]).abs() < 1e-9), "{steps:?}");
    }

    #[test]
    fn one_point_or_none_is_drawn_too() {
        assert_eq!(rights(&[7]), [0.5]);
        assert!(!draw(&curve(&[(7, 10.0)])).contains("NaN"));
        assert!(!draw(&curve(&[])).contains("NaN"));
    }
}
