//! A series, what was labelled in it and what rules detected, as one SVG image without script, style sheet or font of its own.
//!
//! Of bounded size whatever the length of the series: a column of pixels shows the lowest and the highest value that fall into it.

use std::fmt::Write;

use jiff::Timestamp;

use super::backtest::{Detection, Report, stretches};
use super::csv::Row;
use super::intake::LARGEST;

const WIDTH: usize = 960;
const LEFT: usize = 72;
const RIGHT: usize = 12;
const TOP: usize = 34;
const HEIGHT: usize = 260;
/// A row a rule below the series.
const LANE: usize = 22;
const COLOURS: [&str; 6] = ["#b3261e", "#7a4fd0", "#00696b", "#9a5b00", "#a3195b", "#3a6a1e"];
const DETECTIONS_MAX: usize = 2_000;

pub fn svg(title: &str, rows: &[Row], report: &Report) -> String {
    let height = TOP + HEIGHT + 34 + LANE * report.rules.len();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    );
    let Some(frame) = Frame::of(rows) else {
        _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">no samples</text>\n</svg>", TOP + 20);
        return out;
    };
    for (from, to) in stretches(rows) {
        let (x, width) = frame.band(from.0, to.0);
        _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"#ffe08a\"><title>labelled</title></rect>"
        );
    }
    frame.axes(&mut out);
    _ = writeln!(out, "<path d=\"{}\" fill=\"none\" stroke=\"#1f4e79\" stroke-width=\"1\"/>", frame.line(rows));
    for (lane, outcome) in report.rules.iter().enumerate() {
        let (y, colour) = (TOP + HEIGHT + 30 + lane * LANE, COLOURS[lane % COLOURS.len()]);
        let name: String = outcome.rule.chars().take(10).collect();
        _ = writeln!(out, "<text x=\"4\" y=\"{}\" fill=\"{colour}\">{}</text>", y + 13, escaped(&name));
        let shown = outcome.detections.iter().take(DETECTIONS_MAX);
        shown.for_each(|one| frame.detection(&mut out, one, y, colour));
    }
    out += "</svg>\n";
    out
}

/// Which times and values the picture shows.
struct Frame {
    from: i64,
    to: i64,
    low: f64,
    high: f64,
}

impl Frame {
    fn of(rows: &[Row]) -> Option<Self> {
        let times = || rows.iter().map(|row| row.sample.at.0);
        let values = || rows.iter().map(|row| row.sample.value).filter(|value| value.abs() <= LARGEST);
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        // A flat line lies in the middle.
        let around = if high > low { 0.0 } else { high.abs() * 0.1 + 1.0 };
        Some(Self { from: times().min()?, to: times().max()?, low: low - around, high: high + around })
    }

    fn x(&self, at: i64) -> f64 {
        let width = (WIDTH - LEFT - RIGHT) as f64;
        LEFT as f64 + width * (at - self.from) as f64 / (self.to - self.from).max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        TOP as f64 + HEIGHT as f64 * (self.high - value) / (self.high - self.low)
    }

    fn band(&self, from: i64, to: i64) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(to) - x).max(2.0))
    }

    fn axes(&self, out: &mut String) {
        for quarter in 0..=4 {
            let value = self.low + (self.high - self.low) * f64::from(quarter) / 4.0;
            let y = self.y(value);
            _ = writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#d8d8d8\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6,
                y + 4.0,
                number(value)
            );
        }
        let y = TOP + HEIGHT + 18;
        for (at, x, anchor) in [(self.from, LEFT, "start"), (self.to, WIDTH - RIGHT, "end")] {
            let time = Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string());
            _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{time}</text>");
        }
    }

    /// Up and down in each column of pixels.
    fn line(&self, rows: &[Row]) -> String {
        let mut out = String::new();
        let shown = rows.iter().map(|row| row.sample).filter(|sample| sample.value.abs() <= LARGEST);
        let points: Vec<(i64, f64)> = shown.map(|sample| (self.x(sample.at.0) as i64, self.y(sample.value))).collect();
        for (column, points) in points.chunk_by(|a, b| a.0 == b.0).enumerate() {
            // Samples out of order could make more columns than there are pixels.
            if column >= 2 * WIDTH {
                break;
            }
            let (low, high) =
                points.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, y)| (low.min(*y), high.max(*y)));
            _ = write!(out, "{}{} {low:.1}", if column == 0 { 'M' } else { 'L' }, points[0].0);
            if high > low {
                _ = write!(out, "V{high:.1}");
            }
        }
        out
    }

    fn detection(&self, out: &mut String, one: &Detection, y: usize, colour: &str) {
        let (x, width) = self.band(one.began_at_ms, one.ended_at_ms.unwrap_or(self.to).min(self.to));
        let opacity = if one.right == Some(false) { 0.4 } else { 1.0 };
        _ = writeln!(
            out,
            "<path d=\"M{x:.1} {TOP}V{y}\" stroke=\"{colour}\" stroke-dasharray=\"3 3\" opacity=\"{opacity}\"/>\
             <rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\" opacity=\"{opacity}\"><title>{}</title></rect>",
            escaped(&one.reason)
        );
    }
}

fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else {
        format!("{value:.5}").trim_end_matches('0').trim_end_matches('.').chars().take(9).collect()
    }
}

/// For XML, which knows no control characters either.
fn escaped(text: &str) -> String {
    let one = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::super::backtest::backtest;
    use super::super::csv;
    use super::*;

    #[test]
    fn size_is_bounded_and_foreign_text_escaped() {
        let lines = (0..100_000).map(|at| format!("{},{},{}", at * 60, at * 7919 % 101, u8::from(at / 1000 == 50)));
        let rows = csv::rows(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let rule = serde_saphyr::from_str(
            "{ name: 'a<b', detect: { forecast: { above: 99.5, horizon_secs: 600 } }, recovering_secs: 0 }",
        );
        let picture = svg("x & \"y\"\u{1}", &rows, &backtest(&[rule.unwrap()], &rows));
        assert!(picture.len() < 600_000, "{}", picture.len());
        assert!(
            picture.contains("x &amp; &quot;y&quot;\u{fffd}")
                && picture.contains(">a&lt;b<")
                && picture.contains("labelled")
        );
    }

    #[test]
    fn series_with_nothing_to_see_have_a_picture() {
        for text in ["", "1,NaN", "1,5", "1,5\n2,5\n1,inf\n0,7"] {
            let rows = csv::rows(text).unwrap();
            let picture = svg("t", &rows, &backtest(&[], &rows));
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }
}
