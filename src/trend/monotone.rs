//! Says that a series rises, or falls, all through its window: the order of its points is no chance (Mann–Kendall), and the line through
//! them (Theil–Sen) moves by enough. No threshold is needed.

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use super::slope::slope;
use super::{Reading, Reason, Sample};

/// In standard deviations: one in five thousand windows of noise.
const CERTAIN: f64 = 3.7;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monotone {
    pub window_secs: u32,
    /// How far the line must move over the window, in the unit of the series; negative: only a fall counts.
    pub by: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    ring: Ring,
    found: Option<Found>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Found {
    strength: f64,
    from: f64,
    to: f64,
    in_ms: i64,
}

impl Monotone {
    pub fn problems(&self) -> Vec<String> {
        let wrong = self.window_secs == 0 || !self.by.is_finite() || self.by == 0.0;
        let mend = || "monotone: window_secs must be above 0, and `by` a number other than 0".to_owned();
        wrong.then(mend).into_iter().collect()
    }

    pub fn observe(&self, state: &mut State, sample: Sample) -> Reading {
        if state.ring.add(sample, i64::from(self.window_secs) * 1000) {
            state.found = self.found(state.ring.points());
        }
        state.found.map_or(Reading::NOTHING, |found| {
            Reading::new(found.strength, Reason::Moves { from: found.from, to: found.to, in_ms: found.in_ms })
        })
    }

    fn found(&self, points: &[Sample]) -> Option<Found> {
        let found = slope(points, 0.0)?;
        let in_ms = points.last()?.at.since_ms(points.first()?.at);
        let moved = (found.last - found.first) / self.by;
        let certain = found.z * self.by.signum() / CERTAIN;
        Some(Found { strength: moved.min(certain).max(0.0), from: found.first, to: found.last, in_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EventTime;

    fn strongest(by: f64, value: impl Fn(i64) -> f64) -> f64 {
        let monotone = Monotone { window_secs: 3200, by };
        let mut state = State::default();
        let sample = |at: i64| Sample { at: EventTime(at * 10_000), value: value(at) };
        (0..400).map(|at| monotone.observe(&mut state, sample(at)).strength).fold(0.0, f64::max)
    }

    #[test]
    fn it_takes_both_the_order_and_the_distance() {
        let noise = |at: i64| (at * 7919 % 101) as f64;
        assert!(strongest(50.0, |at| at as f64 + noise(at) / 10.0) >= 1.0);
        assert!(strongest(-50.0, |at| at as f64) == 0.0, "it rises");
        assert!(strongest(-50.0, |at| -at as f64) >= 1.0);
        assert!(strongest(1000.0, |at| at as f64) < 1.0, "too little");
        assert!(strongest(50.0, noise) < 1.0);
    }
}
