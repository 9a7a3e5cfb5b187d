//! Series, what was labelled in them and what rules detected, as one SVG image without script, style sheet or font of its own.
//!
//! A panel a series, with a lane a rule below it: a bar is an episode, its tooltip the reason. A dashed line across is a threshold, one
//! that leads to it what a forecast saw as it began. Of bounded size whatever the length of the series: a column of pixels shows the
//! lowest and the highest value that fall into it, and at most [`PANELS_MAX`] series are drawn. Times are UTC.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::backtest::{Crossing, Detection, Report, stretches};
use super::csv::{Recorded, Row};
use super::intake::LARGEST;

const WIDTH: usize = 960;
const LEFT: usize = 110;
const RIGHT: usize = 16;
const HEAD: usize = 34;
/// Of the name above a panel, of the panel, and of the times below it.
const NAME: usize = 22;
const HEIGHT: usize = 220;
const TIMES: usize = 36;
/// A row a rule below the times.
const LANE: usize = 22;
const PANELS_MAX: usize = 12;
const COLOURS: [&str; 6] = ["#b3261e", "#7a4fd0", "#00696b", "#9a5b00", "#a3195b", "#3a6a1e"];
/// Of one rule in one panel.
const DETECTIONS_MAX: usize = 500;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1440 * MINUTE_MS;
const STEPS_MS: [i64; 14] = [
    MINUTE_MS / 6,
    MINUTE_MS,
    5 * MINUTE_MS,
    15 * MINUTE_MS,
    30 * MINUTE_MS,
    60 * MINUTE_MS,
    180 * MINUTE_MS,
    360 * MINUTE_MS,
    720 * MINUTE_MS,
    DAY_MS,
    2 * DAY_MS,
    7 * DAY_MS,
    28 * DAY_MS,
    364 * DAY_MS,
];

pub fn svg(title: &str, all: &[Recorded], report: &Report) -> String {
    let panel = NAME + HEIGHT + TIMES + LANE * report.rules.len() + 12;
    let (shown, hidden) = all.split_at(all.len().min(PANELS_MAX));
    let height = HEAD + panel * shown.len() + if hidden.is_empty() { 0 } else { 24 };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{0}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{0}</text>\n",
        escaped(title)
    );
    for (at, one) in shown.iter().enumerate() {
        draw(&mut out, HEAD + at * panel, one, report);
    }
    if !hidden.is_empty() {
        _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">and {} more series</text>", height - 8, hidden.len());
    }
    out += "</svg>\n";
    out
}

fn draw(out: &mut String, y: usize, one: &Recorded, report: &Report) {
    _ = writeln!(
        out,
        "<g transform=\"translate(0 {y})\"><text x=\"{LEFT}\" y=\"15\">{}</text>",
        escaped(&cut(&one.series, 130))
    );
    let thresholds = || report.rules.iter().enumerate().filter_map(|(lane, rule)| Some((lane, rule.threshold?)));
    let Some(frame) = Frame::of(&one.rows, thresholds().map(|(_, threshold)| threshold)) else {
        _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">no samples</text></g>", NAME + 20);
        return;
    };
    for (from, to) in stretches(&one.rows) {
        let (x, width) = frame.band(from.0, to.0);
        _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{NAME}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"#ffe08a\"><title>labelled</title></rect>"
        );
    }
    frame.axes(out);
    for (lane, threshold) in thresholds() {
        let (y, colour) = (frame.y(threshold), COLOURS[lane % COLOURS.len()]);
        _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"{colour}\" stroke-dasharray=\"8 4\"><title>threshold {}</title></path>",
            WIDTH - RIGHT,
            number(threshold)
        );
    }
    _ = writeln!(out, "<path d=\"{}\" fill=\"none\" stroke=\"#1f4e79\" stroke-width=\"1\"/>", frame.line(&one.rows));
    for (lane, outcome) in report.rules.iter().enumerate() {
        let (y, colour) = (NAME + HEIGHT + TIMES + lane * LANE, COLOURS[lane % COLOURS.len()]);
        let name = escaped(&cut(&outcome.rule, 14));
        _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            LEFT - 6,
            y + 12
        );
        let own = outcome.detections.iter().filter(|detection| detection.series == one.series);
        own.take(DETECTIONS_MAX).for_each(|detection| frame.detection(out, detection, y, colour));
    }
    *out += "</g>\n";
}

/// Which times and values a panel shows.
struct Frame {
    from: i64,
    to: i64,
    low: f64,
    high: f64,
}

impl Frame {
    fn of(rows: &[Row], thresholds: impl Iterator<Item = f64>) -> Option<Self> {
        let times = || rows.iter().map(|row| row.sample.at.0);
        let values = || rows.iter().map(|row| row.sample.value).filter(|value| value.abs() <= LARGEST);
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let thresholds = thresholds.filter(|value| value.abs() <= LARGEST);
        let (low, high) = thresholds.fold((low, high), |(low, high), value| (low.min(value), high.max(value)));
        // A flat line lies in the middle.
        let around = if high > low { (high - low) * 0.03 } else { high.abs() * 0.1 + 1.0 };
        Some(Self { from: times().min()?, to: times().max()?, low: low - around, high: high + around })
    }

    fn x(&self, at: i64) -> f64 {
        let width = (WIDTH - LEFT - RIGHT) as f64;
        LEFT as f64 + width * (at - self.from) as f64 / (self.to - self.from).max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        NAME as f64 + HEIGHT as f64 * (self.high - value) / (self.high - self.low)
    }

    fn band(&self, from: i64, to: i64) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(to) - x).max(2.0))
    }

    fn axes(&self, out: &mut String) {
        let step = round_step((self.high - self.low) / 5.0);
        let first = (self.low / step).ceil();
        for value in (0..10).map(|line| (first + f64::from(line)) * step).take_while(|value| *value <= self.high) {
            let y = self.y(value);
            _ = writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#e2e2e2\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6,
                y + 4.0,
                number(value)
            );
        }
        let step = STEPS_MS.into_iter().find(|step| (self.to - self.from) / step <= 8).unwrap_or(self.to - self.from);
        let first = self.from.div_euclid(step) + i64::from(self.from.rem_euclid(step) > 0);
        let mut day = String::new();
        for at in (first..first + 10).map(|tick| tick * step).take_while(|at| *at <= self.to) {
            let Ok(time) = Timestamp::from_millisecond(at) else { continue };
            let time = time.to_zoned(TimeZone::UTC);
            let (x, bottom) = (self.x(at), NAME + HEIGHT);
            let clock = time.strftime(if step < MINUTE_MS { "%H:%M:%S" } else { "%H:%M" }).to_string();
            let today = time.strftime("%Y-%m-%d").to_string();
            let lines = if step >= DAY_MS {
                [today, String::new()]
            } else {
                [clock, if day == today { String::new() } else { today.clone() }]
            };
            day = time.strftime("%Y-%m-%d").to_string();
            _ = writeln!(
                out,
                "<path d=\"M{x:.1} {NAME}V{}\" stroke=\"#e2e2e2\"/><g text-anchor=\"middle\" fill=\"#555555\"><text x=\"{x:.1}\" y=\"{}\">{}</text><text x=\"{x:.1}\" y=\"{}\">{}</text></g>",
                bottom + 4,
                bottom + 16,
                lines[0],
                bottom + 30,
                lines[1]
            );
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
        let right = one.right.map_or("", |right| if right { ", right" } else { ", wrong" });
        let began =
            Timestamp::from_millisecond(one.began_at_ms).map_or_else(|_| String::new(), |at| format!("{at}{right}: "));
        _ = write!(
            out,
            "<g class=\"detection\" opacity=\"{opacity}\" stroke=\"{colour}\"><title>{began}{}</title>\
             <path d=\"M{x:.1} {NAME}V{y}\" stroke-dasharray=\"3 3\"/>\
             <rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\" stroke=\"none\"/>",
            escaped(&one.reason)
        );
        if let Some(Crossing { value, threshold, at_ms }) =
            one.forecast.filter(|crossing| crossing.at_ms > one.began_at_ms)
        {
            // What lies behind the last sample is cut off, not bent.
            let part = (self.to - one.began_at_ms) as f64 / (at_ms - one.began_at_ms) as f64;
            let end = value + (threshold - value) * part.min(1.0);
            _ = write!(
                out,
                "<path class=\"forecast\" d=\"M{x:.1} {:.1}L{:.1} {:.1}\" stroke-width=\"2\" stroke-dasharray=\"5 3\"/>",
                self.y(value),
                self.x(at_ms.min(self.to)),
                self.y(end)
            );
        }
        *out += "</g>\n";
    }
}

/// 1, 2 or 5 times a power of ten, so much at least.
fn round_step(least: f64) -> f64 {
    let mut power = 1.0;
    while power * 10.0 <= least {
        power *= 10.0;
    }
    while power > least && power > 1e-100 {
        power /= 10.0;
    }
    [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= least).unwrap_or(power * 10.0)
}

fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else {
        format!("{value:.5}").trim_end_matches('0').trim_end_matches('.').chars().take(9).collect()
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    crate::event::words::clipped(text, chars_max)
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
    use super::super::csv::series;
    use super::*;

    fn lines(count: i64) -> String {
        let lines = (0..count).map(|at| format!("{},{},{}", at * 60, at * 7919 % 101, u8::from(at / 1000 == 50)));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn size_is_bounded_and_foreign_text_escaped() {
        let all = vec![series("s<1>", &lines(100_000)).unwrap().remove(0); 14];
        let rule = serde_saphyr::from_str(
            "{ name: 'a<b', detect: { forecast: { above: 99.5, horizon_secs: 600 } }, recovering_secs: 0 }",
        );
        let report = backtest(&[rule.unwrap()], &all[..1]);
        let picture = svg("x & \"y\"\u{1}", &all, &report);
        assert!(picture.len() < 7_000_000, "{}", picture.len());
        for text in ["x &amp; &quot;y&quot;\u{fffd}", ">a&lt;b<", ">s&lt;1&gt;<", "labelled", "and 2 more series"] {
            assert!(picture.contains(text), "{text}");
        }
    }

    #[test]
    fn series_with_nothing_to_see_have_a_picture() {
        for text in ["", "1,NaN", "1,5", "1,5\n2,5\n1,inf\n0,7", "1,1e100\n2,-1e100\n3,1e-300"] {
            let all = series("t", text).unwrap();
            let picture = svg("t", &all, &backtest(&[], &all));
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.3, 1.0, 1.1, 4.0, 60.0, 0.02].map(round_step).map(number), ["0.5", "1", "2", "5", "100", "0.02"]);
    }
}
