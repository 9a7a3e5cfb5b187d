//! What a series did lately, as one line of text: `▁▁▂▃·▅▇█`.
//!
//! A column is the average of one stretch of time; a series told less often than that has a column for each telling. `·` is time in which
//! nothing was told, seen by what is usual between two columns of this series. The lowest column is the lowest average shown, not zero,
//! and a flat line lies in the middle. Always: at most [`COLUMNS`] columns are remembered and shown; a sample costs no allocation but for
//! the first columns. Not here: the values behind the columns, which the words of a reason tell.

use serde::{Deserialize, Serialize};

use super::Sample;
use super::ring::Open;
use crate::record::EventTime;

pub const COLUMNS: usize = 24;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const GAP: char = '·';
/// What differs by less of its size is flat: the averages are kept in single precision.
const FLAT: f64 = 1e-6;

/// The last columns of a series and the one that is not over. Some 130 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    open: Open,
    /// In the order of time.
    columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    /// So many stretches later began the next.
    next_in: i32,
    average: f32,
}

impl Recent {
    /// `width_ms` is that of a stretch, always the same for one memory.
    pub fn add(&mut self, sample: Sample, width_ms: i64) {
        let Some((slot, average)) = self.open.add(sample, width_ms) else { return };
        if self.columns.len() >= COLUMNS {
            self.columns.remove(0);
        }
        let next_in = self.open.slot.saturating_sub(slot);
        self.columns.push(Column { next_in: next_in.clamp(1, i64::from(i32::MAX)) as i32, average: single(average) });
    }

    /// As it looks at that time, with the stretch that is not over; empty if nothing was ever told.
    pub fn line(&self, at: EventTime, width_ms: i64) -> String {
        let columns = self.columns(at, width_ms);
        let averages = || columns.iter().map(|column| f64::from(column.average));
        let (low, high) = averages().fold((f64::MAX, f64::MIN), |(low, high), one| (low.min(one), high.max(one)));
        let bar = |average: f32| {
            if is_flat(low, high) {
                return BARS[BARS.len() / 2 - 1];
            }
            let part = (f64::from(average) - low) / (high - low);
            BARS[((part * BARS.len() as f64) as usize).min(BARS.len() - 1)]
        };
        self.with_gaps(&columns).into_iter().map(|cell| cell.map_or(GAP, bar)).collect()
    }

    /// The averages that [`Recent::line`] shows, `None` for a gap, and the time from one to the next.
    pub fn cells(&self, at: EventTime, width_ms: i64) -> (Vec<Option<f32>>, i64) {
        let cells = self.with_gaps(&self.columns(at, width_ms));
        (cells, width_ms.max(1).saturating_mul(usual(&self.columns).into()))
    }

    fn columns(&self, at: EventTime, width_ms: i64) -> Vec<Column> {
        let Some(now) = self.open.average() else { return Vec::new() };
        let since = at.0.div_euclid(width_ms.max(1)).saturating_sub(self.open.slot);
        let last = Column { next_in: since.clamp(0, i64::from(i32::MAX)) as i32, average: single(now) };
        let kept = self.columns.len().saturating_sub(COLUMNS - 1);
        self.columns.iter().skip(kept).copied().chain([last]).collect()
    }

    fn with_gaps(&self, columns: &[Column]) -> Vec<Option<f32>> {
        let usual = usual(&self.columns);
        let mut cells = Vec::with_capacity(2 * COLUMNS);
        for column in columns {
            cells.push(Some(column.average));
            let missing = (column.next_in / usual).saturating_sub(1).clamp(0, COLUMNS as i32);
            cells.extend((0..missing).map(|_| None));
        }
        cells.split_off(cells.len().saturating_sub(COLUMNS))
    }
}

/// Whether what lies between these is a flat line.
pub fn is_flat(low: f64, high: f64) -> bool {
    high - low <= FLAT * high.abs().max(low.abs())
}

/// The distance that three of four columns have at most from the next.
fn usual(columns: &[Column]) -> i32 {
    let mut distances: Vec<i32> = columns.iter().map(|column| column.next_in).collect();
    distances.sort_unstable();
    distances.get(distances.len().saturating_sub(1) * 3 / 4).map_or(1, |distance| (*distance).max(1))
}

/// In single precision, and finite there too.
fn single(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(told: impl IntoIterator<Item = (i64, f64)>, at: i64) -> String {
        let mut recent = Recent::default();
        told.into_iter().for_each(|(at, value)| recent.add(Sample { at: EventTime(at), value }, 10));
        assert!(recent.columns.len() <= COLUMNS);
        recent.line(EventTime(at), 10)
    }

    #[test]
    fn columns_are_averages_between_the_lowest_and_the_highest() {
        assert_eq!(line((0..80).map(|at| (at, (at / 10) as f64)), 79), "▁▂▃▄▅▆▇█");
        assert_eq!(line((0..80).map(|at| (at, -(at / 10) as f64)), 79), "█▇▆▅▄▃▂▁");
        // 0 and 10 told in one stretch are 5.
        assert_eq!(line([(0, 0.0), (10, 0.0), (11, 10.0), (20, 10.0)], 20), "▁▅█");
        assert_eq!(line((0..1000).map(|at| (at, (at / 10 % 2) as f64)), 999), "▁█".repeat(COLUMNS / 2));
    }

    #[test]
    fn flat_tiny_and_huge_series_have_a_line_and_a_silent_one_has_none() {
        assert_eq!(line([(0, 7.0), (10, 7.0), (20, 7.000_000_1)], 20), "▄▄▄");
        assert_eq!(line([(0, 0.0), (10, 1e-300), (20, -1e100), (30, 1e100)], 30), "▅▅▁█");
        assert_eq!(line([(5, 1.0)], 5), "▄");
        assert_eq!(line([], 5), "");
    }

    #[test]
    fn a_gap_is_what_is_longer_than_usual_for_the_series() {
        let every = |step: i64| move |at: i64| (at * step, at as f64);
        assert_eq!(line((0..4).map(every(10)), 30), "▁▃▆█");
        assert_eq!(line((0..4).map(every(50)), 150), "▁▃▆█", "told every fifth stretch");
        // Every 10, then nothing in three stretches, then once more.
        assert_eq!(line([(0, 0.0), (10, 0.0), (20, 0.0), (30, 0.0), (70, 1.0)], 70), "▁▁▁▁···█");
        assert_eq!(line((0..4).map(every(10)), 60), "▁▃▆█··", "and nothing since");
        assert_eq!(line((0..4).map(every(10)), i64::MAX), "·".repeat(COLUMNS));
    }
}
