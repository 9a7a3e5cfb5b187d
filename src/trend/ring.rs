//! The last while of a series in at most [`POINTS`] averages, whatever the rate of its samples.

use serde::{Deserialize, Serialize};

use super::Sample;
use crate::record::EventTime;

/// A slope of so many points takes 496 pairs.
pub const POINTS: usize = 32;

/// The samples of one stretch of time, until it is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Number of the stretch since the epoch.
    pub slot: i64,
    sum: f64,
    count: i64,
}

impl Open {
    /// Adds the sample. If it begins another stretch: the one before and its average.
    pub fn add(&mut self, sample: Sample, width_ms: i64) -> Option<(i64, f64)> {
        let slot = sample.at.0.div_euclid(width_ms.max(1));
        let closed = self.average().filter(|_| slot != self.slot).map(|average| (self.slot, average));
        if closed.is_some() || self.count == 0 {
            *self = Self { slot, sum: 0.0, count: 0 };
        }
        self.sum += sample.value;
        self.count += 1;
        closed
    }

    /// Of what was told so far in the stretch.
    pub fn average(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Points in the order of time, none older than the window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    open: Open,
    points: Vec<Sample>,
}

impl Ring {
    /// True if a point came in.
    pub fn add(&mut self, sample: Sample, window_ms: i64) -> bool {
        let width = (window_ms / POINTS as i64).max(1);
        let Some((slot, value)) = self.open.add(sample, width) else { return false };
        let at = EventTime(slot.saturating_mul(width).saturating_add(width / 2));
        let oldest = sample.at.0.saturating_sub(window_ms.saturating_add(width));
        self.points.retain(|point| point.at.0 >= oldest);
        if self.points.len() >= POINTS {
            self.points.remove(0);
        }
        self.points.push(Sample { at, value });
        true
    }

    pub fn points(&self) -> &[Sample] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_of_equal_stretches_and_never_more_than_fit() {
        let mut ring = Ring::default();
        for at in 0..1000 {
            ring.add(Sample { at: EventTime(at), value: at as f64 }, 320);
        }
        assert_eq!(ring.points().len(), POINTS);
        // The stretch 980..990 is over, 990..1000 is still open.
        assert_eq!(ring.points().last(), Some(&Sample { at: EventTime(985), value: 984.5 }));
        ring.add(Sample { at: EventTime(5000), value: 1.0 }, 320);
        assert_eq!(ring.points().len(), 1, "a gap longer than the window leaves what was last told");
    }
}
