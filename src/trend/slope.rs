//! The slope that half of all pairs of points exceed (Theil–Sen), its confidence, and whether there is a trend at all (Mann–Kendall).
//! A third of the points may be anything.

use super::Sample;
use super::ring::POINTS;

const PAIRS: usize = POINTS * (POINTS - 1) / 2;
/// Fewer prove nothing.
const POINTS_MIN: usize = 8;

/// Per millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub median: f64,
    /// The confidence interval.
    pub low: f64,
    pub high: f64,
    /// Mann–Kendall's: how many standard deviations the order of the points is from chance.
    pub z: f64,
    /// The line at the first and the last point.
    pub first: f64,
    pub last: f64,
}

/// `confidence` in standard deviations. `None` if there are too few points, or if a flat line is within the confidence: most windows
/// of most series, and their order alone tells it.
pub fn slope(points: &[Sample], confidence: f64) -> Option<Slope> {
    let points = &points[points.len().saturating_sub(POINTS)..];
    if points.len() < POINTS_MIN {
        return None;
    }
    let pairs = || (0..points.len()).flat_map(|at| points[..at].iter().map(move |earlier| (earlier, &points[at])));
    let order: i32 = pairs().map(|(a, b)| i32::from(b.value > a.value) - i32::from(b.value < a.value)).sum();
    let count = points.len() as f64;
    let spread = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0).sqrt();
    if f64::from(order.abs()) < confidence * spread {
        return None;
    }
    let mut slopes = [0.0; PAIRS];
    for (slope, (a, b)) in slopes.iter_mut().zip(pairs()) {
        *slope = (b.value - a.value) / b.at.since_ms(a.at).max(1) as f64;
    }
    let pairs = points.len() * (points.len() - 1) / 2;
    let slopes = &mut slopes[..pairs];
    let aside = (confidence * spread / 2.0) as usize;
    let middle = pairs / 2;
    let (below, median, above) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
    let median = *median;
    let low = nth(below, middle.saturating_sub(aside));
    let high = nth(above, aside.saturating_sub(1));
    let end = points[points.len() - 1].at;
    let mut levels = [0.0; POINTS];
    for (level, point) in levels.iter_mut().zip(points) {
        *level = point.value + median * end.since_ms(point.at) as f64;
    }
    let last = nth(&mut levels[..points.len()], points.len() / 2);
    let first = last - median * end.since_ms(points[0].at) as f64;
    let z = f64::from(order - order.signum()) / spread;
    Some(Slope { median, low, high, z, first, last })
}

/// The value at `index` of the sorted values; the last one if there are fewer.
fn nth(values: &mut [f64], index: usize) -> f64 {
    let last = values.len() - 1;
    *values.select_nth_unstable_by(index.min(last), f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventTime;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Sample> {
        values.into_iter().enumerate().map(|(at, value)| Sample { at: EventTime(at as i64), value }).collect()
    }

    #[test]
    fn a_line_is_found_under_outliers() {
        let line = points((0..32).map(|at| if at % 5 == 0 { 1e6 } else { 3.0 + 2.0 * f64::from(at) }));
        let found = slope(&line, 2.6).unwrap();
        assert!((found.median - 2.0).abs() < 0.2 && (found.last - 65.0).abs() < 3.0, "{found:?}");
        assert!(slope(&line[..7], 2.6).is_none());
    }

    #[test]
    fn noise_has_no_slope_and_a_flat_line_no_order() {
        let noise = points((0..32).map(|at| f64::from(at * 7919 % 31)));
        let found = slope(&noise, 0.0).unwrap();
        assert!(found.z.abs() < 2.0 && slope(&noise, 2.6).is_none(), "{found:?}");
        let flat = slope(&points([5.0; 20]), 0.0).unwrap();
        assert_eq!((flat.median, flat.low, flat.high, flat.z, flat.last), (0.0, 0.0, 0.0, 0.0, 5.0));
    }

    /// By hand: of 1, 2, …, 8 all 28 pairs rise; the variance is 8 * 7 * 21 / 18.
    #[test]
    fn mann_kendall_by_hand() {
        let found = slope(&points((1..=8).map(f64::from)), 1.0).unwrap();
        assert_eq!(found.z, 27.0 / (8.0 * 7.0 * 21.0 / 18.0_f64).sqrt());
        assert_eq!((found.median, found.first, found.last), (1.0, 1.0, 8.0));
    }
}
