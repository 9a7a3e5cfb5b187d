//! Incidents of one service as bars over time: a lane a side, coloured and lettered by level, with marks for messages and mentions.

use std::fmt::Write;

use super::escaped;
use crate::event::{IncidentState, Level, SlackActionKind};
use crate::replay::text::{clock, level_word};
use crate::replay::{Story, Window};

/// Units of the drawing.
const WIDTH: f64 = 1_100.0;
const LEFT: f64 = 110.0;
const AXIS: f64 = 18.0;
const ROW: f64 = 30.0;
const BAR: f64 = 13.0;
/// So narrow a bar can still be hit.
const BAR_MIN: f64 = 5.0;
const TICKS_MAX: i64 = 9;
const NAME_CHARS: usize = 15;

pub struct Bar<'a> {
    pub story: &'a Story,
    /// Id of what the bar leads to.
    pub target: String,
    pub class: &'static str,
}

/// Milliseconds to units.
struct Scale {
    from: i64,
    to: i64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a pixel is thousands of milliseconds")]
    fn x(&self, at_ms: i64) -> f64 {
        let share = (at_ms.clamp(self.from, self.to) - self.from) as f64 / (self.to - self.from).max(1) as f64;
        LEFT + share * (WIDTH - LEFT)
    }
}

pub fn svg(out: &mut String, service: &str, lanes: &[(&str, Vec<Bar<'_>>)], window: &Window) {
    let scale = Scale { from: window.from.0, to: window.to.0 };
    let rows: Vec<_> = lanes.iter().map(|(_, bars)| rows(bars, &scale)).collect();
    let count = |rows: &Vec<Vec<&Bar<'_>>>| f64::from(u32::try_from(rows.len().max(1)).unwrap_or(u32::MAX));
    let height = AXIS + rows.iter().map(|rows| count(rows) * ROW + 4.0).sum::<f64>();
    let label = escaped(service);
    _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"group\" aria-label=\"incidents of {label} over time\">"
    );
    axis(out, &scale, height);
    let mut y = AXIS;
    for ((name, _), rows) in lanes.iter().zip(&rows) {
        let name = ending(name);
        _ = writeln!(out, "<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text>", y + 22.0, escaped(&name));
        for (number, row) in (0_u32..).zip(rows) {
            let y = y + f64::from(number) * ROW;
            row.iter().for_each(|bar| self::bar(out, bar, y, &scale));
        }
        y += count(rows) * ROW + 4.0;
        _ = writeln!(out, "<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{:.1}\" y2=\"{:.1}\"/>", y - 2.0, y - 2.0);
    }
    *out += "</svg>\n";
}

/// Of a long name the end says most.
fn ending(name: &str) -> String {
    match name.char_indices().nth_back(NAME_CHARS - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &name[at..]),
        _ => name.to_owned(),
    }
}

/// Bars that do not overlap share a row.
fn rows<'a, 'b>(bars: &'a [Bar<'b>], scale: &Scale) -> Vec<Vec<&'a Bar<'b>>> {
    let mut rows: Vec<(f64, Vec<&Bar<'_>>)> = Vec::new();
    for bar in bars {
        let (start, end) = extent(bar.story, scale);
        match rows.iter_mut().find(|(taken, _)| *taken + 14.0 <= start) {
            Some((taken, row)) => {
                *taken = end;
                row.push(bar);
            }
            None => rows.push((end, vec![bar])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn extent(story: &Story, scale: &Scale) -> (f64, f64) {
    let start = scale.x(story.opened_at_ms);
    let end = scale.x(story.resolved_at_ms().unwrap_or(scale.to));
    (start, end.max(start + BAR_MIN))
}

fn axis(out: &mut String, scale: &Scale, height: f64) {
    const MINUTE: i64 = 60_000;
    const DAY: i64 = 1_440;
    let steps = [1, 5, 10, 15, 30, 60, 120, 180, 360, 720, DAY, 2 * DAY, 7 * DAY, 30 * DAY];
    let spans = steps.into_iter().map(|minutes| minutes * MINUTE);
    let step = spans.into_iter().find(|step| (scale.to - scale.from) / step <= TICKS_MAX).unwrap_or(365 * DAY * MINUTE);
    let mut at = scale.from.div_euclid(step) * step;
    while at <= scale.to {
        if at >= scale.from {
            let (x, shown) = (scale.x(at), clock(at));
            // `2026-11-02 22:10:00Z`: the day where the day is what changes, else the time of day.
            let shown = if step < DAY * MINUTE { shown.get(11..16) } else { shown.get(5..10) }.unwrap_or_default();
            _ = writeln!(out, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"12\" y2=\"{height:.1}\"/>");
            _ = writeln!(out, "<text x=\"{x:.1}\" y=\"9\" text-anchor=\"middle\">{shown}</text>");
        }
        at += step;
    }
}

fn bar(out: &mut String, bar: &Bar<'_>, y: f64, scale: &Scale) {
    let story = bar.story;
    let (start, end) = extent(story, scale);
    let until = story.resolved_at_ms().map_or_else(|| "still open".to_owned(), clock);
    let label = format!(
        "{}, {}, {} to {until}, {} messages, {} mentions",
        story.title(),
        level_word(story.worst()),
        clock(story.opened_at_ms),
        story.posts().count(),
        story.mentions().count()
    );
    let (class, target, label) = (bar.class, &bar.target, escaped(&label));
    _ = writeln!(out, "<a class=\"{class}\" href=\"#{target}\" aria-label=\"{label}\"><title>{label}</title>");
    let (top, middle) = (y + 13.0, y + 13.0 + BAR / 2.0);
    for (from, to, level) in pieces(story, scale) {
        let (x, width) = (scale.x(from), (scale.x(to) - scale.x(from)).max(1.0));
        let class = level_word(level).to_lowercase();
        _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
        );
    }
    _ = writeln!(
        out,
        "<rect class=\"whole\" x=\"{start:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
        end - start
    );
    let letter = &level_word(story.worst())[..1];
    _ = writeln!(
        out,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{letter}</text>",
        start - 6.0,
        top + 10.5
    );
    for message in story.posts() {
        let x = scale.x(message.at_ms);
        let (class, radius) = if message.kind == SlackActionKind::PostRoot { ("root", 4.0) } else { ("reply", 2.6) };
        _ = writeln!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"{radius}\"/>");
        if !message.mentions.is_empty() {
            _ = writeln!(
                out,
                "<text class=\"mention\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">@</text>",
                top - 2.0
            );
        }
    }
    *out += "</a>\n";
}

/// While it was open: from when to when at which level.
fn pieces(story: &Story, scale: &Scale) -> Vec<(i64, i64, Level)> {
    let steps: Vec<_> = story.all_steps().collect();
    let ends = steps.iter().skip(1).map(|step| step.at_ms).chain([scale.to]);
    let mut pieces: Vec<(i64, i64, Level)> = Vec::new();
    for (step, end) in steps.iter().zip(ends).filter(|(step, _)| step.state == IncidentState::Open) {
        let from = step.at_ms.max(scale.from);
        match pieces.last_mut() {
            Some((_, until, level)) if *until == from && *level == step.level => *until = end,
            _ => pieces.push((from, end, step.level)),
        }
    }
    pieces
}
