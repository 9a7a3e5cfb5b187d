//! A [`Chart`] drawn as a PNG: the line with its area, gaps left open, the threshold dashed, a forecast dotted.
//!
//! Shapes on white and no word, so that it reads on light and dark themes alike and says nothing that its chart does not. The same chart
//! gives the same bytes. Always of one size, whatever the chart: some milliseconds of work, [`BYTES_MAX`] of answer.

use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Paint, Path, PathBuilder, Pixmap, Point, Shader,
    SpreadMode, Stroke, StrokeDash, Transform,
};

use super::chart::{Chart, Forecast, PARTS, TOP};

/// In points; a point is two pixels wide, for screens that are dense.
const WIDTH: f32 = 480.0;
const HEIGHT: f32 = 160.0;
const SCALE: f32 = 2.0;
/// From the edges to what is drawn.
const MARGIN: f32 = 14.0;
/// The ground on which the area stands lies so far below the lowest level.
const GROUND: f32 = 8.0;
/// So many columns have the room of all, and fewer are not drawn wider.
const FEW: usize = 8;
pub const BYTES_MAX: usize = 64 << 10;

const BACKGROUND: [u8; 4] = [255, 255, 255, 255];
const GRID: [u8; 4] = [236, 238, 241, 255];
const NOW: [u8; 4] = [205, 210, 217, 255];
const LINE: [u8; 4] = [29, 94, 161, 255];
const AREA: [[u8; 4]; 2] = [[29, 94, 161, 70], [29, 94, 161, 8]];
const THRESHOLD: [u8; 4] = [196, 43, 28, 255];
const FORECAST: [u8; 4] = [214, 118, 22, 255];

/// The picture as a PNG. The error says why there is none, which no chart causes.
pub fn png(chart: &Chart) -> Result<Vec<u8>, String> {
    let size = |points: f32| (points * SCALE) as u32;
    let mut canvas = Pixmap::new(size(WIDTH), size(HEIGHT)).ok_or("no memory for a picture")?;
    canvas.fill(colour(BACKGROUND));
    let frame = Frame::of(chart);
    let mut pen = Pen { canvas: &mut canvas };
    for part in 0..=2 {
        let y = frame.y(0.0) + (frame.y(f32::from(TOP)) - frame.y(0.0)) * part as f32 / 2.0;
        pen.line(&[(MARGIN, y), (WIDTH - MARGIN, y)], GRID, 1.0, None);
    }
    for run in runs(chart) {
        pen.run(&frame, &run);
    }
    if let Some(level) = chart.threshold() {
        let y = frame.y(level.into());
        pen.line(&[(MARGIN, y), (WIDTH - MARGIN, y)], THRESHOLD, 1.5, Some([7.0, 5.0]));
    }
    let last = runs(chart).pop().and_then(|run| run.last().copied());
    if let (Some(forecast), Some(from)) = (chart.forecast(), last) {
        pen.forecast(&frame, from, forecast, chart.threshold() == Some(forecast.level));
    }
    if let Some(last) = last {
        pen.dot(frame.at(last), 4.5, LINE);
    }
    canvas.encode_png().map_err(|error| error.to_string())
}

/// A column and its level.
type Place = (f32, f32);

/// Neighbours without a gap between them, in the order of time.
fn runs(chart: &Chart) -> Vec<Vec<Place>> {
    let mut runs: Vec<Vec<Place>> = Vec::new();
    let mut goes_on = false;
    for (at, level) in chart.columns().iter().enumerate() {
        let Some(level) = level else {
            goes_on = false;
            continue;
        };
        let place = (at as f32, f32::from(*level));
        match runs.last_mut().filter(|_| goes_on) {
            Some(run) => run.push(place),
            None => runs.push(vec![place]),
        }
        goes_on = true;
    }
    runs
}

/// Where columns and levels lie, in points.
struct Frame {
    /// Of the first column.
    left: f32,
    step: f32,
}

impl Frame {
    /// The last column is now: at the right, or so far from it that what lies ahead has its place.
    fn of(chart: &Chart) -> Self {
        let ahead = chart.forecast().map_or(0.0, |forecast| f32::from(forecast.ahead) / f32::from(PARTS));
        let width = WIDTH - 2.0 * MARGIN;
        let columns = chart.columns().len().max(FEW) - 1;
        let step = width / (columns as f32 + ahead);
        let missing = FEW.saturating_sub(chart.columns().len());
        Self { left: MARGIN + missing as f32 * step, step }
    }

    fn x(&self, column: f32) -> f32 {
        self.left + column * self.step
    }

    fn y(&self, level: f32) -> f32 {
        let (top, bottom) = (MARGIN, HEIGHT - MARGIN - GROUND);
        bottom - level / f32::from(TOP) * (bottom - top)
    }

    fn at(&self, (column, level): Place) -> (f32, f32) {
        (self.x(column), self.y(level))
    }
}

struct Pen<'a> {
    canvas: &'a mut Pixmap,
}

impl Pen<'_> {
    fn run(&mut self, frame: &Frame, run: &[Place]) {
        let points: Vec<_> = run.iter().map(|place| frame.at(*place)).collect();
        let [first, .., last] = &points[..] else {
            points.iter().for_each(|point| self.dot(*point, 2.5, LINE));
            return;
        };
        let ground = HEIGHT - MARGIN;
        let outline: Vec<_> = points.iter().copied().chain([(last.0, ground), (first.0, ground)]).collect();
        let stops = vec![GradientStop::new(0.0, colour(AREA[0])), GradientStop::new(1.0, colour(AREA[1]))];
        let (top, bottom) = (Point::from_xy(0.0, MARGIN), Point::from_xy(0.0, ground));
        let shader = LinearGradient::new(top, bottom, stops, SpreadMode::Pad, Transform::identity());
        if let (Some(path), Some(shader)) = (path(&outline, true), shader) {
            let paint = Paint { shader, anti_alias: true, ..Paint::default() };
            self.canvas.fill_path(&path, &paint, FillRule::Winding, scale(), None);
        }
        self.line(&points, LINE, 2.5, None);
    }

    /// `meets`: where it leads is the threshold, and not only as far as can be seen.
    fn forecast(&mut self, frame: &Frame, from: Place, forecast: Forecast, meets: bool) {
        let end = (from.0 + f32::from(forecast.ahead) / f32::from(PARTS), forecast.level.into());
        let x = frame.x(from.0);
        self.line(&[(x, MARGIN), (x, HEIGHT - MARGIN)], NOW, 1.0, None);
        self.line(&[frame.at(from), frame.at(end)], FORECAST, 2.5, Some([0.1, 6.0]));
        if meets {
            self.dot(frame.at(end), 4.0, FORECAST);
        }
    }

    /// `dash`: so long on, so long off.
    fn line(&mut self, points: &[(f32, f32)], of: [u8; 4], width: f32, dash: Option<[f32; 2]>) {
        let dash = dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0));
        let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, dash, ..Stroke::default() };
        if let Some(path) = path(points, false) {
            self.canvas.stroke_path(&path, &plain(of), &stroke, scale(), None);
        }
    }

    fn dot(&mut self, (x, y): (f32, f32), radius: f32, of: [u8; 4]) {
        for (radius, of) in [(radius + 1.5, BACKGROUND), (radius, of)] {
            if let Some(path) = PathBuilder::from_circle(x, y, radius) {
                self.canvas.fill_path(&path, &plain(of), FillRule::Winding, scale(), None);
            }
        }
    }
}

fn path(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (at, (x, y)) in points.iter().enumerate() {
        if at == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn plain(of: [u8; 4]) -> Paint<'static> {
    Paint { shader: Shader::SolidColor(colour(of)), anti_alias: true, ..Paint::default() }
}

fn colour([red, green, blue, alpha]: [u8; 4]) -> Color {
    Color::from_rgba8(red, green, blue, alpha)
}

fn scale() -> Transform {
    Transform::from_scale(SCALE, SCALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<u8> {
        png(&Chart::parse(text).unwrap()).unwrap()
    }

    /// How many pixels have nearly this colour.
    fn count(png: &[u8], [red, green, blue, _]: [u8; 4]) -> usize {
        let near = |a: u8, b: u8| a.abs_diff(b) < 12;
        let pixmap = Pixmap::decode_png(png).unwrap();
        assert_eq!((pixmap.width(), pixmap.height()), (960, 320));
        let pixels = pixmap.pixels().iter();
        pixels.filter(|pixel| near(pixel.red(), red) && near(pixel.green(), green) && near(pixel.blue(), blue)).count()
    }

    #[test]
    fn a_picture_shows_what_its_chart_has_and_nothing_else() {
        let line = drawn("01ffff0000204060ff80a0fe");
        assert!(count(&line, LINE) > 1_000);
        assert_eq!((count(&line, THRESHOLD), count(&line, FORECAST)), (0, 0));
        let all = drawn("01fefe6000102030405060707f");
        assert!(count(&all, THRESHOLD) > 1_000 && count(&all, FORECAST) > 200);
        assert_eq!(all, drawn("01fefe6000102030405060707f"), "the same chart, the same bytes");
    }

    #[test]
    fn every_chart_has_a_picture_of_bounded_size() {
        let whole = format!("01fefec0{}", "00fe".repeat(12));
        for text in ["01ffff007f", "01ffff00ffff00ff", "0100000100", "01fefec0fe", "017f7f017f", &whole] {
            let png = drawn(text);
            assert!(png.starts_with(b"\x89PNG") && png.len() <= BYTES_MAX, "{text}: {}", png.len());
            assert!(count(&png, LINE) > 50, "{text}");
        }
    }
}
